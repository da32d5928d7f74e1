"""The table of oddities: peers that do one odd thing each, in both directions.

As the acceptor of what our SCUs ask for, and as the requestor towards our servers. Each row names what the
peer does; the test below the table says what the user must see, through both faces and through the tool.
"""

from __future__ import annotations

import json
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from dcmnet.errors import DcmnetError
from tests.conformance.odd_peers import (
    CANCELLED,
    CLOSE,
    COMMENT,
    CT,
    FIND,
    GET,
    LAST,
    MOVE,
    OFFENDING,
    OUT_OF_RESOURCES,
    PENDING,
    READ,
    RESET,
    SILENT,
    Conversation,
    OddPeer,
    Script,
    Step,
    accept,
    accepted_contexts,
    accepting,
    counts,
    delivering,
    implicit,
    match,
    response,
    sequence,
    small_ct,
    storing,
    sub_operation,
)
from tests.conformance.peers import (
    DCMNET,
    ENVIRONMENT,
    HOST,
    RUN_SECONDS,
    Face,
    eventually,
    free_port,
    listening,
)
from tests.faces.wire import (
    ABORT,
    C_STORE_RQ,
    EXPLICIT,
    IMPLICIT,
    MAX_LENGTH,
    RELEASE_RP,
    RELEASE_RQ,
    USER_ITEMS,
    VERIFICATION,
    RawPeer,
    associate_rq,
    command,
    context,
    echo_elements,
    element,
    item,
    p_data,
    store_command,
    uid_element,
    us_element,
)

ASKED = {"QueryRetrieveLevel": "STUDY", "PatientName": "", "StudyInstanceUID": "1.2"}
WORDS = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName", "-k", "StudyInstanceUID=1.2")
INSTANCES = ("1.2.3.1", "1.2.3.2")
PATIENT = dcmnet.Timeouts(connect=20, artim=20, acse=20, dimse=20, network=20, write=20)
IMPATIENT = dcmnet.Timeouts(connect=20, artim=3, acse=3, dimse=20, network=20, write=20)
"""For peers that do not answer a release."""


def ours(folder: Path, *words: str | Path) -> tuple[int, str, str]:
    """A tool of ours: exit code, standard output, standard error."""
    done = subprocess.run(
        [*DCMNET, *map(str, words)],
        env=ENVIRONMENT,
        cwd=folder,
        capture_output=True,
        timeout=RUN_SECONDS,
        check=False,
        encoding="utf-8",
    )
    return done.returncode, done.stdout, done.stderr


def asked(face: Face, kind: str, port: int, folder: Path, **options: Any) -> Any:
    """`find`, `get` or `move` of a face."""
    options = {"timeouts": PATIENT, **options}
    if kind == "get":
        options = {"sop_classes": [CT], **options}
    arguments = (folder,) if kind == "get" else ()
    return face.run(getattr(face.api, kind)(HOST, port, ASKED, *arguments, **options))


