"""dcmnet and pynetdicom, in this process, each in both directions."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from dcmnet.registry.transfer_syntaxes import ALL
from dcmnet.ul.items import UserIdentityRQ
from tests.conformance.peers import HOST, Face, Folder, data_set_bytes, eventually, free_port

with warnings.catch_warnings():
    # It asks the old interfaces of what it depends on.
    warnings.simplefilter("ignore")
    import pynetdicom
    from pynetdicom import _config, evt
    from pynetdicom.dul import DULServiceProvider

TITLE = "PYNETDICOM"
VERIFICATION = "1.2.840.10008.1.1"
SECONDARY_CAPTURE_IMAGE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(slots=True)
class Scp:
    """A running SCP of pynetdicom: what it received, and what it answers."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)
    transfer_syntaxes: list[str] = field(default_factory=list)
    status: int = 0x0000
    abort: bool = False
    aborted: list[Any] = field(default_factory=list)

    def store(self, event: Any) -> int:
        """Handler of C-STORE."""
        if self.abort:
            event.assoc.abort()
        self.received.append(event.request.DataSet.getvalue())
        self.transfer_syntaxes.append(str(event.context.transfer_syntax))
        return self.status


@contextmanager
def pynetdicom_scp(*, storage: bool = True, handlers: Sequence[Any] = (), **settings: Any) -> Iterator[Scp]:
    """Start an SCP of pynetdicom; the settings are attributes of its application entity.

    Args:
        storage: Whether it takes images, in every transfer syntax.
        handlers: Handlers besides that of C-STORE.
        settings: Attributes of its application entity.
    """
    entity: Any = pynetdicom.AE(ae_title=TITLE)
    entity.add_supported_context(VERIFICATION)
    if storage:
        entity.add_supported_context(SECONDARY_CAPTURE_IMAGE, list(ALL))
    for name, value in settings.items():
        setattr(entity, name, value)
    scp = Scp()
    own = [(evt.EVT_C_STORE, scp.store), (evt.EVT_ABORTED, scp.aborted.append)]
    server = entity.start_server((HOST, 0), block=False, evt_handlers=[*own, *handlers])
    try:
        scp.port = server.socket.getsockname()[1]
        yield scp
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def pynetdicom_peer() -> Iterator[Scp]:
    """One SCP for the tests that need nothing special of it."""
    with pynetdicom_scp() as scp:
        yield scp


@contextmanager
def associated(port: int, *transfer_syntaxes: str, called: str = "DCMNET") -> Iterator[Any]:
    """An association that pynetdicom has requested, accepted or not.

    The answer is held back until the requestor waits for it: one thread of pynetdicom closes the socket when
    an A-ASSOCIATE-RJ comes, and if another one checks only then that it is connected, it reports an abort.
    """
    waiting = threading.Event()
    receive = DULServiceProvider.receive_pdu

    def receive_pdu(provider: Any, wait: bool = False, timeout: float | None = None) -> Any:
        if wait:
            waiting.set()
        return receive(provider, wait, timeout)

    def hold(event: Any) -> None:
        assert waiting.wait(30)

    entity: Any = pynetdicom.AE(ae_title=TITLE)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.add_requested_context(VERIFICATION)
    entity.add_requested_context(SECONDARY_CAPTURE_IMAGE, list(transfer_syntaxes) or None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DULServiceProvider, "receive_pdu", receive_pdu)
        association = entity.associate(HOST, port, ae_title=called, evt_handlers=[(evt.EVT_PDU_RECV, hold)])
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


# ---------------------------------------------------------------------- dcmnet sends


def test_echo(face: Face, pynetdicom_peer: Scp) -> None:
    assert face.echo(pynetdicom_peer.port, called=TITLE) == 0x0000


def test_send(face: Face, pynetdicom_peer: Scp, objects: dict[str, Path], encoding: str) -> None:
    path = objects[encoding]
    pynetdicom_peer.received.clear()
    pynetdicom_peer.transfer_syntaxes.clear()
    assert face.send(pynetdicom_peer.port, path).ok
    assert pynetdicom_peer.received == [data_set_bytes(path.read_bytes())]
    assert pynetdicom_peer.transfer_syntaxes == [pydicom.dcmread(path).file_meta.TransferSyntaxUID]


def test_send_large(face: Face, pynetdicom_peer: Scp, large: Path) -> None:
    pynetdicom_peer.received.clear()
    assert face.send(pynetdicom_peer.port, large).ok
    assert pynetdicom_peer.received == [data_set_bytes(large.read_bytes())]


