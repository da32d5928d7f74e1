"""The command line: `dcmnet TOOL ...`. Each tool is a module of its own, loaded when it is called for."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_MISTAKE = 1
EXIT_INTERRUPTED = 130
"""As a shell reports a process ended by SIGINT."""
EXIT_BROKEN_PIPE = 141
"""As a shell reports a process ended by SIGPIPE."""

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "verification": {
        "echoscu": ("dcmnet.cli.echoscu", "ask a peer whether it speaks DICOM (C-ECHO)"),
        "termscu": ("dcmnet.cli.termscu", "ask a server of DCMTK to shut down"),
    },
    "storage": {
        "storescu": ("dcmnet.cli.storescu", "send DICOM files to a peer (C-STORE)"),
        "dcmsend": ("dcmnet.cli.dcmsend", "send many DICOM files to a peer, and report (C-STORE)"),
        "storescp": ("dcmnet.cli.storescp", "receive DICOM files and store them"),
        "dcmrecv": ("dcmnet.cli.dcmrecv", "receive DICOM files as a profile allows it"),
    },
    "query and retrieve": {
        "findscu": ("dcmnet.cli.findscu", "query archives and worklists (C-FIND)"),
        "getscu": ("dcmnet.cli.getscu", "retrieve objects over the same association (C-GET)"),
        "movescu": ("dcmnet.cli.movescu", "have objects sent to a third peer, or here (C-MOVE)"),
    },
    "configuration": {
        "asconfig": ("dcmnet.cli.asconfig", "check a file of association negotiation profiles"),
        "link": ("dcmnet.cli.link", "let the tools be called without `dcmnet` in front"),
        "completion": ("dcmnet.cli.completion", "let the shell complete options and values"),
        "man": ("dcmnet.cli.man", "print or write manual pages"),
    },
    "demonstration": {
        "demo": ("dcmnet.cli.demo", "see a transfer on this computer, without a peer or files"),
    },
}
"""The tools under their headings: name, module, one line. A module has `TOOL` and `run(args) -> int`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `dcmnet` with the arguments of the command line, or with `argv`.

    Returns:
        The exit code: the tool's own, 1 for a mistake before a tool was found, 130 after Ctrl-C, 141 when
        nobody reads the output any more, 1 when the device that it goes to is full.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        if sys.stdout is not None:  # it is when the caller has closed it
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if not _is_full(error):
            raise
        _silence_stdout()
        return EXIT_MISTAKE
    return code


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first == "--version":
        from dcmnet._version import __version__  # nothing else is loaded for this

        print(f"dcmnet {__version__}")
        return 0
    if first in ("--help", "-h") or words == ["help"]:
        print(help_text(), end="")
        return 0
    if first == "help":
        return _run(words[1], ["--help"])
    return _run(first, words[1:])


def help_text() -> str:
    """The tools in their groups, with one line each."""
    width = max(len(name) for tools in GROUPS.values() for name in tools)
    lines = ["dcmnet: DICOM networking", "usage: dcmnet TOOL [options] ..."]
    for title, tools in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<{width}}  {line}" for name, (_, line) in tools.items()]
    lines += ["", "dcmnet help TOOL shows a tool's options, dcmnet --version the version."]
    return "\n".join(lines) + "\n"


def _run(name: str, arguments: list[str]) -> int:
    for tools in GROUPS.values():
        if name in tools:
            import importlib  # not for --version

            code: int = importlib.import_module(tools[name][0]).run(arguments)
            return code
    return _unknown_tool(name)


def _unknown_tool(name: str) -> int:
    import difflib  # only needed for a mistake

    known = [tool for tools in GROUPS.values() for tool in tools]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "dcmnet --help lists the tools"
    what = "option" if name[:1] in ("-", "+") else "tool"
    sys.stderr.write(f"dcmnet: DICOM networking\nerror: Unknown {what} {name}\n{hint}\n")
    return EXIT_MISTAKE


def _is_full(error: OSError) -> bool:
    """Whether the device that the output goes to is full; says so then."""
    import contextlib  # only needed here
    import errno

    if error.errno != errno.ENOSPC:
        return False
    with contextlib.suppress(OSError):
        sys.stderr.write(f"dcmnet: cannot write the output: {error.strerror}\n")
    return True


def _silence_stdout() -> None:
    """Give stdout somewhere to go, or the interpreter complains about the broken pipe when it ends."""
    import os  # only needed here

    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