def strictly(line: str) -> Any:
    """JSON as RFC 8259 has it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=refuse)


# ---------------------------------------------------------------------- 10: after the final response

GRANTING = accepting(roles=(0, 1))
FINAL = counts(remaining=None, completed=2)
ANSWERS: dict[str, Script] = {
    "find": (READ, accept, READ, match(b"DOE^JANE"), match(b"DOE^JOHN"), response(0)),
    "get": (
        READ, GRANTING, READ, *sub_operation(INSTANCES[0]), *sub_operation(INSTANCES[1]), response(0, *FINAL),
    ),
    "move": (READ, accept, READ, response(PENDING, *counts(remaining=1, completed=1)), response(0, *FINAL)),
}  # fmt: skip

ENDINGS: dict[str, Script] = {
    "releases as it should": LAST,
    "closes at once": (CLOSE,),
    "resets at once": (RESET,),
    "aborts at once": (ABORT, CLOSE),
    "asks for the release itself": (RELEASE_RQ, READ, RELEASE_RP, CLOSE),
    "does not answer the release": (READ, SILENT),
    "closes instead of answering the release": (READ, CLOSE),
    "resets instead of answering the release": (READ, RESET),
    "aborts instead of answering the release": (READ, ABORT, CLOSE),
    "answers the release with rubbish": (READ, b"\x42" * 10, SILENT),
}


def check_answer(kind: str, result: Any, folder: Path) -> None:
    assert result.raise_for_status().status == 0
    if kind == "find":
        assert [str(each.identifier.PatientName) for each in result.matches] == ["DOE^JANE", "DOE^JOHN"]
    else:
        assert (result.progress.completed, result.progress.failed) == (2, 0)
    if kind == "get":
        assert {pydicom.dcmread(path).SOPInstanceUID for path in folder.iterdir()} == set(INSTANCES)


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_end_costs_no_result(face: Face, ending: str, kind: str, tmp_path: Path) -> None:
    with OddPeer((*ANSWERS[kind], *ENDINGS[ending])) as peer:
        result = asked(face, kind, peer.port, tmp_path, timeouts=IMPATIENT)
    check_answer(kind, result, tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_leaving_a_with_block_after_complete_operations(face: Face, ending: str) -> None:
    async def asynchronous(port: int) -> int:
        contexts = dcmnet.query_contexts()
        async with await dcmnet.aio.connect(HOST, port, contexts=contexts, timeouts=IMPATIENT) as association:
            return len([each async for each in association.find(ASKED)])

    with OddPeer((*ANSWERS["find"], *ENDINGS[ending])) as peer:
        if face.loop is not None:
            found = face.run(asynchronous(peer.port))
        else:
            contexts = dcmnet.query_contexts()
            with dcmnet.connect(HOST, peer.port, contexts=contexts, timeouts=IMPATIENT) as association:
                found = len(list(association.find(ASKED)))
    assert found == 2


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_end_costs_no_result_of_the_tool(ending: str, kind: str, tmp_path: Path) -> None:
    with OddPeer((*ANSWERS[kind], *ENDINGS[ending])) as peer:
        # The tool may say by its exit code that the association did not end well, but shows all that came.
        _, out, err = ours(tmp_path, f"{kind}scu", "--json", "-ta", "3", *WORDS, HOST, str(peer.port))
    rows = [strictly(line) for line in out.splitlines()]
    assert rows, err
    if kind == "find":
        assert rows[-1]["matches"] == 2
    else:
        assert rows[-1]["completed"] == 2, rows
    if kind == "get":
        assert {pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.iterdir()} == set(INSTANCES)


# ---------------------------------------------------------------------- 11: objects behind the final response


class Mover:
    """The peer of a C-MOVE that says it has sent two objects, and sends them in its own time."""

    def __init__(self, deliver: Callable[[Mover], None]) -> None:
        self.to = free_port()
        self.final_sent = threading.Event()
        self.errors: list[BaseException] = []
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.script: Script = (READ, accept, READ, self._begin, response(0, *FINAL), self._sent, *LAST)

    def _begin(self, conversation: Conversation) -> bytes:
        self._thread.start()
        return b""

    def _sent(self, conversation: Conversation) -> bytes:
        self.final_sent.set()
        return b""

    def _run(self) -> None:
        try:
            self._deliver(self)
        except BaseException as error:
            self.errors.append(error)

    def join(self) -> None:
        self._thread.join(RUN_SECONDS)
        assert self.errors == []

    def after_the_end(self) -> None:
        """Wait until the final response is out, and has been read, as far as can be said from here."""
        assert self.final_sent.wait(RUN_SECONDS)
        threading.Event().wait(0.5)


def _in_two_associations(mover: Mover) -> None:
    delivering(mover.to, INSTANCES[0])
    mover.after_the_end()
    delivering(mover.to, INSTANCES[1])


def _all_afterwards(mover: Mover) -> None:
    mover.after_the_end()
    delivering(mover.to, *INSTANCES)


def _one_is_still_under_way(mover: Mover) -> None:
    delivering(mover.to, *INSTANCES, before_last=mover.after_the_end)


def _one_never_comes(mover: Mover) -> None:
    delivering(mover.to, INSTANCES[0])


DELIVERIES = {
    "in two associations": _in_two_associations,
    "all afterwards": _all_afterwards,
    "while one is still under way": _one_is_still_under_way,
}


@pytest.mark.parametrize("how", DELIVERIES)
def test_objects_behind_the_final_response(face: Face, how: str, tmp_path: Path) -> None:
    mover = Mover(DELIVERIES[how])
    with OddPeer(mover.script) as peer:
        result = asked(face, "move", peer.port, tmp_path, store=tmp_path, listen_port=mover.to)
        mover.join()
    assert result.raise_for_status().progress.completed == 2
    assert {pydicom.dcmread(path).SOPInstanceUID for path in result.files} == set(INSTANCES)


@pytest.mark.parametrize("how", DELIVERIES)
def test_objects_behind_the_final_response_to_the_tool(how: str, tmp_path: Path) -> None:
    mover = Mover(DELIVERIES[how])
    with OddPeer(mover.script) as peer:
        words = ("movescu", *WORDS, "+P", str(mover.to), "--bind", HOST, HOST, str(peer.port))
        code, _, err = ours(tmp_path, *words)
        mover.join()
    assert code == 0, err
    assert len(list(tmp_path.iterdir())) == 2


def test_an_object_that_never_comes(face: Face, tmp_path: Path) -> None:
    mover = Mover(_one_never_comes)
    short = dcmnet.Timeouts(connect=3, artim=3, acse=3, dimse=3, network=3, write=3, arrival=3)
    with OddPeer(mover.script) as peer:
        result = asked(
            face, "move", peer.port, tmp_path, store=tmp_path, listen_port=mover.to, timeouts=short
        )
        mover.join()
    assert (result.progress.completed, len(result.files)) == (2, 1)
    with pytest.raises(DcmnetError):
        result.raise_for_status()


def test_an_object_that_never_comes_to_the_tool(tmp_path: Path) -> None:
    mover = Mover(_one_never_comes)
    with OddPeer(mover.script) as peer:
        words = (
            *WORDS,
            "-ta",
            "3",
            "-td",
            "3",
            "--arrival-timeout",
            "2",
            "+P",
            str(mover.to),
            "--bind",
            HOST,
        )
        code, _, err = ours(tmp_path, "movescu", *words, HOST, str(peer.port))
        assert (code, len(list(tmp_path.iterdir()))) == (68, 1), err
        mover.join()


# ---------------------------------------------------------------------- 12: roles of a C-GET

NOTHING = dcmnet.Limits(tolerance=dcmnet.Tolerance.NONE)


def getting(**oddity: Any) -> Script:
    return (READ, accepting(**oddity), READ, *sub_operation("1.2.3.1"), response(0, *ONE), *LAST)


ONE = counts(remaining=None, completed=1)


@pytest.mark.parametrize("roles", [None, (0, 1), (1, 1)])
def test_roles_that_let_a_c_get_work(face: Face, roles: tuple[int, int] | None, tmp_path: Path) -> None:
    with OddPeer(getting(roles=roles)) as peer:
        result = asked(face, "get", peer.port, tmp_path)
    assert (result.raise_for_status().progress.completed, len(result.files)) == (1, 1)


def test_no_roles_and_the_tool(tmp_path: Path) -> None:
    with OddPeer(getting()) as peer:
        code, _, err = ours(tmp_path, "getscu", *WORDS, HOST, str(peer.port))
    assert (code, len(list(tmp_path.iterdir()))) == (0, 1), err


@pytest.mark.parametrize(("roles", "limits"), [((0, 0), dcmnet.Limits()), (None, NOTHING)])
def test_roles_that_refuse(
    face: Face, roles: tuple[int, int] | None, limits: dcmnet.Limits, tmp_path: Path
) -> None:
    peer = OddPeer(getting(roles=roles))
    with peer:
        try:
            asked(face, "get", peer.port, tmp_path, limits=limits)
        except DcmnetError:
            pass
        assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- 13: values that none can read

NAN = struct.pack("<d", float("nan"))
LONG_TEXT = b"text, where items of a sequence belong"
VALUES = {
    "IS inf": implicit(0x0020, 0x0013, b"inf "),
    "IS 1e999": implicit(0x0020, 0x0013, b"1e999 "),
    "IS abc": implicit(0x0020, 0x0013, b"abc "),
    "DS inf": implicit(0x0018, 0x0050, b"inf "),
    "DS 1e999": implicit(0x0018, 0x0050, b"1e999 "),
    "US of three bytes": implicit(0x0028, 0x0010, b"\1\2\3"),
    "UL of three bytes": implicit(0x0018, 0x6016, b"\1\2\3"),
    "FL of five bytes": implicit(0x0018, 0x9074, b"\1\2\3\4\5"),
    "FD of seven bytes": implicit(0x0018, 0x9073, b"\1\2\3\4\5\6\7"),
    "AT of three bytes": implicit(0x0028, 0x0009, b"\1\2\3"),
    "FD NaN": implicit(0x0018, 0x9073, NAN),
    "FD infinite": implicit(0x0018, 0x9073, struct.pack("<d", float("-inf"))),
    "FL NaN": implicit(0x0018, 0x9074, struct.pack("<f", float("nan"))),
    "US of three bytes in a sequence": sequence(0x0040, 0x0100, implicit(0x0028, 0x0010, b"\1\2\3")),
    "IS inf in a sequence": sequence(0x0040, 0x0100, implicit(0x0020, 0x0013, b"inf ")),
    "FD NaN in a sequence": sequence(0x0040, 0x0100, implicit(0x0018, 0x9073, NAN)),
    "a sequence that holds text": implicit(0x0040, 0x0275, LONG_TEXT),
    "a date that is none": implicit(0x0008, 0x0020, b"TOMORROW"),
}  # fmt: skip


def bad_match(value: bytes, name: bytes = b"DOE^BAD") -> Callable[[Conversation], bytes]:
    """A match with a bad value; its elements are in ascending order."""
    return match(name, before=value) if value[:2] < b"\x10" else match(name, value)


def finding(value: bytes) -> Script:
    """A match that has a bad value, between two good ones."""
    matches = (match(b"DOE^JANE"), bad_match(value), match(b"DOE^JOHN"))
    return (READ, accept, READ, *matches, response(0), *LAST)


@pytest.mark.parametrize("value", VALUES)
def test_a_bad_value_in_a_match(value: str, tmp_path: Path) -> None:
    with OddPeer(finding(VALUES[value])) as peer:
        code, out, err = ours(tmp_path, "findscu", *WORDS, HOST, str(peer.port))
    assert code in (0, 69), err
    assert "Traceback" not in err
    for name in ("DOE^JANE", "DOE^BAD", "DOE^JOHN"):
        assert name in out + err, (name, out, err)


@pytest.mark.parametrize("output", [("-v",), ("--json",), ("--csv", "PatientName")])
def test_every_bad_value_in_other_output(output: tuple[str, ...], tmp_path: Path) -> None:
    names = {value: f"DOE^NUMBER{number}^" for number, value in enumerate(VALUES)}
    matches = [bad_match(VALUES[value], name.encode()) for value, name in names.items()]
    with OddPeer((READ, accept, READ, *matches, response(0), *LAST)) as peer:
        code, out, err = ours(tmp_path, "findscu", *WORDS, *output, HOST, str(peer.port))
    assert code in (0, 69), err
    assert "Traceback" not in err
    assert [value for value, name in names.items() if name not in out + err] == []
    if "--json" in output:
        rows = [strictly(line) for line in out.splitlines()]
        assert rows[-1]["matches"] == len(VALUES)


def test_bad_values_on_both_faces(face: Face, tmp_path: Path) -> None:
    for value in VALUES.values():
        with OddPeer(finding(value)) as peer:
            result = asked(face, "find", peer.port, tmp_path)
        names = [str(each.identifier.PatientName) for each in (result.matches[0], result.matches[2])]
        assert names == ["DOE^JANE", "DOE^JOHN"]
        assert b"DOE^BAD" in result.matches[1].data


FAILED_LIST = implicit(0x0008, 0x0058, b"1.2.3.2\0")
LISTS = {
    "truncated": FAILED_LIST[:-3],
    "truncated in its header": FAILED_LIST[:6],
    "a group 0000 element": implicit(0x0000, 0x0002, b"1.2.840.10008.5.1.4.1.2.2.3\0") + FAILED_LIST,
    "nothing but group 0000": implicit(0x0000, 0x0902, b"ouch"),
}
SOME_FAILED = counts(remaining=None, completed=1, failed=1)
RETRIEVALS: dict[str, Script] = {
    "get": (READ, GRANTING, READ, *sub_operation("1.2.3.1")),
    "move": (READ, accept, READ),
}


@pytest.mark.parametrize("kind", RETRIEVALS)
@pytest.mark.parametrize("what", LISTS)
def test_a_list_of_failures_that_cannot_be_read(face: Face, what: str, kind: str, tmp_path: Path) -> None:
    script = (*RETRIEVALS[kind], response(0xB000, *SOME_FAILED, data=LISTS[what]), *LAST)
    with OddPeer(script) as peer:
        result = asked(face, kind, peer.port, tmp_path)
    assert (result.status, result.progress.completed, result.progress.failed) == (0xB000, 1, 1)
    with OddPeer(script) as peer:
        folder = tmp_path / "tool"
        folder.mkdir()
        code, out, err = ours(folder, f"{kind}scu", "--json", *WORDS, HOST, str(peer.port))
    assert code == 68, err
    last = strictly(out.splitlines()[-1])
    assert (last["completed"], last["failed"]) == (1, 1)


# ---------------------------------------------------------------------- 14: what the peer says of a failure

SAID = "SHELF 7 IS ON FIRE"
COMMENTED = (
    element(OFFENDING, struct.pack("<HH", 0x0010, 0x0020)),
    element(COMMENT, SAID.encode()),
)
FAILURES = {
    "findscu": (WORDS, 69),
    "getscu": (WORDS, 69),
    "movescu": (WORDS, 69),
    "echoscu": ((), 71),
    "storescu": ((), None),
    "dcmsend": ((), 70),
}


@pytest.mark.parametrize("output", [(), ("-v",), ("--json",)])
@pytest.mark.parametrize("tool", FAILURES)
def test_error_comment_and_offending_element(tool: str, output: tuple[str, ...], tmp_path: Path) -> None:
    words, expected = FAILURES[tool]
    files = [str(write_ct(tmp_path, "1.2.3.1"))] if tool in ("storescu", "dcmsend") else []
    with OddPeer((READ, accept, READ, response(OUT_OF_RESOURCES, *COMMENTED), *LAST)) as peer:
        code, out, err = ours(tmp_path, tool, *output, *words, HOST, str(peer.port), *files)
    assert code == expected or (expected is None and code != 0)
    assert SAID in out + err
    assert "0010,0020" in out + err or "00100020" in out + err


def write_ct(folder: Path, instance: str) -> Path:
    """A file with a small object."""
    from tests.unit.objects import file_meta

    path = folder / f"{instance}.dcm"
    path.write_bytes(file_meta(instance, CT, IMPLICIT) + small_ct(instance))
    return path


# ---------------------------------------------------------------------- 15: more than a US counts


def test_responses_without_counts(face: Face, tmp_path: Path) -> None:
    """What a peer does that has more sub-operations than fit (PS3.4 C.4.2.2, C.4.3.2)."""
    for kind in ("get", "move"):
        script = (*RETRIEVALS[kind], response(PENDING), response(PENDING), response(0), *LAST)
        with OddPeer(script) as peer:
            result = asked(face, kind, peer.port, tmp_path)
        assert (result.raise_for_status().progress.completed, result.progress.failed) == (None, None)


def test_more_sub_operations_than_fit(face: Face, tmp_path: Path) -> None:
    """A peer takes three of 65,600 objects, and cancels."""
    path = write_ct(tmp_path, "1.2.3.1")
    server = face.api.Server(timeouts=PATIENT)
    server.on_get(dcmnet.STUDY_ROOT)(lambda request: [path] * 65_600)
    request = associate_rq(
        context(1, GET) + context(3, CT),
        USER_ITEMS + item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\0\1"),
    )
    with face.serving(server), RawPeer.associated(server.port, request) as peer:
        conversation = Conversation(peer)
        peer.sock.settimeout(RUN_SECONDS)  # each of them is inspected before the first is sent
        peer.send(p_data(1, 3, retrieve_command(GET, 0x0010)) + p_data(1, 2, IDENTIFIER))
        stored = 0
        while True:
            conversation.read()
            if conversation.us(0x0100) == C_STORE_RQ:
                stored += 1
                sent = command(
                    uid_element(0x0002, CT), us_element(0x0100, 0x8001),
                    us_element(0x0120, conversation.us(0x0110)), us_element(0x0800, 0x0101),
                    us_element(0x0900, 0), uid_element(0x1000, "1.2.3.1"),
                )  # fmt: skip
                peer.send(p_data(3, 3, sent))
                if stored == 3:
                    cancel = (us_element(0x0100, 0x0FFF), us_element(0x0120, 1), us_element(0x0800, 0x0101))
                    peer.send(p_data(1, 3, command(*cancel)))
                continue
            assert conversation.us(0x0100) == 0x8010, "aborted"
            if conversation.us(0x0900) != PENDING:
                break
            assert conversation.us(0x1020) == -1  # more remain than a US holds
        assert (conversation.us(0x0900), stored >= 3) == (CANCELLED, True)


IDENTIFIER = implicit(0x0008, 0x0052, b"STUDY ") + implicit(0x0020, 0x000D, b"1.2\0")


def retrieve_command(sop_class: str, field: int, *more: bytes) -> bytes:
    """A C-FIND-RQ, C-GET-RQ or C-MOVE-RQ; its message id is 1."""
    return command(
        uid_element(0x0002, sop_class),
        us_element(0x0100, field),
        us_element(0x0110, 1),
        *more,
        us_element(0x0700, 0),
        us_element(0x0800, 1),
    )


# ---------------------------------------------------------------------- 8: one bad object


@pytest.mark.parametrize(
    "end", [ABORT, CLOSE, RESET, SILENT], ids=["aborts", "closes", "resets", "is silent"]
)
def test_one_object_that_the_peer_does_not_stand(face: Face, end: Step | bytes, tmp_path: Path) -> None:
    files, peer = [write_ct(tmp_path, f"1.2.3.{number}") for number in range(20)], Intolerant(end)
    with peer.listening as listening_peer:
        timeouts = dcmnet.Timeouts(connect=20, artim=1, acse=20, dimse=2, network=20, write=20)
        report = face.send(listening_peer.port, files, timeouts=timeouts)
    assert peer.stored == {f"1.2.3.{number}" for number in range(20)} - {peer.bad}
    assert [result.sop_instance_uid for result in report.results if not result.ok] == [peer.bad]
    assert len(report.results) == 20


@pytest.mark.parametrize(
    ("tool", "code"), [(("storescu",), 10), (("storescu", "-nh"), 10), (("dcmsend",), 62)]
)
def test_one_object_that_the_peer_does_not_stand_and_the_tools(
    tool: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    files, peer = [write_ct(tmp_path, f"1.2.3.{number}") for number in range(20)], Intolerant(ABORT)
    with peer.listening as listening_peer:
        found, _, err = ours(tmp_path, *tool, HOST, str(listening_peer.port), *files)
    if tool != ("storescu",):  # without -nh it may stop there, as DCMTK's does
        assert peer.stored == {f"1.2.3.{number}" for number in range(20)} - {peer.bad}
    assert found in (code, 65), err


@pytest.mark.parametrize("end", [ABORT, CLOSE, RESET], ids=["aborts", "closes", "resets"])
def test_one_sub_operation_that_the_destination_does_not_stand(
    face: Face, end: Step | bytes, tmp_path: Path
) -> None:
    files, peer = [write_ct(tmp_path, f"1.2.3.{number}") for number in range(20)], Intolerant(end)
    with peer.listening as listening_peer:
        server = face.api.Server("ARCHIVE", timeouts=PATIENT)
        server.on_move(dcmnet.STUDY_ROOT)(lambda request: files)
        server.destinations = {"THIRD": (HOST, listening_peer.port)}
        with face.serving(server):
            result = asked(face, "move", server.port, tmp_path, destination="THIRD")
    assert (result.status, result.progress.completed, result.progress.failed) == (0xB000, 19, 1)
    assert list(result.progress.failed_sop_instance_uids) == [peer.bad]
    assert peer.stored == {f"1.2.3.{number}" for number in range(20)} - {peer.bad}


class Intolerant:
    """A Storage SCP that ends the association when one particular object comes."""

    bad = "1.2.3.6"

    def __init__(self, end: Step | bytes) -> None:
        self.stored: set[str] = set()
        self._end = end
        self.listening = OddPeer((READ, accept, storing(self._take)))

    def _take(self, conversation: Conversation, uid: str) -> Step | None:
        if uid != self.bad:
            self.stored.add(uid)
            return None
        if isinstance(self._end, Step):
            return self._end
        conversation.peer.send(self._end)
        return CLOSE


# ---------------------------------------------------------------------- 16: elements that are not needed

STORE_ANSWERS: dict[str, Callable[[Conversation], bytes]] = {
    "an Affected SOP Instance UID that is none": response(0, tail=element(0x1000, b"not a UID ")),
    "an Affected SOP Instance UID in Latin-1": response(0, tail=element(0x1000, b"1.2.\xe4 ")),
    "an Affected SOP Instance UID of 70 characters": response(0, tail=element(0x1000, b"1." * 35)),
    "an empty Affected SOP Instance UID": response(0, tail=element(0x1000, b"")),
    "no Affected SOP Instance UID": response(0),
    "a comment of 100 characters": response(0, element(COMMENT, b"x" * 100)),
    "a comment in Latin-1": response(0, element(COMMENT, b"sch\xf6n ")),
    "a comment with a backslash": response(0, element(COMMENT, b"a\\b ")),
    "a comment of odd length": response(0, element(COMMENT, b"odd")),
    "an Offending Element of three bytes": response(0, element(OFFENDING, b"\0\1\2")),
    "an Error ID of one byte": response(0, element(0x0903, b"\1")),
    "a status of four bytes": response(0, status_element=element(0x0900, bytes(4))),
    "a private element": response(0, tail=struct.pack("<HHI", 9, 0x10, 4) + b"MINE"),
}


@pytest.mark.parametrize("answer", STORE_ANSWERS)
def test_odd_answers_to_a_c_store(face: Face, answer: str, tmp_path: Path) -> None:
    files = [write_ct(tmp_path, instance) for instance in INSTANCES]
    odd = STORE_ANSWERS[answer]
    with OddPeer((READ, accept, READ, odd, READ, odd, *LAST)) as peer:
        report = face.send(peer.port, files, timeouts=PATIENT, window=1)
    assert [result.status for result in report.results] == [0, 0]
    assert [result.sop_instance_uid for result in report.results] == list(INSTANCES)


CT_RQ = associate_rq(context(1, VERIFICATION) + context(3, CT, (IMPLICIT,)))
ORIGINATORS = {
    "in Latin-1": b"M\xfcnchen ",
    "of 18 bytes": b"A" * 18,
    "with a backslash": b"A\\B ",
    "padded with NULs": b"MOVER\0\0\0",
    "of blanks": b"    ",
    "with a tab": b"A\tB ",
}


@pytest.fixture(scope="module")
def storage(face: Face, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port and folder of a Storage SCP of ours."""
    folder = tmp_path_factory.mktemp("storage")
    with face.storage_scp(folder, timeouts=PATIENT) as server:
        yield server.port, folder


