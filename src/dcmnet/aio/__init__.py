"""The asyncio face: the names of the blocking one, awaited."""

from __future__ import annotations

from dcmnet.aio.association import Association, connect
from dcmnet.aio.query_retrieve import find, get, move
from dcmnet.aio.server import Server
from dcmnet.aio.storage import StorageSCP, StorageSCU, send

__all__ = ["Association", "Server", "StorageSCP", "StorageSCU", "connect", "find", "get", "move", "send"]
