"""dcmnet and DCMTK's echoscu, storescu, storescp, dcmsend and dcmrecv, each in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import UID

import dcmnet
from dcmnet.registry.sop_classes import STORAGE
from tests.conformance.peers import (
    HOST,
    Face,
    Folder,
    Process,
    data_set_bytes,
    encoded_by_dcmtk,
    eventually,
    listening,
    run,
)
from tests.conformance.recording import relay

# What makes storescu propose the transfer syntax of an object first.
STORESCU_PROPOSALS = {
    "explicit_little": "-xe",
    "implicit_little": "-xi",
    "explicit_big": "-xb",
    "deflated": "-xd",
    "rle": "-xr",
    "jpeg_baseline": "-xy",
    "jpeg_2000_lossless": "-xv",
}

# An association negotiation profile for dcmrecv, which accepts but the three uncompressed transfer syntaxes
# without one.
PROFILE = r"""
[[TransferSyntaxes]]
[Every]
TransferSyntax1 = DeflatedLittleEndianExplicit
TransferSyntax2 = RLELossless
TransferSyntax3 = JPEGBaseline
TransferSyntax4 = JPEG2000LosslessOnly
TransferSyntax5 = BigEndianExplicit
TransferSyntax6 = LittleEndianExplicit
TransferSyntax7 = LittleEndianImplicit

[[PresentationContexts]]
[Test]
PresentationContext1 = VerificationSOPClass\Every
PresentationContext2 = SecondaryCaptureImageStorage\Every

[[Profiles]]
[Test]
PresentationContexts = Test
"""


@pytest.fixture(scope="module")
def storescp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Folder]]:
    """A storescp that takes everything and writes exactly what arrives (+B)."""
    folder = tmp_path_factory.mktemp("storescp")
    log = tmp_path_factory.mktemp("log") / "storescp.log"
    command = ("storescp", "-v", "-pm", "+xa", "+B", "-dhl", "-od", folder)
    with listening(lambda port: (*command, str(port)), log) as process:
        yield process, Folder(folder)


@pytest.fixture(scope="module")
def dcmrecv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Folder]]:
    """A dcmrecv that takes every encoding and writes exactly what arrives (+B)."""
    folder, rest = tmp_path_factory.mktemp("dcmrecv"), tmp_path_factory.mktemp("log")
    profile = rest / "profile.cfg"
    profile.write_text(PROFILE, "ascii")
    command = ("dcmrecv", "-v", "-xf", profile, "Test", "+B", "-dhl", "-od", folder)
    with listening(lambda port: (*command, str(port)), rest / "dcmrecv.log") as process:
        yield process, Folder(folder)


def transfer_syntax_of(content: bytes, folder: Path) -> str:
    """What the File Meta Information of a file says, as pydicom reads it."""
    (folder / "received.dcm").write_bytes(content)
    return str(pydicom.dcmread(folder / "received.dcm", stop_before_pixels=True).file_meta.TransferSyntaxUID)


# ---------------------------------------------------------------------- dcmnet sends


def test_echo_to_storescp(face: Face, storescp: tuple[Process, Folder]) -> None:
    assert face.echo(storescp[0].port) == 0x0000


def test_echo_to_dcmrecv(face: Face, dcmrecv: tuple[Process, Folder]) -> None:
    assert face.echo(dcmrecv[0].port) == 0x0000


def test_send_to_storescp(
    face: Face, storescp: tuple[Process, Folder], objects: dict[str, Path], encoding: str
) -> None:
    check_send(face, *storescp, objects[encoding])


def test_send_to_dcmrecv(
    face: Face, dcmrecv: tuple[Process, Folder], objects: dict[str, Path], encoding: str
) -> None:
    check_send(face, *dcmrecv, objects[encoding])


def check_send(face: Face, peer: Process, folder: Folder, path: Path) -> None:
    report = face.send(peer.port, path)
    assert report.ok, [result.describe() for result in report.results]
    assert data_set_bytes(folder.take_one()) == data_set_bytes(path.read_bytes())


def test_send_small_pdus(face: Face, storescp: tuple[Process, Folder], objects: dict[str, Path]) -> None:
    path = objects["explicit_little"]
    assert face.send(storescp[0].port, path, max_send_pdu_length=512).ok
    assert data_set_bytes(storescp[1].take_one()) == data_set_bytes(path.read_bytes())


def test_send_large(face: Face, storescp: tuple[Process, Folder], large: Path) -> None:
    check_send(face, *storescp, large)


def test_send_everything_on_one_association(
    face: Face, storescp: tuple[Process, Folder], objects: dict[str, Path]
) -> None:
    report = face.send(storescp[0].port, list(objects.values()))
    assert report.ok
    assert report.associations == 1
    received = {data_set_bytes(content) for content in storescp[1].take(len(objects))}
    assert received == {data_set_bytes(path.read_bytes()) for path in objects.values()}


@pytest.fixture(scope="session")
def many_classes(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with objects of 140 storage classes; each class needs a context of its own at least.

    Only classes that storescp accepts: it knows procedure protocols and does not count them as storage.
    Without a sequence of undefined length DCMTK's encoding of them is the one they have (`encoded_by_dcmtk`).
    """
    folder = tmp_path_factory.mktemp("classes")
    ds = pydicom.dcmread(objects["explicit_little"])
    del ds.PixelData, ds.SourceImageSequence
    classes = [uid for uid in sorted(STORAGE) if not uid.startswith("1.2.840.10008.5.1.4.1.1.200.")]
    for number, sop_class in enumerate(classes[:140]):
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{1000 + number}")
        ds.save_as(folder / f"{number:03}.dcm")
    return folder


