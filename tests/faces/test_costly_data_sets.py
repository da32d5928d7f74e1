"""Data sets that would cost too much are refused with A700 or 0213 and a comment."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.registry.transfer_syntaxes import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN
from dcmnet.services.query_contexts import query_contexts
from dcmnet.storage.studies import Studies, by_uid
from tests.faces.adapters import Face, running

OPEN_ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0"
BOMB = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + OPEN_ITEM * 60_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
LEVEL = b"\x08\0\x52\0CS\x06\0STUDY "
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(data) + compressor.flush()
    return deflated + b"\0" * (len(deflated) % 2)


@pytest.mark.parametrize(
    ("syntax", "identifier"),
    [
        (EXPLICIT_VR_LITTLE_ENDIAN, LEVEL + BOMB),
        (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, deflate(LEVEL + BOMB)),
        (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, deflate(LEVEL + bytes(20 << 20))),
    ],
    ids=["items", "deflated items", "length"],
)
def test_an_identifier(face: Face, syntax: str, identifier: bytes) -> None:
    server = face.new_server()
    asked: list[str] = []

    @server.on_find
    def find(request: Any) -> list[Any]:
        asked.append(request.level)
        return []

    contexts = query_contexts(transfer_syntaxes=[syntax])
    good = LEVEL if syntax == EXPLICIT_VR_LITTLE_ENDIAN else deflate(LEVEL)
    with running(face, server) as started, face.connect(started.port, contexts=contexts) as association:
        responses = association.find(identifier)
        assert list(responses) == []
        assert responses.status == 0xA700
        responses = association.find(good)
        assert list(responses) == []
        assert responses.status == 0
    assert asked == ["STUDY"]


def test_an_attribute_list(face: Face) -> None:
    server = face.new_server()

    @server.on_n_set("1.2.3")
    def set_(request: Any) -> None:
        assert request.data_set is not None

    contexts = [
        dcmnet.ProposedContext(abstract_syntax="1.2.3", transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN,))
    ]
    with running(face, server) as started, face.connect(started.port, contexts=contexts) as association:
        result = association.n_set("1.2.3", "1.2.4", BOMB)
        assert result.status == 0x0213
        assert "more than 50000 items" in result.response.error_comment
        assert association.n_set("1.2.3", "1.2.4", LEVEL).status == 0


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return head + vr + len(value).to_bytes(2, "little") + value


def bomb_file(folder: Path, uid: str) -> Path:
    from dcmnet.storage.part10 import FileMeta, encode_file_meta

    meta = encode_file_meta(
        FileMeta(
            sop_class_uid=SECONDARY_CAPTURE,
            sop_instance_uid=uid,
            transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN,
            implementation_class_uid="1.2.3",
        )
    )
    data = element(0x00080016, b"UI", SECONDARY_CAPTURE.encode() + b"\0")
    data += element(0x00080018, b"UI", uid.encode() + b"\0" * (len(uid) % 2)) + BOMB
    path = folder / f"{uid}.dcm"
    path.write_bytes(meta + data + element(0x0020000D, b"UI", b"1.2.3\0"))
    return path


def test_an_object_that_a_handler_looks_into(face: Face, tmp_path: Path) -> None:
    errors: list[tuple[str, Any]] = []
    server = face.new_server(limits=dcmnet.Limits(max_items=1000, max_identifier_items=1000))
    server.node.hooks.failed = lambda text, error: errors.append((text, error))

    @server.on_store
    def store(request: Any) -> None:
        if request.sop_instance_uid == "1.2.3.5":
            request.attributes("StudyInstanceUID")
        else:
            request.dataset()

    with running(face, server) as started:
        report = face.send(started.port, [bomb_file(tmp_path, "1.2.3.4"), bomb_file(tmp_path, "1.2.3.5")])
    assert [(each.status, "more than 1000 items" in each.comment) for each in report.results] == [
        (0xA700, True),
        (0xA700, True),
    ]
    assert [error for _, error in errors] == [None, None]  # no traceback


def test_an_object_that_is_sorted(face: Face, tmp_path: Path, received: Path) -> None:
    server = face.new_storage_scp(received, sorter=Studies(by_uid("")))
    with running(face, server) as started:
        report = face.send(started.port, [bomb_file(tmp_path, "1.2.3.4")])
    assert [each.status for each in report.results] == [0xA700]
    assert "more than 50000 items" in report.results[0].comment
