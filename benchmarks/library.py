"""Small programs on dcmnet's Python interface, run as processes of their own.

    library.py storescp FACE PORT FOLDER PDU
    library.py storescu FACE PORT FOLDER PDU
    library.py echoscu FACE PORT COUNT

FACE is `sync` or `aio`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import dcmnet

MANY = 100_000


def storescp(face: str, port: str, folder: str, pdu: str) -> int:
    """Receive until killed."""
    options: dict[str, Any] = {
        "max_pdu_length": int(pdu),
        "timeouts": dcmnet.Timeouts(network=None),
        "max_associations": MANY,
        "max_associations_by_peer": MANY,
    }
    if face == "sync":
        dcmnet.StorageSCP(folder, **options).serve(int(port))
    else:
        asyncio.run(dcmnet.aio.StorageSCP(folder, **options).serve(int(port)))
    return 0


def storescu(face: str, port: str, folder: str, pdu: str) -> int:
    """Send a folder."""
    if face == "sync":
        report = dcmnet.send("127.0.0.1", int(port), folder, max_pdu_length=int(pdu))
    else:
        report = asyncio.run(dcmnet.aio.send("127.0.0.1", int(port), folder, max_pdu_length=int(pdu)))
    return 0 if report.ok else 1


def echoscu(face: str, port: str, count: str) -> int:
    """Send C-ECHO requests on one association."""
    if face == "aio":
        return asyncio.run(_aio_echoscu(int(port), int(count)))
    with dcmnet.connect("127.0.0.1", int(port)) as association:
        for _ in range(int(count)):
            association.echo()
    return 0


async def _aio_echoscu(port: int, count: int) -> int:
    async with dcmnet.aio.connect("127.0.0.1", port) as association:
        for _ in range(count):
            await association.echo()
    return 0


PROGRAMS: dict[str, Callable[..., int]] = {"storescp": storescp, "storescu": storescu, "echoscu": echoscu}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
