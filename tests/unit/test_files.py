"""Files that become visible only when they are complete, whatever the disk does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dcmnet.storage.files import IOV_MAX, Duplicates, PartialFile, current_run, remove_leftovers
from tests.unit.objects import open_descriptors

NO_LINKS = [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EINVAL]


def visible(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def written(folder: Path, data: bytes = b"new") -> PartialFile:
    file = PartialFile(folder, b"head ")
    file.write([data])
    return file


def failing(number: int, calls: list[tuple[Any, ...]] | None = None) -> Callable[..., Any]:
    def fail(*args: Any, **_: Any) -> Any:
        if calls is not None:
            calls.append(args)
        raise OSError(number, os.strerror(number))

    return fail


# ---------------------------------------------------------------------- writing


def test_nobody_sees_a_file_before_it_is_published(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert visible(tmp_path) == {}
    assert len(hidden(tmp_path)) == 1
    assert file.publish(f"{tmp_path}/a", Duplicates.REPLACE) == f"{tmp_path}/a"
    assert visible(tmp_path) == {"a": b"head new"}
    assert hidden(tmp_path) == []
    file.discard()
    assert visible(tmp_path) == {"a": b"head new"}


def test_size_counts_everything(tmp_path: Path) -> None:
    file = PartialFile(tmp_path, b"12345")
    assert file.size == 0
    file.write([])
    assert file.size == 5
    file.write([b"67", memoryview(b"8")])
    assert file.size == 8
    file.discard()


def test_a_file_without_data_has_its_header(tmp_path: Path) -> None:
    PartialFile(tmp_path, b"head").publish(f"{tmp_path}/a", Duplicates.REPLACE)
    assert visible(tmp_path) == {"a": b"head"}


def test_more_views_than_one_call_takes(tmp_path: Path) -> None:
    file = PartialFile(tmp_path, b"")
    views = [memoryview(b"%06d" % number) for number in range(2 * IOV_MAX + 10)]
    file.write(views)
    file.publish(f"{tmp_path}/a", Duplicates.REPLACE)
    assert (tmp_path / "a").read_bytes() == b"".join(views)


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 5, 8, 9, 10, 11])
def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    write = os.write

    def short_writev(fd: int, views: Sequence[bytes | memoryview]) -> int:
        return write(fd, b"".join(views)[:at_once])

    monkeypatch.setattr(os, "writev", short_writev)
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
    file = PartialFile(tmp_path, b"01")
    file.write([b"234", b"", memoryview(b"56789"), b"a"])
    assert file.size == 11
    file.publish(f"{tmp_path}/a", Duplicates.REPLACE)
    assert visible(tmp_path) == {"a": b"0123456789a"}


def test_without_writev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "writev")
    file = written(tmp_path)
    file.publish(f"{tmp_path}/a", Duplicates.REPLACE)
    assert visible(tmp_path) == {"a": b"head new"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_is_full_after_a_short_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "writev", lambda fd, views: 3)
    monkeypatch.setattr(os, "write", failing(number))
    file = PartialFile(tmp_path, b"head")
    with pytest.raises(OSError) as caught:
        file.write([b"data"])
    assert caught.value.errno == number
    file.discard()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "missing", b"head")
    with pytest.raises(FileNotFoundError):
        file.write([b"data"])
    assert file.size == 0
    file.discard()
    with pytest.raises(FileNotFoundError):
        PartialFile(tmp_path / "missing", b"head").publish(f"{tmp_path}/a", Duplicates.REPLACE)
    assert os.listdir(tmp_path) == []


def test_nothing_is_there_before_the_first_bytes(tmp_path: Path) -> None:
    before = open_descriptors()
    file = PartialFile(tmp_path, b"head")
    assert os.listdir(tmp_path) == []
    assert open_descriptors() <= before
    file.discard()
    file.write([b"data"])
    assert hidden(tmp_path) == [os.path.basename(file.name)]
    assert os.path.dirname(file.name) == str(tmp_path)
    file.discard()
    assert os.listdir(tmp_path) == []


def test_hidden_names_differ(tmp_path: Path) -> None:
    files = [written(tmp_path, b"%d" % number) for number in range(50)]
    assert len({file.name for file in files}) == len(hidden(tmp_path)) == 50
    for number, file in enumerate(files):
        assert Path(file.name).read_bytes() == b"head %d" % number
        file.discard()


FORKING = """
import os, sys
from dcmnet.storage.files import PartialFile
here, there = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        os.write(there, PartialFile(sys.argv[1], b"").name.encode() + b"\\n")
        os._exit(0)
    os.wait()
