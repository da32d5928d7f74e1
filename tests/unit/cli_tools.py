"""A small tool for the tests of the command line, and logs that are put back afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dcmnet.cli import families
from dcmnet.cli.options import ANY_TEXT, PORT, Choice, Integer, Option, Parameter, Section, Tool

PROPOSED = families.proposed_transfer_syntaxes()

TOOL = Tool(
    "samplescu",
    "a sample",
    (
        Parameter("peer", "where to"),
        Parameter("port", "its port", kind=PORT),
        Parameter("file-in", "what to send", optional=True, many=True),
    ),
    (
        families.general_options(verbose_pc=True),
        Section(
            "sample options",
            (
                families.own_ae_title("SAMPLE"),
                families.called_ae_title(),
                *families.ip_protocol(),
                families.connect_timeout(),
                families.socket_timeout(),
                families.acse_timeout(),
                families.dimse_timeout(),
                families.max_pdu(),
                families.max_send_pdu(),
                *PROPOSED,
                Option(
                    "-xf",
                    "--config-file",
                    ("filename", "profile"),
                    "negotiate a profile",
                    conflicts_with=tuple(each.long for each in PROPOSED if each.short != "-x="),
                ),
                Option("-r", "--no-recurse", (), "stay", dest="recurse", const=False, group="recurse"),
                Option(
                    "+r", "--recurse", (), "descend", group="recurse", requires=("--scan", "--deep", "--all")
                ),
                Option("", "--scan", (), "look into directories"),
                Option("-k", "--key", ("key",), "a key", repeatable=True),
                Option("-pad", "--padding", ("file", "item"), "pad", kind=(Integer(), Integer(1, 9))),
                Option("-pwd", "--password", ("password",), "say it", secret=True, kind=Integer(5)),
                Option("-ss", "--sort", ("prefix",), "sort", kind=ANY_TEXT, group="sort"),
                Option("-su", "--sort-uid", ("prefix",), "sort", kind=ANY_TEXT, group="sort"),
                Option("-m", "--mode", ("mode",), "a mode", kind=Choice(("fast", "safe"))),
                Option("", "--list", (), "list and exit", exclusive=True),
                Option("", "--new", (), "not there before", beyond_dcmtk=True),
            ),
        ),
    ),
)


@contextmanager
def logs_put_back() -> Iterator[None]:
    """Give every logger its level and handlers back, and close what was opened meanwhile."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    known = set(logging.Logger.manager.loggerDict)
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(before[1]):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(before[0])
        for handler in before[1]:
            if handler not in root.handlers:
                root.addHandler(handler)
        ours = {name for name in known if name.partition(".")[0] in ("dcmnet", "asyncio")}
        for name in (set(logging.Logger.manager.loggerDict) - known) | ours:
            target = logging.getLogger(name)
            for handler in list(target.handlers):
                target.removeHandler(handler)
                handler.close()
            target.setLevel(logging.NOTSET)
            target.propagate = True
            target.disabled = False