@pytest.mark.parametrize("maximum_pdu_size", [256, 0])
def test_send_to_extreme_pdu_sizes(face: Face, objects: dict[str, Path], maximum_pdu_size: int) -> None:
    """Small PDUs, and 0: no limit (PS3.8 D.1)."""
    path = objects["explicit_little"]
    with pynetdicom_scp(maximum_pdu_size=maximum_pdu_size) as scp:
        assert face.send(scp.port, path).ok
    assert scp.received == [data_set_bytes(path.read_bytes())]


@pytest.mark.parametrize(
    ("status", "kept", "text"),
    [
        (0xA700, False, "0xA700 (refused: out of resources)"),
        (0xB000, True, "0xB000 (coercion of data elements)"),
        (0xC123, False, "0xC123 (error: cannot understand)"),
        (0x0117, False, "0x0117 (invalid SOP instance)"),
    ],
)
def test_status_for_dcmnet(face: Face, objects: dict[str, Path], status: int, kept: bool, text: str) -> None:
    with pynetdicom_scp() as scp:
        scp.status = status
        report = face.send(scp.port, objects["rle"])
    assert report.statuses == {status: 1}
    assert report.ok is kept
    assert report.results[0].describe().lower() == text.lower()


def test_rejected(face: Face, objects: dict[str, Path]) -> None:
    with (
        pynetdicom_scp(require_called_aet=True) as scp,
        pytest.raises(dcmnet.AssociationRejected) as caught,
    ):
        face.send(scp.port, objects["rle"], called="SOMEBODY")
    assert str(caught.value) == (
        "association rejected: rejected-permanent, service-user, called-AE-title-not-recognized"
    )


def test_rejected_for_the_time_being(face: Face) -> None:
    with pynetdicom_scp(maximum_associations=1) as scp, associated(scp.port):
        with pytest.raises(dcmnet.AssociationRejected) as caught:
            face.echo(scp.port)
    error = caught.value
    assert (error.result, error.source, error.reason) == (2, 3, 2)
    assert str(error) == (
        "association rejected: rejected-transient, "
        "service-provider (Presentation related function), local-limit-exceeded"
    )


def test_aborted(face: Face, objects: dict[str, Path]) -> None:
    with pynetdicom_scp() as scp:
        scp.abort = True
        report = face.send(scp.port, objects["rle"])
    (result,) = report.results
    assert isinstance(result.error, dcmnet.AssociationAborted)
    assert result.describe() == "association aborted by the peer: service-user"


@pytest.mark.parametrize("known", [True, False])
def test_user_identity(face: Face, known: bool) -> None:
    """PS3.7 D.3.3.7: a user name and a passcode, to which pynetdicom says yes or no."""
    seen: list[Any] = []

    def identify(event: Any) -> tuple[bool, bytes | None]:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field))
        return known, None

    identity = UserIdentityRQ(
        identity_type=2,
        primary_field=b"somebody",
        secondary_field=b"secret",
        positive_response_requested=True,
    )
    expected = contextlib.nullcontext() if known else pytest.raises(dcmnet.AssociationRejected)
    with pynetdicom_scp(handlers=[(evt.EVT_USER_ID, identify)]) as scp, expected:
        assert face.echo(scp.port, user_identity=identity) == 0x0000
    assert seen == [(2, b"somebody", b"secret")]


def test_no_context(face: Face, objects: dict[str, Path]) -> None:
    with pynetdicom_scp(storage=False) as scp:
        report = face.send(scp.port, objects["rle"])
    (result,) = report.results
    assert isinstance(result.error, dcmnet.NoPresentationContext)
    assert "abstract-syntax-not-supported" in str(result.error)


# ---------------------------------------------------------------------- dcmnet receives


@pytest.fixture(scope="module")
def scp(face: Face, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Folder]]:
    """A Storage SCP of dcmnet."""
    folder = tmp_path_factory.mktemp("dcmnet")
    with face.storage_scp(folder) as server:
        yield server, Folder(folder)


def test_echo_from(scp: tuple[Any, Folder]) -> None:
    with associated(scp[0].port) as association:
        assert association.is_established
        assert [association.send_c_echo().Status for _ in range(3)] == [0x0000] * 3


def test_receive(scp: tuple[Any, Folder], objects: dict[str, Path], encoding: str) -> None:
    """From a file, which pynetdicom then sends as it is, in pieces."""
    path = objects[encoding]
    transfer_syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    with (
        pytest.MonkeyPatch.context() as patched,
        associated(scp[0].port, transfer_syntax) as association,
    ):
        patched.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
        assert association.send_c_store(path).Status == 0x0000
    assert data_set_bytes(scp[1].take_one()) == data_set_bytes(path.read_bytes())


