"""The blocking face of an association."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from dcmnet._net.trace import log_trace
from dcmnet.acse import AcceptedContext, Negotiated, ProposedContext, RequestorPolicy, build_request
from dcmnet.dimse.messages import CEchoRSP, CStoreRSP, Priority
from dcmnet.errors import DcmnetError, LocalProtocolError
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Timeouts
from dcmnet.procedures import association as procedures
from dcmnet.procedures import scu
from dcmnet.procedures.association import AssociationCore, new_core, settle
from dcmnet.procedures.effects import Procedure
from dcmnet.procedures.ended import is_over
from dcmnet.procedures.leaving import leave
from dcmnet.registry.query_models import STUDY_ROOT, QueryModel
from dcmnet.services.defaults import check_connection, requestor_policy
from dcmnet.sync.driver import Driver
from dcmnet.ul.items import SOPClassExtendedNegotiation, UserIdentityRQ

if TYPE_CHECKING:
    from dcmnet.dataset.identifiers import Identifier
    from dcmnet.storage.invoking import Attribute, EventReport, OperationResult
    from dcmnet.storage.querying import Match, Progress, Store
    from dcmnet.sync.query_retrieve import Responses

if TYPE_CHECKING:
    from dcmnet.storage.sources import Source

if TYPE_CHECKING:
    from dcmnet.tls import TLS, TLSSession

T = TypeVar("T")


class Association:
    """An established association, as its requestor has it. Made by `connect`.

    Leaving a `with` block releases the association, or aborts it when an exception is on its way out. A peer
    that does not answer the release, aborts or closes instead has answered every operation by then: that is
    noted in `endings`, and raised only if `connect` was asked for a `strict_release`.

    One operation runs at a time; other threads wait for their turn, but for `abort`, which ends what is under
    way.
    """

    def __init__(self, driver: Driver, core: AssociationCore, *, strict_release: bool = False) -> None:
        self._driver = driver
        self._core = core
        self._strict_release = strict_release
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> Association:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._run(leave(self._core, strict=self._strict_release))
        else:
            self.abort()

    @property
    def negotiated(self) -> Negotiated:
        """What both sides agreed on: contexts, window, maximum lengths."""
        return self._core.agreed

    @property
    def accepted_contexts(self) -> tuple[AcceptedContext, ...]:
        """The accepted presentation contexts, in the order of proposal."""
        return tuple(self._core.agreed.contexts.values())

    @property
    def peer(self) -> str:
        """The peer's address, `host:port`."""
        return self._core.peer

    @property
    def tls(self) -> TLSSession | None:
        """What the TLS handshake agreed on, with the peer's certificate; None without TLS."""
        return self._core.tls

    @property
    def is_established(self) -> bool:
        """True until the association is released, aborted or lost, as far as has arrived here."""
        if self._lock.acquire(blocking=False):  # no operation is under way, which would notice
            try:
                self._driver.peek()
            finally:
                self._lock.release()
        return not is_over(self._core)

    @property
    def endings(self) -> tuple[DcmnetError, ...]:
        """What went wrong with the release at the end of a `with` block; () when nothing did."""
        return self._core.endings

    def echo(self) -> CEchoRSP:
        """C-ECHO (PS3.7 9.1.5): verify that the peer understands DICOM.

        Raises:
            NoPresentationContext: Verification was not accepted.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
        """
        return self._run(scu.echo(self._core))

    def store(self, source: Source, *, priority: Priority = Priority.MEDIUM, check: bool = True) -> CStoreRSP:
        """C-STORE (PS3.7 9.1.1) of one object.

        Args:
            source: A path, a binary file object or a pydicom data set.
            priority: Told to the peer.
            check: Whether a file must be whole and in the transfer syntax that it is labelled with.

        Raises:
            InputFileError: It cannot be sent: not DICOM, no UIDs, truncated, unreadable.
            NoPresentationContext: Its SOP class was not accepted in a transfer syntax that serves.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
        """
        from dcmnet.storage.scu import store_source  # files and formats, which most associations do without

        return self._run(store_source(self._core, source, priority, check=check))

    def find(
        self,
        identifier: Identifier,
        *,
        model: QueryModel | str = STUDY_ROOT,
        priority: Priority = Priority.MEDIUM,
        cancel_after: int | None = None,
    ) -> Responses[Match]:
        """C-FIND (PS3.4 C.4.1, K.4.1): query the peer.

        ```python
        for match in assoc.find({"QueryRetrieveLevel": "STUDY", "PatientName": "DOE*"}):
            print(match.identifier.PatientName)
        ```

        Args:
            identifier: What to look for: keywords and values, a pydicom data set, or bytes that are encoded
                as the accepted context demands.
            model: The information model, or the UID of a C-FIND SOP class.
            priority: Told to the peer.
            cancel_after: Matches after which C-CANCEL is sent; those that were under way by then still come.

        Returns:
            The matches, to be iterated over; the request is sent when the first is asked for. Leaving the
            loop early sends C-CANCEL. Afterwards `status`, `response` and `raise_for_status()` say how it
            ended: a failure status ends the loop as success does.

        Raises:
            ValueError: The model has no C-FIND.
            InputFileError: While iterating: the identifier cannot be encoded.
            NoPresentationContext: While iterating: the model was not accepted; see `query_contexts`.
            LocalProtocolError: While iterating: another query or retrieval is under way on the association.
            AssociationError: While iterating: the association ended.
            DeadlineExceeded: While iterating: the peer did not answer in time.
        """
        from dcmnet.storage.querying import find_inquiry
        from dcmnet.sync.query_retrieve import Responses

        return Responses(self, find_inquiry(self._core, identifier, model, priority, cancel_after))

    def get(
        self,
        identifier: Identifier,
        store: Store,
        *,
        model: QueryModel | str = STUDY_ROOT,
        priority: Priority = Priority.MEDIUM,
        cancel_after: int | None = None,
    ) -> Responses[Progress]:
        """C-GET (PS3.4 C.4.3): retrieve objects over this association.

        The association needs the contexts of `get_contexts`: the peer sends the objects as it sends any
        others, and they are received as a server receives them.

        Args:
            identifier: What to retrieve: the level and its unique keys.
            store: Folder for the objects, which must exist, or a `FileStore` with a handler, names and more.
            model: The information model, or the UID of a C-GET SOP class.
            priority: Told to the peer.
            cancel_after: Pending responses after which C-CANCEL is sent.

        Returns:
            The pending responses with their counts, to be iterated over; the request is sent when the first
            is asked for, and `wait()` takes them all. Afterwards `result` has the final counts and the
            objects that failed. Leaving the loop early sends C-CANCEL.

        Raises:
            ValueError: The model has no C-GET.
            InputFileError: While iterating, as the others: the identifier cannot be encoded.
            NoPresentationContext: The model was not accepted.
            LocalProtocolError: Another query or retrieval is under way on the association.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
        """
        from dcmnet.storage.querying import get_inquiry
        from dcmnet.sync.query_retrieve import Responses

        return Responses(self, get_inquiry(self._core, identifier, store, model, priority, cancel_after))

    def move(
        self,
        identifier: Identifier,
        destination: str,
        *,
        model: QueryModel | str = STUDY_ROOT,
        priority: Priority = Priority.MEDIUM,
        cancel_after: int | None = None,
    ) -> Responses[Progress]:
        """C-MOVE (PS3.4 C.4.2): have the peer send objects to an AE, which may be this one.

        Args:
            identifier: What to retrieve: the level and its unique keys.
            destination: AE title to send to; the peer must know its address.
            model: The information model, or the UID of a C-MOVE SOP class.
            priority: Told to the peer.
            cancel_after: Pending responses after which C-CANCEL is sent.

        Returns:
            As for `get`.

        Raises:
            ValueError: The model has no C-MOVE.
            InputFileError: While iterating, as the others: the identifier cannot be encoded.
            NoPresentationContext: The model was not accepted; see `query_contexts(move=True)`.
            LocalProtocolError: Another query or retrieval is under way on the association.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
        """
        from dcmnet.storage.querying import move_inquiry
        from dcmnet.sync.query_retrieve import Responses

        return Responses(
            self, move_inquiry(self._core, identifier, destination, model, priority, cancel_after)
        )

    def n_get(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        attributes: Sequence[Attribute] = (),
        *,
        negotiated_as: str = "",
    ) -> OperationResult:
        """N-GET (PS3.7 10.1.2): ask for the attributes of an instance.

        Args:
            sop_class_uid: Its SOP class.
            sop_instance_uid: The instance.
            attributes: Keywords or tags of what is wanted; everything when there are none.
            negotiated_as: The class that was negotiated, where it is not `sop_class_uid`: a Meta SOP Class.

        Returns:
            What the peer answered, a failure too: see `status`, `raise_for_status()` and `data_set`.

        Raises:
            InputFileError: An attribute is unknown; nothing was sent.
            NoPresentationContext: The class was not accepted; nothing was sent.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
            RemoteProtocolError: What came is no answer, or longer than `Limits.max_identifier_length`.
        """
        from dcmnet.storage import invoking

        return self._run(invoking.get(self._core, sop_class_uid, sop_instance_uid, attributes, negotiated_as))

    def n_set(
        self, sop_class_uid: str, sop_instance_uid: str, data_set: Identifier, *, negotiated_as: str = ""
    ) -> OperationResult:
        """N-SET (PS3.7 10.1.3): change the attributes of an instance.

        Args:
            sop_class_uid: Its SOP class.
            sop_instance_uid: The instance.
            data_set: The new values: keywords and values, a pydicom data set, or bytes that are encoded as
                the accepted context demands.
            negotiated_as: The class that was negotiated, where it is not `sop_class_uid`.

        Returns:
            As for `n_get`. It raises the same; InputFileError where the data set cannot be encoded.
        """
        from dcmnet.storage import invoking

        return self._run(invoking.set_(self._core, sop_class_uid, sop_instance_uid, data_set, negotiated_as))

    def n_action(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        action_type_id: int,
        data_set: Identifier | None = None,
        *,
        negotiated_as: str = "",
    ) -> OperationResult:
        """N-ACTION (PS3.7 10.1.4): have something done with an instance.

        Args:
            sop_class_uid: Its SOP class.
            sop_instance_uid: The instance.
            action_type_id: What, as the service class has it.
            data_set: The Action Information, as for `n_set`.
            negotiated_as: The class that was negotiated, where it is not `sop_class_uid`.

        Returns:
            As for `n_get`. It raises the same; InputFileError where the data set cannot be encoded.
        """
        from dcmnet.storage import invoking

        arguments = (sop_class_uid, sop_instance_uid, action_type_id, data_set, negotiated_as)
        return self._run(invoking.action(self._core, *arguments))

    def n_create(
        self,
        sop_class_uid: str,
        data_set: Identifier | None = None,
        sop_instance_uid: str = "",
        *,
        negotiated_as: str = "",
    ) -> OperationResult:
        """N-CREATE (PS3.7 10.1.5): have an instance made.

        Args:
            sop_class_uid: Its SOP class.
            data_set: Its attributes, as for `n_set`.
            sop_instance_uid: The instance; the peer names it when this is empty, see the result.
            negotiated_as: The class that was negotiated, where it is not `sop_class_uid`.

        Returns:
            As for `n_get`; `sop_instance_uid` is the new instance. It raises the same; InputFileError where
            the data set cannot be encoded.
        """
        from dcmnet.storage import invoking

        return self._run(
            invoking.create(self._core, sop_class_uid, data_set, sop_instance_uid, negotiated_as)
        )

    def n_delete(
        self, sop_class_uid: str, sop_instance_uid: str, *, negotiated_as: str = ""
    ) -> OperationResult:
        """N-DELETE (PS3.7 10.1.6): have an instance removed.

        Args:
            sop_class_uid: Its SOP class.
            sop_instance_uid: The instance.
            negotiated_as: The class that was negotiated, where it is not `sop_class_uid`.

        Returns:
            As for `n_get`, and it raises the same.
        """
        from dcmnet.storage import invoking

        return self._run(invoking.delete(self._core, sop_class_uid, sop_instance_uid, negotiated_as))

    def n_event_report(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        event_type_id: int,
        data_set: Identifier | None = None,
        *,
        negotiated_as: str = "",
    ) -> OperationResult:
        """N-EVENT-REPORT (PS3.7 10.1.1): tell the SCU of a class what has happened to an instance.

        The association needs a context with the role of SCP: `ProposedContext(..., scp_role=True)`.

        Args:
            sop_class_uid: Its SOP class.
            sop_instance_uid: The instance.
            event_type_id: What, as the service class has it.
            data_set: The Event Information, as for `n_set`.
            negotiated_as: The class that was negotiated, where it is not `sop_class_uid`.

        Returns:
            As for `n_get`. It raises the same; InputFileError where the data set cannot be encoded.
        """
        from dcmnet.storage import invoking

        arguments = (sop_class_uid, sop_instance_uid, event_type_id, data_set, negotiated_as)
        return self._run(invoking.event_report(self._core, *arguments))

    def next_event(self, timeout: float | None = None) -> EventReport | None:
        """Wait for an N-EVENT-REPORT (PS3.7 10.1.1) of the peer on this association.

        It is answered with success. Those that came while another operation was under way are kept for this,
        up to `dcmnet.limits.MAX_KEPT_REPORTS` of them.

        Args:
            timeout: Seconds to wait for it; None for as long as it takes.

        Returns:
            What has happened; None when nothing did in time.

        Raises:
            AssociationReleased: The peer released the association.
            AssociationError: The association ended.
            RemoteProtocolError: What came is no request, or longer than `Limits.max_identifier_length`.
        """
        from dcmnet.storage import invoking

        return self._run(invoking.next_event(self._core, timeout))

    def release(self) -> None:
        """Release the association in good order and close the connection; once is enough."""
        return self._run(procedures.release(self._core))

    def abort(self) -> None:
        """End the association at once with an A-ABORT.

        An operation under way in another thread ends with AssociationAborted, by this side. A peer that hangs
        is not waited for.

        Raises:
            LocalProtocolError: Called from within an operation of the same thread, as by a signal handler.
        """
        self._refuse_reentry()
        if not self._lock.acquire(blocking=False):
            self._driver.interrupt()
            self._lock.acquire()
        try:
            self._driver.resume()
            self._perform(procedures.abort(self._core))
        finally:
            self._lock.release()

    def _run(self, procedure: Procedure[T]) -> T:
        self._refuse_reentry()
        with self._lock:
            return self._perform(procedure)

    def _perform(self, procedure: Procedure[T]) -> T:
        try:
            self._owner = threading.get_ident()
            return self._driver.run(procedure)
        finally:
            self._owner = None

    def _settle(self) -> None:
        """Called where responses are forgotten; amid another operation, whoever comes next does it."""
        if self._owner == threading.get_ident() or not self._lock.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(DcmnetError, OSError):  # the next operation will tell
                self._perform(settle(self._core))
        finally:
            self._lock.release()

    def _refuse_reentry(self) -> None:
        """A signal handler, or a callback, may not begin an operation within another.

        Raises:
            LocalProtocolError: This thread has one under way.
        """
        if self._owner == threading.get_ident():
            raise LocalProtocolError("an operation is under way in this thread: raise an exception to end it")


