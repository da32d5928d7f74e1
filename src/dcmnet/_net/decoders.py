"""Decoder processes: a code stream that takes too much memory or time, or breaks a decoder, costs one object.

A process is started when the first object needs one, and decodes one object after the other. It is not a fork
of this one, which has threads and sockets: it is a new Python, which has two pipes and nothing else of this
process. It ends when its input is closed, as happens when this process ends in whatever way.

Threads: any thread may call `decode`. `_lock` guards what the attributes of `Decoders` hold; one thread alone
uses a process that it has taken out of `_idle`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from dcmnet.dataset.isolation import (
    DecodedPixels,
    DecodingLimitExceeded,
    DecodingTask,
    UndecodablePixelData,
)
from dcmnet.limits import DECODING_RATE, DECODING_SECONDS, MAX_DECODERS, MAX_DECODING_LENGTH

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from dcmnet._net.decoder_process import main; main()"
_LONGEST_LINE = 4096
_PIPE_LENGTH = 1 << 20
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}").fullmatch  # PS3.5 6.2
_ENDING_SECONDS = 1.0
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_OUT_OF_TIME = tuple(-getattr(signal, name) for name in ("SIGXCPU", "SIGALRM") if hasattr(signal, name))


class Decoders:
    """The decoder processes of this process.

    Args:
        most: How many there are at most; as many as there are processors if those are fewer.
        longest: Decompressed bytes that they work on at most; one object may have more.
        seconds: Time for any object, with the start of a process.
    """

    def __init__(
        self, most: int = MAX_DECODERS, longest: int = MAX_DECODING_LENGTH, seconds: float = DECODING_SECONDS
    ) -> None:
        self._most = min(most, os.cpu_count() or 1)
        self._longest = longest
        self._seconds = seconds
        self._begin()

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._lock = threading.Condition()
        self._all: set[_Decoder] = set()
        self._idle: list[_Decoder] = []
        self._under_way: list[int] = []
        self._watchdog: threading.Thread | None = None

    def decode(self, task: DecodingTask) -> DecodedPixels:
        """Decompress Pixel Data in a process of its own.

        Raises:
            UndecodablePixelData: They cannot be decompressed, or the process did not survive it.
        """
        length = task.module.frame_length * task.module.frames
        seconds = self._seconds + length / DECODING_RATE
        with self._room(length):
            try:
                if (used := self._take()) is not None:
                    with contextlib.suppress(_Died):  # it may have ended before, for a reason of its own
                        return self._decoded(used, task, seconds)
                return self._decoded(self._started(), task, seconds)
            except (_Died, _Late, OSError) as error:
                raise DecodingLimitExceeded(f"cannot be decompressed: {error}") from error

    @contextlib.contextmanager
    def _room(self, length: int) -> Iterator[None]:
        """Wait until there is room for one object more."""
        with self._turn, self._lock:  # one thread at a time waits: small objects do not pass a large one
            self._lock.wait_for(lambda: self._has_room(length))
            self._under_way.append(length)
            if self._watchdog is None:
                self._watchdog = threading.Thread(target=self._watch, name="dcmnet-decoders", daemon=True)
                self._watchdog.start()
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(length)
                self._lock.notify_all()

    def _watch(self) -> None:
        """Kill processes that are late, as long as there are objects: a timer for each would cost more."""
        while True:
            time.sleep(min(self._seconds / 4, 1.0))
            with self._lock:
                if not self._under_way:
                    self._watchdog = None
                    return
                decoders = list(self._all)
            for decoder in decoders:
                decoder.check_deadline()

    def _has_room(self, length: int) -> bool:
        now = self._under_way
        return not now or (len(now) < self._most and sum(now) + length <= self._longest)

    def _take(self) -> _Decoder | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _started(self) -> _Decoder:
        decoder = _Decoder()
        with self._lock:
            if not self._all:
                _register(self)
            self._all.add(decoder)
        return decoder

    def _decoded(self, decoder: _Decoder, task: DecodingTask, seconds: float) -> DecodedPixels:
        is_usable = False
        try:
            pixels = decoder.decode(task, seconds)
            is_usable = True
            return pixels
        except _Refused as error:
            is_usable = True
            raise UndecodablePixelData(str(error)) from None
        finally:
            if not is_usable:
                decoder.end()
            with self._lock:
                if is_usable:
                    self._idle.append(decoder)
                else:
                    self._all.discard(decoder)

    def end(self) -> None:
        """End all processes; those that are decoding too."""
        with self._lock:
            ended, self._all, self._idle = self._all, set(), []
        for decoder in ended:
            decoder.end()

    def forget(self) -> None:
        """Leave the processes to the parent: this is a fork of it, which must not keep their pipes open."""
        for decoder in self._all:
            decoder.forget()
        self._begin()


_registered: list[Decoders] = []


def _register(decoders: Decoders) -> None:
    """Have the processes ended in good order when this one ends, and forgotten in its forks."""
    if decoders not in _registered:
        _registered.append(decoders)
        atexit.register(decoders.end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=decoders.forget)


class _Decoder:
    """One decoder process; it belongs to one thread at a time."""

    def __init__(self) -> None:
        import subprocess  # few programs decode

        # Standard error is thrown away: libraries may print what they find in an object.
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _PROGRAM, *(path or os.getcwd() for path in sys.path)],
            bufsize=0,  # a buffer would be flushed, or its lock be held, in a fork of this process
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,  # Ctrl-C is for this process
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        _widen(self._to, self._from)
        self._deadline: float | None = None
        self._is_late = False

    def decode(self, task: DecodingTask, seconds: float) -> DecodedPixels:
        """Have a task done.

        Raises:
            _Refused: The Pixel Data cannot be decompressed.
            _Late: That took too long, and the process has ended.
            _Died: The process has ended, or what it writes makes no sense.
        """
        self._deadline = time.monotonic() + seconds
        try:
            self._send(task, seconds)
            return self._receive(task)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise self._ending(seconds) from error
        finally:
            self._deadline = None

    def check_deadline(self) -> None:
        """Kill the process if it is late; any thread may call this."""
        deadline = self._deadline
        if deadline is not None and time.monotonic() > deadline:
            self._is_late = True
            self._process.kill()

    def _ending(self, seconds: float) -> _Died | _Late:
        from subprocess import TimeoutExpired

        with contextlib.suppress(TimeoutExpired):  # the pipes may be closed before there is an exit code
            self._process.wait(_ENDING_SECONDS)
        self.end()
        code = self._process.returncode
        if self._is_late or code in _OUT_OF_TIME:
            return _Late(f"its decoder took longer than {seconds:.0f} seconds")
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        return _Died(f"its decoder took too much memory, or crashed ({ending})")

    def _send(self, task: DecodingTask, seconds: float) -> None:
        words = {
            "transfer_syntax": task.transfer_syntax,
            "module": list(task.module),
            "length": len(task.data_set),
            "seconds": seconds,
        }
        for part in (json.dumps(words).encode() + b"\n", task.data_set):
            rest = memoryview(part)
            while rest:
                rest = rest[self._to.write(rest) :]

    def _receive(self, task: DecodingTask) -> DecodedPixels:
        module = task.module
        value, position = bytearray(), 0
        while "frame" in (words := self._line()):
            if not value:  # the code streams are what their data set says
                value = bytearray(module.frame_length * module.frames)
            frame = memoryview(value)[position : position + module.frame_length]
            if not frame:
                raise ValueError("more frames than there are")
            self._read(frame)
            position += len(frame)
        if "error" in words:
            raise _Refused("".join(each if each.isprintable() else "?" for each in str(words["error"])))
        colours, planar = words["photometric_interpretation"], words["planar_configuration"]
        if not value or position != len(value) or not _CODE_STRING(colours) or planar not in (None, 0, 1):
            raise ValueError("that is no answer")
        return DecodedPixels(value, colours, planar)

    def _read(self, rest: memoryview) -> None:
        while rest:
            count: int = self._from.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            rest = rest[count:]

    def _line(self) -> dict[str, Any]:
        line = self._from.readline(_LONGEST_LINE)
        words = json.loads(line)  # an empty line, at the end, is none either
        if not isinstance(words, dict):
            raise TypeError
        return words

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._close()

    def forget(self) -> None:
        """Close the pipes of a process that is the parent's."""
        self._process.returncode = 0  # it is not awaited here
        self._close()

    def _close(self) -> None:
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()


class _Died(Exception):
    """The process has ended, or what it writes makes no sense; the message says why."""


class _Late(Exception):
    """The process took too long; the message says how long."""


class _Refused(Exception):
    """What the process says of Pixel Data that it cannot decompress."""


def _widen(*pipes: IO[bytes]) -> None:
    """Make pipes longer, if the system can: a frame goes through in fewer steps."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_LENGTH)


_DECODERS = Decoders()


def decode(task: DecodingTask) -> DecodedPixels:
    """Decompress Pixel Data in a process of its own; for `dcmnet.dataset.isolation`.

    Raises:
        UndecodablePixelData: They cannot be decompressed, or the process did not survive it.
    """
    return _DECODERS.decode(task)
