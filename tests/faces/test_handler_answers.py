"""What handlers may return and raise, and when they may be registered, the same on both faces."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.acse import ProposedContext
from dcmnet.errors import StatusError
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.storage.node import Handlers
from tests.faces.adapters import Association, Face, running

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PRINTER = "1.2.840.10008.5.1.1.16"
STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}


class Statuses(enum.IntEnum):
    FULL = 0xA700


class Answer(enum.IntFlag):
    COERCED = 0xB000


WRONG = [
    True,
    False,
    "0000",
    "",
    3.7,
    0.0,
    b"\0\0",
    (),
    (0, "x"),
    [],
    {1},
    object(),
    -1,
    0x10000,
    0xFF00,
    0xFF01,
]
RIGHT = [
    (None, 0),
    (0, 0),
    (0xA700, 0xA700),
    (Statuses.FULL, 0xA700),
    (Answer.COERCED, 0xB000),
    (0xFFFF, 0xFFFF),
]
RAISED = [
    (StatusError(0xA700, "no room"), (0xA700, "no room")),
    (StatusError(0xC123), (0xC123, "")),
    (StatusError("for the log", status=0xA702, comment="for the peer"), (0xA702, "for the peer")),
]


def described(value: Any) -> str:
    return "object" if type(value) is object else repr(value)


def handler(answer: Any, later: bool) -> Any:
    """A handler, or a coroutine function, that returns or raises this."""

    def handle(*_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def handle_later(*given: Any) -> Any:
        await asyncio.sleep(0)
        return handle(*given)

    return handle_later if later else handle


@contextmanager
def associated(face: Face, server: Handlers, *uids: str, **options: Any) -> Iterator[Association]:
    with (
        running(face, server) as started,
        face.connect(started.port, contexts=uids, **options) as association,
    ):
        yield association


KINDS = [
    "store",
    "receiving",
    "echo",
    "find",
    "get",
    "move",
    "n_get",
    "n_set",
    "n_action",
    "n_create",
    "n_delete",
]


def answered(face: Face, kind: str, handle: Any, ct: Path) -> tuple[int, str]:
    """The status and the comment of the response to a request that this handler answers."""
    server = face.new_server()
    if kind == "store":
        server.on_store(handle)
    elif kind == "receiving":
        server.on_store(lambda request: None)
        server.on_receiving(handle)
    elif kind == "echo":
        server.on_echo(handle)
    elif kind in ("find", "get", "move"):
        getattr(server, f"on_{kind}")(handle)
        server.destinations = {"HERE": ("127.0.0.1", 1)}
    else:
        getattr(server, f"on_{kind}")(PRINTER)(handle)
    uids: Any = {
        "store": [CT_IMAGE_STORAGE],
        "receiving": [CT_IMAGE_STORAGE],
        "echo": [VERIFICATION],
        "find": dcmnet.query_contexts(),
        "get": dcmnet.get_contexts(sop_classes=CT_IMAGE_STORAGE),
        "move": dcmnet.query_contexts(move=True),
    }.get(kind, [PRINTER])
    with associated(face, server, *uids) as association:
        if kind in ("store", "receiving"):
            response: Any = association.store(ct)
        elif kind == "echo":
            response = association.echo()
        elif kind == "find":
            response = association.find(STUDY).wait().response
        elif kind == "get":
            response = association.get(STUDY, ct.parent).wait().response
        elif kind == "move":
            response = association.move(STUDY, "HERE").wait().response
        else:
            more = {"n_set": ({"PrinterName": "A"},), "n_action": (1,)}.get(kind, ())
            given = (PRINTER, *more) if kind == "n_create" else (PRINTER, "1.2.3", *more)
            response = getattr(association, kind)(*given).response
        assert association.is_established
    return response.status, response.error_comment


@pytest.mark.parametrize("later", [False, True], ids=["function", "coroutine function"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_handler_may_not_return(
    face: Face, kind: str, later: bool, ct: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in WRONG:
        numbers = bool, int, float
        if kind == "find" and not isinstance(answer, numbers):
            continue  # what they give is in the tests below
        if kind in ("get", "move") and not isinstance(answer, (*numbers, bytes)):
            continue
        if kind.startswith("n_") and isinstance(answer, bytes):
            continue
        caplog.clear()
        with caplog.at_level(logging.ERROR, "dcmnet"):
            outcome = answered(face, kind, handler(answer, later), ct)
        assert outcome == (0x0110, "the handler failed"), described(answer)
        assert "TypeError" in caplog.text, described(answer)


@pytest.mark.parametrize("later", [False, True], ids=["function", "coroutine function"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_handler_may_return_and_raise(
    face: Face, kind: str, later: bool, ct: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for answer, status in RIGHT:
        expected = 0 if kind == "receiving" and status == 0xB000 else status
        assert answered(face, kind, handler(answer, later), ct)[0] == expected, described(answer)
    for error, outcome in RAISED:
        assert answered(face, kind, handler(error, later), ct) == outcome
    assert "failed" not in caplog.text
    expected = 0xC001 if kind in ("find", "get", "move") else 0x0110
    unusable: list[Exception] = [ZeroDivisionError(), StatusError(0, "sent nothing"), StatusError(0xFF00)]
    for mistake in unusable:
        # The StatusError of a transfer that sent nothing has the status 0, and nothing is done.
        assert answered(face, kind, handler(mistake, later), ct) == (expected, "the handler failed")


@pytest.mark.parametrize("kind", ["find", "get", "move"])
@pytest.mark.parametrize("later", [False, True], ids=["generator", "asynchronous generator"])
def test_what_a_handler_may_not_yield(
    face: Face, kind: str, later: bool, ct: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: list[Any] = [True, None, 3.7, 0xA700, 0xFF00, (True, {}), (0.0, {"PatientName": ""}), (0xFF00, 5)]
    wrong += ["0000", (0xFF00, "x")] if kind == "find" else [(0xFF00, ct), {"PatientName": ""}]
    for item in wrong:

        def give(request: Any, item: Any = item) -> Iterator[Any]:
            yield item

        async def give_later(request: Any, item: Any = item) -> AsyncIterator[Any]:
            yield item

        caplog.clear()
        with caplog.at_level(logging.ERROR, "dcmnet"):
            outcome = answered(face, kind, give_later if later else give, ct)
        assert outcome == (0x0110, "the handler failed"), described(item)
        assert "TypeError" in caplog.text, described(item)


@pytest.mark.parametrize("kind", ["find", "get", "move"])
def test_what_cannot_be_iterated_over(
    face: Face, kind: str, ct: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: list[Any] = ["0000"] if kind == "find" else [{"PatientName": ""}]
    for answer in (object(), *wrong):
        assert answered(face, kind, handler(answer, False), ct) == (0x0110, "the handler failed")
        assert "TypeError" in caplog.text
    for answer in ((), [], iter(())):
        assert answered(face, kind, handler(answer, False), ct) == (0, "")


def test_two_matches_are_no_pair(face: Face) -> None:
    server = face.new_server()
    server.on_find(lambda request: ({"PatientName": "A"}, {"PatientName": "B"}))
    with running(face, server) as started:
        found = face.ask("find", started.port, STUDY)
    assert [str(each.identifier.PatientName) for each in found.matches] == ["A", "B"]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("where", [("127.0.0.1", 70000), ("127.0.0.1", True), "127.0.0.1:104", True, ("a",)])
def test_a_destination_that_is_no_address(
    face: Face, where: Any, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = face.new_server()
    server.on_move(lambda request: [])
    server.destinations = handler(where, later)
    with running(face, server) as started:
        moved = face.ask("move", started.port, STUDY, "HERE")
    assert (moved.status, moved.response.error_comment) == (0x0110, "the handler failed")
    assert "TypeError: destinations: " in caplog.text


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("answer", [False, True, 0, "", "no"])
def test_an_association_hook_that_returns_something(
    face: Face, answer: Any, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """False is meant as a refusal, and must not let the peer in."""
    server = face.new_server()
    server.on_association(handler(answer, later))
    with running(face, server) as started, pytest.raises(dcmnet.AssociationAborted):
        face.connect(started.port)
    assert "TypeError: on_association returned" in caplog.text


def test_a_refused_object_is_not_kept(face: Face, received: Path, ct: Path) -> None:
    server = face.new_storage_scp(received)
    told: list[int] = []
    server.on_stored(lambda request, status: told.append(status))

    @server.on_store
    def store(request: dcmnet.StoreRequest) -> None:
        raise dcmnet.StatusError(0xA700, "no room")

    with running(face, server) as started:
        (result,) = face.send(started.port, ct).results
    assert (result.status, result.comment, told) == (0xA700, "no room", [0xA700])
    assert list(received.iterdir()) == []


# ---------------------------------------------------------------------- while a server runs


def test_what_is_registered_later_takes_effect(face: Face, ct: Path, tmp_path: Path) -> None:
    server = face.new_server()
    seen: list[str] = []
    with running(face, server) as started:
        port = started.port
        with face.connect(port, contexts=[CT_IMAGE_STORAGE, VERIFICATION]) as early:
            assert [each.abstract_syntax for each in early.accepted_contexts] == [VERIFICATION]
            server.on_store(lambda request: seen.append("store"))
            server.on_echo(lambda *_: 0xA700)
            server.on_association(lambda request: seen.append(request.calling_ae_title))
            server.on_find(lambda request: [{"PatientName": "A"}])
            server.on_get(lambda request: [ct])
            server.on_move(lambda request: [ct])
            server.on_n_get(PRINTER)(lambda request: {"PrinterName": "LASER"})
            early.echo()
        assert face.send(port, ct, calling="ME").ok
        assert seen == ["ME", "store"]
        with face.connect(port, contexts=[VERIFICATION, PRINTER]) as association:
            assert association.echo().status == 0xA700
            assert association.n_get(PRINTER, "1.2.3").data_set.PrinterName == "LASER"
        assert len(face.ask("find", port, STUDY).matches) == 1
        assert face.ask("get", port, STUDY, tmp_path, sop_classes=CT_IMAGE_STORAGE).progress.completed == 1
        assert face.ask("move", port, STUDY, "ME").status == 0xA801
        server.destinations = {"ME": ("127.0.0.1", port)}
        assert face.ask("move", port, STUDY, "ME").progress.completed == 1
        server.destinations["YOU"] = ("127.0.0.1", port)
        assert face.ask("move", port, STUDY, "YOU").progress.completed == 1
        server.on_find(lambda request: 0xA700)
        assert face.ask("find", port, STUDY).status == 0xA700


def test_what_is_registered_later_with_workers_raises(face: Face, tmp_path: Path) -> None:
    server = face.new_server(workers=1)
    server.destinations = {"ME": ("127.0.0.1", 104)}

    @server.on_worker
    def begin(index: int) -> None:
        server.on_echo(lambda *_: 0xA700)  # each worker calls this

    with running(face, server) as started:
        for name in ("on_store", "on_echo", "on_association", "on_find", "on_get", "on_move", "on_worker"):
            with pytest.raises(RuntimeError, match=rf"^{name}: the workers .* set this before start"):
                getattr(server, name)(lambda *_: None)
        with pytest.raises(RuntimeError, match=r"^on_n_set: the workers"):
            server.on_n_set(PRINTER)(lambda request: None)
        with pytest.raises(RuntimeError, match=r"^destinations: the workers"):
            server.destinations = {}
        with pytest.raises(TypeError, match="does not support item assignment"):
            server.destinations["YOU"] = ("127.0.0.1", 104)
        with face.connect(started.port) as association:
            assert association.echo().status == 0xA700
    server.on_echo(lambda *_: 0)
    server.destinations = {}


# ---------------------------------------------------------------------- arguments of both faces


def test_contexts_that_are_uids(face: Face, ct: Path) -> None:
    server = face.new_server(contexts=CT_IMAGE_STORAGE)
    server.on_store(lambda request: None)
    with running(face, server) as started:
        for given in (
            CT_IMAGE_STORAGE,
            [CT_IMAGE_STORAGE],
            ProposedContext(abstract_syntax=CT_IMAGE_STORAGE),
        ):
            with face.connect(started.port, contexts=given) as association:
                assert association.store(ct).status == 0


def test_one_title_may_call(face: Face) -> None:
    with running(face, face.new_server(calling_ae_titles="SCANNER1")) as started:
        with face.connect(started.port, calling="SCANNER1") as association:
            association.echo()
        for other in ("S", "SCANNER2"):
            with pytest.raises(dcmnet.AssociationRejected):
                face.connect(started.port, calling=other)


@pytest.mark.parametrize("port", [-1, 65536, 65536 + 11112])
def test_ports_that_are_none(face: Face, port: int, ct: Path, received: Path) -> None:
    server = face.new_server()
    for act in (
        lambda: face.connect(port),
        lambda: face.send(port, ct),
        lambda: face.ask("find", port, STUDY),
        lambda: face.ask("get", port, STUDY, received),
        lambda: face.ask("move", port, STUDY, "ME"),
        lambda: face.ask("move", 104, STUDY, store=received, listen_port=port),
        lambda: face.start(server, port),
    ):
        with pytest.raises(ValueError, match=f"port: {port}, expected"):
            act()


@pytest.mark.parametrize("port", [True, 104.0, "104", None])
def test_ports_that_are_no_integers(face: Face, port: Any, ct: Path) -> None:
    server = face.new_server()
    for act in (lambda: face.connect(port), lambda: face.send(port, ct), lambda: face.start(server, port)):
        with pytest.raises(TypeError, match=r"^port: .*, expected int$"):
            act()


def test_a_server_that_could_keep_nothing(face: Face, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        face.new_storage_scp(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        face.new_storage_scp(Path(__file__))
    with pytest.raises(ValueError, match=r"^ae_title: 'A+' has 17 characters"):
        face.new_storage_scp(tmp_path, ae_title="A" * 17)
    with pytest.raises(ValueError, match=r"^called: 'A+' has 17 characters"):
        face.connect(104, called="A" * 17)
    with pytest.raises(ValueError, match=r"^destination: "):
        with running(face, face.new_server()) as started:
            face.ask("move", started.port, STUDY, "A" * 17)


def test_misspelt_options(face: Face, ct: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="has no argument 'windw': do you mean 'window'"):
        face.send(104, ct, windw=4)
    with pytest.raises(TypeError, match="has no argument 'max_asociations': do you mean 'max_associations'"):
        face.new_storage_scp(tmp_path, max_asociations=4)
    with pytest.raises(TypeError, match="colling"):
        face.connect(104, colling="ME")


@pytest.mark.parametrize("seconds", [-1, float("nan"), "5"])
def test_how_long_to_wait(face: Face, seconds: Any) -> None:
    with running(face, face.new_server()) as started:
        for act in (started.wait, started.shutdown):
            with pytest.raises((TypeError, ValueError), match=r"^(timeout|drain): "):
                act(seconds)
