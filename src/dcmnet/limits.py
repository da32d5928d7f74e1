"""Every limit and timer, each with its reason, and the tolerances towards peers that are not quite right.

Lengths are in bytes, times in seconds. A limit is checked before anything is allocated for what it bounds.
"""

from __future__ import annotations

import enum

from dcmnet._records import dataclass, fields

MAX_ASSOCIATE_PDU_LENGTH = 1 << 20
"""A-ASSOCIATE-RQ/AC: 128 contexts with every transfer syntax need about 250 kB; more is an attack."""

DEFAULT_MAX_PDU_LENGTH = 131072
"""What we announce (PS3.8 D.1): the cost of a PDU no longer shows, and all peers take it."""

SMALLEST_MAX_PDU_LENGTH = 8
"""A peer's maximum below this cannot hold a PDV of two bytes: its header takes six."""

LARGEST_PDU_SENT = 131072
"""What we send at most, whatever a peer allows: peers that announce 0 (no limit) still buffer whole PDUs."""

MAX_RECENT = 64
"""Requests for associations that are remembered with their answers: few servers have more kinds of peers."""

RECENT_PDU_LENGTH = 4096
"""The longest A-ASSOCIATE PDU that is remembered: most are shorter, and 64 of them take little memory."""

MAX_PRESENTATION_CONTEXTS = 128
"""PS3.8 9.3.2.2: odd ids 1 to 255."""

MAX_TRANSFER_SYNTAXES = 128
"""Transfer syntaxes of one presentation context; the standard has fewer than 60 in all."""

MAX_USER_ITEMS = 1024
"""User-information sub-items: roles and extended negotiations come one a SOP class, of at most 128."""

MAX_UID_LENGTH = 64
"""PS3.5 9.1."""

MAX_PROFILE_TEXT_LENGTH = 1 << 20
"""Characters of an association negotiation file; DCMTK's own have 28,000, so more is another kind of file."""

MAX_PROFILES = 256
"""Profiles of a file; each may refer to every list, so that memory grows with their number."""

MAX_EXTENDED_NEGOTIATION_LENGTH = 1024
"""Bytes that a profile tells about one SOP class; DCMTK takes as many, the standard's classes need 7."""

MAX_PROBLEMS = 1000
"""Problems of a profile that are told; nobody reads more."""

MAX_SUGGESTIONS = 20
"""Misspelled names of a profile for which the nearest one is looked for: each costs milliseconds."""

MAX_COMMAND_SET_LENGTH = 65536
"""A Command Set of the standard stays below 2 kB; lists of tags (N-GET) may make it longer."""

MAX_COMMAND_FRAGMENTS = 256
"""PDVs that one Command Set may be cut into: a peer that needs more is stalling."""

MAX_IDENTIFIER_LENGTH = 4 << 20
"""The data set of a query, a match or a normalized service, the only ones held in memory: 60,000 UIDs."""

MAX_KEPT_REPORTS = 16
"""Event reports of one association that wait to be sent or taken, each as long as an identifier may be."""

MAX_INFLATED_IDENTIFIER_LENGTH = 8 << 20
"""An identifier, deflated, when it is inflated: twice what one may be that is not deflated."""

MAX_IDENTIFIER_ELEMENTS = 200_000
"""Elements and further values of an identifier: one of `MAX_IDENTIFIER_LENGTH` that lists objects has
130,000, and pydicom needs about 3 microseconds and 250 bytes for each."""

MAX_IDENTIFIER_ITEMS = 50_000
"""Items of an identifier, of all sequences together: one that lists objects has 41,000, and pydicom needs
about 20 microseconds and 700 bytes for each."""

MAX_ELEMENTS = 1_000_000
"""Elements of an object that is looked into: an image of 80,000 frames has as many."""

MAX_ITEMS = 250_000
"""Items of an object that is looked into, of all sequences together: 5 seconds and 180 MB at most."""

MAX_KEY_DEPTH = 64
"""Attributes in the path of a matching key: sequences are hardly ever nested deeper than five."""