def stored_status(port: int, command_set: bytes, request: bytes = CT_RQ) -> int:
    """The status of a C-STORE; the association goes on behind it, and is released."""
    with RawPeer.associated(port, request) as peer:
        peer.send(p_data(3, 3, command_set) + p_data(3, 2, small_ct("1.2.3.1")))
        status = peer.read_status()
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    return status


@pytest.mark.parametrize("value", ORIGINATORS)
def test_odd_move_originators(storage: tuple[int, Path], value: str) -> None:
    own = element(0x1030, ORIGINATORS[value]) + us_element(0x1031, 7)
    assert stored_status(storage[0], changed(store_command("1.2.3.1"), own)) == 0


STORE_TAILS = {
    "a Move Originator Message ID of four bytes": element(0x1031, struct.pack("<I", 7)),
    "a private element": struct.pack("<HHI", 9, 0x10, 4) + b"MINE",
    "private elements": b"".join(struct.pack("<HHI", 9, each, 4) + b"MINE" for each in (0x10, 0x1001)),
}


@pytest.mark.parametrize("tail", STORE_TAILS)
def test_odd_elements_of_a_c_store(storage: tuple[int, Path], tail: str) -> None:
    assert stored_status(storage[0], changed(store_command("1.2.3.1"), STORE_TAILS[tail])) == 0