def test_receive_large(scp: tuple[Any, Folder], large: Path) -> None:
    with associated(scp[0].port, "1.2.840.10008.1.2.1") as association:
        assert association.send_c_store(pydicom.dcmread(large)).Status == 0x0000
    assert data_set_bytes(scp[1].take_one()) == data_set_bytes(large.read_bytes())


def test_receive_data_set(
    scp: tuple[Any, Folder], objects: dict[str, Path], encoding: str, tmp_path: Path
) -> None:
    """From a data set, which pynetdicom encodes.

    Compared as pydicom data sets: pynetdicom has pydicom encode it, with its own choices.
    """
    ds = pydicom.dcmread(objects[encoding])
    with associated(scp[0].port, ds.file_meta.TransferSyntaxUID) as association:
        assert association.send_c_store(ds).Status == 0x0000
    (tmp_path / "received.dcm").write_bytes(scp[1].take_one())
    assert pydicom.dcmread(tmp_path / "received.dcm") == pydicom.dcmread(objects[encoding])


@pytest.mark.parametrize("status", [0xA700, 0xB000, 0xC123])
def test_status_for_pynetdicom(face: Face, objects: dict[str, Path], tmp_path: Path, status: int) -> None:
    server = face.api.Server(spool=tmp_path)
    server.on_store(lambda _: status)
    ds = pydicom.dcmread(objects["explicit_little"])
    with (
        face.serving(server),
        associated(server.port, ds.file_meta.TransferSyntaxUID) as association,
    ):
        answer = association.send_c_store(ds)
    assert answer.Status == status
    assert list(tmp_path.iterdir()) == []


def test_reject(face: Face) -> None:
    with (
        face.serving(face.api.Server("RIGHT", require_called_ae_title=True)) as server,
        associated(server.port, called="WRONG") as association,
    ):
        assert association.is_rejected
        answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)
    assert answer.reason_str == "Called AE title not recognised"


@pytest.mark.parametrize(
    ("supported", "said"),
    [
        (VERIFICATION, "Abstract Syntax Not Supported"),
        (SECONDARY_CAPTURE_IMAGE, "Transfer Syntax(es) Not Supported"),
    ],
)
def test_context_refused(face: Face, supported: str, said: str) -> None:
    """The peer proposes Verification, and images in a transfer syntax that is not supported."""
    syntaxes = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
    contexts = [
        dcmnet.SupportedContext(abstract_syntax=uid, transfer_syntaxes=syntaxes)
        for uid in dict.fromkeys((VERIFICATION, supported))
    ]
    with (
        face.serving(face.api.Server(contexts=contexts)) as server,
        associated(server.port, "1.2.840.10008.1.2.5") as association,
    ):
        assert association.is_established
        assert [context.abstract_syntax for context in association.accepted_contexts] == [VERIFICATION]
        refused = {str(context.abstract_syntax): context.status for context in association.rejected_contexts}
    assert refused == {SECONDARY_CAPTURE_IMAGE: said}


def test_abort_by_pynetdicom(face: Face) -> None:
    ended: list[BaseException | None] = []
    server = face.api.Server()
    server.on_ended(lambda _, error: ended.append(error))
    with face.serving(server):
        with associated(server.port) as association:
            association.abort()
        eventually(lambda: len(ended) == 1, "end of the association")
    assert isinstance(ended[0], dcmnet.AssociationAborted)
    assert str(ended[0]) == "association aborted by the peer: service-user"


def test_abort_by_dcmnet(face: Face) -> None:
    with pynetdicom_scp() as scp:
        association = face.run(face.api.connect(HOST, scp.port))
        face.run(association.abort())
        eventually(lambda: len(scp.aborted) == 1, "abort at pynetdicom's side")
    assert not association.is_established


# ---------------------------------------------------------------------- queries and retrievals

SAMPLE = Path(dcmnet.__file__).parent / "sample"
CT_FILES = (SAMPLE / "ct-1.dcm", SAMPLE / "ct-2.dcm")
QUERY = {"QueryRetrieveLevel": "STUDY", "PatientName": ""}


def query_data_set() -> Any:
    data_set = pydicom.Dataset()
    data_set.QueryRetrieveLevel, data_set.PatientName = "STUDY", ""
    return data_set


