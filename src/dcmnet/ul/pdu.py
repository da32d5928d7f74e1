"""The seven PDUs of the Upper Layer (PS3.8 9.3): plain data with a codec.

A PDU is: type (1 byte), reserved (1), length (4, big endian), and that many bytes. `encode` gives all of it,
`decode` takes what is behind the six bytes of header. `Reader` tells PDUs apart and bounds them before that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar, Self, TypeAlias, TypeVar

from dcmnet._records import dataclass, field
from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import (
    MAX_ASSOCIATE_PDU_LENGTH,
    MAX_PRESENTATION_CONTEXTS,
    MAX_RECENT,
    RECENT_PDU_LENGTH,
    Limits,
    Tolerance,
)
from dcmnet.payload import FileRange, Payload
from dcmnet.ul.fields import decode_ae_title, decode_uid, echo_ae_title, encode_ae_title, encode_uid
from dcmnet.ul.items import (
    APPLICATION_CONTEXT,
    PresentationContextAC,
    PresentationContextRQ,
    UserInformation,
    encode_item,
    iterate_items,
)
from dcmnet.ul.recent import Recent

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
"""PS3.7 A.2.1: the DICOM application context."""

PDU_HEADER_LENGTH = 6
PDV_HEADER_LENGTH = 6

PDU_HEADER = struct.Struct(">BxI")
"""Type and length of a PDU."""

PDV_HEADER = struct.Struct(">IBB")
"""Length (data and two bytes), context id and message control header of a PDV (PS3.8 9.3.5.1)."""

PDATA_HEADER = struct.Struct(">BxIIBB")
"""The headers of a P-DATA-TF PDU and of its first PDV together."""

_pack_headers = PDATA_HEADER.pack
_ASSOCIATE = struct.Struct(">H2x16s16s32s")
_FOUR_BYTES = struct.Struct(">xBBB")
_ODD_FRAGMENTS = (Tolerance.ODD_DATA_FRAGMENT, Tolerance.ODD_COMMAND_FRAGMENT)

_Context = TypeVar("_Context", PresentationContextRQ, PresentationContextAC)


@dataclass(frozen=True, slots=True)
class AAssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2).

    Attributes:
        called_ae_title: Without padding; "" when the peer sent spaces only. Of a peer that does not keep to
            the standard it may have any characters: bytes beyond ASCII are Latin-1 here.
        calling_ae_title: Likewise.
        presentation_contexts: 1 to 128, each with its own odd id.
        user_information: Empty when the peer sent none.
        application_context_name: UID; "" when the peer sent none, a quoted text when it is no UID.
        protocol_version: Bit 0 set means version 1; not judged here.
        reserved: 32 bytes that the A-ASSOCIATE-AC has to repeat.
        ae_title_fields: The bytes of both titles when they came padded otherwise than by spaces behind them;
            the A-ASSOCIATE-AC has to repeat them.
    """

    PDU_TYPE: ClassVar[int] = 0x01

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[PresentationContextRQ, ...]
    user_information: UserInformation
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    reserved: bytes = field(default=bytes(32), repr=False)
    ae_title_fields: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """The PDU.

        Raises:
            LocalProtocolError: A title, UID or number is not valid, there are no presentation contexts or
                more than 128, or the PDU would be longer than `MAX_ASSOCIATE_PDU_LENGTH`.
        """
        if not self.presentation_contexts:
            raise LocalProtocolError(
                "A-ASSOCIATE-RQ: propose at least one presentation context, there is none"
            )
        called = encode_ae_title(self.called_ae_title, "called")
        return _encode_associate(self, called, encode_ae_title(self.calling_ae_title, "calling"))

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header; items of unknown types are passed over.

        Raises:
            RemoteProtocolError: A length does not fit, there are no presentation contexts or too many, or
                something is wrong that is not tolerated.
        """
        if len(view) > RECENT_PDU_LENGTH:
            return cls._decode(view, limits)
        key = bytes(view), limits
        known = _REQUESTS.get(key)
        if isinstance(known, cls):
            return known
        request = cls._decode(view, limits)
        if request.user_information.user_identity is None:  # a password, or the like, is not kept
            _REQUESTS.keep(key, request)
        return request

    @classmethod
    def _decode(cls, view: memoryview, limits: Limits) -> Self:
        version, called, calling, reserved = _decode_fixed(view, "A-ASSOCIATE-RQ")
        called_ae_title = decode_ae_title(called, limits, "called")
        calling_ae_title = decode_ae_title(calling, limits, "calling")
        usual = echo_ae_title(called_ae_title) + echo_ae_title(calling_ae_title)
        fields = b"" if called + calling == usual else called + calling
        name, contexts, user = _decode_items(
            view, limits, "A-ASSOCIATE-RQ", PresentationContextRQ.ITEM_TYPE, PresentationContextRQ.decode
        )
        # PS3.8 9.3.2: one or more presentation context items.
        if not contexts:
            raise RemoteProtocolError(
                "A-ASSOCIATE-RQ: expected at least one presentation context, there is none"
            )
        return cls(called_ae_title, calling_ae_title, contexts, user, name, version, reserved, fields)


@dataclass(frozen=True, slots=True)
class AAssociateAC:
    """A-ASSOCIATE-AC (PS3.8 9.3.3).

    Attributes:
        called_ae_title: As in the A-ASSOCIATE-RQ; not tested when received.
        calling_ae_title: As in the A-ASSOCIATE-RQ; not tested when received.
        presentation_contexts: The answer to each proposed one.
        user_information: Empty when the peer sent none.
        application_context_name: UID; "" when the peer sent none.
        protocol_version: Bit 0 set means version 1; not judged here.
        reserved: The 32 bytes of the A-ASSOCIATE-RQ; not tested when received.
        ae_title_fields: Those of the A-ASSOCIATE-RQ, to be sent in the place of both titles.
    """

    PDU_TYPE: ClassVar[int] = 0x02

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[PresentationContextAC, ...]
    user_information: UserInformation
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    reserved: bytes = field(default=bytes(32), repr=False)
    ae_title_fields: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """The PDU.

        Raises:
            LocalProtocolError: A UID or number is not valid, there are more than 128 presentation contexts,
                or the PDU would be longer than `MAX_ASSOCIATE_PDU_LENGTH`.
        """
        known = _ANSWERS.get(self)
        if known is not None:
            return known
        # PS3.8 9.3.3: these fields are sent as they came in the A-ASSOCIATE-RQ.
        called, calling = echo_ae_title(self.called_ae_title), echo_ae_title(self.calling_ae_title)
        if self.ae_title_fields:
            called, calling = self.ae_title_fields[:16], self.ae_title_fields[16:]
        encoded = _encode_associate(self, called, calling)
        if len(encoded) > RECENT_PDU_LENGTH or self.user_information.user_identity is not None:
            return encoded
        return _ANSWERS.keep(self, encoded)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header; items of unknown types are passed over.

        Raises:
            RemoteProtocolError: A length does not fit, there are too many presentation contexts, or something
                is wrong that is not tolerated.
        """
        version, called, calling, reserved = _decode_fixed(view, "A-ASSOCIATE-AC")
        name, contexts, user = _decode_items(
            view, limits, "A-ASSOCIATE-AC", PresentationContextAC.ITEM_TYPE, PresentationContextAC.decode
        )
        # PS3.8 9.3.3: the title fields are not tested when received.
        titles = [raw.decode("latin-1").strip(" ") for raw in (called, calling)]
        return cls(titles[0], titles[1], contexts, user, name, version, reserved)