print(PartialFile(sys.argv[1], b"").name)
print(os.read(here, 10000).decode())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_hidden_names_differ_in_processes_that_have_forked(tmp_path: Path) -> None:
    """They have the same memory at first, and may write into the same folder."""
    command = [sys.executable, "-c", FORKING, str(tmp_path)]
    names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert len(set(names)) == 3


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """What is there stays, whoever it belongs to."""
    file = PartialFile(tmp_path, b"head")
    Path(file.name).write_bytes(b"other")
    with pytest.raises(FileExistsError):
        file.write([b"data"])
    file.discard()
    assert Path(file.name).read_bytes() == b"other"


def test_a_name_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    file = PartialFile("", b"head")
    assert file.publish("a", Duplicates.KEEP, fsync=True) == "a"
    assert synced == [f"{tmp_path}/{file.name}", str(tmp_path)]
    assert visible(tmp_path) == {"a": b"head"}
    assert hidden(tmp_path) == []


# ---------------------------------------------------------------------- duplicates


def test_replace(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    assert written(tmp_path).publish(f"{tmp_path}/a", Duplicates.REPLACE) == f"{tmp_path}/a"
    assert visible(tmp_path) == {"a": b"head new"}
    assert hidden(tmp_path) == []


def test_keep(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    file = written(tmp_path)
    assert file.publish(f"{tmp_path}/a", Duplicates.KEEP) is None
    assert Path(file.name).read_bytes() == b"head new"  # whoever has it may still look into it
    file.discard()
    assert visible(tmp_path) == {"a": b"old"}
    assert hidden(tmp_path) == []


def test_rename(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "a.1", "a.2")):
        path = written(tmp_path, b"%d" % number).publish(f"{tmp_path}/a", Duplicates.RENAME)
        assert path == f"{tmp_path}/{name}"
    assert visible(tmp_path) == {"a": b"head 0", "a.1": b"head 1", "a.2": b"head 2"}
    assert hidden(tmp_path) == []


def test_refuse(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    file = written(tmp_path)
    with pytest.raises(FileExistsError):
        file.publish(f"{tmp_path}/a", Duplicates.REFUSE)
    file.discard()
    assert visible(tmp_path) == {"a": b"old"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("ways", list(Duplicates))
@pytest.mark.parametrize("number", [None, *NO_LINKS])
def test_a_name_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Duplicates, number: int | None
) -> None:
    if number is not None:
        monkeypatch.setattr(os, "link", failing(number))
    assert written(tmp_path).publish(f"{tmp_path}/a", ways) == f"{tmp_path}/a"
    assert visible(tmp_path) == {"a": b"head new"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("ways", "names"),
    [(Duplicates.KEEP, {"a"}), (Duplicates.REFUSE, {"a"}), (Duplicates.RENAME, {"a", "a.1"})],
)
def test_a_taken_name_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Duplicates, names: set[str]
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    (tmp_path / "a").write_bytes(b"old")
    file = written(tmp_path)
    if ways is Duplicates.REFUSE:
        with pytest.raises(FileExistsError):
            file.publish(f"{tmp_path}/a", ways)
    else:
        file.publish(f"{tmp_path}/a", ways)
    file.discard()
    assert set(visible(tmp_path)) == names
    assert (tmp_path / "a").read_bytes() == b"old"
    assert hidden(tmp_path) == []


def test_a_failing_rename_gives_the_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, "replace", failing(errno.ENOSPC))
    file = written(tmp_path)
    with pytest.raises(OSError, match="No space"):
        file.publish(f"{tmp_path}/a", Duplicates.RENAME)
    assert visible(tmp_path) == {}
    file.discard()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ways", [Duplicates.KEEP, Duplicates.RENAME, Duplicates.REFUSE])
@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSPC, errno.EACCES])
def test_other_failures_of_a_link_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Duplicates, number: int
) -> None:
    monkeypatch.setattr(os, "link", failing(number))
    file = written(tmp_path)
    with pytest.raises(OSError) as caught:
        file.publish(f"{tmp_path}/a", ways)
    assert caught.value.errno == number
    file.discard()
    assert os.listdir(tmp_path) == []


