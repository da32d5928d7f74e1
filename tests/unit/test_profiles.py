from __future__ import annotations

from pathlib import Path

import pytest

from dcmnet import Profiles
from dcmnet.errors import ProfileError
from dcmnet.limits import MAX_PROFILE_TEXT_LENGTH
from tests.unit.profile_texts import SMALL


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "profiles.cfg"
    path.write_bytes(b"\xef\xbb\xbf# caf\xe9, and not UTF-8\r\n" + SMALL.replace("\n", "\r\n").encode())
    profiles = Profiles.load(path)
    assert list(profiles) == ["DEFAULT"]
    assert profiles.source == str(path)
    assert [warning.kind for warning in profiles.warnings] == ["byte-order-mark"]


@pytest.mark.parametrize(("name", "why"), [("none", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, why: str) -> None:
    path = tmp_path / name
    with pytest.raises(ProfileError) as caught:
        Profiles.load(path)
    assert str(caught.value) == f"unable to open configuration file: {path}: {why}"
    assert caught.value.problems == ()
    assert isinstance(caught.value.__cause__, OSError)


def test_a_name_that_is_none() -> None:
    with pytest.raises(ProfileError, match="embedded null byte"):
        Profiles.load("a\0b")


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"#" * (5 * MAX_PROFILE_TEXT_LENGTH))
    with pytest.raises(ProfileError, match="longer than 1048576 characters"):
        Profiles.load(path)