MAX_KEY_ITEMS = 1000
"""Items that a matching key may ask for in one sequence: those before the one it names are made as well."""

MAX_ASSOCIATIONS = 2000
"""Associations that a server holds at once: one that is busy may cost a thread and 300 kB."""

MAX_ASSOCIATIONS_BY_PEER = 1000
"""Associations from one address: half of them all, so that one peer never locks the others out."""

MAX_HANDLER_THREADS = 256
"""Handlers and writes to files that an asyncio server runs at once, each in a thread of its own."""

MAX_CLIENT_THREADS = 32
"""The same for all clients of one event loop."""

MAX_WINDOW = 1000
"""Operations of one association under way at once, where the negotiation names no limit, and at most asked
for: their responses fit into the buffers between two peers that both send before they read."""

DEFAULT_WINDOW_SERVED = 16
"""Operations of one association that a server serves at once where its peer asks for as many."""

PUT_OFF_RESPONSES = 16
"""Responses that are sent together at most, where a peer has several operations under way."""

DETACHED_LENGTH = 64 * 1024
"""Up to this length the end of a data set is copied for the thread that keeps it; else it is written."""

UNCOUNTED_ARRIVAL = 5.0
"""Seconds for the next object of a C-MOVE to this side if the peer does not say how many it has sent."""

MAX_WORKERS = 256
"""Worker processes that `storescp --workers` starts: beyond that it is a port number in the wrong place."""

MINIMUM_RATE = 64
"""Bytes a second that a peer must deliver in the middle of a message; a slow modem did 5,000."""

MINIMUM_RATE_PERIOD = 30.0
"""Seconds over which the minimum rate is measured: a stall shorter than that is forgiven."""

MINIMUM_SEND_RATE = 1000
"""Bytes a second that a peer must read while this side waits to send."""

BUSY_WAIT = 0.0005
"""Seconds that the blocking face looks for an answer before it sleeps: to be woken takes 30 to 50
microseconds at each end, where many an answer takes less than a hundred."""

HELD_UP_SECONDS = 0.01
"""After so long with one association another thread of the blocking server goes on with the others; for some
milliseconds a busy system takes the processor from everybody now and then."""

TURN_SECONDS = 0.002
"""After so long an association whose peer never stops sending gives way, before it holds others up."""

RECEIVE_BUFFER_LENGTH = 256 * 1024
"""The fixed receive buffer of an association that transfers data sets."""

WIDE_RECEIVE_BUFFER_LENGTH = 640 * 1024
"""That of a few associations of an asyncio server: a CT image comes in one piece then."""

MAX_WIDE_BUFFERS = 32
"""Associations of an asyncio server that have one at a time."""

SMALL_RECEIVE_BUFFER_LENGTH = 4096
"""The receive buffer until the first data set arrives: an idle association stays small."""

REST_AFTER = 2.0
"""Seconds without a byte after which an association gives its buffers back: most of them idle."""

READ_AHEAD_LENGTH = 1 << 20
"""Up to this length the next data set is read whole while the response is due; most are not longer."""

SMALL_DATA_SET_LENGTH = 64 * 1024
"""Up to this length data sets are read into memory of their own, and leave together where a window allows."""

KEPT_FILE_LENGTH = 64 * 1024
"""Up to this length a file is read whole when it is looked at, so that it need not be opened again."""

KEPT_LENGTH = 4 << 20
"""Memory for such files that one transfer holds until they are sent: nearly `LOOK_AHEAD` of the longest."""

MAX_LAYOUTS = 8
"""Kinds of File Meta Information that are compared with that of the next file; a series has one or two."""

MAX_LOST_IN_A_ROW = 10
"""Associations that end early one after the other, with nothing stored over any of them, before the rest is
given up: that many bad objects may follow each other, and a peer that always aborts is not asked for ever."""

SCAN_FIRST = 1000
"""Files looked at before the first association is asked for, which is then asked for what they need."""

LOOK_AHEAD = 64
"""Objects that wait while nothing more is looked for: so few that what was read of them can be kept."""