def test_a_hidden_name_that_stays_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "unlink", failing(errno.EBUSY))
    assert written(tmp_path).publish(f"{tmp_path}/a", Duplicates.KEEP) == f"{tmp_path}/a"
    assert visible(tmp_path) == {"a": b"head new"}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("ways", list(Duplicates))
def test_many_threads_publish_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Duplicates, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    count = 8
    barrier = threading.Barrier(count)
    outcomes: list[str | None] = []

    def publish(number: int) -> None:
        file = written(tmp_path, b"%d" % number)
        barrier.wait(timeout=30)
        try:
            outcomes.append(file.publish(f"{tmp_path}/a", ways))
        except FileExistsError:
            outcomes.append("refused")
        file.discard()

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    found = visible(tmp_path)
    assert hidden(tmp_path) == []
    assert all(data.startswith(b"head ") for data in found.values())
    if ways is Duplicates.RENAME:
        assert len(found) == len(set(found.values())) == len(set(outcomes)) == count
        return
    assert set(found) == {"a"}
    if ways is not Duplicates.REPLACE:
        assert outcomes.count(f"{tmp_path}/a") == 1
        assert outcomes.count(None if ways is Duplicates.KEEP else "refused") == count - 1


# ---------------------------------------------------------------------- on the disk


def test_fsync_of_the_file_and_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    file = written(tmp_path)
    file.publish(f"{tmp_path}/a", Duplicates.REPLACE, fsync=True)
    assert synced == [file.name, str(tmp_path)]
    written(tmp_path).publish(f"{tmp_path}/a", Duplicates.REPLACE)
    assert len(synced) == 2


def test_a_folder_is_not_synced_where_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    file = written(tmp_path)
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(os, "name", "nt")
    file.publish(f"{tmp_path}/a", Duplicates.REPLACE, fsync=True)
    monkeypatch.undo()
    assert len(synced) == 1


def test_a_failing_fsync_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    file = written(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        file.publish(f"{tmp_path}/a", Duplicates.REPLACE, fsync=True)
    assert visible(tmp_path) == {}
    file.discard()
    assert os.listdir(tmp_path) == []


def test_finishing_twice(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.finish(fsync=False)
    file.finish(fsync=True)
    assert Path(file.name).read_bytes() == b"head new"
    file.discard()


# ---------------------------------------------------------------------- nothing stays behind


def test_discarding(tmp_path: Path) -> None:
    before = open_descriptors()
    file = written(tmp_path)
    file.discard()
    file.discard()
    assert os.listdir(tmp_path) == []
    assert open_descriptors() <= before


def test_a_file_that_is_dropped_removes_itself(tmp_path: Path) -> None:
    before = open_descriptors()
    file = written(tmp_path)
    del file
    assert os.listdir(tmp_path) == []
    assert open_descriptors() <= before


def test_a_disk_that_fails_on_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def failing_close(fd: int) -> None:
        close(fd)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    file = written(tmp_path)
    monkeypatch.setattr(os, "close", failing_close)
    with pytest.raises(OSError, match="quota"):
        file.discard()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_a_folder_takes_the_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = written(tmp_path)
    with pytest.raises(IsADirectoryError):
        file.publish(f"{tmp_path}/a", Duplicates.REPLACE)
    file.discard()
    assert os.listdir(tmp_path) == ["a"]


def test_leftovers_of_a_process_that_has_died(tmp_path: Path) -> None:
    mine = PartialFile(tmp_path, b"DICM")
    mine.write([b"mine"])
    theirs = tmp_path / ".dcmnet-0123456789abcdef-7.part"
    for name in (theirs.name, ".dcmnet-0123456789abcdef-7.dcm", ".dcmnet-0123456789abcde-7.part", "CT.1.2.3"):
        (tmp_path / name).touch()
    (tmp_path / ".dcmnet-0123456789abcdef-8.part").mkdir()
    assert current_run() in mine.name
    assert remove_leftovers(tmp_path, "0123456789abcdef") == 1
    assert not theirs.exists()
    assert len(list(tmp_path.iterdir())) == 5
    assert remove_leftovers(tmp_path / "gone", "0123456789abcdef") == 0
    mine.discard()
