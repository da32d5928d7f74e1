"""Associations that do nothing: what they cost a server, and somebody who is not idle."""

from __future__ import annotations

import resource
import socket
import statistics
import time
from dataclasses import dataclass

from benchmarks import canned, programs
from benchmarks.programs import Invalid
from benchmarks.scratch import scratch

ECHOES = 500

SETTLING_SECONDS = 3.0
"""Associations give their buffers back when nothing has come for two seconds; they are idle from then on."""


@dataclass(slots=True)
class Idle:
    """Associations that were established, have answered one C-ECHO each, and are idle.

    Attributes:
        server: The program.
        count: So many of them.
        seconds: How long the processor time of idling is measured.
    """

    server: str
    count: int
    seconds: float
    label: str = ""

    def __post_init__(self) -> None:
        self.label = self.server

    def measure(self) -> dict[str, float]:
        _allow_descriptors(self.count + 100)
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 131072), port) as server:
                connections: list[socket.socket] = []
                try:
                    return self._measure(server, port, connections)
                except canned.Unexpected as error:
                    raise Invalid(str(error)) from error
                finally:
                    for connection in connections:
                        connection.close()

    def _measure(self, server: int, port: int, connections: list[socket.socket]) -> dict[str, float]:
        asking = canned.request(canned.VERIFICATION, canned.IMPLICIT_VR_LITTLE_ENDIAN)
        echo = canned.echo()

        def another() -> socket.socket:
            connections.append(canned.associate(port, asking))
            _echo(connections[-1], echo)
            return connections[-1]

        another()
        before = programs.kilobytes(server, "VmRSS")
        for _ in range(self.count - 1):
            another()
        time.sleep(SETTLING_SECONDS)
        after = programs.kilobytes(server, "VmRSS")
        busy = sum(programs.processor_seconds(server))
        time.sleep(self.seconds)
        busy = sum(programs.processor_seconds(server)) - busy
        one_more = another()
        taken = [_echo(one_more, echo) for _ in range(ECHOES)]
        return {
            "kB each": (after - before) / (self.count - 1),
            "MB": after / 1000,
            "MB before": before / 1000,
            "CPU %": 100 * busy / self.seconds,
            "echo p50 ms": 1000 * statistics.median(taken),
            "echo p95 ms": 1000 * statistics.quantiles(taken, n=20)[-1],
        }


def _echo(connection: socket.socket, echo: bytearray) -> float:
    """How long a C-ECHO takes, in seconds."""
    begun = time.perf_counter()
    connection.sendall(echo)
    answer = canned.read_pdu(connection)
    taken = time.perf_counter() - begun
    canned.check_response(answer, len(answer), 1)
    return taken


def _allow_descriptors(count: int) -> None:
    """For this process, and for the server, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise Invalid(f"at most {hard} open files are allowed here, {count} are needed")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