def connect(  # noqa: PLR0913  # every one is a keyword
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "DCMNET",
    contexts: str | Iterable[ProposedContext | str] | None = None,
    max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH,
    user_identity: UserIdentityRQ | None = None,
    extended: Sequence[SOPClassExtendedNegotiation] = (),
    policy: RequestorPolicy | None = None,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    tls: TLS | None = None,
    family: int = socket.AF_UNSPEC,
    strict_release: bool = False,
) -> Association:
    """Connect to a peer and establish an association (PS3.8 7.1).

    Args:
        host: Name or address.
        port: TCP port.
        called: The peer's AE title.
        calling: This side's AE title.
        contexts: Presentation contexts to propose, or SOP Class UIDs, which are proposed in Explicit and
            Implicit VR Little Endian; one or several. Verification when not given.
        max_pdu_length: Longest P-DATA-TF this side takes, in bytes.
        user_identity: Who is calling (PS3.7 D.3.3.7).
        extended: SOP Class Extended Negotiation (PS3.7 D.3.3.5), as of `QueryOptions.negotiations`.
        policy: All that is asked for, in place of `called`, `calling`, `contexts`, `max_pdu_length`,
            `user_identity` and `extended`: the window, common extended negotiations and the rest.
        timeouts: Every timer.
        limits: What the peer may send.
        tls: How TLS is used; plain TCP when not given.
        family: `socket.AF_INET`, `AF_INET6`, or `AF_UNSPEC` for whatever the name stands for.
        strict_release: Leaving a `with` block raises what goes wrong with the release; it is noted in
            `Association.endings` in any case.

    Raises:
        TransportClosed: The connection could not be made.
        AssociationRejected: The peer refused; result, source and reason say why.
        AssociationAborted: The peer aborted.
        DeadlineExceeded: It took too long.
        TLSSettingsError: The settings of TLS cannot be used.
        TypeError: An argument has another type.
        ValueError: Both `policy` and `contexts` are given, the port is none, or an AE title is none.
    """
    check_connection(host, port, timeouts, limits, tls, family=family, strict_release=strict_release)
    policy = requestor_policy(
        policy,
        called=called,
        calling=calling,
        contexts=contexts,
        max_pdu_length=max_pdu_length,
        user_identity=user_identity,
        extended=extended,
    )
    core = new_core(
        requestor=True,
        timeouts=timeouts or Timeouts(),
        limits=limits or Limits(),
        max_pdu_length=policy.max_pdu_length,
        trace=log_trace(),
    )
    driver = Driver(core, family=family)
    driver.run(procedures.establish(core, host, port, build_request(policy), tls))
    return Association(driver, core, strict_release=strict_release)