SCAN_STEP = 2
"""Files looked at while a response is due."""

SCAN_MANY = 32
"""Files looked at in one call, where that does not hold up the next object."""

SEND_BATCH_LENGTH = 256 * 1024
"""Bytes of a data set handed to one system call."""

SEND_READ_LENGTH = 2 * READ_AHEAD_LENGTH
"""Bytes of a message whose data set is in memory, handed to one system call: all of them."""

MAX_INFLATED_LENGTH = 1 << 28
"""A deflated data set, inflated: all of it is in memory then, and 1 MB of deflated bytes may become 1 GB. The
limit is for what is looked into or converted; anything is stored and sent as it is."""

MAX_INFLATE_RATIO = 1032
"""Deflate cannot do better than 1032 to 1: what is short enough need not be measured."""

MAX_CONVERTED_LENGTH = 1 << 31
"""A file that is converted is read into memory, and encoded there once more: beyond 2 GiB that is refused."""

MAX_DECOMPRESSED_LENGTH = 1 << 30
"""Pixel data of one object, decompressed: all of them are in memory, twice while they are encoded."""

MAX_DECODING_LENGTH = 1 << 30
"""Pixel data, decompressed, of all objects that are being decoded at a time; the next object waits."""

MAX_DECODERS = 4
"""Decoder processes of one server or program, each with about 60 MB of libraries; the next object waits."""

DECODING_MEMORY = 256 << 20
"""Memory that a decoder process may take beyond its libraries and what follows from an object's size."""

DECODING_MEMORY_RATIO = 16
"""Bytes that a decoder may take for each byte of one frame: wavelets of 4 bytes a sample, several times."""

MAX_DECODER_MEMORY = 2 << 30
"""Memory that a decoder process may take in any case, beyond its libraries."""

DECODING_SECONDS = 30.0
"""Time that a decoder may take for any object, with its start."""

DECODING_RATE = 4 << 20
"""Bytes of decompressed pixel data for each second more; codecs do 10 to 200 MB a second."""

MAX_DICOMDIR_LENGTH = 1 << 28
"""A DICOMDIR is read into memory; 256 MiB list about 500,000 files."""

MAX_INFLATED_DICOMDIR_LENGTH = 16 << 20
"""One that is deflated, which PS3.10 8.6 does not allow, when it is inflated: 30,000 files."""

MAX_DICOMDIR_RECORDS = 1_000_000
"""Items of a DICOMDIR: the records of 500,000 files, of their series, studies and patients."""

MAX_DICOMDIR_ELEMENTS = 20 * MAX_DICOMDIR_RECORDS
"""Elements of a DICOMDIR; a record has about 15, and not more than one record is in memory at a time."""

MAX_REPORT_LENGTH = 1 << 30
"""A report to resume from is read into memory; 1 GiB tells of about a million objects."""

MAX_HEAD_LENGTH = 1 << 20
"""Bytes of a deflated data set that are inflated to find out where it belongs: its study, its patient."""

MAX_HEAD_SEQUENCE_LENGTH = 8 << 20
"""Bytes of one sequence that are read for the same purpose: one that refers to 50,000 objects has as many."""

MAX_RUNNING_COMMANDS = 64
"""Commands that storescp has running at once: the next object waits rather than one process more."""

LONGEST_NAME_PART = 128
"""Characters of a text off the wire in a file name or folder; with what stands around it below 255 bytes."""

MAX_SEQUENCE_DEPTH = 64
"""Nested sequences that are followed when a data set has to be looked into."""


