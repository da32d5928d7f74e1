"""Decoder processes: real ones, that decode, crash, hang, take too much, and end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet._net import decoders as module
from dcmnet._net.decoders import Decoders
from dcmnet.dataset import encode, isolation
from dcmnet.dataset.isolation import DecodingLimitExceeded, UndecodablePixelData
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.registry.transfer_syntaxes import JPEG_2000_LOSSLESS, JPEG_BASELINE_8BIT, RLE_LOSSLESS
from dcmnet.storage.conversion import Conversion
from dcmnet.storage.planning import Decompress, Proposal
from dcmnet.storage.report import Report
from dcmnet.storage.scp import FileStore
from tests.unit.compressed import CODECS, codestream, image, native, replace_frames, says
from tests.unit.objects import EXPLICIT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")

DEADLINE = 60.0
LIMITED = """
import sys; sys.path[:] = sys.argv[1:]
import dcmnet._net.decoder_process as process
{}
process.main()
"""

DECODED = """
def decode(task, take):
    take(bytes(task.module.frame_length))
    """


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    found = Decoders()
    monkeypatch.setattr(isolation, "_chosen", [found.decode])
    monkeypatch.setattr(module, "_DECODERS", found)
    yield found
    found.end()


@pytest.fixture(scope="module")
def started() -> Iterator[Decoders]:
    found = Decoders()
    yield found
    found.end()


@pytest.fixture
def warm(started: Decoders, monkeypatch: pytest.MonkeyPatch) -> Decoders:
    """Those of the tests before, which have not broken them."""
    monkeypatch.setattr(isolation, "_chosen", [started.decode])
    return started


def pids(decoders: Decoders) -> list[int]:
    return [each._process.pid for each in decoders._all]


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "that has not happened"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that has not been awaited yet counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("codec", CODECS)
def test_the_same_as_in_this_process(
    warm: Decoders, monkeypatch: pytest.MonkeyPatch, codec: str, frames: int
) -> None:
    made = image(codec, frames=frames, samples=1 if frames == 3 else 3)
    apart = encode(made, EXPLICIT)
    assert len(warm._all) == 1
    monkeypatch.setattr(isolation, "_chosen", [])
    assert apart == encode(made, EXPLICIT)


def test_one_process_decodes_many_objects(decoders: Decoders) -> None:
    assert not pids(decoders)
    results = {encode(image(RLE_LOSSLESS), EXPLICIT) for _ in range(5)}
    first = pids(decoders)
    lying = replace_frames(image(JPEG_2000_LOSSLESS), [b"\xff\x4f\xff\x51"])
    with pytest.raises(InputFileError, match="no complete code stream header"):
        encode(lying, EXPLICIT)
    results.add(encode(image(RLE_LOSSLESS), EXPLICIT))
    assert results == {encode(native(), EXPLICIT)}
    assert pids(decoders) == first
    assert len(first) == 1


def test_as_many_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = Decoders(most=2)
    monkeypatch.setattr(isolation, "_chosen", [decoders.decode])
    results: list[bytes] = []
    made = [image(RLE_LOSSLESS) for _ in range(8)]
    threads = [threading.Thread(target=lambda one=one: results.append(encode(one, EXPLICIT))) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert results == [encode(native(), EXPLICIT)] * 8
    assert 1 <= len(pids(decoders)) <= 2
    decoders.end()


def test_objects_wait_for_one_that_is_long() -> None:
    decoders = Decoders(longest=100)
    assert decoders._has_room(1000)  # it would never have any else
    with decoders._room(60):
        assert decoders._has_room(40)
        assert not decoders._has_room(41)


def test_one_that_has_ended_in_between_is_replaced(decoders: Decoders) -> None:
    encode(image(RLE_LOSSLESS), EXPLICIT)
    first = pids(decoders)
    os.kill(first[0], signal.SIGKILL)
    assert encode(image(RLE_LOSSLESS), EXPLICIT) == encode(native(), EXPLICIT)
    assert pids(decoders) != first


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            r"too much memory, or crashed \(signal 9\)",
        ),
        ("raise SystemExit(3)", r"crashed \(exit code 3\)"),
        (LIMITED.format("process.decode = lambda *_: __import__('os').abort()"), r"crashed \(signal 6\)"),
        ("print('no JSON', flush=True); input()", r"crashed \("),
        ("print('[]', flush=True); input()", r"crashed \("),
        ("""print('{"frame": 99}', flush=True); input()""", r"crashed \("),
        ("""print('{"photometric_interpretation": "RGB"}', flush=True); input()""", r"crashed \("),
        (LIMITED.format("process.decode = lambda task, take: ('RGB', 0)"), r"crashed \("),
        (LIMITED.format(DECODED + "return 'rgb', 0\nprocess.decode = decode"), r"crashed \("),
        (LIMITED.format(DECODED + "return 'RGB', 7\nprocess.decode = decode"), r"crashed \("),
    ],
)
def test_one_that_crashes(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch, program: str, error: str
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", program)
    with pytest.raises(LimitExceeded, match=f"cannot be decompressed: its decoder took .*{error}"):
        encode(image(RLE_LOSSLESS), EXPLICIT)
    assert not pids(decoders)


def test_what_it_says_is_escaped(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROGRAM", r"""print('{"error": "a\\u001b[1m"}', flush=True); input()""")
    with pytest.raises(InputFileError, match=r"^data set: a\?\[1m$"):
        encode(image(RLE_LOSSLESS), EXPLICIT)


def test_more_frames_than_there_are(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    module_of = native()
    length = module_of.Rows * module_of.Columns
    program = f"""
