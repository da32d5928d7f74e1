"""DIMSE messages as text, as `-d` shows them."""

from __future__ import annotations

import pytest

from dcmnet._net.message_dumps import message_lines
from dcmnet.dimse.messages import CEchoRSP, CFindRQ, CMoveRQ, CMoveRSP, CStoreRQ, CStoreRSP, Message, Priority

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def test_a_store_request() -> None:
    request = CStoreRQ(
        message_id=7,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid="1.2.3",
        priority=Priority.HIGH,
        move_originator_ae_title="ELSEWHERE",
        move_originator_message_id=9,
    )
    assert list(message_lines(3, request, sent=True)) == [
        "===================== OUTGOING DIMSE MESSAGE ====================",
        "Message Type                  : C-STORE RQ",
        "Presentation Context ID       : 3",
        "Message ID                    : 7",
        "Affected SOP Class UID        : CTImageStorage",
        "Affected SOP Instance UID     : 1.2.3",
        "Move Originator AE Title      : ELSEWHERE",
        "Move Originator ID            : 9",
        "Data Set                      : present",
        "Priority                      : high",
        "======================= END DIMSE MESSAGE =======================",
    ]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (CEchoRSP(message_id_being_responded_to=1, status=0), "Message Type                  : C-ECHO RSP"),
        (CEchoRSP(message_id_being_responded_to=4, status=0), "Message ID Being Responded To : 4"),
        (CEchoRSP(message_id_being_responded_to=4, status=0), "Data Set                      : none"),
        (
            CEchoRSP(message_id_being_responded_to=4, status=0x0122),
            "DIMSE Status                  : 0x0122: Refused: SOP Class not supported",
        ),
        (CFindRQ(message_id=1, affected_sop_class_uid=FIND), "Priority                      : medium"),
        (
            CMoveRQ(message_id=1, affected_sop_class_uid=FIND, move_destination="HERE"),
            "Move Destination              : HERE",
        ),
        (
            CMoveRSP(message_id_being_responded_to=1, status=0xFF00, number_of_failed_suboperations=0),
            "Failed Suboperations          : 0",
        ),
        (
            CEchoRSP(message_id_being_responded_to=4, status=0x0110, error_comment="a\nb"),
            "Error Comment                 : a?b",
        ),
    ],
)
def test_lines(message: Message, line: str) -> None:
    lines = list(message_lines(1, message, sent=False))
    assert lines[0] == "===================== INCOMING DIMSE MESSAGE ===================="
    assert line in lines


def test_details_of_a_status() -> None:
    message = CStoreRSP(
        message_id_being_responded_to=1, status=0xA900, offending_element=(0x00100010, 0x0020000D), error_id=7
    )
    text = "\n".join(message_lines(1, message, sent=False))
    assert "Offending Element             : (0010,0010), (0020,000D)\n" in text
    assert "Error ID                      : 7\n" in text