def test_send_more_than_128_contexts(
    face: Face, storescp: tuple[Process, Folder], many_classes: Path
) -> None:
    report = face.send(storescp[0].port, many_classes, proposal=dcmnet.Proposal(combine=True))
    assert [result.describe() for result in report.results if not result.ok] == []
    assert report.associations == 2
    assert {result.association for result in report.results} == {1, 2}
    received = {data_set_bytes(content) for content in storescp[1].take(140)}
    assert received == {data_set_bytes(path.read_bytes()) for path in many_classes.iterdir()}


def test_refused_by_storescp(face: Face, tmp_path: Path, objects: dict[str, Path]) -> None:
    command = ("storescp", "--refuse", "-dhl", "-od", tmp_path)
    with (
        listening(lambda port: (*command, str(port)), tmp_path / "log") as peer,
        pytest.raises(dcmnet.AssociationRejected) as caught,
    ):
        face.send(peer.port, objects["rle"])
    assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 1)
    assert str(caught.value) == ("association rejected: rejected-permanent, service-user, no-reason-given")


@pytest.mark.parametrize("when", ["--abort-after", "--abort-during"])
def test_aborted_by_storescp(face: Face, tmp_path: Path, objects: dict[str, Path], when: str) -> None:
    command = ("storescp", "-d", when, "-dhl", "+xa", "-od", tmp_path)
    sources = [objects["explicit_little"], objects["rle"]]
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        report = face.send(peer.port, sources)
    assert report.stored == 0
    assert len(report.results) == len(sources)
    for result in report.results:
        assert isinstance(result.error, dcmnet.AssociationAborted)
        assert result.describe() == "association aborted by the peer: service-user"


def test_connection_to_storescp_breaks(
    face: Face, storescp: tuple[Process, Folder], large: Path, objects: dict[str, Path]
) -> None:
    with relay(storescp[0].port, cut_after=8 << 20) as between:
        report = face.send(between.port, [objects["explicit_little"], large])
    small, broken = report.results
    assert small.status == 0x0000
    assert isinstance(broken.error, dcmnet.TransportClosed)
    assert face.echo(storescp[0].port) == 0x0000  # storescp has noticed, and is done with what it had of it
    data_set = data_set_bytes(objects["explicit_little"].read_bytes())
    assert data_set in [data_set_bytes(content) for content in storescp[1].take_any()]


def test_status_of_storescp(face: Face, tmp_path: Path, objects: dict[str, Path]) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    command = ("storescp", "+B", "-dhl", "-od", folder)
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        folder.rmdir()
        report = face.send(peer.port, objects["explicit_little"])
    assert [result.status for result in report.results] == [0xA700]
    assert "A700" in report.results[0].describe()