def changed(command_set: bytes, tail: bytes) -> bytes:
    """A Command Set with more elements behind it."""
    body = command_set[12:] + tail
    return element(0, struct.pack("<I", len(body))) + body


def test_a_us_of_four_bytes(storage: tuple[int, Path]) -> None:
    wide = command(
        uid_element(0x0002, VERIFICATION),
        element(0x0100, struct.pack("<I", 0x0030)),
        element(0x0110, struct.pack("<I", 1)),
        element(0x0800, struct.pack("<I", 0x0101)),
    )
    with RawPeer.associated(storage[0]) as peer:
        peer.send(p_data(1, 3, wide))
        assert peer.read_status() == 0


QUERY_RQ = associate_rq(context(1, FIND) + context(3, MOVE) + context(5, VERIFICATION))
RUBBISH = {
    "Latin-1": b"\xff\xfe\xfd\xfc",
    "70 characters": b"x" * 70,
    "a title that is none": b"A\\B\tC ",
    "NULs": bytes(16),
}


@pytest.fixture(scope="module")
def archive(face: Face) -> Iterator[int]:
    """Port of a query/retrieve SCP of ours."""
    server = face.api.Server("ARCHIVE", timeouts=PATIENT)
    server.on_find(dcmnet.STUDY_ROOT)(lambda request: [{"PatientName": "DOE^JANE"}])
    server.on_move(dcmnet.STUDY_ROOT)(lambda request: [])
    with face.serving(server):
        yield server.port


