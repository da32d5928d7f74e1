"""What `dcmnet storescp` and `dcmnet dcmrecv` do once their command line is read."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from logging import Logger

from dcmnet._records import dataclass
from dcmnet.acse import AcceptorPolicy, SupportedContext
from dcmnet.cli import logs, networking, profiles
from dcmnet.cli.conversions import storable_transfer_syntaxes
from dcmnet.cli.faults import faults_asked_for
from dcmnet.cli.options import Arguments
from dcmnet.cli.receiving import Reporter, new_store
from dcmnet.cli.running import EXIT_SUCCESS, EXIT_USAGE
from dcmnet.cli.signals import FIRST_NOTE, Inbox
from dcmnet.cli.tls_settings import tls_settings
from dcmnet.errors import ProfileError
from dcmnet.limits import MAX_ASSOCIATIONS_BY_PEER
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.transfer_syntaxes import accepted
from dcmnet.services.defaults import storage_contexts
from dcmnet.storage.node import Node
from dcmnet.sync.server import Server

DRAIN_SECONDS = 30.0
"""For the associations under way after the first signal."""
ABORT_SECONDS = 1.0
"""For the A-ABORTs to go out after the second signal."""
EXIT_LOST = 70
_DRAINED = FIRST_NOTE
_LOST = FIRST_NOTE + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one tool serves.

    Attributes:
        tool: Its name.
        policy: Makes the policy from the command line; raises ProfileError.
        reporter: Makes what says what happens.
        directory: Exit code when the output directory cannot be used.
        profile: Exit code when the association negotiation profile cannot be used.
        listen: Exit code when the port cannot be had.
    """

    tool: str
    policy: Callable[[Arguments, Logger], AcceptorPolicy]
    reporter: Callable[..., Reporter] = Reporter
    directory: int = EXIT_USAGE
    profile: int = EXIT_USAGE
    listen: int = EXIT_USAGE


def serve(arguments: Arguments, manner: Manner) -> int:
    """Receive as a command line says, until a signal; returns the exit code."""
    log = logs.logger(manner.tool)
    reporter = manner.reporter(
        log, json=arguments.json, verbose_pc=arguments.verbose_pc, workers=arguments.workers
    )
    reporter.look_up = not arguments.disable_host_lookup
    reporter.starting()
    refusal = _directory_refusal(arguments)
    if refusal:
        log.critical("%s", refusal)
        return manner.directory
    try:
        server = Server(node=_new_node(arguments, reporter, manner))
    except ProfileError as error:
        profiles.log_refusal(log, error)
        return manner.profile
    if getattr(arguments, "inetd", False):
        from dcmnet.cli.inetd import serve_standard_input  # few runs do

        return serve_standard_input(server.node, reporter)
    return _serve_until_signal(arguments, manner, server, reporter)


def _serve_until_signal(arguments: Arguments, manner: Manner, server: Server, reporter: Reporter) -> int:
    log = reporter.log
    with Inbox(signal.SIGINT, signal.SIGTERM) as stop:
        try:
            _listen(server, arguments)
        except OSError as error:
            log.critical("%s", _listening_refusal(arguments, error))
            return manner.listen
        reporter.open()
        _announce(server, arguments, log, reporter)
        if arguments.workers:
            threading.Thread(target=_watch, args=(server, stop), daemon=True).start()
        number = stop.get()
        if number == _LOST:
            log.critical("the process that shares connections out is gone; start %s again", manner.tool)
            reporter.conclude()
            return EXIT_LOST
        log.info("%s: serving what is under way, and nothing new", signal.Signals(number).name)
        reporter.stopping()
        _shut_down(server, stop)
    reporter.close()
    reporter.conclude()
    return EXIT_SUCCESS


def _directory_refusal(arguments: Arguments) -> str:
    directory = arguments.output_directory
    if arguments.ignore:
        return ""
    if not os.path.isdir(directory):
        return f"specified output directory does not exist: {directory}"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"specified output directory is not writable: {directory}"
    return ""


def _new_node(arguments: Arguments, reporter: Reporter, manner: Manner) -> Node:
    reporter.faults = faults_asked_for(arguments, reporter.log)
    return Node(
        policy=manner.policy(arguments, reporter.log),
        timeouts=networking.timeouts(arguments),
        tls=tls_settings(arguments),
        max_associations=arguments.max_associations,
        max_associations_by_peer=_from_one_address(arguments.max_associations),
        workers=arguments.workers,
        store=new_store(arguments, reporter),
        hooks=reporter.hooks(),
    )


def _policy(arguments: Arguments, log: Logger) -> AcceptorPolicy:
    own = {
        "ae_title": arguments.ae_title,
        "require_called_ae_title": arguments.check_aetitle,
        "max_pdu_length": arguments.max_pdu,
        "max_performed": arguments.max_window,
    }
    profile = profiles.chosen_profile(arguments, log)
    if profile is not None:
        return profile.acceptor_policy(**own)
    code = arguments.preferred
    syntaxes = storable_transfer_syntaxes(arguments) if code is None else accepted(code)
    return AcceptorPolicy(
        contexts=(
            SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=syntaxes),
            *storage_contexts(syntaxes),
        ),
        promiscuous=syntaxes if arguments.promiscuous else None,
        transfer_syntax_order="requestor" if code is None else "acceptor",
        **own,
    )


STORESCP = Manner(tool="storescp", policy=_policy)


def _from_one_address(number: int) -> int:
    """How many of so many associations one address may have: all of a few, half of a great many."""
    return max(min(number, MAX_ASSOCIATIONS_BY_PEER), number // 2)


def _listen(server: Server, arguments: Arguments) -> None:
    family = networking.address_family(arguments)
    asked = any(option in arguments for option in ("--ipv4", "--ipv6", "--ip-auto"))
    if arguments.bind is not None and not asked:
        family = socket.AF_UNSPEC
    server.start(arguments.port, arguments.bind or "", family=family)


def _listening_refusal(arguments: Arguments, error: OSError) -> str:
    where = f"port {arguments.port}" if arguments.bind is None else f"{arguments.bind}, port {arguments.port}"
    if isinstance(error, PermissionError):
        return f"cannot listen on {where}, insufficient privileges"
    return f"cannot listen on {where}: {error.strerror or error}"


def _announce(server: Server, arguments: Arguments, log: Logger, reporter: Reporter) -> None:
    addresses = " and ".join(server.addresses)
    if arguments.bind is None:
        log.warning(
            "listening on every address (%s): whoever reaches this computer can store files here; "
            "--bind 127.0.0.1 keeps it to this computer",
            addresses,
        )
    else:
        log.info("listening on %s", addresses)
    reporter.event("listening", addresses=server.addresses, port=server.port)


def _watch(server: Server, stop: Inbox) -> None:
    """Tell when the processes that serve have ended, which they do by themselves only when killed."""
    server.wait()
    stop.put(_LOST)


def _shut_down(server: Server, stop: Inbox) -> None:
    """Let associations end, until they have or a second signal comes."""

    def drain() -> None:
        server.shutdown(DRAIN_SECONDS)
        stop.put(_DRAINED)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    while (number := stop.get()) == _LOST:
        pass
    if number != _DRAINED:
        server.hasten_shutdown()
        thread.join(ABORT_SECONDS)  # aborted at once, but a peer may take its time to close the connection
        if server.node.workers and thread.is_alive():
            server.hasten_shutdown()  # workers are processes, and would go on without this one
            thread.join(DRAIN_SECONDS)  # they are killed: it takes as long as the system takes for that
