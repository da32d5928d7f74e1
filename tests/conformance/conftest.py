"""What the conformance tests share: one object for each encoding, and both faces of dcmnet."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID
from tools.make_test_data import make_test_data

from tests.conformance import peers

ENCODINGS = (
    "explicit_little",
    "implicit_little",
    "explicit_big",
    "deflated",
    "rle",
    "jpeg_baseline",
    "jpeg_2000_lossless",
)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file for each encoding."""
    made = make_test_data(tmp_path_factory.mktemp("objects"))
    assert set(made) == set(ENCODINGS)
    return made


@pytest.fixture(scope="session")
def large(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 16 MiB of noise in Explicit VR Little Endian, which fills many PDUs of any length.

    Without a sequence of undefined length DCMTK's encoding of it is the one it has.
    """
    path = tmp_path_factory.mktemp("large") / "large.dcm"
    ds = pydicom.dcmread(objects["explicit_little"])
    del ds.SourceImageSequence
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID("2.25.16777216")
    ds.Rows, ds.Columns = 2048, 4096
    ds.PixelData = random.Random(1).randbytes(ds.Rows * ds.Columns * 2)
    ds.save_as(path)
    return path


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    """Each encoding in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module", params=["blocking", "asyncio"])
def face(request: pytest.FixtureRequest) -> Iterator[peers.Face]:
    """Each face of dcmnet in turn."""
    with peers.face(request.param) as one:
        yield one