class Tolerance(enum.Flag):
    """What a peer may do wrong and still be served. Each one can be switched off."""

    NONE = 0
    PADDED_UID = enum.auto()
    """A UID in a PDU or Command Set ends in spaces or NULs."""
    ODD_DATA_FRAGMENT = enum.auto()
    """A data set fragment has an odd length (PS3.8 9.3.5.1: even), as odd deflated data sets do."""
    ODD_COMMAND_FRAGMENT = enum.auto()
    """A command fragment has an odd length, as those with an Error Comment that is not padded do."""
    MISSING_GROUP_LENGTH = enum.auto()
    """A Command Set comes without (0000,0000)."""
    MISSING_IMPLEMENTATION_CLASS_UID = enum.auto()
    """An A-ASSOCIATE PDU comes without the 52H sub-item that PS3.7 D.3.3.2 requires."""
    OVERSIZED_PDU = enum.auto()
    """A P-DATA-TF PDU is up to 64 bytes longer than announced: some peers forget to count headers."""
    NONCONFORMING_UID = enum.auto()
    """A UID has components with leading zeros (PS3.5 9.1 forbids them)."""
    EVEN_CONTEXT_ID = enum.auto()
    """A presentation context has an even id (PS3.8 9.3.2.2 asks for odd ones)."""
    DUPLICATE_CONTEXT_ID = enum.auto()
    """A presentation context id is proposed, or answered, twice; the first one counts."""
    BAD_MAXIMUM_LENGTH = enum.auto()
    """The 51H sub-item does not have four bytes; it is passed over."""
    MISSING_ROLE_SELECTION = enum.auto()
    """An A-ASSOCIATE-AC has no role selection item (54H) for a class that this side proposed to be SCP of
    (PS3.7 D.3.3.4: it is SCU alone then); it takes the role all the same, as some servers of C-GET expect."""
    NONCONFORMING_AE_TITLE = enum.auto()
    """A title of an A-ASSOCIATE-RQ is padded with NULs, or has tabs, bytes beyond ASCII and the like."""
    MALFORMED_CONTEXT = enum.auto()
    """A presentation context has no usable abstract or transfer syntax; it alone is refused."""
    MALFORMED_ITEM = enum.auto()
    """Another item of an A-ASSOCIATE PDU is malformed. The application context name and the implementation
    class UID are kept as text, roles, windows and extended negotiations are passed over. A user identity and
    a length beyond the end are still refused."""
    UNPROPOSED_ANSWER = enum.auto()
    """An A-ASSOCIATE-AC answers a context that was not proposed, which is ignored, or accepts one with a
    transfer syntax that was not, which counts as refused."""
    MALFORMED_ELEMENT = enum.auto()
    """A Command Set element that the message uses only for information is malformed or missing: texts are
    kept raw, numbers are left out, a C-MOVE-RQ gets the status A801."""
    LONG_US = enum.auto()
    """A US of a Command Set has four bytes; their value is read."""
    FOREIGN_ELEMENT = enum.auto()
    """A Command Set has elements of other groups than 0000, private ones mostly; they are passed over."""


DEFAULT_TOLERANCE = (
    Tolerance.PADDED_UID
    | Tolerance.ODD_DATA_FRAGMENT
    | Tolerance.ODD_COMMAND_FRAGMENT
    | Tolerance.MISSING_GROUP_LENGTH
    | Tolerance.MISSING_IMPLEMENTATION_CLASS_UID
    | Tolerance.NONCONFORMING_UID
    | Tolerance.MISSING_ROLE_SELECTION
    | Tolerance.EVEN_CONTEXT_ID
    | Tolerance.DUPLICATE_CONTEXT_ID
    | Tolerance.BAD_MAXIMUM_LENGTH
    | Tolerance.NONCONFORMING_AE_TITLE
    | Tolerance.MALFORMED_CONTEXT
    | Tolerance.MALFORMED_ITEM
    | Tolerance.UNPROPOSED_ANSWER
    | Tolerance.MALFORMED_ELEMENT
    | Tolerance.LONG_US
    | Tolerance.FOREIGN_ELEMENT
)
"""What peers in use need: all but OVERSIZED_PDU, which would let a peer send more than was announced."""

