"""Reports of transfers in files: JSON to go on from, and text for people. Written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from dcmnet._records import dataclass
from dcmnet.dimse.codes import StatusClass, tag_text
from dcmnet.errors import InputFileError, NoPresentationContext
from dcmnet.limits import MAX_REPORT_LENGTH
from dcmnet.registry.statuses import text_of
from dcmnet.registry.uids import dcmtk_name_of, name_of
from dcmnet.storage.files import Duplicates, PartialFile
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.sources import Instance

FORMAT = "dcmnet-send-report"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Between whom a transfer was, and when.

    Attributes:
        host: The peer, as it was named.
        port: Its port.
        called: Its AE title.
        calling: This side's AE title.
        started: Date and time, as people write it.
        seconds: How long it took.
    """

    host: str
    port: int
    called: str
    calling: str
    started: str = ""
    seconds: float = 0.0


def write_file(path: str, text: str) -> None:
    """Write a file that is whole, and on the disk, before it has its name; a device or a pipe is written to.

    Raises:
        OSError: It cannot be written; a file of that name is as it was.
    """
    content = text.encode("utf-8", "backslashreplace")
    if _is_special(path):
        with open(path, "wb") as file:
            file.write(content)
        return
    partial = PartialFile(os.path.dirname(path) or ".", b"")
    partial.write([content])
    partial.publish(path, Duplicates.REPLACE, fsync=True)


def _is_special(path: str) -> bool:
    """Whether it is a device, a pipe or the like, which must not be replaced by a file."""
    return os.path.exists(path) and not os.path.isfile(path)


