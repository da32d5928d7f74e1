"""`dcmnet storescp`: receive DICOM objects and store them as files.

Every association is served, as they come, side by side. An object is answered for when its file has its name;
until then nobody sees it.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging import Logger
from typing import TYPE_CHECKING, Any

from dcmnet._records import replace
from dcmnet.cli import families, logs, networking
from dcmnet.cli.options import (
    Arguments,
    Choice,
    Integer,
    InvalidValue,
    Option,
    Parameter,
    Section,
    Tool,
)
from dcmnet.cli.running import EXIT_SUCCESS, EXIT_USAGE, run_tool
from dcmnet.limits import MAX_ASSOCIATIONS, MAX_ASSOCIATIONS_BY_PEER

if TYPE_CHECKING:
    from dcmnet.storage.node import Node
    from dcmnet.sync.server import Server

DRAIN_SECONDS = 30.0
"""For the associations under way after the first signal."""
ABORT_SECONDS = 1.0
"""For the A-ABORTs to go out after the second signal."""
_DRAINED = 0
LONGEST_EXTENSION = 128
"""Together with modality, UID and a number behind it a file name stays below 255 bytes."""


class Extension:
    """What file names end in; no part of a path."""

    def convert(self, text: str) -> str:
        """The text as it is."""
        if not text.isprintable() or any(sign in text for sign in '/\\:*?"<>|'):
            raise InvalidValue("a file name cannot hold that")
        if len(os.fsencode(text)) > LONGEST_EXTENSION:
            raise InvalidValue(f"longer than {LONGEST_EXTENSION} bytes")
        return text

    def describe(self) -> str:
        """Nothing: the metavar says it."""
        return ""


PREFERRED = tuple(
    replace(option, default=None) for option in families.preferred_transfer_syntaxes(accept_all=True)
)

TOOL = Tool(
    "storescp",
    "DICOM storage (C-STORE) SCP",
    (Parameter("port", "TCP port to listen on, 0 for a free one", kind=Integer(0, 65535)),),
    (
        families.general_options(verbose_pc=True),
        Section(
            "network options",
            (
                *families.ip_protocol(),
                Option(
                    "",
                    "--bind",
                    ("address",),
                    "listen on this address alone, 127.0.0.1 for this computer",
                    default_text="every address",
                    beyond_dcmtk=True,
                ),
                families.own_ae_title("STORESCP"),
                Option(
                    "",
                    "--check-aetitle",
                    (),
                    "reject who calls another title than --aetitle",
                    beyond_dcmtk=True,
                ),
                Option(
                    "",
                    "--max-associations",
                    ("number",),
                    "serve so many at once, and reject the others for now",
                    kind=Integer(1),
                    default=MAX_ASSOCIATIONS,
                ),
                Option("-pm", "--promiscuous", (), "accept SOP classes that are not known as well"),
                families.socket_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="as --socket-timeout"),
                families.max_pdu(),
            ),
        ),
        Section(
            "accepted transfer syntaxes (without any: all, in the order in which the peer proposes them)",
            PREFERRED,
        ),
        Section(
            "output options",
            (
                Option(
                    "-od", "--output-directory", ("directory",), "where the files go; must exist", default="."
                ),
                Option(
                    "-uf",
                    "--default-filenames",
                    (),
                    "name files by modality and SOP Instance UID",
                    dest="names",
                    const="default",
                    default="default",
                    group="names",
                ),
                Option(
                    "+uf",
                    "--unique-filenames",
                    (),
                    "name files by modality and a new UID each",
                    dest="names",
                    const="unique",
                    group="names",
                ),
                Option(
                    "-tn",
                    "--timenames",
                    (),
                    "name files by time and modality",
                    conflicts_with=("--unique-filenames",),
                ),
                Option(
                    "-fe",
                    "--filename-extension",
                    ("extension",),
                    "let file names end in this",
                    kind=(Extension(),),
                    default="",
                ),
                Option("", "--ignore", (), "receive and answer, but store nothing"),
                Option(
                    "",
                    "--on-duplicate",
                    ("action",),
                    "what to do where a file of that name exists",
                    kind=Choice(
                        ("replace", "keep", "rename", "refuse"),
                        "Invalid value for option --on-duplicate",
                    ),
                    default="replace",
                    beyond_dcmtk=True,
                ),
                Option(
                    "",
                    "--fsync",
                    (),
                    "have each file on the disk before answering for it",
                    beyond_dcmtk=True,
                ),
            ),
        ),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "ended by SIGINT (Ctrl-C) or SIGTERM"),
        ("1", "a mistake on the command line; the directory or the port cannot be used"),
    ),
    notes=(
        "It listens on every address of this computer, as DCMTK's tool does: whoever can reach it can store "
        "files. --bind 127.0.0.1 keeps it to this computer.",
        "SIGINT or SIGTERM ends it: no new associations, 30 seconds for those under way. A second signal "
        "ends it at once.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _body)


def _body(arguments: Arguments) -> int:
    from dcmnet.cli.receiving import Reporter  # loads the storage layer, which --help does without

    log = logs.logger(TOOL.name)
    refusal = _directory_refusal(arguments)
    if refusal:
        log.critical("%s", refusal)
        return EXIT_USAGE
    reporter = Reporter(log, json=arguments.json, verbose_pc=arguments.verbose_pc)
    stop: queue.SimpleQueue[int] = queue.SimpleQueue()  # may be used from a signal handler
    server = _new_server(arguments, reporter)

    with _signals(lambda number, _: stop.put(number)):
        try:
            _listen(server, arguments)
        except OSError as error:
            log.critical("%s", _listening_refusal(arguments, error))
            return EXIT_USAGE
        _announce(server, arguments, log, reporter)
        number = stop.get()
        log.info("%s: serving what is under way, and nothing new", signal.Signals(number).name)
        _shut_down(server, stop)
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


def _new_server(arguments: Arguments, reporter: Any) -> Server:
    from dcmnet.sync.server import Server  # as above

    return Server(node=_new_node(arguments, reporter))


def _new_node(arguments: Arguments, reporter: Any) -> Node:
    from dcmnet.acse import AcceptorPolicy, SupportedContext
    from dcmnet.cli.receiving import new_store
    from dcmnet.registry.sop_classes import VERIFICATION
    from dcmnet.registry.transfer_syntaxes import ALL, accepted
    from dcmnet.services.defaults import storage_contexts
    from dcmnet.storage.node import Node

    code = arguments.preferred
    syntaxes = ALL if code is None else accepted(code)
    policy = AcceptorPolicy(
        ae_title=arguments.ae_title,
        require_called_ae_title=arguments.check_aetitle,
        contexts=(
            SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=syntaxes),
            *storage_contexts(syntaxes),
        ),
        promiscuous=syntaxes if arguments.promiscuous else None,
        transfer_syntax_order="requestor" if code is None else "acceptor",
        max_pdu_length=arguments.max_pdu,
    )
    return Node(
        policy=policy,
        timeouts=networking.timeouts(arguments),
        max_associations=arguments.max_associations,
        max_associations_by_peer=_from_one_address(arguments.max_associations),
        store=new_store(arguments, reporter),
        hooks=reporter.hooks(),
    )


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


def _announce(server: Server, arguments: Arguments, log: Logger, reporter: Any) -> None:
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


def _shut_down(server: Server, stop: queue.SimpleQueue[int]) -> None:
    """Let associations end, until they have or a second signal comes."""

    def drain() -> None:
        server.shutdown(DRAIN_SECONDS)
        stop.put(_DRAINED)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    if stop.get() != _DRAINED:
        server.hasten_shutdown()
        thread.join(ABORT_SECONDS)  # aborted at once, but a peer may take its time to close the connection


@contextmanager
def _signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `handler` meanwhile."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
