"""Arguments of a wrong type, through both faces: an error names them, and the association lives on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.registry.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dcmnet.registry.sop_classes import VERIFICATION
from tests.faces.adapters import Association, Face, running

ASKED = {"QueryRetrieveLevel": "STUDY"}
MESSAGE = {"sop_class_uid": MPPS, "sop_instance_uid": "1.2"}
OPERATIONS: dict[str, dict[str, Any]] = {
    "store": {"source": "/nowhere"},
    "find": {"identifier": ASKED},
    "get": {"identifier": ASKED, "store": "."},
    "move": {"identifier": ASKED, "destination": "X"},
    "n_get": MESSAGE,
    "n_set": {**MESSAGE, "data_set": {}},
    "n_action": {**MESSAGE, "action_type_id": 1},
    "n_create": MESSAGE,
    "n_delete": MESSAGE,
    "n_event_report": {**MESSAGE, "event_type_id": 1},
    "next_event": {},
}
QUESTION = {
    "identifier": (None, 5, "PatientName", ["PatientName"]),
    "priority": (None, "high", 1.0, True, -1, 3),
    "cancel_after": ("1", 1.5, True, -1),
    "model": (None, 5),
}
UIDS = {"sop_class_uid": (None, 5, [MPPS]), "sop_instance_uid": (None, 5), "negotiated_as": (None, 5)}
DATA_SET = {"data_set": (5, "PatientName", ["PatientName"])}
TYPE_ID = ("1", 1.0, True, None, -1, 65536)
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "store": {"source": (None, 5, b"a.dcm", ["a.dcm"]), "priority": ("high", 3), "check": (None, 1, "no")},
    "find": QUESTION,
    "get": {**QUESTION, "store": (None, 5)},
    "move": {**QUESTION, "destination": (None, 5, "", "A" * 17)},
    "n_get": {**UIDS, "attributes": (None, 5.0, b"PatientName", (None,))},
    "n_set": {**UIDS, "data_set": (None, *DATA_SET["data_set"])},
    "n_action": {**UIDS, **DATA_SET, "action_type_id": TYPE_ID},
    "n_create": {**UIDS, **DATA_SET},
    "n_delete": UIDS,
    "n_event_report": {**UIDS, **DATA_SET, "event_type_id": TYPE_ID},
    "next_event": {"timeout": ("5", True, -1)},
}
PLAIN = {
    "host": (None, 5),
    "port": (None, "104", True, 104.0, -1, 65536),
    "family": (None, "inet", 2.0, True, -1),
    "called": (None, 5, "", "A" * 17),
    "timeouts": (5,),
}
CONNECTION = {
    **PLAIN,
    "strict_release": (None, 1, "yes"),
    "extended": (None, 5, "1.2", [None]),
    "contexts": (5, [None]),
    "policy": (5, "policy"),
    "limits": (5,),
    "tls": (True,),
    "user_identity": ("me",),
}
FUNCTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "connect": CONNECTION,
    "find": {**CONNECTION, **{name: QUESTION[name] for name in ("identifier", "cancel_after", "model")}},
    "get": {**CONNECTION, "identifier": (5,), "store": (5,), "sop_classes": (5,), "transfer_syntaxes": (5,)},
    "move": {
        **CONNECTION,
        **{"identifier": (5,), "destination": (None, 5, "A" * 17), "calling": (None, 5, "")},
        **{"listen_port": (None, "104", True, -1, 65536), "listen_host": (None, 5)},
    },
    "send": {**PLAIN, "sources": (None, 5, b"a.dcm")},
}


@pytest.fixture
def association(face: Face) -> Iterator[Association]:
    contexts = [VERIFICATION, *dcmnet.query_contexts(move=True), MPPS]
    server = face.new_server()
    server.on_find()(lambda request: ())
    server.on_move()(lambda request: ())
    server.on_n_get(MPPS)(lambda request: None)
    with running(face, server) as started, face.connect(started.port, contexts=contexts) as association:
        yield association


def api(face: Face) -> Any:
    return dcmnet if face.name == "blocking" else dcmnet.aio


def done(outcome: Any) -> Any:
    """What a call of a face comes to."""

    async def awaited() -> Any:
        return await outcome

    return asyncio.run(awaited()) if hasattr(outcome, "__await__") else outcome


def begin(association: Association, operation: str, arguments: dict[str, Any]) -> None:
    result = getattr(association, operation)(**arguments)
    if operation in ("find", "get", "move"):
        result.wait()


def test_operations(association: Association) -> None:
    for operation, arguments in OPERATIONS.items():
        for name, values in WRONG[operation].items():
            for value in values:
                with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
                    begin(association, operation, {**arguments, name: value})
    association.echo()


def test_functions(face: Face, tmp_path: Path) -> None:
    """The mistake is told before there is a connection: nothing listens there."""
    for function, wrong in FUNCTIONS.items():
        arguments: dict[str, Any] = {"host": "127.0.0.1", "port": 1}
        if function == "send":
            arguments["sources"] = ["/nowhere"]
        elif function != "connect":
            arguments["identifier"] = ASKED
        if function in ("get", "move"):
            arguments["store"] = tmp_path
        if function == "move":
            arguments["listen_port"] = 65535
        for name, values in wrong.items():
            for value in values:
                with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
                    done(getattr(api(face), function)(**{**arguments, name: value}))


def test_servers(face: Face) -> None:
    for name in ("host", "port", "family"):
        for value in PLAIN[name]:
            with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
                done(api(face).Server().start(**{"port": 0, name: value}))
    with pytest.raises(TypeError, match=r"^node: an int, expected Node or None$"):
        api(face).Server(node=5)