@contextmanager
def pynetdicom_archive(destination: int = 0) -> Iterator[int]:
    """An SCP of pynetdicom that finds two studies and has two objects; its port."""

    def find(event: Any) -> Iterator[Any]:
        for name in ("A^B", "C^D"):
            match = pydicom.Dataset()
            match.QueryRetrieveLevel, match.PatientName = "STUDY", name
            yield 0xFF00, match
            if event.is_cancelled:
                yield 0xFE00, None
                return

    def get(event: Any) -> Iterator[Any]:
        yield len(CT_FILES)
        for path in CT_FILES:
            yield 0xFF00, pydicom.dcmread(path)

    def move(event: Any) -> Iterator[Any]:
        yield HOST, destination
        yield from get(event)

    entity: Any = pynetdicom.AE(ae_title=TITLE)
    for uid in (*dcmnet.STUDY_ROOT[1:], *dcmnet.MODALITY_WORKLIST[1:2]):
        entity.add_supported_context(uid)
    ct_class = str(pydicom.dcmread(CT_FILES[0]).SOPClassUID)
    entity.add_supported_context(ct_class, scu_role=True, scp_role=True)
    entity.add_requested_context(ct_class)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move)]
    server = entity.start_server((HOST, 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


@pytest.mark.parametrize("model", [dcmnet.STUDY_ROOT, dcmnet.MODALITY_WORKLIST])
def test_find(face: Face, model: Any) -> None:
    with pynetdicom_archive() as port:
        found = face.run(face.api.find(HOST, port, QUERY, model=model))
    assert found.raise_for_status().status == 0
    assert [str(match.identifier.PatientName) for match in found.matches] == ["A^B", "C^D"]


def test_get(face: Face, tmp_path: Path) -> None:
    with pynetdicom_archive() as port:
        result = face.run(face.api.get(HOST, port, QUERY, tmp_path))
    assert (result.raise_for_status().status, result.progress.completed) == (0, 2)
    uids = {str(pydicom.dcmread(path).SOPInstanceUID) for path in result.files}
    assert uids == {str(pydicom.dcmread(path).SOPInstanceUID) for path in CT_FILES}


def test_move(face: Face, tmp_path: Path) -> None:
    listen_port = free_port()
    with pynetdicom_archive(listen_port) as port:
        result = face.run(face.api.move(HOST, port, QUERY, "HERE", store=tmp_path, listen_port=listen_port))
    assert (result.raise_for_status().status, len(result.files)) == (0, 2)


@pytest.fixture
def archive(face: Face) -> Iterator[tuple[int, int]]:
    """The port of a server of ours with two objects, and where it sends to for a C-MOVE to HERE."""
    server, destination = face.api.Server("ARCHIVE"), free_port()

    def find(request: Any) -> Iterator[Any]:
        for path in CT_FILES:
            yield {"PatientName": pydicom.dcmread(path).PatientName, "QueryRetrieveLevel": request.level}

    server.on_find()(find)
    server.on_get()(lambda request: CT_FILES)
    server.on_move()(lambda request: CT_FILES)
    server.destinations = {"HERE": (HOST, destination)}
    with face.serving(server):
        yield server.port, destination


def test_find_by_pynetdicom(archive: tuple[int, int]) -> None:
    entity: Any = pynetdicom.AE()
    entity.add_requested_context(dcmnet.STUDY_ROOT.find)
    association = entity.associate(HOST, archive[0])
    answers = list(association.send_c_find(query_data_set(), dcmnet.STUDY_ROOT.find))
    association.release()
    assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0x0000]
    assert answers[0][1].PatientName == pydicom.dcmread(CT_FILES[0]).PatientName


def test_get_by_pynetdicom(archive: tuple[int, int]) -> None:
    received: list[Any] = []
    ct_class = str(pydicom.dcmread(CT_FILES[0]).SOPClassUID)
    entity: Any = pynetdicom.AE()
    entity.add_requested_context(dcmnet.STUDY_ROOT.get)
    entity.add_requested_context(ct_class)
    roles = [pynetdicom.build_role(ct_class, scp_role=True)]

    def store(event: Any) -> int:
        received.append(event.dataset.SOPInstanceUID)
        return 0

    handlers = [(evt.EVT_C_STORE, store)]
    association = entity.associate(HOST, archive[0], ext_neg=roles, evt_handlers=handlers)
    *_, (status, _) = association.send_c_get(query_data_set(), dcmnet.STUDY_ROOT.get)
    association.release()
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0, 2)
    assert received == [pydicom.dcmread(path).SOPInstanceUID for path in CT_FILES]


def test_move_by_pynetdicom(archive: tuple[int, int], tmp_path: Path) -> None:
    entity: Any = pynetdicom.AE()
    entity.add_requested_context(dcmnet.STUDY_ROOT.move)
    with dcmnet.StorageSCP(tmp_path, "HERE").start(archive[1]):
        association = entity.associate(HOST, archive[0])
        *_, (status, _) = association.send_c_move(query_data_set(), "HERE", dcmnet.STUDY_ROOT.move)
        *_, (unknown, _) = association.send_c_move(query_data_set(), "NOWHERE", dcmnet.STUDY_ROOT.move)
        association.release()
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0, 2)
    assert unknown.Status == 0xA801
    assert len(list(tmp_path.iterdir())) == 2
