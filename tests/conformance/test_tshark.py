"""Wireshark's dissector reads our PDUs: every type is seen, and nothing is malformed.

The bytes are recorded on their way between real sockets and written as a pcap file, so that no privilege to
capture is needed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

import dcmnet
from dcmnet.ul.items import UserIdentityRQ
from tests.conformance.peers import RUN_SECONDS, Face, program, run
from tests.conformance.recording import Conversation, relay, write_pcap

PORT = 11112
HEX = 16

# What Wireshark can follow. Of other encodings it loses track: the command that comes after such a data set
# on its context is dissected together with it. It does so when DCMTK talks to DCMTK as well (tshark 4.0.17).
READABLE = ("explicit_little", "implicit_little", "explicit_big")

# It warns of every A-ASSOCIATE-RJ and A-ABORT, whatever is in it.
WARNINGS_BY_DESIGN = ("Association rejected", "Association aborted")

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)


def dissect(path: Path, *fields: str, only: str = "dicom") -> list[list[str]]:
    """What tshark makes of the fields of each packet that the display filter `only` lets through."""
    command = [program("tshark"), "-n", "-r", str(path), "-d", f"tcp.port=={PORT},dicom"]
    command += ["-Y", only, "-T", "fields", *(part for name in fields for part in ("-e", name))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def check_sound(path: Path, conversations: Iterable[Conversation]) -> None:
    """Nothing malformed, no warning, and as many bytes of PDUs dissected as were sent."""
    complaints = dissect(
        path,
        "_ws.expert.message",
        only="_ws.malformed or _ws.expert.severity == Error or _ws.expert.severity == Warning",
    )
    assert [text for (text,) in complaints if text not in WARNINGS_BY_DESIGN] == []
    lengths = [int(each) for (text,) in dissect(path, "dicom.pdu.len") for each in text.split(",")]
    sent = sum(len(data) for each in conversations for _, data in each.pieces)
    assert sum(lengths) + 6 * len(lengths) == sent


def pdu_types(path: Path) -> list[int]:
    """The type of each PDU, in order."""
    return [int(each, HEX) for (text,) in dissect(path, "dicom.pdu.type") for each in text.split(",")]


@pytest.fixture
def pcap(face: Face, objects: dict[str, Path], tmp_path: Path) -> Path:
    """Four conversations of dcmnet with itself: C-STORE, C-ECHO, a rejection and an abort."""
    sources = [objects[name] for name in READABLE]
    identity = UserIdentityRQ(identity_type=2, primary_field=b"user", secondary_field=b"secret")
    server = face.api.StorageSCP(tmp_path, "RIGHT", require_called_ae_title=True)
    with face.serving(server), relay(server.port) as recorded:
        report = face.send(recorded.port, sources, called="RIGHT", max_send_pdu_length=4096)
        assert report.ok
        assert face.echo(recorded.port, called="RIGHT", user_identity=identity) == 0x0000
        with pytest.raises(dcmnet.AssociationRejected):
            face.echo(recorded.port, called="WRONG")
        association = face.run(face.api.connect("127.0.0.1", recorded.port, called="RIGHT"))
        face.run(association.abort())
        conversations = recorded.heard()
        assert len(conversations) == 4
    write_pcap(tmp_path / "recorded.pcap", conversations, PORT)
    check_sound(tmp_path / "recorded.pcap", conversations)
    return tmp_path / "recorded.pcap"


def test_every_pdu_type(pcap: Path) -> None:
    types = pdu_types(pcap)
    assert set(types) == {
        ASSOCIATE_RQ,
        ASSOCIATE_AC,
        ASSOCIATE_RJ,
        P_DATA_TF,
        RELEASE_RQ,
        RELEASE_RP,
        ABORT,
    }
    assert [types.count(each) for each in (ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ)] == [4, 3, 1]
    assert [types.count(each) for each in (RELEASE_RQ, RELEASE_RP, ABORT)] == [2, 2, 1]


def test_association_as_wireshark_sees_it(pcap: Path) -> None:
    titles = dissect(
        pcap, "dicom.assoc.ae.calling", "dicom.assoc.ae.called", only=f"dicom.pdu.type == {ASSOCIATE_RQ}"
    )
    assert [[title.strip() for title in row] for row in titles] == [
        ["DCMNET", "RIGHT"],
        ["DCMNET", "RIGHT"],
        ["DCMNET", "WRONG"],
        ["DCMNET", "RIGHT"],
    ]
    rejection = [f"dicom.assoc.reject.{name}" for name in ("result", "source", "reason")]
    (found,) = dissect(pcap, *rejection, only=f"dicom.pdu.type == {ASSOCIATE_RJ}")
    assert [int(number, 0) for number in found] == [1, 1, 7]
    abort = [f"dicom.assoc.abort.{name}" for name in ("source", "reason")]
    (found,) = dissect(pcap, *abort, only=f"dicom.pdu.type == {ABORT}")
    assert [int(number, 0) for number in found] == [0, 0]
    users = dissect(
        pcap,
        "dicom.userinfo.user_identify.primary_field",
        "dicom.userinfo.user_identify.secondary_field",
        only="dicom.userinfo.user_identify",
    )
    assert users == [["user", "secret"]]


def test_messages_as_wireshark_sees_them(pcap: Path) -> None:
    commands = " ".join(info for (info,) in dissect(pcap, "_ws.col.Info", only="dicom.pdv.len"))
    assert commands.count("C-STORE-RQ") == commands.count("C-STORE-RSP") == len(READABLE)
    assert commands.count("C-ECHO-RQ") == commands.count("C-ECHO-RSP") == 1
    assert {
        int(each, 0) for (text,) in dissect(pcap, "dicom.pdv.flags") for each in text.split(",") if each
    } == {
        0b00,  # data, more to come
        0b10,  # data, the last of it
        0b11,  # command, the last of it
    }


def test_conversation_with_dcmtk(face: Face, objects: dict[str, Path], tmp_path: Path) -> None:
    """Our half of a conversation with another implementation, and theirs, read by a third one."""
    with face.storage_scp(tmp_path / "in") as server, relay(server.port) as recorded:
        run("storescu", "-R", "-xe", "127.0.0.1", str(recorded.port), objects["explicit_little"])
        conversations = recorded.heard()
    write_pcap(tmp_path / "recorded.pcap", conversations, PORT)
    check_sound(tmp_path / "recorded.pcap", conversations)
    types = pdu_types(tmp_path / "recorded.pcap")
    assert types[:2] == [ASSOCIATE_RQ, ASSOCIATE_AC]
    assert set(types[2:-2]) == {P_DATA_TF}
    assert types[-2:] == [RELEASE_RQ, RELEASE_RP]


def test_that_a_malformed_pdu_would_be_noticed(face: Face, tmp_path: Path) -> None:
    """The test of the tests: one wrong length, and tshark complains."""
    with face.serving(face.api.Server()) as server, relay(server.port) as recorded:
        face.echo(recorded.port)
        (conversation,) = recorded.heard()
    sent, request = conversation.pieces[0]
    assert request[:1] == b"\x01"
    # The length of the application context item, which follows the fixed part of 74 bytes (PS3.8 9.3.2).
    conversation.pieces[0] = (sent, request[:76] + b"\x7f\x15" + request[78:])
    write_pcap(tmp_path / "broken.pcap", [conversation], PORT)
    with pytest.raises(AssertionError, match="Malformed Packet"):
        check_sound(tmp_path / "broken.pcap", [conversation])
