"""Which connections a server serves, which it turns away, and which it does not even answer."""

from __future__ import annotations

import enum
from collections import Counter


class Verdict(enum.Enum):
    """What becomes of a connection."""

    SERVE = "serve"
    REJECT = "reject"
    """Its A-ASSOCIATE-RQ is waited for, and answered with A-ASSOCIATE-RJ."""
    CLOSE = "close"
    """Too many are being rejected already."""


class Admission:
    """Counts connections, in all and by address; the served ones apart from those that are being rejected.

    Whoever is rejected takes nobody's place: only served connections make a server full. As many again, in
    all and from one address, may be under way to their rejection.

    Args:
        most: Connections served at once.
        most_by_peer: Connections served at once from one address.
    """

    def __init__(self, most: int, most_by_peer: int) -> None:
        self._most = most
        self._most_by_peer = most_by_peer
        self._by_peer = {Verdict.SERVE: Counter[str](), Verdict.REJECT: Counter[str]()}

    def decide(self, peer: str) -> Verdict:
        """What to do with one more connection from `peer`; it counts until `done`, unless it is closed."""
        for verdict, by_peer in self._by_peer.items():
            if by_peer.total() < self._most and by_peer[peer] < self._most_by_peer:
                by_peer[peer] += 1
                return verdict
        return Verdict.CLOSE

    def done(self, peer: str, verdict: Verdict) -> None:
        """A connection from `peer` that was served or rejected has ended."""
        by_peer = self._by_peer[verdict]
        by_peer[peer] -= 1
        if by_peer[peer] <= 0:
            del by_peer[peer]
