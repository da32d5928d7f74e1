"""The process that decodes: reads tasks from its standard input, and writes frames to its standard output.

A task is a line of JSON, and the encoded elements behind it. What comes back is one line of JSON for each
frame, and the frame behind it, then a line with the rest; or at any time a line with an error. It ends when
its input does, or when there is nothing any more that takes its output: when its parent has ended.

Its limits are for one task at a time. A code stream that breaks a decoder may as well have taken it over:
what this process writes is not believed either (`_net.decoders`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from math import ceil
from typing import Any, BinaryIO

from dcmnet.dataset.codestreams import PixelModule
from dcmnet.dataset.decoding import decode, load_decoders
from dcmnet.dataset.isolation import DecodingTask, UndecodablePixelData
from dcmnet.limits import DECODING_MEMORY, DECODING_MEMORY_RATIO, MAX_DECODER_MEMORY
from dcmnet.payload import Buffer

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Decode until the input ends."""
    for name in _STOPPING:  # they are for the parent, which ends in good order and this one with it
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _limit_resource("RLIMIT_CORE", 0)  # a core would have a patient's pixels in it
    source, sink = sys.stdin.buffer, _own_output()
    load_decoders()
    with contextlib.suppress(BrokenPipeError):
        while line := source.readline():
            _answer(json.loads(line), source, sink)


def _own_output() -> BinaryIO:
    """Standard output, for frames alone: what a library prints goes where errors go."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sink


def _answer(words: dict[str, Any], source: BinaryIO, sink: BinaryIO) -> None:
    module = PixelModule(*words["module"])
    task = DecodingTask(words["transfer_syntax"], module, source.read(words["length"]))
    _limit(task, words["seconds"])

    def take(frame: Buffer) -> None:
        _write(sink, {"frame": len(frame)})
        sink.write(frame)

    try:
        photometric_interpretation, planar_configuration = decode(task, take)
    except UndecodablePixelData as error:
        _write(sink, {"error": str(error)})
    else:
        _write(
            sink,
            {
                "photometric_interpretation": photometric_interpretation,
                "planar_configuration": planar_configuration,
            },
        )
    sink.flush()
    if hasattr(signal, "alarm"):
        signal.alarm(0)


def _write(sink: BinaryIO, words: dict[str, Any]) -> None:
    sink.write(json.dumps(words).encode() + b"\n")


def _limit(task: DecodingTask, seconds: float) -> None:
    """Limit the memory and the time of this process, as far as the system can, from now on."""
    if hasattr(signal, "alarm"):
        signal.alarm(ceil(seconds) + 1)  # it ends the process; the parent, if it is there, does so before
    _limit_resource("RLIMIT_CPU", ceil(time.process_time() + seconds))
    needed = DECODING_MEMORY + 3 * len(task.data_set) + DECODING_MEMORY_RATIO * task.module.frame_length
    allowed = min(needed, MAX_DECODER_MEMORY)
    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as statm:  # Linux alone has it
        pages = int(statm.read().split()[0])
        _limit_resource("RLIMIT_AS", pages * os.sysconf("SC_PAGE_SIZE") + allowed)


def _limit_resource(name: str, soft: int) -> None:
    """Set a limit of this process; the hard one stays, so that the next task can have another."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's deadline is left
        return
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