@pytest.mark.parametrize("value", RUBBISH)
def test_rubbish_in_the_move_destination_of_a_c_find(archive: int, value: str) -> None:
    request = retrieve_command(FIND, 0x0020, element(0x0600, RUBBISH[value]))
    with RawPeer.associated(archive, QUERY_RQ) as peer:
        conversation = Conversation(peer)
        peer.send(p_data(1, 3, request) + p_data(1, 2, IDENTIFIER))
        statuses: list[int] = []
        while statuses[-1:] != [0]:
            conversation.read()
            assert conversation.command_set, f"{conversation.pdu!r} instead of a response"
            statuses.append(conversation.us(0x0900))
        assert statuses == [PENDING, 0]
        check_alive(peer)


def check_alive(peer: RawPeer) -> None:
    """A C-ECHO on context 5 is answered."""
    peer.send(p_data(5, 3, command(*echo_elements())))
    assert peer.read_status() == 0


@pytest.mark.parametrize("value", [*RUBBISH.values(), b"", b"A" * 18, b"  "])
def test_illegal_move_destinations(archive: int, value: bytes) -> None:
    request = retrieve_command(MOVE, 0x0021, element(0x0600, value))
    with RawPeer.associated(archive, QUERY_RQ) as peer:
        peer.send(p_data(3, 3, request) + p_data(3, 2, IDENTIFIER))
        assert peer.read_status() == 0xA801  # PS3.4 Table C.4-2: Move Destination unknown
        check_alive(peer)