def check_writable(path: str) -> None:
    """Find out, before a transfer, whether its report can be written.

    Raises:
        OSError: It cannot.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(21, "Is a directory", path)
    if _is_special(path):
        return
    partial = PartialFile(os.path.dirname(path) or ".", b"")
    partial.write([b"\n"])
    partial.discard()


# ---------------------------------------------------------------------- JSON


def to_json(report: Report, occasion: Occasion) -> str:
    """The report as one JSON document, an object a line."""
    head: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "host": occasion.host,
        "port": occasion.port,
        "called_ae_title": occasion.called,
        "calling_ae_title": occasion.calling,
        "started": occasion.started,
        "seconds": round(occasion.seconds, 3),
        "associations": report.associations,
        "contexts": report.contexts,
        "stored": report.stored,
        "stored_before": len(report.former),
        "failed": report.failed,
        "skipped": [{"file": name, "reason": why} for name, why in report.skipped],
        "errors": [str(error) for error in report.endings],
    }
    entries = [*(_entry(each, former=True) for each in report.former), *map(_entry, report.results)]
    lines = ",\n    ".join(json.dumps(each) for each in entries)
    return json.dumps(head, indent=2)[:-2] + f',\n  "objects": [\n    {lines}\n  ]\n}}\n'


def _entry(result: StoreResult, former: bool = False) -> dict[str, Any]:
    return {
        "file": result.name,
        "path": os.path.abspath(result.name) if result.file_length else "",
        "stored": result.ok,
        "before": former,
        "sop_class_uid": result.sop_class_uid,
        "sop_instance_uid": result.sop_instance_uid,
        "original_transfer_syntax": result.original_transfer_syntax,
        "transfer_syntax": result.transfer_syntax,
        "bytes": result.size,
        "association": result.association,
        "context_id": result.context_id,
        "status": None if result.status is None else f"0x{result.status:04X}",
        "text": "" if result.status is None else text_of(result.status, "storage"),
        "comment": result.comment,
        "offending_element": [f"{tag:08X}" for tag in result.offending_element],
        "error_id": result.error_id,
        "error": "" if result.error is None else str(result.error),
        "file_length": result.file_length,
        "file_modified": result.file_modified,
    }


class FormerReport:
    """What a former transfer has stored, to go on from there; asked as `Transfer.former`.

    Args:
        path: A JSON report.
        host: The peer of this transfer.
        port: Its port.
        called: Its AE title.

    Raises:
        InputFileError: It cannot be read, is no such report, or tells of another peer.
    """

    def __init__(self, path: str, host: str, port: int, called: str) -> None:
        found = _load(path)
        peer = found.get("host"), found.get("port"), found.get("called_ae_title")
        if peer != (host, port, called):
            theirs = "{2} at {0}:{1}".format(*peer)
            raise InputFileError(path, f"tells of a transfer to {theirs}, not to {called} at {host}:{port}")
        self._stored: dict[str, StoreResult] = {}
        unstored: set[str] = set()
        for entry in found["objects"]:
            result = _result(path, entry)
            key = str(entry.get("path", ""))
            if result.ok:
                self._stored[key] = result
            else:
                unstored.add(key)
        for key in ("", *unstored):
            self._stored.pop(key, None)

    def __len__(self) -> int:
        return len(self._stored)

    def __call__(self, instance: Instance) -> StoreResult | None:
        """What became of the instance; None when it was not stored, or its file has changed since."""
        if not isinstance(instance.source, str | os.PathLike):
            return None
        result = self._stored.get(os.path.abspath(instance.source))
        if result is None:
            return None
        now = (instance.sop_instance_uid, instance.offset + instance.size, instance.modified)
        then = (result.sop_instance_uid, result.file_length, result.file_modified)
        return result if now == then else None


def _load(path: str) -> dict[str, Any]:
    try:
        if os.path.getsize(path) > MAX_REPORT_LENGTH:
            raise InputFileError(path, f"is longer than {MAX_REPORT_LENGTH} bytes")
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(path, f"is no JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputFileError(path, "is no report of a transfer, as --report-json writes it")
    if found.get("version") != VERSION or not isinstance(found.get("objects"), list):
        raise InputFileError(path, f"is not of version {VERSION}, or has no list of objects")
    return found


def _result(path: str, entry: Any) -> StoreResult:
    try:
        status = entry["status"]
        return StoreResult(
            name=str(entry["file"]),
            sop_class_uid=str(entry["sop_class_uid"]),
            sop_instance_uid=str(entry["sop_instance_uid"]),
            original_transfer_syntax=str(entry["original_transfer_syntax"]),
            transfer_syntax=str(entry["transfer_syntax"]),
            size=int(entry["bytes"]),
            association=int(entry["association"]),
            context_id=int(entry["context_id"]),
            status=None if status is None else int(status, 16),
            comment=str(entry["comment"]),
            file_length=int(entry["file_length"]),
            file_modified=int(entry["file_modified"]),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InputFileError(path, f"has an object without {error}, or with a value that is none") from error


# ---------------------------------------------------------------------- text


def to_text(report: Report, occasion: Occasion) -> str:
    """The report as text: between whom, each object, and the summary."""
    lines = [
        "Detailed Report on the Transfer of Instances",
        "============================================",
        "",
        f"Communication Peer : {occasion.host}:{occasion.port}",
        f"AE Titles used     : {occasion.calling} -> {occasion.called}",
        f"Current Date/Time  : {occasion.started}",
        "",
    ]
    for number, result in enumerate((*report.former, *report.results), 1):
        lines += ["", *_block(number, result, former=number <= len(report.former))]
    lines += ["", "", *summary_lines(report)]
    return "".join(f"{line}\n" for line in lines)


def summary_lines(report: Report) -> Iterator[str]:
    """The summary, as dcmsend shows it."""
    sent = [each for each in report.results if each.status is not None]
    unsent = [each for each in report.results if each.status is None]
    no_context = sum(isinstance(each.error, NoPresentationContext) for each in unsent)
    no_file = sum(not each.sop_class_uid for each in unsent)
    yield "Status Summary"
    yield "--------------"
    yield f"Number of associations   : {report.associations}"
    yield f"Number of pres. contexts : {report.contexts}"
    yield f"Number of SOP instances  : {len(report.results) - no_file}"
    yield f"- sent to the peer       : {len(sent)}"
    for kind, count in _by_kind(sent):
        yield f"  * with status {kind:<8} : {count}"
    yield f"- NOT sent to the peer   : {len(unsent) - no_file}"
    if no_context:
        yield f"  * no acceptable pres.  : {no_context}"
    if len(unsent) - no_context - no_file:
        yield f"  * for another reason   : {len(unsent) - no_context - no_file}"
    if no_file:
        yield f"Invalid input files      : {no_file}"
    if report.former:
        yield f"Stored before            : {len(report.former)}"


def _by_kind(sent: list[StoreResult]) -> Iterator[tuple[str, int]]:
    kinds = [_kind(each) for each in sent]
    for kind in ("SUCCESS", "WARNING", "REFUSED", "ERROR"):
        if kind in kinds:
            yield kind, kinds.count(kind)


def _kind(result: StoreResult) -> str:
    if result.status_class in (StatusClass.SUCCESS, StatusClass.WARNING):
        return result.status_class.name
    # PS3.4 B.2.3: the A7xx statuses of C-STORE refuse, as 0122 and 0124 of PS3.7 Annex C do.
    status = result.status or 0
    return "REFUSED" if status >> 8 == 0xA7 or status in (0x0122, 0x0124) else "ERROR"


def _block(number: int, result: StoreResult, *, former: bool) -> Iterator[str]:
    yield f"Number        : {number}"
    yield f"Filename      : {_one_line(result.name)}"
    if not result.sop_class_uid:
        yield f"Error         : {_one_line(str(result.error))}"
        return
    yield f"SOP Instance  : {result.sop_instance_uid}"
    yield f"SOP Class     : {_with_name(result.sop_class_uid, dcmtk_name_of(result.sop_class_uid))}"
    yield f"Original Xfer : {_with_name(result.original_transfer_syntax)}"
    if result.size:
        yield f"Dataset Size  : {result.size} bytes"
    if result.association:
        yield f"Association   : {result.association}"
    if result.context_id:
        yield f"Pres. Context : {result.context_id}"
    if result.transfer_syntax:
        yield f"Network Xfer  : {_with_name(result.transfer_syntax)}"
    yield f"DIMSE Status  : {_status(result)}{' in a former transfer' if former else ''}"
    if result.comment:
        yield f"Error Comment : {_one_line(result.comment)}"
    if result.offending_element:
        yield f"Off. Element  : {', '.join(map(tag_text, result.offending_element))}"
    if result.error_id is not None:
        yield f"Error ID      : {result.error_id}"


def _status(result: StoreResult) -> str:
    if result.status is not None:
        return f"0x{result.status:04X} ({text_of(result.status, 'storage')})"
    if isinstance(result.error, NoPresentationContext):
        return "<no acceptable presentation context>"
    return f"<not sent> {_one_line(str(result.error or ''))}".rstrip()


def _with_name(uid: str, name: str = "") -> str:
    name = name or name_of(uid)
    return uid if name == uid else f"{uid} = {name}"


def _one_line(text: str) -> str:
    """What came from a file name or a peer, on one line and without control characters."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
