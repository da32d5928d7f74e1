"""How `dcmnet dcmrecv` serves: whom it accepts, and what it says."""

from __future__ import annotations

from logging import INFO, Logger

from dcmnet._records import replace
from dcmnet.acse import AcceptedContext, AcceptorPolicy, SupportedContext
from dcmnet.cli import profiles
from dcmnet.cli.events import host_name
from dcmnet.cli.options import Arguments
from dcmnet.cli.receiving import Reporter
from dcmnet.cli.serving import Manner
from dcmnet.dimse.messages import CEchoRQ, CStoreRQ
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.scp import AssociationRequest
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.statuses import SUCCESS, text_of
from dcmnet.registry.transfer_syntaxes import ALL, IMPLICIT_VR_LITTLE_ENDIAN
from dcmnet.services.defaults import storage_contexts
from dcmnet.storage.scp import StoreRequest

EXIT_DIRECTORY = 45
EXIT_LISTEN = 64
EXIT_PROFILE = 66


class ReceiverReporter(Reporter):
    """Says what happens in the words of DCMTK's dcmrecv."""

    def starting(self) -> None:
        """The command line is read."""
        self.log.info("configuring service class provider ...")

    def open(self) -> None:
        """It listens."""
        self.log.info("starting service class provider and listening ...")

    def announce(self, request: AssociationRequest) -> None:
        """An association is asked for."""
        if not self.log.isEnabledFor(INFO):
            return
        address = request.peer.rpartition(":")[0].strip("[]")
        host = host_name(address) if self.look_up else address
        self.log.info(
            "Association Received %s: %s -> %s", host, request.calling_ae_title, request.called_ae_title
        )

    def requested(self, request: CStoreRQ) -> None:
        """A C-STORE-RQ has come."""
        self.log.info("Received C-STORE Request (MsgID %d)", request.message_id)

    def kept(self, request: StoreRequest, path: str, status: int, *, existed: bool) -> None:
        """A complete object has its name now, or has not got one because that was taken."""
        if existed and request.saved_as is not None:
            self.log.warning("file already exists, overwriting: %s", path)
        if request.saved_as is not None:
            self.log.info("Stored received object to file: %s", request.saved_as)
        elif status == SUCCESS:
            self.log.info("file already exists, keeping it: %s", path)

    def stored(self, request: StoreRequest, status: int) -> None:
        """An object has been received, and kept or refused."""
        super().stored(request, status)
        text = text_of(status, "storage")
        detail = f"{text}: {request.comment}" if request.comment else text
        self.log.info("Sending C-STORE Response (%s)", detail)

    def _echo(self, core: AssociationCore, context: AcceptedContext, request: CEchoRQ) -> None:
        self.log.info("Received C-ECHO Request (MsgID %d)", request.message_id)
        self.log.info("Sending C-ECHO Response (Success)")
        self.event("echo", peer=core.peer)

    def _released(self, core: AssociationCore) -> None:
        self.log.info("Received Association Release Request")
        self.event("release", peer=core.peer)


def _policy(arguments: Arguments, log: Logger) -> AcceptorPolicy:
    own = {
        "ae_title": arguments.ae_title,
        "require_called_ae_title": arguments.check_aetitle,
        "max_pdu_length": arguments.max_pdu,
        "max_performed": arguments.max_window,
    }
    profile = profiles.chosen_profile(arguments, log)
    if profile is not None:
        return replace(profile.acceptor_policy(**own), reject_without_contexts=True)
    return AcceptorPolicy(contexts=_contexts(arguments, log), reject_without_contexts=True, **own)


def _contexts(arguments: Arguments, log: Logger) -> tuple[SupportedContext, ...]:
    if arguments.accept_all:
        return (SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=ALL), *storage_contexts(ALL))
    log.warning(
        "no configuration file specified, SCP will only support the Verification SOP Class "
        "(-xf names a profile, --accept-all accepts every storage class)"
    )
    return (SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT_VR_LITTLE_ENDIAN,)),)


DCMRECV = Manner(
    tool="dcmrecv",
    policy=_policy,
    reporter=ReceiverReporter,
    directory=EXIT_DIRECTORY,
    profile=EXIT_PROFILE,
    listen=EXIT_LISTEN,
)