def test_conversion_for_storescp(face: Face, tmp_path: Path, objects: dict[str, Path]) -> None:
    """An SCP that takes Implicit VR Little Endian alone (+xi) gets uncompressed objects converted."""
    (tmp_path / "in").mkdir()
    command = ("storescp", "+xi", "+B", "-dhl", "-od", tmp_path / "in")
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        report = face.send(peer.port, [objects["explicit_big"], objects["jpeg_baseline"]])
    converted, refused = report.results
    assert converted.status == 0x0000
    assert isinstance(refused.error, dcmnet.NoPresentationContext)
    (received,) = (tmp_path / "in").iterdir()
    sent, arrived = pydicom.dcmread(objects["explicit_big"]), pydicom.dcmread(received)
    assert arrived.file_meta.TransferSyntaxUID == UID("1.2.840.10008.1.2")
    words = sent.PixelData
    assert arrived.PixelData == b"".join(
        words[i + 1 : i + 2] + words[i : i + 1] for i in range(0, len(words), 2)
    )
    del sent.PixelData, arrived.PixelData
    # As data sets, because their bytes are others by design.
    assert arrived == sent


# ---------------------------------------------------------------------- dcmnet receives


@pytest.fixture(scope="module")
def scp(face: Face, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Folder]]:
    """A Storage SCP of dcmnet."""
    folder = tmp_path_factory.mktemp("dcmnet")
    with face.storage_scp(folder, ae_title="DCMNET", max_pdu_length=16384) as server:
        yield server, Folder(folder)


def test_echo_from_echoscu(scp: tuple[Any, Folder]) -> None:
    said = run("echoscu", "-v", "--repeat", "3", HOST, str(scp[0].port))
    assert said.count("Received Echo Response (Success)") == 3


def test_receive_from_storescu(
    scp: tuple[Any, Folder], objects: dict[str, Path], encoding: str, tmp_path: Path
) -> None:
    path = objects[encoding]
    run("storescu", "-R", STORESCU_PROPOSALS[encoding], HOST, str(scp[0].port), path)
    received = scp[1].take_one()
    transfer_syntax = transfer_syntax_of(received, tmp_path)
    assert transfer_syntax == pydicom.dcmread(path).file_meta.TransferSyntaxUID
    assert data_set_bytes(received) == encoded_by_dcmtk(path, transfer_syntax, tmp_path)


def test_receive_from_dcmsend(
    scp: tuple[Any, Folder], objects: dict[str, Path], encoding: str, tmp_path: Path
) -> None:
    path = objects[encoding]
    run("dcmsend", "--decompress-never", HOST, str(scp[0].port), path)
    received = scp[1].take_one()
    transfer_syntax = transfer_syntax_of(received, tmp_path)
    assert data_set_bytes(received) == encoded_by_dcmtk(path, transfer_syntax, tmp_path)


@pytest.mark.parametrize("options", [("-pdu", "4096"), ("-pdu", "131072", "--max-send-pdu", "4096")])
def test_receive_large(scp: tuple[Any, Folder], large: Path, options: tuple[str, ...]) -> None:
    run("storescu", "-R", "-xe", *options, HOST, str(scp[0].port), large)
    assert data_set_bytes(scp[1].take_one()) == data_set_bytes(large.read_bytes())


def test_receive_more_than_128_contexts(face: Face, many_classes: Path, tmp_path: Path) -> None:
    """dcmsend splits 140 classes over several associations; each is ours to accept."""
    established: list[Any] = []
    server = face.api.StorageSCP(tmp_path)
    server.node.hooks.accepted = established.append
    with face.serving(server):
        run("dcmsend", "+sd", "-nuc", HOST, str(server.port), many_classes)
    assert len(established) >= 2
    received = {data_set_bytes(path.read_bytes()) for path in tmp_path.iterdir()}
    assert received == {data_set_bytes(path.read_bytes()) for path in many_classes.iterdir()}


def test_receive_with_default_proposal_of_storescu(scp: tuple[Any, Folder], objects: dict[str, Path]) -> None:
    """Without -R storescu proposes two contexts for each of 64 classes: 128."""
    run("storescu", HOST, str(scp[0].port), objects["explicit_little"])
    scp[1].take_one()


