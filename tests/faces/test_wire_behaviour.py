"""What goes over the wire when a peer is odd, wrong or hostile: raw sockets against our server.

Every row ends with the connection closed before a deadline, and another caller is served meanwhile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import dcmnet
from tests.faces.adapters import QUICK, Face, Server, running
from tests.faces.wire import (
    ABORT,
    C_CANCEL_RQ,
    C_ECHO_RSP,
    C_STORE_RQ,
    CLASS_UID,
    CT,
    CT_CONTEXT,
    ECHO,
    ECHO_COMMAND,
    IMPLICIT,
    MAX_LENGTH,
    RELEASE_RP,
    RELEASE_RQ,
    USER_ITEMS,
    VERIFICATION,
    VERIFICATION_CONTEXT,
    RawPeer,
    associate_ac,
    associate_rq,
    command,
    context,
    ct_data_set,
    echo_elements,
    element,
    item,
    p_data,
    pdu,
    pdv,
    status_of,
    store,
    store_command,
    uid_element,
    until,
    us_element,
)

SILENT = dcmnet.Timeouts(artim=1.0, dimse=1.5, network=1.5, write=1.5)


@pytest.fixture
def server(face: Face, received: Path) -> Iterator[Server]:
    with running(face, face.new_storage_scp(received, timeouts=QUICK)) as server:
        yield server


def assert_served(server: Server) -> None:
    """Another caller is served now."""
    with RawPeer.associated(server.port) as peer:
        peer.send(ECHO)
        assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP


# ---------------------------------------------------------------------- Sta2: instead of an A-ASSOCIATE-RQ

IN_STA2 = {
    # WB-1, V-25: callers that do not speak DICOM
    "http": b"GET / HTTP/1.0\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "rpc": bytes.fromhex("80000028724110000000000000000002000186a0") + bytes(20),
    "smb": bytes.fromhex("000000a4ff534d4272000000000801400000000000") + bytes(150),
    "nulls": bytes(64),
    "ones": b"\xff" * 64,
    # WB-2, V-6
    "length 2 GiB": associate_rq(length=0x7FFFFFFF),
    "length 4 GiB": associate_rq(length=0xFFFFFFFF),
    "length 1 MiB + 1": associate_rq(length=(1 << 20) + 1),
    # WB-6, WB-7, WB-9, WB-10
    "no presentation contexts": associate_rq(b""),
    # WB-11, V-8
    "maximum length item of 65535": associate_rq(user_items=item(0x51, bytes(4), 0xFFFF) + CLASS_UID),
    # WB-20
    "p-data first": ECHO,
    "release first": RELEASE_RQ,
    "release response first": RELEASE_RP,
    "accept first": associate_ac([(1, IMPLICIT)]),
    "reject first": pdu(3, bytes((0, 1, 1, 1))),
    "unknown pdu first": pdu(0x99, bytes(10)),
    # V-25
    "empty": pdu(1, b""),
    "nothing but zeros": pdu(1, bytes(68)),
    "67 bytes": pdu(1, bytes(67)),
    # V-7: the PDU is shorter than what it holds, or longer
    **{
        f"length {size:+d}": associate_rq(length=len(associate_rq()) - 6 + size, extra=bytes(max(0, size)))
        for size in (-1, -2, -4, -20, 1, 3)
    },
    "user identity cut short": associate_rq(user_items=USER_ITEMS + item(0x58, b"\1\0\0\x05me\0\0")),
    "context without an id": associate_rq(item(0x20, b"") + VERIFICATION_CONTEXT),
    # 7.3
    "256 contexts": associate_rq(b"".join(context(number & 255) for number in range(256))),
    "1000 transfer syntaxes": associate_rq(context(transfer=[f"1.2.{number}" for number in range(1000)])),
    "2000 user items": associate_rq(user_items=USER_ITEMS + item(0x99, b"") * 2000),
}


@pytest.mark.parametrize("what", IN_STA2)
def test_no_association_request(server: Server, what: str) -> None:
    """AA-1 (PS3.8 Table 9-10): A-ABORT with source 0 and reason 0, then ARTIM."""
    with RawPeer.connected(server.port, IN_STA2[what]) as peer:
        assert peer.read_abort() == (0, 0)
        assert_served(server)


def test_all_of_them_at_once(server: Server) -> None:
    """Nobody closes; ARTIM does, and others are served meanwhile."""
    with ExitStack() as stack:
        peers = [stack.enter_context(RawPeer.connected(server.port, first)) for first in IN_STA2.values()]
        for sent, _ in IN_STA6.values():
            peer = stack.enter_context(RawPeer.associated(server.port))
            peer.send_as_far_as_it_goes(sent)
            peers.append(peer)
        assert_served(server)
        for peer in peers:
            while peer.read_pdu():
                pass
        until(lambda: server.associations == 0)


def test_abort_first(server: Server) -> None:
    """WB-21: there is nothing to say."""
    with RawPeer.connected(server.port, ABORT) as peer:
        peer.read_end()
    assert_served(server)


REJECTED = {
    "version 0": (associate_rq(version=0), (1, 2, 2)),  # WB-3
    "version 2": (associate_rq(version=2), (1, 2, 2)),
    "unknown application context": (associate_rq(application=item(0x10, b"1.2.3")), (1, 1, 2)),  # WB-5
    "no application context": (associate_rq(application=b""), (1, 1, 2)),
    "application context of letters": (associate_rq(application=item(0x10, b"DICOM")), (1, 1, 2)),
    "blank called title": (associate_rq(called=b""), (1, 1, 7)),  # WB-7
    "called title of NULs": (associate_rq(called=bytes(16)), (1, 1, 7)),
    "blank calling title": (associate_rq(calling=b""), (1, 1, 3)),
}


@pytest.mark.parametrize("what", REJECTED)
def test_rejected(server: Server, what: str) -> None:
    request, why = REJECTED[what]
    with RawPeer.connected(server.port, request) as peer:
        assert peer.read_reject() == why
        assert_served(server)
        peer.read_end()


IDENTITY = item(0x58, b"\1\0" + struct.pack(">H", 2) + b"me" + struct.pack(">H", 0))
ROLE = item(0x54, struct.pack(">H", len(VERIFICATION)) + VERIFICATION.encode() + b"\1\1")
COMMON = item(0x57, struct.pack(">H", 3) + b"1.2" + struct.pack(">H", 3) + b"1.3" + bytes(2))
ACCEPTED = {
    "version 3": associate_rq(version=3),  # WB-4
    "version 0xFFFF": associate_rq(version=0xFFFF),
    "maximum length 0": associate_rq(user_items=item(0x51, bytes(4)) + CLASS_UID),  # WB-12
    "no implementation class": associate_rq(user_items=MAX_LENGTH),  # WB-13
    "no user information": associate_rq(user_items=None),
    "async": associate_rq(user_items=USER_ITEMS + item(0x53, bytes((0, 5, 0, 5)))),  # WB-14
    "common": associate_rq(user_items=USER_ITEMS + COMMON),
    "identity": associate_rq(user_items=USER_ITEMS + IDENTITY),
    "identity twice": associate_rq(user_items=USER_ITEMS + IDENTITY * 2),
    "role": associate_rq(user_items=USER_ITEMS + ROLE),
    "unknown user item": associate_rq(user_items=USER_ITEMS + item(0x77, bytes(9))),
    "every item twice": associate_rq(user_items=USER_ITEMS * 2),
    "padded uid": associate_rq(context(1, VERIFICATION + "\0") + CT_CONTEXT),
    "leading zero": associate_rq(VERIFICATION_CONTEXT + CT_CONTEXT + context(5, "1.2.03")),
    "128 contexts": associate_rq(
        VERIFICATION_CONTEXT + b"".join(context(number, f"1.2.{number}") for number in range(3, 256, 2))
    ),
    "120 transfer syntaxes": associate_rq(
        context(transfer=[f"1.2.{number}" for number in range(119)] + [IMPLICIT])
    ),
    "other transfer syntaxes are none": associate_rq(context(transfer=("", "x", "1" * 70, "1\n", IMPLICIT))),
    "padded transfer syntax": associate_rq(context(transfer=(IMPLICIT + "\0 ",))),
    "duplicate context id": associate_rq(context(1) + context(1, CT)),
    **{
        f"maximum length item of {size}": associate_rq(user_items=item(0x51, bytes(size)) + CLASS_UID)
        for size in (0, 1, 2, 3, 5, 1000)
    },
    "maximum length 200": associate_rq(user_items=item(0x51, struct.pack(">I", 200)) + CLASS_UID),
    "maximum length 4294967295": associate_rq(user_items=item(0x51, b"\xff" * 4) + CLASS_UID),
    "maximum length twice": associate_rq(user_items=item(0x51, b"\0\0\0\5") + USER_ITEMS),
    **{  # V-9
        f"role with a uid of {size}": associate_rq(
            user_items=USER_ITEMS + item(0x54, struct.pack(">H", size) + VERIFICATION.encode() + b"\1\1")
        )
        for size in (0, 1, 16, 18, 19, 20, 255, 0xFFFF)
    },
    **{
        f"malformed {kind:02X}H of {value!r}": associate_rq(user_items=USER_ITEMS + item(kind, value))
        for kind in (0x52, 0x53, 0x54, 0x56, 0x57, 0x59)
        for value in (b"", b"\0\1x", b"\0\7\xe2\x80\x8b\x1b[0m\1\1")
    },
    "implementation class of letters": associate_rq(user_items=MAX_LENGTH + item(0x52, b"dcm4che \x1b[0m")),
    "version name of 40 bytes": associate_rq(user_items=USER_ITEMS + item(0x55, b"\xd6\n" * 20)),
    "version name of nothing": associate_rq(user_items=USER_ITEMS + item(0x55, b"")),
    "application context with a NUL": associate_rq(application=item(0x10, b"1.2.840.10008.3.1.1.1\0")),
    "application context with spaces": associate_rq(application=item(0x10, b"1.2.840.10008.3.1.1.1  ")),
    "reserved bytes": associate_rq()[:8]
    + b"\xff\xff"
    + associate_rq()[10:42]
    + b"\xff" * 32
    + associate_rq()[74:],
    **{
        f"titles {title!r}": associate_rq(called=title, calling=title)
        for title in (
            b"A\0\0",
            b"A".ljust(16, b"\0"),
            b"\0A",
            b"A\tB",
            b"A\nB",
            b"R\xd6NTGEN",
            b"\xff" * 16,
            b"A\\B",
        )
    },
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_accepted(server: Server, what: str) -> None:
    with RawPeer.associated(server.port, ACCEPTED[what]) as peer:
        peer.send(ECHO)
        assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP


def test_the_titles_are_repeated_byte_for_byte(server: Server) -> None:
    """PS3.8 Table 9-17: identical to those of the A-ASSOCIATE-RQ."""
    called, calling = b"  A\tB\0", b"\xd6\0\0".ljust(16, b"\0")
    with RawPeer.connected(server.port, associate_rq(called=called, calling=calling)) as peer:
        assert peer.read_pdu()[10:42] == called.ljust(16) + calling


ZERO_WIDTH = "\xe2\x80\x8b"
"""U+200B in UTF-8."""

REFUSED_CONTEXTS = {
    "zero-width space": (context(5, CT + ZERO_WIDTH), {5: 3}),
    "zero-width space in the transfer syntax": (context(5, CT, (IMPLICIT + ZERO_WIDTH,)), {5: 4}),
    "letters": (context(5, "1.2.x") + context(7, CT, ("JPEG",)), {5: 3, 7: 4}),
    "empty": (context(5, "") + context(7, CT, ("",)), {5: 3, 7: 4}),
    "none": (context(5, None) + context(7, CT, ()), {5: 3, 7: 4}),
    "65 characters": (context(5, "1." + "2" * 63) + context(7, CT, ("1." + "2" * 63,)), {5: 3, 7: 4}),
    "70 characters": (context(5, "1" * 70) + context(7, CT, ("1" * 70,)), {5: 3, 7: 4}),
    "60000 characters": (context(5, "1" * 60000), {5: 3}),
    "invalid UTF-8": (context(5, "1.2.\xff\xfe"), {5: 3}),
    "control characters": (context(5, "\x1b[0m\n"), {5: 3}),
    "two abstract syntaxes": (item(0x20, bytes((5, 0, 0, 0)) + 2 * item(0x30, CT.encode())), {5: 3}),
    "padded": (context(5, CT + "\0") + context(7, CT + "  "), {5: 0, 7: 0}),
    "even ids": (context(0, CT) + context(2, CT) + context(254, "x"), {0: 0, 2: 0, 254: 3}),
    "some transfer syntaxes": (context(5, CT, ("", "x", IMPLICIT)), {5: 0}),
    "119 good ones": (
        context(3, CT + ZERO_WIDTH) + b"".join(context(number, CT) for number in range(5, 242, 2)),
        {3: 3, **dict.fromkeys(range(5, 242, 2), 0)},
    ),
}


@pytest.mark.parametrize("what", REFUSED_CONTEXTS)
def test_one_bad_context_costs_no_other_one_its_place(server: Server, what: str) -> None:
    contexts, results = REFUSED_CONTEXTS[what]
    with RawPeer.connected(server.port, associate_rq(contexts + VERIFICATION_CONTEXT)) as peer:
        assert answers_of(peer.read_pdu()) == {**results, 1: 0}
        peer.send(ECHO)
        assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP


@pytest.mark.parametrize("context_id", [0, 2, 254])
def test_an_even_context_id_serves_like_any_other(server: Server, context_id: int) -> None:
    with RawPeer.associated(server.port, associate_rq(context(context_id))) as peer:
        peer.send(p_data(context_id, 3, ECHO_COMMAND))
        answer = peer.read_pdu()
        assert (answer[10], status_of(answer)) == (context_id, 0)


def answers_of(accept: bytes) -> dict[int, int]:
    """The result of each context in an A-ASSOCIATE-AC, by its id."""
    assert accept[:1] == b"\x02", accept
    found, position = {}, 74
    while position < len(accept):
        kind, length = struct.unpack_from(">BxH", accept, position)
        if kind == 0x21:
            found[accept[position + 4]] = accept[position + 6]
        position += 4 + length
    return found


@pytest.mark.parametrize("length", range(1, 8))
def test_a_maximum_length_that_no_pdv_fits(server: Server, length: int) -> None:
    """WB-12: nothing can be sent that is as short."""
    request = associate_rq(user_items=item(0x51, struct.pack(">I", length)) + CLASS_UID)
    with RawPeer.connected(server.port, request) as peer:
        assert peer.read_abort() == (2, 6)
        assert_served(server)


def test_the_smallest_maximum_length_is_kept_to(server: Server) -> None:
    request = associate_rq(user_items=item(0x51, struct.pack(">I", 8)) + CLASS_UID)
    with RawPeer.associated(server.port, request) as peer:
        peer.send(ECHO)
        answer, last = b"", False
        while not last:
            piece = peer.read_pdu()
            assert piece[:6] == bytes.fromhex("040000000008")
            answer, last = answer + piece[12:], piece[11] & 2 == 2
        assert status_of(bytes(12) + answer) == 0


def test_only_unknown_abstract_syntaxes(server: Server) -> None:
    """WB-8: accepted, each context with result 3."""
    with RawPeer.associated(server.port, associate_rq(context(5, "1.2.3.4.5"))) as peer:
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    with RawPeer.connected(server.port, associate_rq(context(5, "1.2.3.4.5"))) as peer:
        assert b"\x21\0\0" in (answer := peer.read_pdu())
        assert answer[answer.index(b"\x21\0\0") + 4 :][:4] == bytes((5, 0, 3, 0))


def test_contexts_of_unknown_transfer_syntax(server: Server) -> None:
    with RawPeer.connected(server.port, associate_rq(context(7, transfer=("1.2.3.4.5",)))) as peer:
        answer = peer.read_pdu()
        assert answer[answer.index(b"\x21\0\0") + 4 :][:4] == bytes((7, 0, 4, 0))


def _items_of(request: bytes) -> Iterator[int]:
    """Offsets of the lengths of every item and sub-item."""
    position = 74
    while position < len(request):
        kind, length = struct.unpack_from(">BxH", request, position)
        yield position + 2
        inside = {0x20: 8, 0x50: 4}.get(kind)
        if inside is not None:
            inner = position + inside
            while inner < position + 4 + length:
                yield inner + 2
                inner += 4 + int(struct.unpack_from(">H", request, inner + 2)[0])
        position += 4 + length


V1_REQUEST = associate_rq(user_items=USER_ITEMS + item(0x53, bytes((0, 1, 0, 1))) + ROLE + IDENTITY)


@pytest.mark.parametrize("offset", list(_items_of(V1_REQUEST)))
def test_wrong_lengths_at_each_level(server: Server, offset: int) -> None:
    """V-1, V-4, V-7: each length one too small, one too large, zero, and near 65535."""
    right = struct.unpack_from(">H", V1_REQUEST, offset)[0]
    for wrong in {right - 1, right + 1, 0, 0x7FFF, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF}:
        request = bytearray(V1_REQUEST)
        struct.pack_into(">H", request, offset, wrong)
        with RawPeer.connected(server.port, bytes(request)) as peer:
            answer = peer.read_pdu()
            # a UID that is shortened by one is a UID; nothing else may pass
            assert answer[:1] in (b"\x07", b"\x03", b"\x02"), (offset, wrong)
            if answer[:1] == b"\x07":
                assert answer == ABORT
            else:
                assert abs(wrong - right) <= 1 or wrong == 0
    assert_served(server)


@pytest.mark.parametrize("length", [0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF])
def test_an_unknown_user_item_whose_length_wraps(server: Server, length: int) -> None:
    """V-4."""
    request = associate_rq(user_items=USER_ITEMS + item(0x99, b"1234", length))
    with RawPeer.connected(server.port, request) as peer:
        assert peer.read_abort() == (0, 0)


# ---------------------------------------------------------------------- Sta6: on an association

LONG = 131072
IN_STA6 = {
    # WB-22
    "second request": (associate_rq(), (2, 2)),
    "accept": (associate_ac([(1, IMPLICIT)]), (2, 2)),
    "reject": (pdu(3, bytes((0, 1, 1, 1))), (2, 2)),
    "release response": (RELEASE_RP, (2, 2)),
    # WB-23
    "unknown pdu": (pdu(0x99, bytes(4)), (2, 1)),
    "http": (b"GET / HTTP/1.0\r\n\r\n", (2, 1)),
    # WB-24
    "release of 5": (pdu(5, bytes(5)), (2, 6)),
    "release of 0": (pdu(5, b""), (2, 6)),
    "abort of 5": (pdu(7, bytes(5)), (2, 6)),
    # WB-25, V-13
    **{
        f"pdv length {length:#x}": (pdu(4, pdv(1, 3, ECHO_COMMAND, length)), (2, 6))
        for length in (0, 1, 0x7FFFFFFF, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)
    },
    "pdv one too long": (pdu(4, pdv(1, 3, ECHO_COMMAND, len(ECHO_COMMAND) + 3)), (2, 6)),
    "pdu without pdv": (pdu(4, b""), (2, 6)),
    "pdu of 5": (pdu(4, bytes(5)), (2, 6)),
    "rest behind the pdv": (pdu(4, pdv(1, 3, ECHO_COMMAND) + b"123"), (2, 6)),
    # WB-26: the server announces 131072
    "pdu too long": (p_data(1, 0, bytes(LONG - 6 + 1)), (2, 6)),
    "pdu of 4 GiB": (pdu(4, b"", 0xFFFFFFFF), (2, 6)),
    # WB-27
    "unknown context": (p_data(99, 3, ECHO_COMMAND), (2, 6)),
    "context 0": (p_data(0, 3, ECHO_COMMAND), (2, 6)),
    # WB-28
    "data first": (p_data(1, 2, ECHO_COMMAND), (2, 5)),
    "empty data first": (p_data(1, 2, b""), (2, 5)),
    "command where data are due": (p_data(3, 3, store_command()) + p_data(3, 3, ECHO_COMMAND), (2, 5)),
    "another context in the data": (p_data(3, 3, store_command()) + p_data(1, 2, bytes(10)), (2, 5)),
    "another context in the command": (
        p_data(1, 1, ECHO_COMMAND[:10]) + p_data(3, 3, ECHO_COMMAND[10:]),
        (2, 5),
    ),
    "release in the data": (
        p_data(3, 3, store_command()) + p_data(3, 0, bytes(10)) + RELEASE_RQ,
        (2, 2),
    ),
    "data behind the last": (store() + p_data(3, 2, b"12"), (2, 5)),
    # WB-29
    "odd command fragment": (p_data(1, 3, ECHO_COMMAND + b"1"), (2, 6)),
    # WB-31
    "no class uid": (p_data(1, 3, command(*echo_elements()[1:])), (0, 0)),
    "echo with data": (p_data(1, 3, command(*echo_elements(data_set=1))), (0, 0)),
    "unknown command": (p_data(1, 3, command(*echo_elements(0x4711))), (0, 0)),
    "response": (p_data(1, 3, command(*echo_elements(C_ECHO_RSP))), (0, 0)),
    "cancel without id": (
        p_data(1, 3, command(us_element(0x0100, C_CANCEL_RQ), us_element(0x0800, 0x0101))),
        (0, 0),
    ),
    "empty command": (p_data(1, 3, b""), (0, 0)),
    "command of 2": (p_data(1, 3, b"\0\0"), (0, 0)),
    # V-5, V-14
    **{
        f"uid element of {length:#x}": (
            p_data(1, 3, command(element(2, VERIFICATION.encode() + b"\0", length), *echo_elements()[1:])),
            (0, 0),
        )
        for length in (0x81000001, 0x80000000, 0x7FFFFFFE, 0xFFFFFFFE, 0xFFFFFFFF, 200, 0)
    },
    "empty class uid": (p_data(1, 3, command(*echo_elements(sop_class=""))), (0, 0)),
    "store without instance": (
        p_data(
            3,
            3,
            command(
                uid_element(2, CT),
                us_element(0x0100, C_STORE_RQ),
                us_element(0x0110, 1),
                us_element(0x0800, 1),
            ),
        ),
        (0, 0),
    ),
    "store without uids": (
        p_data(3, 3, command(us_element(0x0100, C_STORE_RQ), us_element(0x0110, 1), us_element(0x0800, 1))),
        (0, 0),
    ),
    "store with an empty instance": (p_data(3, 3, store_command("")), (0, 0)),
    "store without data": (p_data(3, 3, store_command(data_set=0x0101)), (0, 0)),
    "message id of three bytes": (
        p_data(1, 3, command(*echo_elements()[:2], element(0x0110, bytes(3)), *echo_elements()[3:], b"\0")),
        (0, 0),
    ),
    "class uid with a zero-width space": (
        p_data(1, 3, command(*echo_elements(sop_class=VERIFICATION + ZERO_WIDTH))),
        (0, 0),
    ),
    "truncated element": (p_data(1, 3, ECHO_COMMAND[:-4]), (0, 0)),
    "command of 70000": (p_data(1, 3, ECHO_COMMAND + element(0x0902, bytes(70000))), (0, 0)),
    "command in 300 fragments": (p_data(1, 1, b"") * 300, (0, 0)),
}
ANSWERED_FIRST = {"data behind the last", "rest behind the pdv"}


@pytest.mark.parametrize("what", IN_STA6)
def test_wrong_on_an_association(server: Server, received: Path, what: str) -> None:
    sent, why = IN_STA6[what]
    with RawPeer.associated(server.port) as peer:
        peer.send_as_far_as_it_goes(sent)
        if what in ANSWERED_FIRST:
            assert peer.read_status() == 0
        assert peer.read_abort() == why
        assert_served(server)
    assert not [path for path in received.iterdir() if path.suffix == ".part"]


GOOD = {
    # WB-30
    "one pdv": ECHO,
    "two pdvs": p_data(1, 1, ECHO_COMMAND[:20]) + p_data(1, 3, ECHO_COMMAND[20:]),
    "two pdvs of one pdu": pdu(4, pdv(1, 1, ECHO_COMMAND[:20]) + pdv(1, 3, ECHO_COMMAND[20:])),
    "no group length": p_data(1, 3, ECHO_COMMAND[12:]),
    "wrong group length": p_data(1, 3, element(0, struct.pack("<I", 999)) + ECHO_COMMAND[12:]),
    "control 0xFF": p_data(1, 0xFF, ECHO_COMMAND),
    "empty last fragment": p_data(1, 1, ECHO_COMMAND) + p_data(1, 3, b""),
    "a cancel before": p_data(
        1,
        3,
        command(us_element(0x0100, C_CANCEL_RQ), us_element(0x0120, 9), us_element(0x0800, 0x0101)),
    )
    + ECHO,
    "message id of four bytes": p_data(
        1, 3, command(*echo_elements()[:2], element(0x0110, b"\1\0\0\0"), *echo_elements()[3:])
    ),
    "private elements": p_data(1, 3, ECHO_COMMAND + struct.pack("<HHI4s", 9, 0x10, 4, b"ACME")),
    "element of another group": p_data(1, 3, ECHO_COMMAND + struct.pack("<HHI", 8, 0x16, 0)),
    "retired elements": p_data(1, 3, command(element(1, bytes(4)), *echo_elements(), element(0x10, b"ACR "))),
    "elements out of order": p_data(1, 3, command(*reversed(echo_elements()))),
    "elements twice": p_data(1, 3, command(*echo_elements(), *echo_elements())),
    "group length of two bytes": p_data(1, 3, element(0, b"\x38\0") + ECHO_COMMAND[12:]),
    "unused elements with rubbish": p_data(
        1,
        3,
        command(
            *echo_elements(),
            element(0x0003, b"rubbish!"),
            element(0x0600, b"\xff\n" * 20),
            element(0x0700, b"\1"),
            element(0x0901, b"\1\2\3"),
            element(0x1030, b"\x1b[0m" * 5 + b"\0\0"),
            element(0x1031, b"\1\2\3"),
            element(0x0903, b"\1"),
        ),
    ),
    "the longest command pdu": p_data(1, 3, command(*echo_elements(), element(0x0902, bytes(60000)))),
}


@pytest.mark.parametrize("what", GOOD)
def test_odd_but_right(server: Server, what: str) -> None:
    with RawPeer.associated(server.port) as peer:
        peer.send(GOOD[what])
        assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP


@pytest.mark.parametrize("extra", [-2, -1, 0])
def test_pdus_as_long_as_announced(server: Server, extra: int) -> None:
    """7.3: 131072 is the longest P-DATA-TF; one byte less makes an odd fragment, which is tolerated."""
    data = ct_data_set(pixels=LONG - 6 + extra - len(ct_data_set(pixels=0)) + (extra & 1) * -1)
    with RawPeer.associated(server.port) as peer:
        peer.send(p_data(3, 3, store_command()) + p_data(3, 2, data + bytes(LONG - 6 + extra - len(data))))
        assert peer.read_status() == 0


def test_a_hundred_thousand_tiny_pdvs(server: Server, received: Path) -> None:
    data = ct_data_set(pixels=200_000 - len(ct_data_set(pixels=0)))
    pdus = [
        pdu(4, b"".join(pdv(3, 0, data[at : at + 2]) for at in range(start, start + 20_000, 2)))
        for start in range(0, 200_000, 20_000)
    ]
    with RawPeer.associated(server.port) as peer:
        peer.send(p_data(3, 3, store_command()) + b"".join(pdus) + p_data(3, 2, b""))
        assert peer.read_status() == 0
    (path,) = received.iterdir()
    assert path.read_bytes().endswith(data)


# ---------------------------------------------------------------------- silence (WB-40 to WB-45)

SILENCES: dict[str, tuple[bytes, bytes]] = {
    "connected": (b"", b""),  # WB-40
    "50 bytes of a request": (associate_rq()[:50], b""),  # WB-42
    "associated": (associate_rq(), b""),  # WB-41
    "half a header": (associate_rq(), b"\x04\0\0"),
    "half a pdv": (associate_rq(), pdu(4, pdv(1, 3, bytes(20), 96), 100)),  # WB-43
    "half a command": (associate_rq(), p_data(1, 1, ECHO_COMMAND)),
    "no data set": (associate_rq(), p_data(3, 3, store_command())),
    "half a release": (associate_rq(), RELEASE_RQ[:8]),
    "released": (associate_rq(), RELEASE_RQ),  # WB-44
    "rejected": (associate_rq(version=0), b""),  # WB-3
    "aborted": (ECHO, b""),
}


def test_silence_ends_at_a_deadline(face: Face, received: Path) -> None:
    """WB-45: all of them at once, and others are served."""
    with running(face, face.new_storage_scp(received, timeouts=SILENT)) as server, ExitStack() as stack:
        peers = {}
        for name, (first, then) in SILENCES.items():
            peer = stack.enter_context(RawPeer.connected(server.port, first))
            if first and len(first) > 50:
                peer.read_pdu()
            peer.send(then)
            peers[name] = peer
        assert_served(server)
        answers = {name: peer.read_pdu() for name, peer in peers.items()}
        for peer in peers.values():
            peer.read_end()
        until(lambda: server.associations == 0)
    assert answers.pop("released") == RELEASE_RP
    nothing = {"connected", "50 bytes of a request", "rejected", "aborted"}
    assert {name for name, answer in answers.items() if answer == b""} == nothing
    assert {answers[name] for name in answers.keys() - nothing} == {ABORT}