_REQUESTS: Recent[tuple[bytes, Limits], AAssociateRQ] = Recent(MAX_RECENT)
_ANSWERS: Recent[AAssociateAC, bytes] = Recent(MAX_RECENT)


def _encode_associate(pdu: AAssociateRQ | AAssociateAC, called: bytes, calling: bytes) -> bytes:
    if len(pdu.presentation_contexts) > MAX_PRESENTATION_CONTEXTS:
        raise LocalProtocolError(
            f"{len(pdu.presentation_contexts)} presentation contexts, an association has room for "
            f"{MAX_PRESENTATION_CONTEXTS}: use several associations"
        )
    if not 0 <= pdu.protocol_version <= 0xFFFF or len(pdu.reserved) != 32:
        raise LocalProtocolError(
            "A-ASSOCIATE: expected a protocol version of 16 bits and a reserved field of 32 bytes"
        )
    body = b"".join(
        (
            _ASSOCIATE.pack(pdu.protocol_version, called, calling, pdu.reserved),
            encode_item(
                APPLICATION_CONTEXT, encode_uid(pdu.application_context_name, "application context name")
            ),
            *(context.encode() for context in pdu.presentation_contexts),
            pdu.user_information.encode(),
        )
    )
    if len(body) > MAX_ASSOCIATE_PDU_LENGTH:
        raise LocalProtocolError(
            f"A-ASSOCIATE PDU of {len(body)} bytes, expected at most {MAX_ASSOCIATE_PDU_LENGTH}: "
            "propose fewer presentation contexts"
        )
    return PDU_HEADER.pack(pdu.PDU_TYPE, len(body)) + body