# ---------------------------------------------------------------------- 17: association requests

BAD_CONTEXTS = {
    "a U+200B in the abstract syntax": context(1, "1.2.840.10008.5.1.4.1.1.2\xe2\x80\x8b"),
    "letters in the abstract syntax": context(1, "1.2.CT"),
    "an empty abstract syntax": context(1, ""),
    "an abstract syntax of 70 characters": context(1, "1." * 34 + "11"),
    "letters in the transfer syntax": context(1, CT, ("1.2.abc",)),
    "an empty transfer syntax": context(1, CT, ("",)),
    "a transfer syntax of 70 characters": context(1, CT, ("1." * 34 + "11",)),
    "a U+200B in the transfer syntax": context(1, CT, (IMPLICIT + "\xe2\x80\x8b",)),
}


@pytest.mark.parametrize("number", [1, 120])
@pytest.mark.parametrize("bad", BAD_CONTEXTS)
def test_a_bad_uid_in_one_context(storage: tuple[int, Path], bad: str, number: int) -> None:
    good = b"".join(context(2 * each + 5, CT, (IMPLICIT,)) for each in range(number))
    with RawPeer.connected(storage[0], associate_rq(BAD_CONTEXTS[bad] + context(3) + good)) as peer:
        answer = peer.read_pdu()
        assert answer[:1] == b"\x02", answer
        results = accepted_contexts(answer)
        assert results.pop(1) in (3, 4)  # PS3.8 Table 9-18
        assert set(results.values()) == {0} and len(results) == number + 1
        peer.send(p_data(3, 3, command(*echo_elements())))
        assert peer.read_status() == 0