import sys
for _ in range(2): sys.stdout.write('{{"frame": {length}}}\\n' + 'x' * {length})
sys.stdout.flush(); input()
"""
    monkeypatch.setattr(module, "_PROGRAM", program)
    with pytest.raises(LimitExceeded, match="crashed"):
        encode(image(RLE_LOSSLESS), EXPLICIT)


def test_one_that_cannot_be_started(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(LimitExceeded, match=r"cannot be decompressed: .*No such file"):
        encode(image(RLE_LOSSLESS), EXPLICIT)
    monkeypatch.undo()


@pytest.mark.parametrize("is_used", [False, True])
def test_one_that_hangs(monkeypatch: pytest.MonkeyPatch, is_used: bool) -> None:
    decoders = Decoders()
    monkeypatch.setattr(isolation, "_chosen", [decoders.decode])
    if is_used:
        encode(image(RLE_LOSSLESS), EXPLICIT)
        os.kill(pids(decoders)[0], signal.SIGSTOP)
    else:
        monkeypatch.setattr(module, "_PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(decoders, "_seconds", 0.5)
    with pytest.raises(LimitExceeded, match="its decoder took longer than"):
        encode(image(RLE_LOSSLESS), EXPLICIT)
    monkeypatch.undo()
    assert not pids(decoders)
    decoders.end()


@pytest.mark.parametrize("loop", ["while True: pass", "import time; time.sleep(600)"])
def test_one_that_hangs_ends_without_its_parent(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(module, "_PROGRAM", LIMITED.format(f"process.decode = lambda *_: exec({loop!r})"))
    monkeypatch.setattr(module._Decoder, "check_deadline", lambda _: None)
    decoders._seconds = 0.5
    with pytest.raises(LimitExceeded, match="its decoder took longer than"):
        encode(image(RLE_LOSSLESS), EXPLICIT)


def test_one_that_takes_too_much_memory(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    take = "process.decode = lambda *_: bytearray(1 << 28) and exit(7)"
    program = LIMITED.format(f"process.DECODING_MEMORY = 1 << 26; {take}")
    monkeypatch.setattr(module, "_PROGRAM", program)
    with pytest.raises(LimitExceeded, match=r"took too much memory, or crashed \(exit code 1\)"):
        encode(image(RLE_LOSSLESS), EXPLICIT)


def test_a_real_decoder_that_takes_too_much_memory(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = image(JPEG_2000_LOSSLESS)
    made.Rows = made.Columns = 20000
    size = (20000).to_bytes(4, "big")
    stream = says(codestream(made), b"\xff\x51", 6, size * 2)
    stream = says(bytearray(stream), b"\xff\x51", 22, size * 2)
    monkeypatch.setattr(module, "_PROGRAM", LIMITED.format("process.MAX_DECODER_MEMORY = 1 << 26"))
    with pytest.raises(InputFileError, match="cannot be decompressed"):
        encode(replace_frames(made, [stream]), EXPLICIT)
    assert encode(image(RLE_LOSSLESS), EXPLICIT) == encode(native(), EXPLICIT)


def test_it_has_nothing_of_its_parent(warm: Decoders) -> None:
    read, write = os.pipe()
    for each in (read, write):
        os.set_inheritable(each, True)
    encode(image(RLE_LOSSLESS), EXPLICIT)
    (pid,) = pids(warm)
    folder = Path(f"/proc/{pid}/fd")
    found = [os.readlink(folder / name) for name in os.listdir(folder)]
    os.close(read)
    os.close(write)
    assert len([each for each in found if each != "/dev/null"]) == 2
    assert all(each.startswith("pipe:") or each == "/dev/null" for each in found)
    assert os.getsid(pid) == pid  # Ctrl-C reaches this process's group alone
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max address space         unlimited" not in limits
    assert "Max core file size        0" in limits


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_for_its_parent(warm: Decoders, number: signal.Signals) -> None:
    encode(image(RLE_LOSSLESS), EXPLICIT)
    before = pids(warm)
    os.kill(before[0], number)
    encode(image(RLE_LOSSLESS), EXPLICIT)
    assert pids(warm) == before


PARENT = """
import os, signal, sys
import dcmnet.sync.storage
assert not {"dcmnet._net.decoders", "subprocess", "pydicom"} & set(sys.modules)
from dcmnet.storage.sources import describe, open_data_set
from dcmnet._net import decoders
assert decoders.decode and not decoders._DECODERS._all
open_data_set(describe(sys.argv[1]), "1.2.840.10008.1.2.1").close()
assert "pydicom" not in sys.modules
print(*[each._process.pid for each in decoders._DECODERS._all], flush=True)
"""


@pytest.mark.parametrize(
    "ending", ["", "os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt"]
)
def test_it_ends_with_its_parent(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "a.dcm"
    image(RLE_LOSSLESS).save_as(path, enforce_file_format=True)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PARENT + ending, str(path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert run.stdout.strip().isdigit(), run.stderr
    until(lambda: is_gone(int(run.stdout)))
    assert run.stderr == "" or ending.startswith("raise")


def test_a_fork_has_processes_of_its_own(warm: Decoders, tmp_path: Path) -> None:
    encode(image(RLE_LOSSLESS), EXPLICIT)
    (pid,) = pids(warm)
    child = os.fork()
    if child == 0:
        try:
            same = encode(image(RLE_LOSSLESS), EXPLICIT) == encode(native(), EXPLICIT)
            ours = pids(warm)
            warm.end()
            os._exit(0 if same and pid not in ours and len(ours) == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    encode(image(RLE_LOSSLESS), EXPLICIT)
    assert pids(warm) == [pid]


# ---------------------------------------------------------------------- in servers and transfers


def sent_to_converting_server(folder: Path, sources: list[Any]) -> tuple[Report, list[str]]:
    said: list[str] = []
    store = FileStore(
        directory=folder,
        conversion=Conversion(transfer_syntax=EXPLICIT),
        on_error=lambda text, _: said.append(text),
    )
    server = dcmnet.StorageSCP(folder)
    server.node.store = store
    with server.start(0):
        return dcmnet.send("127.0.0.1", server.port, sources), said


def test_a_server_refuses_one_object_and_goes_on(
    warm: Decoders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lying = image(JPEG_BASELINE_8BIT, uid="1.2.31")
    replace_frames(lying, [says(codestream(lying), b"\xff\xc0", 5, (65000).to_bytes(2, "big") * 2)])
    huge = image(JPEG_2000_LOSSLESS, uid="1.2.32")
    huge.Rows = huge.Columns = 65000
    sources = [image(RLE_LOSSLESS, uid="1.2.30"), lying, huge, image(RLE_LOSSLESS, uid="1.2.33")]
    report, said = sent_to_converting_server(tmp_path, sources)
    assert [result.status for result in report.results] == [0, 0xC000, 0xA700, 0]
    assert len(list(tmp_path.iterdir())) == 2
    assert "65000 x 65000 pixels in frame 1" in said[0]
    assert "has 4225000000 bytes of pixel data when decompressed" in said[1]


def test_a_server_survives_a_crash(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as context:
        context.setattr(module, "_PROGRAM", "import os; os.abort()")
        report, said = sent_to_converting_server(tmp_path, [image(RLE_LOSSLESS)])
    assert report.results[0].status == 0xA700
    assert "crashed (signal 6)" in said[0]
    assert not list(tmp_path.iterdir())
    assert sent_to_converting_server(tmp_path, [image(RLE_LOSSLESS)])[0].ok


def test_a_transfer_leaves_out_what_lies(warm: Decoders, tmp_path: Path) -> None:
    lying = image(JPEG_2000_LOSSLESS, uid="1.2.31")
    replace_frames(lying, [says(codestream(lying), b"\xff\x51", 6, (65000).to_bytes(4, "big"))])
    sources = [image(JPEG_2000_LOSSLESS, uid="1.2.30"), lying, image(JPEG_2000_LOSSLESS, uid="1.2.32")]
    with dcmnet.StorageSCP(tmp_path, contexts=dcmnet.storage_contexts(EXPLICIT)).start(0) as server:
        report = dcmnet.send(
            "127.0.0.1", server.port, sources, proposal=Proposal(decompress=Decompress.LOSSLESS)
        )
    assert [bool(result.error) for result in report.results] == [False, True, False]
    assert "65000 x 40 pixels in frame 1" in str(report.results[1].error)
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_of_both_kinds() -> None:
    assert issubclass(DecodingLimitExceeded, UndecodablePixelData)