OVERSIZED_PDU_MARGIN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Every timer of an association, in seconds; None waits for ever.

    Attributes:
        connect: For the transport connection.
        artim: The ARTIM timer of PS3.8 9.1.5: for an A-ASSOCIATE-RQ, and for the peer to close.
        acse: For the answer to an A-ASSOCIATE-RQ or A-RELEASE-RQ, and for the TLS handshake before it.
        dimse: For the next message, or part of one, of an operation under way.
        network: For the next request on an idle association.
        write: For a peer that has stopped reading.
        arrival: For the next object of a C-MOVE to this side, if its final response says that more were sent
            than have come, and no association is there that could bring it.
        minimum_rate: Bytes a second that a message must arrive with, measured over `minimum_rate_period`;
            0 switches it off.
        minimum_send_rate: Bytes a second that the peer must read while this side waits to send, measured over
            `minimum_rate_period` of such time; 0 switches it off.
        busy_wait: How long to look for the peer's next bytes before sleeping, where the wait before was as
            short; 0 for not at all.
    """

    connect: float | None = 30.0
    artim: float | None = 30.0
    acse: float | None = 30.0
    dimse: float | None = 300.0
    network: float | None = 60.0
    write: float | None = 60.0
    arrival: float | None = 60.0
    minimum_rate: int = MINIMUM_RATE
    minimum_rate_period: float = MINIMUM_RATE_PERIOD
    minimum_send_rate: int = MINIMUM_SEND_RATE
    busy_wait: float = BUSY_WAIT

    def __post_init__(self) -> None:
        from dcmnet import arguments  # the table of a tool is made without

        arguments.check_types(self)
        for each in fields(self):
            if each.type != "int":
                arguments.seconds(getattr(self, each.name), each.name)
        arguments.whole_number(self.minimum_rate, "minimum_rate")
        arguments.whole_number(self.minimum_send_rate, "minimum_send_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that a caller may set; the defaults are this module's constants.

    Attributes:
        max_associate_pdu_length: Of an A-ASSOCIATE PDU.
        max_presentation_contexts: Of an A-ASSOCIATE-RQ.
        max_transfer_syntaxes: Of one presentation context.
        max_user_items: Sub-items of the user information.
        max_command_set_length: Of a Command Set.
        max_command_fragments: PDVs that one Command Set may be cut into.
        max_identifier_length: Of the data set of a query, a match or a normalized service.
        max_inflated_identifier_length: Of one that is deflated, when it is inflated.
        max_identifier_elements: Elements of such a data set, with those in items, and further values of them.
        max_identifier_items: Items of such a data set.
        max_inflated_length: Of a deflated object that is looked into, when it is inflated.
        max_elements: Elements of an object that is looked into, with those in items.
        max_items: Items of an object that is looked into.
        receive_buffer_length: Of the buffer of an association that transfers data sets.
        tolerance: What a peer may do wrong.
    """

    max_associate_pdu_length: int = MAX_ASSOCIATE_PDU_LENGTH
    max_presentation_contexts: int = MAX_PRESENTATION_CONTEXTS
    max_transfer_syntaxes: int = MAX_TRANSFER_SYNTAXES
    max_user_items: int = MAX_USER_ITEMS
    max_command_set_length: int = MAX_COMMAND_SET_LENGTH
    max_command_fragments: int = MAX_COMMAND_FRAGMENTS
    max_identifier_length: int = MAX_IDENTIFIER_LENGTH
    max_inflated_identifier_length: int = MAX_INFLATED_IDENTIFIER_LENGTH
    max_identifier_elements: int = MAX_IDENTIFIER_ELEMENTS
    max_identifier_items: int = MAX_IDENTIFIER_ITEMS
    max_inflated_length: int = MAX_INFLATED_LENGTH
    max_elements: int = MAX_ELEMENTS
    max_items: int = MAX_ITEMS
    receive_buffer_length: int = RECEIVE_BUFFER_LENGTH
    tolerance: Tolerance = DEFAULT_TOLERANCE

    def __post_init__(self) -> None:
        from dcmnet import arguments

        arguments.check_types(self)
        for each in fields(self):
            if each.type == "int":
                arguments.whole_number(getattr(self, each.name), each.name, 1)