def test_a_good_transfer_syntax_beside_a_bad_one(storage: tuple[int, Path]) -> None:
    with RawPeer.connected(storage[0], associate_rq(context(1, CT, ("1.2.abc", EXPLICIT)))) as peer:
        answer = peer.read_pdu()
        assert answer[:1] == b"\x02" and accepted_contexts(answer)[1] in (0, 3, 4), answer


@pytest.mark.parametrize("number", [2, 254])
def test_even_context_ids(storage: tuple[int, Path], number: int) -> None:
    with RawPeer.associated(storage[0], associate_rq(context(number))) as peer:
        peer.send(p_data(number, 3, command(*echo_elements())))
        assert peer.read_status() == 0


TITLES = {
    "padded with NULs": b"SCANNER\0\0\0\0\0\0\0\0\0",
    "ends at a NUL": b"SCANNER\0rubbish!",
    "with a tab": b"SCAN\tNER",
    "in Latin-1": b"M\xdcNCHEN",
    "in UTF-8": "MÜNCHEN".encode(),
    "with a backslash": b"SCAN\\NER",
    "with an escape": b"SCAN\x1b[31mNER",
}


@pytest.mark.parametrize("which", ["called", "calling"])
@pytest.mark.parametrize("title", TITLES)
def test_odd_ae_titles(storage: tuple[int, Path], title: str, which: str) -> None:
    values: dict[str, Any] = {which: TITLES[title]}
    request = associate_rq(context(1) + context(3, CT, (IMPLICIT,)), **values)
    assert stored_status(storage[0], store_command("1.2.3.1"), request) == 0


@pytest.mark.parametrize("title", TITLES)
def test_odd_ae_titles_in_the_log_of_a_tool(title: str, tmp_path: Path) -> None:
    def started(port: int) -> tuple[str | Path, ...]:
        return (*DCMNET, "storescp", "-v", "-od", tmp_path, "--bind", HOST, str(port))

    with listening(started, tmp_path / "log.txt") as tool:
        request = associate_rq(context(3, CT, (IMPLICIT,)), calling=TITLES[title], called=TITLES[title])
        assert stored_status(tool.port, store_command("1.2.3.1"), request) == 0
        eventually(lambda: "Release" in tool.said(), "word of the release")
        said = tool.said()
    assert not any(control in said for control in "\0\t\x1b")


CLASS_UIDS = {
    "letters": item(0x52, b"my own class"),
    "empty": item(0x52, b""),
    "Latin-1": item(0x52, b"1.2.\xe4"),
    "70 characters": item(0x52, b"1." * 35),
    "absent": b"",
}