def _decode_fixed(view: memoryview, name: str) -> tuple[int, bytes, bytes, bytes]:
    """Protocol version, called and calling AE title, reserved field."""
    if len(view) < _ASSOCIATE.size:
        raise RemoteProtocolError(f"{name}: {len(view)} bytes, expected at least {_ASSOCIATE.size}")
    version, called, calling, reserved = _ASSOCIATE.unpack_from(view)
    return version, called, calling, reserved


def _decode_items(
    view: memoryview,
    limits: Limits,
    name: str,
    context_type: int,
    decode_context: Callable[[memoryview, Limits, int], _Context],
) -> tuple[str, tuple[_Context, ...], UserInformation]:
    """Application context name, presentation contexts and user information of an A-ASSOCIATE PDU."""
    contexts: dict[int, _Context] = {}
    # Of an item that may come once, the last one counts: decoded behind the loop, many of them cost nothing.
    last: dict[int, tuple[memoryview, int]] = {}
    offset = PDU_HEADER_LENGTH + _ASSOCIATE.size
    # PS3.8 9.3.1: items of unrecognized types are ignored.
    for item_type, start, value in iterate_items(view[_ASSOCIATE.size :], offset, name):
        if item_type == context_type:
            _add_context(contexts, decode_context(value, limits, start), limits, name)
        elif item_type in (APPLICATION_CONTEXT, UserInformation.ITEM_TYPE):
            last[item_type] = value, start
    value, start = last.get(APPLICATION_CONTEXT, (view[:0], 0))
    application_context_name = ""
    if value:
        application_context_name = decode_uid(
            value, limits, APPLICATION_CONTEXT, start, unless=Tolerance.MALFORMED_ITEM
        )
    value, start = last.get(UserInformation.ITEM_TYPE, (view[:0], 0))
    user_information = UserInformation.decode(value, limits, start)
    if (
        not user_information.implementation_class_uid
        and Tolerance.MISSING_IMPLEMENTATION_CLASS_UID not in limits.tolerance
    ):
        # PS3.7 D.3.3.2: the Implementation Class UID sub-item shall be present.
        raise RemoteProtocolError(f"{name}: expected an implementation class UID (item 52H), there is none")
    return application_context_name, tuple(contexts.values()), user_information


def _add_context(contexts: dict[int, _Context], context: _Context, limits: Limits, name: str) -> None:
    # PS3.8 9.3.2.2: a Presentation-context-ID is used once.
    if context.context_id in contexts:
        if Tolerance.DUPLICATE_CONTEXT_ID in limits.tolerance:
            return
        raise RemoteProtocolError(
            f"{name}: presentation context id {context.context_id} comes twice, expected once"
        )
    if len(contexts) >= limits.max_presentation_contexts:
        raise RemoteProtocolError(
            f"{name}: expected at most {limits.max_presentation_contexts} presentation contexts"
        )
    contexts[context.context_id] = context


