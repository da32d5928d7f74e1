"""Payloads: counted, sliced, never read."""

from __future__ import annotations

import pytest

from dcmnet.payload import Buffer, FileRange, slice_payload


def test_the_length_of_a_range_is_its_count() -> None:
    assert len(FileRange(7, 100, 25)) == 25
    assert FileRange(7, 100, 25) == FileRange(7, 100, 25)


def test_a_slice_of_a_range_is_a_range() -> None:
    assert slice_payload(FileRange(7, 100, 25), 5, 10) == FileRange(7, 105, 10)


@pytest.mark.parametrize("payload", [b"0123456789", bytearray(b"0123456789"), memoryview(b"0123456789")])
def test_a_slice_of_a_buffer_is_a_view(payload: Buffer) -> None:
    view = slice_payload(payload, 3, 4)
    assert isinstance(view, memoryview)
    assert bytes(view) == b"3456"
    assert view.obj is (payload.obj if isinstance(payload, memoryview) else payload)