@pytest.mark.parametrize("uid", CLASS_UIDS)
def test_odd_implementation_class_uids(face: Face, storage: tuple[int, Path], uid: str) -> None:
    with RawPeer.associated(storage[0], associate_rq(user_items=MAX_LENGTH + CLASS_UIDS[uid])) as peer:
        peer.send(p_data(1, 3, command(*echo_elements())))
        assert peer.read_status() == 0
    with OddPeer((READ, accepting(class_uid=CLASS_UIDS[uid]), READ, response(0), *LAST)) as acceptor:
        assert face.echo(acceptor.port, timeouts=PATIENT) == 0


def context_item(number: int, result: int = 0, transfer: str = IMPLICIT) -> bytes:
    """A presentation context of an A-ASSOCIATE-AC."""
    return item(0x21, bytes((number, 0, result, 0)) + item(0x40, transfer.encode("latin-1")))


MORE_CONTEXTS = {
    "one that was not proposed": context_item(99),
    "an even one that was not proposed": context_item(2),
    "one that was not proposed, refused": context_item(99, 3),
    "one that comes twice": context_item(1),
    "one that comes again, refused": context_item(1, 3),
    "one that comes again, with another transfer syntax": context_item(1, 0, EXPLICIT),
}


@pytest.mark.parametrize("more", MORE_CONTEXTS)
def test_contexts_of_an_answer_that_are_too_many(face: Face, more: str) -> None:
    with OddPeer((READ, accepting(more=MORE_CONTEXTS[more]), READ, response(0), *LAST)) as peer:
        assert face.echo(peer.port, timeouts=PATIENT) == 0


@pytest.mark.parametrize(
    "answer",
    [
        response(0, status_element=element(0x0900, bytes(4))),
        response(0, tail=struct.pack("<HHI", 9, 0x10, 4) + b"MINE"),
    ],
    ids=["a status of four bytes", "a private element"],
)
def test_odd_answers_to_a_c_echo(face: Face, answer: Callable[[Conversation], bytes], tmp_path: Path) -> None:
    script = (READ, accept, READ, answer, *LAST)
    with OddPeer(script) as peer:
        assert face.echo(peer.port, timeouts=PATIENT) == 0
    with OddPeer(script) as peer:
        code, _, err = ours(tmp_path, "echoscu", HOST, str(peer.port))
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "first"),
    [(("-aet", "RECEIVER"), b"\x02"), (("-aet", "RECEIVER", "--check-aetitle"), b"\x03")],
    ids=["served", "rejected"],
)
def test_another_called_title_and_dcmrecv(words: tuple[str, ...], first: bytes, tmp_path: Path) -> None:
    def started(port: int) -> tuple[str | Path, ...]:
        return (*DCMNET, "dcmrecv", "--accept-all", *words, "-od", tmp_path, "--bind", HOST, str(port))

    with (
        listening(started, tmp_path.parent / f"{tmp_path.name}.log") as tool,
        RawPeer.connected(tool.port, associate_rq(called=b"ANOTHER")) as peer,
    ):
        assert peer.read_pdu()[:1] == first


# ---------------------------------------------------------------------- 18: maximum lengths that hold nothing


@pytest.mark.parametrize("length", [1, 5, 6, 7])
def test_a_maximum_length_that_holds_no_pdv_of_an_acceptor(face: Face, length: int, tmp_path: Path) -> None:
    peer = OddPeer((READ, accepting(max_length=length), READ, SILENT))
    with peer:
        with pytest.raises(DcmnetError, match=r"(?i)maximum|PDU length"):
            face.echo(peer.port, timeouts=PATIENT)
        # Whatever came of it: it was no P-DATA-TF.
        eventually(lambda: peer.conversations and peer.conversations[0].pdu[:1] == b"\x07", "A-ABORT")
    assert peer.conversations[0].command_set == b""
    with OddPeer((READ, accepting(max_length=length), READ, SILENT)) as again:
        code, _, err = ours(tmp_path, "echoscu", HOST, str(again.port))
    assert code != 0 and "Traceback" not in err


@pytest.mark.parametrize("length", [1, 5, 6, 7])
def test_a_maximum_length_that_holds_no_pdv_of_a_requestor(storage: tuple[int, Path], length: int) -> None:
    items: Iterable[bytes] = (item(0x51, struct.pack(">I", length)), item(0x52, b"1.2.3.4"))
    with RawPeer.connected(storage[0], associate_rq(user_items=b"".join(items))) as peer:
        answer = peer.read_pdu()
        if answer[:1] == b"\x02":
            peer.send(p_data(1, 3, command(*echo_elements())))
            answer = peer.read_pdu()
        assert answer[:1] in (b"\x03", b"\x07"), answer  # A-ASSOCIATE-RJ or A-ABORT


@pytest.mark.parametrize("length", [8, 9, 16])
def test_the_shortest_maximum_lengths(face: Face, storage: tuple[int, Path], length: int) -> None:
    user = item(0x51, struct.pack(">I", length)) + item(0x52, b"1.2.3.4")
    with RawPeer.associated(storage[0], associate_rq(user_items=user)) as peer:
        peer.send(p_data(1, 3, command(*echo_elements())))
        conversation = Conversation(peer)
        conversation.read()
        assert conversation.us(0x0900) == 0
    with OddPeer((READ, accepting(max_length=length), READ, response(0), *LAST)) as acceptor:
        assert face.echo(acceptor.port, timeouts=PATIENT) == 0