def _encode_four(pdu_type: int, *values: int) -> bytes:
    """A PDU whose body is a reserved byte and three values."""
    if not all(0 <= value <= 255 for value in values):
        raise LocalProtocolError(f"PDU {pdu_type:02X}H: fields {values}, expected 0 to 255")
    return PDU_HEADER.pack(pdu_type, 4) + _FOUR_BYTES.pack(*values)


def _decode_four(view: memoryview, name: str) -> tuple[int, int, int]:
    if len(view) != 4:
        raise RemoteProtocolError(f"{name}: a length of {len(view)}, expected 4")
    first, second, third = _FOUR_BYTES.unpack(view)
    return first, second, third


@dataclass(frozen=True, slots=True)
class AAssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4).

    Attributes:
        result: 1 permanent, 2 transient.
        source: 1 service-user, 2 ACSE, 3 presentation.
        reason: Its meaning depends on the source (PS3.8 Table 9-21).
    """

    PDU_TYPE: ClassVar[int] = 0x03

    result: int
    source: int
    reason: int

    def encode(self) -> bytes:
        """The PDU. Raises LocalProtocolError for a field beyond 255."""
        return _encode_four(self.PDU_TYPE, self.result, self.source, self.reason)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header. Raises RemoteProtocolError unless there are four."""
        return cls(*_decode_four(view, "A-ASSOCIATE-RJ"))


@dataclass(frozen=True, slots=True)
class PDV:
    """A presentation data value: a fragment of a message (PS3.8 9.3.5.1, E.2).

    Attributes:
        context_id: Presentation-context-ID.
        is_command: The data belongs to a Command Set, not to a data set.
        is_last: The Command Set or data set ends here.
        data: The fragment.
    """

    context_id: int
    is_command: bool
    is_last: bool
    data: Payload


