"""Peers that are a little wrong: what an association does not need costs nobody the association.

Raw sockets on the other side of both faces; odd requestors are in `test_wire_behaviour` as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

import dcmnet
from tests.faces.adapters import PATIENT, Face, Server, running
from tests.faces.wire import (
    APPLICATION_CONTEXT,
    C_ECHO_RSP,
    C_STORE_RQ,
    C_STORE_RSP,
    CLASS_UID,
    CT,
    ECHO,
    EXPLICIT,
    IMPLICIT,
    MAX_LENGTH,
    RELEASE_RP,
    RELEASE_RQ,
    USER_ITEMS,
    VERIFICATION,
    Acceptor,
    RawPeer,
    associate_rq,
    command,
    context,
    ct_data_set,
    element,
    item,
    p_data,
    pdu,
    status_of,
    uid_element,
    us_element,
)

ZERO_WIDTH = "\xe2\x80\x8b"
"""U+200B in UTF-8."""


def answer(context_id: int, result: int = 0, *transfer: str) -> bytes:
    body = bytes((context_id, 0, result, 0))
    return item(0x21, body + b"".join(item(0x40, uid.encode("latin-1")) for uid in transfer))


GOOD = answer(1, 0, IMPLICIT)


def accept(
    contexts: bytes = GOOD,
    user_items: bytes = USER_ITEMS,
    *,
    application: bytes = APPLICATION_CONTEXT.encode(),
    titles: bytes = b"SERVER".ljust(16) + b"RAW".ljust(16),
    version: int = 1,
) -> bytes:
    fixed = struct.pack(">HH", version, 0) + titles + bytes(32)
    return pdu(2, fixed + item(0x10, application) + contexts + item(0x50, user_items))


# ---------------------------------------------------------------------- odd acceptors

ACCEPTS = {
    "a context that was not proposed": accept(answer(99, 0, EXPLICIT) + GOOD),
    "an even context that was not proposed": accept(GOOD + answer(2, 3, "") + answer(0, 0, "x")),
    "a context twice": accept(GOOD + GOOD),
    "a context twice, refused then": accept(GOOD + answer(1, 3, "")),
    "padded transfer syntax": accept(answer(1, 0, IMPLICIT + "\0")),
    "class uid of letters": accept(user_items=MAX_LENGTH + item(0x52, b"ACME PACS")),
    "class uid with escapes": accept(user_items=MAX_LENGTH + item(0x52, b"\x1b[0m\n")),
    "class uid of 100": accept(user_items=MAX_LENGTH + item(0x52, b"1" * 100)),
    "no class uid": accept(user_items=MAX_LENGTH),
    "version name of 40": accept(user_items=USER_ITEMS + item(0x55, b"\xd6" * 40)),
    "malformed role": accept(user_items=USER_ITEMS + item(0x54, b"\0\5x")),
    "malformed window": accept(user_items=USER_ITEMS + item(0x53, b"\0\5x")),
    "malformed extended negotiation": accept(user_items=USER_ITEMS + item(0x56, b"\xff\xff")),
    "malformed identity response": accept(user_items=USER_ITEMS + item(0x59, b"\xff\xff")),
    "maximum length of three bytes": accept(user_items=item(0x51, bytes(3)) + CLASS_UID),
    "maximum length twice": accept(user_items=item(0x51, b"\0\0\0\5") + USER_ITEMS),
    "application context of letters": accept(application=b"DICOM"),
    "application context with a NUL": accept(application=APPLICATION_CONTEXT.encode() + b"\0"),
    "titles of NULs": accept(titles=bytes(32)),
    "titles of anything": accept(titles=b"\x1b\xff\n\\" * 8),
    "version 0": accept(version=0),
}


def served(answer: bytes, response: bytes = b"") -> Callable[[RawPeer], None]:
    """A script that accepts, answers one C-ECHO-RQ and confirms the release."""

    def script(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(answer)
        assert peer.read_pdu()[:1] == b"\x04"
        peer.send(p_data(1, 3, response or echo_response()))
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(RELEASE_RP)

    return script


def echo_response(*more: bytes, sop_class: bytes = VERIFICATION.encode() + b"\0") -> bytes:
    return command(
        element(0x0002, sop_class),
        us_element(0x0100, C_ECHO_RSP),
        us_element(0x0120, 1),
        us_element(0x0800, 0x0101),
        us_element(0x0900, 0),
        *more,
    )


@pytest.mark.parametrize("what", ACCEPTS)
def test_an_odd_acceptance(face: Face, what: str) -> None:
    with Acceptor(served(ACCEPTS[what])) as acceptor:
        with face.connect(acceptor.port, timeouts=PATIENT) as association:
            assert [each.context_id for each in association.accepted_contexts] == [1]
            shown = association.negotiated.peer_implementation_class_uid
            assert shown.isascii() and shown.isprintable()
            assert association.echo().status == 0


UNUSABLE = {
    "no transfer syntax": answer(1),
    "an empty transfer syntax": answer(1, 0, ""),
    "two transfer syntaxes": answer(1, 0, IMPLICIT, EXPLICIT),
    "a transfer syntax of letters": answer(1, 0, "JPEG"),
    "a zero-width space": answer(1, 0, IMPLICIT + ZERO_WIDTH),
    "a transfer syntax that was not proposed": answer(1, 0, "1.2.840.10008.1.2.4.50"),
    "result 77": answer(1, 77, IMPLICIT),
    "no answer": answer(3, 0, IMPLICIT),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_acceptance_that_cannot_be_used_counts_as_refusal(face: Face, what: str) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(accept(UNUSABLE[what]))
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(RELEASE_RP)

    with Acceptor(script) as acceptor, face.connect(acceptor.port, timeouts=PATIENT) as association:
        assert association.accepted_contexts == ()
        with pytest.raises(dcmnet.NoPresentationContext, match="and refused: "):
            association.echo()


@pytest.mark.parametrize("length", range(1, 8))
def test_an_acceptor_whose_maximum_length_no_pdv_fits(face: Face, length: int) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(accept(user_items=item(0x51, struct.pack(">I", length)) + CLASS_UID))
        assert peer.read_abort() == (2, 6)

    with Acceptor(script) as acceptor:
        with pytest.raises(
            dcmnet.RemoteProtocolError, match=f"maximum length of {length}, which no PDV fits"
        ):
            face.connect(acceptor.port, timeouts=PATIENT)


@pytest.mark.parametrize(
    "what",
    [
        "a context that was not proposed",
        "a context twice",
        "class uid of letters",
        "malformed role",
        "maximum length of three bytes",
        "application context of letters",
    ],
)
def test_each_of_them_can_be_refused(face: Face, what: str) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(ACCEPTS[what])
        peer.read_abort()

    strict = dcmnet.Limits(tolerance=dcmnet.Tolerance.NONE)
    with Acceptor(script) as acceptor, pytest.raises(dcmnet.RemoteProtocolError):
        face.connect(acceptor.port, timeouts=PATIENT, limits=strict)


RESPONSES = {
    "class uid of letters": echo_response(sop_class=b"letters\0"),
    "no class uid": echo_response(sop_class=b""),
    "instance uid with a zero-width space": echo_response(element(0x1000, b"1.2\xe2\x80\x8b")),
    "comment of 90 bytes": echo_response(element(0x0902, b"\xd6\\\n" * 30)),
    "offending element of 6 bytes": echo_response(element(0x0901, bytes(6))),
    "error id of four bytes": echo_response(element(0x0903, bytes(4))),
    "private elements": echo_response(struct.pack("<HHI4s", 9, 0x10, 4, b"ACME")),
    "move originator": echo_response(element(0x1030, b"\xff" * 18)),
}


@pytest.mark.parametrize("what", RESPONSES)
def test_an_odd_response(face: Face, what: str) -> None:
    with Acceptor(served(accept(), RESPONSES[what])) as acceptor:
        with face.connect(acceptor.port, timeouts=PATIENT) as association:
            assert association.echo().status == 0


@pytest.mark.parametrize(
    "more",
    [
        (element(0x0002, b"1.2.840.xy"), element(0x1000, b"1.2\xe2\x80\x8b")),
        (element(0x1000, b"9" * 80), element(0x0902, b"\xff\n" * 50)),
        (element(0x0901, bytes(5)), element(0x0903, b"\1")),
    ],
)
def test_a_store_response_with_malformed_details_counts(
    face: Face, ct: Path, more: tuple[bytes, ...]
) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(accept(answer(1, 0, EXPLICIT)))
        while (piece := peer.read_pdu())[11] != 2:
            assert piece[:1] == b"\x04"
        fixed = us_element(0x0120, 1), us_element(0x0800, 0x0101), us_element(0x0900, 0)
        peer.send(p_data(1, 3, command(us_element(0x0100, C_STORE_RSP), *fixed, *more)))
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(RELEASE_RP)

    contexts = [dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,))]
    with Acceptor(script) as acceptor:
        with face.connect(acceptor.port, timeouts=PATIENT, contexts=contexts) as association:
            assert association.store(ct).status == 0


# ---------------------------------------------------------------------- odd requestors


@pytest.mark.parametrize(
    "originator",
    [b"R\xd6NTGEN", b"EIGHTEEN_CHARACTER", b"PACS\\A", b"PACS\0\0\0\0", b"\x1b[0m\n\t", b"\xff" * 30],
)
def test_an_odd_move_originator(server: Server, received: Path, originator: bytes) -> None:
    request = command(
        uid_element(0x0002, CT),
        us_element(0x0100, C_STORE_RQ),
        us_element(0x0110, 1),
        us_element(0x0800, 1),
        uid_element(0x1000, "1.2.3"),
        element(0x1030, originator + b"\0" * (len(originator) & 1)),
        element(0x1031, b"\1\0\0\0"),
    )
    with RawPeer.associated(server.port) as peer:
        for _ in range(2):
            peer.send(p_data(3, 3, request) + p_data(3, 2, ct_data_set()))
            assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    assert [path.name for path in received.iterdir()] == ["CT.1.2.3.dcm"]


@pytest.mark.parametrize(
    ("title", "kept"),
    [(b"R\xd6NTGEN", None), (b"A\\B", None), (b"A\tB\n", None), (b"SCANNER\0\0", "SCANNER"), (b"A B", "A B")],
)
def test_what_an_odd_title_becomes_in_a_file(
    server: Server, received: Path, title: bytes, kept: str | None
) -> None:
    """(0002,0016) is an AE: a title that is none is left out."""
    with RawPeer.associated(server.port, associate_rq(calling=title)) as peer:
        peer.send(
            p_data(
                3,
                3,
                command(
                    uid_element(0x0002, CT),
                    us_element(0x0100, C_STORE_RQ),
                    us_element(0x0110, 1),
                    us_element(0x0700, 0),
                    us_element(0x0800, 1),
                    uid_element(0x1000, "1.2.3"),
                ),
            )
            + p_data(3, 2, ct_data_set())
        )
        assert peer.read_status() == 0
    (path,) = received.iterdir()
    assert pydicom.dcmread(path).file_meta.get("SourceApplicationEntityTitle") == kept


@pytest.mark.parametrize("titles", ["SCANNER", ["SCANNER"]])
def test_a_padded_title_is_the_same_title(face: Face, received: Path, titles: str | list[str]) -> None:
    node = face.new_storage_scp(
        received,
        ae_title="ARCHIVE",
        require_called_ae_title=True,
        calling_ae_titles=[titles] if isinstance(titles, str) else titles,
    )
    with running(face, node) as server:
        padded = associate_rq(called=b"ARCHIVE\0\0\0", calling=b"\0SCANNER")
        with RawPeer.associated(server.port, padded) as peer:
            peer.send(ECHO)
            assert peer.read_status() == 0
        with RawPeer.connected(server.port, associate_rq(called=b"ARCHIVE\xff", calling=b"SCANNER")) as peer:
            assert peer.read_reject() == (1, 1, 7)


MOVE = "1.2.840.10008.5.1.4.1.2.2.2"


@pytest.mark.parametrize(
    "destination",
    [b"R\xd6NTGEN ", b"SEVENTEEN_LETTERS ", b"A\\B ", b"A\tB\n", b"    ", b"", None],
    ids=repr,
)
def test_a_move_to_no_ae_title(face: Face, destination: bytes | None) -> None:
    asked: list[str] = []

    def where(title: str) -> tuple[str, int]:
        asked.append(title)
        return "127.0.0.1", 1

    node = face.new_server("ARCHIVE")
    node.on_move()(lambda request: [])
    node.destinations = where
    request = command(
        uid_element(0x0002, MOVE),
        us_element(0x0100, 0x0021),
        us_element(0x0110, 1),
        b"" if destination is None else element(0x0600, destination),
        us_element(0x0700, 0),
        us_element(0x0800, 1),
    )
    identifier = struct.pack("<HHI6s", 8, 0x52, 6, b"STUDY ") + struct.pack("<HHI4s", 0x20, 0xD, 4, b"1.2\0")
    with running(face, node) as server:
        with RawPeer.associated(server.port, associate_rq(context(1, MOVE))) as peer:
            peer.send(p_data(1, 3, request) + p_data(1, 2, identifier))
            assert status_of(peer.read_pdu()) == 0xA801
            peer.send(RELEASE_RQ)
            assert peer.read_pdu() == RELEASE_RP
    assert asked == []
