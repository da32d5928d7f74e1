from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.adapters import AsyncioFace, BlockingFace, Face, Server, running

SAMPLE = Path(__file__).parents[2] / "src" / "dcmnet" / "sample"


@pytest.fixture(params=["blocking", "asyncio"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """One face after the other. Sockets, files and tasks that a test leaves behind make it fail."""
    face: Face = BlockingFace() if request.param == "blocking" else AsyncioFace()
    yield face
    face.close()
    gc.collect()  # what is unclosed complains now, and warnings are errors


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """Where a server keeps what it gets."""
    folder = tmp_path / "received"
    folder.mkdir()
    return folder


@pytest.fixture
def server(face: Face, received: Path) -> Iterator[Server]:
    """A Storage SCP that runs."""
    with running(face, face.new_storage_scp(received)) as server:
        yield server


@pytest.fixture
def ct() -> Path:
    return SAMPLE / "ct-1.dcm"


@pytest.fixture
def sample() -> Path:
    return SAMPLE


@pytest.fixture
def big_ct(tmp_path: Path, ct: Path) -> Path:
    """An object of 24 MB: more than sockets buffer."""
    import pydicom

    data_set = pydicom.dcmread(ct)
    data_set.PixelData = bytes(24 << 20)
    path = tmp_path / "big.dcm"
    data_set.save_as(path)
    return path