def test_reject_storescu(face: Face, tmp_path: Path, objects: dict[str, Path]) -> None:
    server = face.api.StorageSCP(tmp_path, "RIGHT", require_called_ae_title=True)
    with face.serving(server):
        said = run(
            "storescu", "-aec", "WRONG", HOST, str(server.port), objects["explicit_little"], expect=None
        )
    assert "Result: Rejected Permanent, Source: Service User" in said
    assert "Reason: Called AE Title Not Recognized" in said
    assert list(tmp_path.iterdir()) == []


def test_reject_caller(face: Face) -> None:
    with face.serving(face.api.Server(calling_ae_titles=["FRIEND"])) as server:
        said = run("echoscu", "-aet", "STRANGER", HOST, str(server.port), expect=None)
        run("echoscu", "-aet", "FRIEND", HOST, str(server.port))
    assert "Reason: Calling AE Title Not Recognized" in said


def test_connection_of_storescu_breaks(
    face: Face, large: Path, objects: dict[str, Path], tmp_path: Path
) -> None:
    """What was complete is there; of what was not, nothing is left."""
    ended: list[BaseException | None] = []
    server = face.api.StorageSCP(tmp_path)
    server.on_ended(lambda _, error: ended.append(error))
    with face.serving(server), relay(server.port, cut_after=8 << 20) as between:
        run("storescu", "-R", "-xe", HOST, str(between.port), objects["explicit_little"], large, expect=None)
        eventually(lambda: len(ended) == 1, "end of the association")
    assert isinstance(ended[0], dcmnet.TransportClosed)
    assert len(list(tmp_path.iterdir())) == 1


def test_too_many_associations(face: Face) -> None:
    server = face.api.Server()
    server.node.max_associations = 1
    with face.serving(server):
        association = face.run(face.api.connect(HOST, server.port))
        said = run("echoscu", HOST, str(server.port), expect=None)
        face.run(association.release())
    assert "Result: Rejected Transient, Source: Service Provider (Presentation Related)" in said
    assert "Reason: Local Limit Exceeded" in said


def test_user_identity_of_storescu(face: Face, tmp_path: Path, objects: dict[str, Path]) -> None:
    """PS3.7 D.3.3.7: storescu asks for a positive response and gives up without one."""
    seen: list[Any] = []
    server = face.api.StorageSCP(tmp_path)

    @server.on_association  # type: ignore[untyped-decorator]
    def known(request: dcmnet.AssociationRequest) -> bytes:
        seen.append(request.user_identity)
        return b""

    identity = ("-usr", "somebody", "-pwd", "secret", "-rsp")
    with face.serving(server):
        run("storescu", *identity, HOST, str(server.port), objects["explicit_little"])
    (found,) = seen
    assert (found.identity_type, found.positive_response_requested) == (2, True)
    assert (found.primary_field, found.secondary_field) == (b"somebody", b"secret")


def test_abort_by_storescu(face: Face, tmp_path: Path, objects: dict[str, Path]) -> None:
    ended: list[BaseException | None] = []
    server = face.api.StorageSCP(tmp_path)
    server.on_ended(lambda _, error: ended.append(error))
    with face.serving(server):
        run("storescu", "--abort", HOST, str(server.port), objects["explicit_little"])
        eventually(lambda: len(ended) >= 1, "end of the association")
    (error,) = ended
    assert isinstance(error, dcmnet.AssociationAborted)
    assert str(error) == "association aborted by the peer: service-user"
    assert len(list(tmp_path.iterdir())) == 1  # it was answered for before the abort


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0xA700, "Refused: OutOfResources"),
        (0xA900, "Error: DataSetDoesNotMatchSOPClass"),
        (0xB000, "Warning: CoercionOfDataElements"),
        (0xC123, "Error: CannotUnderstand"),
    ],
)
def test_status_for_storescu(
    face: Face, tmp_path: Path, objects: dict[str, Path], status: int, said: str
) -> None:
    server = face.api.Server(spool=tmp_path)
    server.on_store(lambda _: status)
    with face.serving(server):
        # -nh: an object that is not stored is no failure of the program.
        heard = run("storescu", "-v", "-nh", HOST, str(server.port), objects["explicit_little"])
    assert f"Received Store Response ({said})" in heard
    assert list(tmp_path.iterdir()) == []