@dataclass(frozen=True, slots=True)
class PDataTF:
    """P-DATA-TF (PS3.8 9.3.5).

    Attributes:
        pdvs: At least one.
    """

    PDU_TYPE: ClassVar[int] = 0x04

    pdvs: tuple[PDV, ...]

    def parts(self) -> list[Payload]:
        """The PDU as headers and payloads by turns, payloads untouched.

        Raises:
            LocalProtocolError: There is no PDV, an id is not 0 to 255, or a length is beyond four bytes.
        """
        if not self.pdvs:
            raise LocalProtocolError("P-DATA-TF: expected at least one PDV, there is none")
        length = sum(PDV_HEADER_LENGTH + len(pdv.data) for pdv in self.pdvs)
        if length > 0xFFFFFFFF:
            raise LocalProtocolError(
                f"P-DATA-TF of {length} bytes, expected at most {0xFFFFFFFF}: use several"
            )
        header = PDU_HEADER.pack(self.PDU_TYPE, length)
        parts: list[Payload] = []
        for pdv in self.pdvs:
            if not 0 <= pdv.context_id <= 255:
                raise LocalProtocolError(f"presentation context id {pdv.context_id}, expected 0 to 255")
            control = pdv.is_command | pdv.is_last << 1
            parts += (header + PDV_HEADER.pack(len(pdv.data) + 2, pdv.context_id, control), pdv.data)
            header = b""
        return parts

    def encode(self) -> bytes:
        """The PDU, copied together.

        Raises:
            LocalProtocolError: As for `parts`.
            TypeError: The data of a PDV is a range of a file: use `parts`.
        """
        encoded = bytearray()
        for part in self.parts():
            if isinstance(part, FileRange):
                raise TypeError("P-DATA-TF: the data is a range of a file, not bytes; use parts()")
            encoded += part
        return bytes(encoded)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header, with copies of the fragments (`Reader` makes none).

        Raises:
            RemoteProtocolError: There is no PDV, a length does not fit, or a fragment has an odd length.
        """
        pdvs: list[PDV] = []
        position = 0
        while position < len(view) or not pdvs:
            left = len(view) - position
            if left < PDV_HEADER_LENGTH:
                raise pdv_header_error(left)
            pdv_length, context_id, control = PDV_HEADER.unpack_from(view, position)
            length = check_pdv(pdv_length, control, left, limits)
            start = position + PDV_HEADER_LENGTH
            position = start + length
            # PS3.8 E.2: bits 2 to 7 of the message control header are not checked.
            pdvs.append(PDV(context_id, control & 1 == 1, control & 2 == 2, bytes(view[start:position])))
        return cls(tuple(pdvs))


def pdv_header_error(left: int) -> RemoteProtocolError:
    """The error for a P-DATA-TF PDU that has only `left` bytes where a PDV is due."""
    return RemoteProtocolError(
        f"P-DATA-TF: {left} bytes left, expected a PDV with a header of {PDV_HEADER_LENGTH}"
    )


def check_pdv(pdv_length: int, control: int, left: int, limits: Limits) -> int:
    """Check a PDV against its PDU and give the length of its fragment.

    Args:
        pdv_length: The length field of the PDV.
        control: Its message control header.
        left: Bytes of the PDU from the PDV's length field to the end.
        limits: For the tolerance.

    Raises:
        RemoteProtocolError: The length is too small, beyond the PDU, or odd.
    """
    if not 2 <= pdv_length <= left - 4:
        raise RemoteProtocolError(f"P-DATA-TF: a PDV claims {pdv_length} bytes, expected 2 to {left - 4}")
    # PS3.8 9.3.5.1: a fragment has an even number of bytes.
    if pdv_length & 1 and _ODD_FRAGMENTS[control & 1] not in limits.tolerance:
        kind = "command" if control & 1 else "data set"
        raise RemoteProtocolError(
            f"P-DATA-TF: a {kind} fragment of {pdv_length - 2} bytes, expected an even number"
        )
    return pdv_length - 2


def pdata_header(context_id: int, is_command: bool, is_last: bool, length: int) -> bytes:
    """The 12 bytes before the data of a P-DATA-TF PDU with one PDV (PS3.8 9.3.5).

    Args:
        context_id: Presentation-context-ID, 1 to 255.
        is_command: The data belongs to a Command Set.
        is_last: The Command Set or data set ends with this data.
        length: Number of bytes of data.
    """
    return _pack_headers(0x04, length + 6, length + 2, context_id, is_command | is_last << 1)


@dataclass(frozen=True, slots=True)
class AReleaseRQ:
    """A-RELEASE-RQ (PS3.8 9.3.6)."""

    PDU_TYPE: ClassVar[int] = 0x05

    def encode(self) -> bytes:
        """The PDU."""
        return _encode_four(self.PDU_TYPE, 0, 0, 0)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header. Raises RemoteProtocolError unless there are four."""
        _decode_four(view, "A-RELEASE-RQ")
        return cls()


@dataclass(frozen=True, slots=True)
class AReleaseRP:
    """A-RELEASE-RP (PS3.8 9.3.7)."""

    PDU_TYPE: ClassVar[int] = 0x06

    def encode(self) -> bytes:
        """The PDU."""
        return _encode_four(self.PDU_TYPE, 0, 0, 0)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header. Raises RemoteProtocolError unless there are four."""
        _decode_four(view, "A-RELEASE-RP")
        return cls()


@dataclass(frozen=True, slots=True)
class AAbort:
    """A-ABORT (PS3.8 9.3.8).

    Attributes:
        source: 0 service-user, 2 service-provider.
        reason: Significant when the source is the service-provider (PS3.8 Table 9-26).
    """

    PDU_TYPE: ClassVar[int] = 0x07

    source: int = 0
    reason: int = 0

    def encode(self) -> bytes:
        """The PDU. Raises LocalProtocolError for a field beyond 255."""
        return _encode_four(self.PDU_TYPE, 0, self.source, self.reason)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits) -> Self:
        """Decode the bytes behind the PDU header. Raises RemoteProtocolError unless there are four."""
        _, source, reason = _decode_four(view, "A-ABORT")
        return cls(source, reason)


PDU: TypeAlias = AAssociateRQ | AAssociateAC | AAssociateRJ | PDataTF | AReleaseRQ | AReleaseRP | AAbort
