"""Transfer syntaxes: UIDs, groups, properties, and orders of preference (PS3.5 clause 10, Annex A)."""

from __future__ import annotations

from dcmnet._records import dataclass
from dcmnet.registry._uids import UIDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE_8BIT = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED_12BIT = "1.2.840.10008.1.2.4.51"
JPEG_EXTENDED_3_5 = "1.2.840.10008.1.2.4.52"
JPEG_SPECTRAL_SELECTION_NON_HIERARCHICAL_6_8 = "1.2.840.10008.1.2.4.53"
JPEG_SPECTRAL_SELECTION_NON_HIERARCHICAL_7_9 = "1.2.840.10008.1.2.4.54"
JPEG_FULL_PROGRESSION_NON_HIERARCHICAL_10_12 = "1.2.840.10008.1.2.4.55"
JPEG_FULL_PROGRESSION_NON_HIERARCHICAL_11_13 = "1.2.840.10008.1.2.4.56"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_NON_HIERARCHICAL_15 = "1.2.840.10008.1.2.4.58"
JPEG_EXTENDED_HIERARCHICAL_16_18 = "1.2.840.10008.1.2.4.59"
JPEG_EXTENDED_HIERARCHICAL_17_19 = "1.2.840.10008.1.2.4.60"
JPEG_SPECTRAL_SELECTION_HIERARCHICAL_20_22 = "1.2.840.10008.1.2.4.61"
JPEG_SPECTRAL_SELECTION_HIERARCHICAL_21_23 = "1.2.840.10008.1.2.4.62"
JPEG_FULL_PROGRESSION_HIERARCHICAL_24_26 = "1.2.840.10008.1.2.4.63"
JPEG_FULL_PROGRESSION_HIERARCHICAL_25_27 = "1.2.840.10008.1.2.4.64"
JPEG_LOSSLESS_HIERARCHICAL_28 = "1.2.840.10008.1.2.4.65"
JPEG_LOSSLESS_HIERARCHICAL_29 = "1.2.840.10008.1.2.4.66"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
JPEG_2000_MC_LOSSLESS = "1.2.840.10008.1.2.4.92"
JPEG_2000_MC = "1.2.840.10008.1.2.4.93"
JPIP_REFERENCED = "1.2.840.10008.1.2.4.94"
JPIP_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.95"
MPEG2_MPML = "1.2.840.10008.1.2.4.100"
MPEG2_MPML_F = "1.2.840.10008.1.2.4.100.1"
MPEG2_MPHL = "1.2.840.10008.1.2.4.101"
MPEG2_MPHL_F = "1.2.840.10008.1.2.4.101.1"
MPEG4_HP41 = "1.2.840.10008.1.2.4.102"
MPEG4_HP41_F = "1.2.840.10008.1.2.4.102.1"
MPEG4_HP41_BD = "1.2.840.10008.1.2.4.103"
MPEG4_HP41_BD_F = "1.2.840.10008.1.2.4.103.1"
MPEG4_HP42_2D = "1.2.840.10008.1.2.4.104"
MPEG4_HP42_2D_F = "1.2.840.10008.1.2.4.104.1"
MPEG4_HP42_3D = "1.2.840.10008.1.2.4.105"
MPEG4_HP42_3D_F = "1.2.840.10008.1.2.4.105.1"
MPEG4_HP42_STEREO = "1.2.840.10008.1.2.4.106"
MPEG4_HP42_STEREO_F = "1.2.840.10008.1.2.4.106.1"
HEVC_MP51 = "1.2.840.10008.1.2.4.107"
HEVC_M10P51 = "1.2.840.10008.1.2.4.108"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_XL_JPEG_RECOMPRESSION = "1.2.840.10008.1.2.4.111"
JPEG_XL = "1.2.840.10008.1.2.4.112"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
JPIP_HTJ2K_REFERENCED = "1.2.840.10008.1.2.4.204"
JPIP_HTJ2K_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.205"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
RFC_2557_MIME_ENCAPSULATION = "1.2.840.10008.1.2.6.1"
XML_ENCODING = "1.2.840.10008.1.2.6.2"
SMPTE_ST_2110_20_PROGRESSIVE = "1.2.840.10008.1.2.7.1"
SMPTE_ST_2110_20_INTERLACED = "1.2.840.10008.1.2.7.2"
SMPTE_ST_2110_30_PCM = "1.2.840.10008.1.2.7.3"
DEFLATED_IMAGE_FRAME_COMPRESSION = "1.2.840.10008.1.2.8.1"
PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.20"
PRIVATE_GE_IMPLICIT_VR_LITTLE_ENDIAN_WITH_BIG_ENDIAN_PIXEL_DATA = "1.2.840.113619.5.2"

UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""The three that need no decoder, best first; the last is the default of all (PS3.5 10.1)."""

NATIVE = (
    *UNCOMPRESSED,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
)
"""Those whose pixel data are not compressed by an image codec."""

LOSSLESS = (
    JPEG_LOSSLESS_SV1,
    JPEG_LOSSLESS,
    JPEG_LS_LOSSLESS,
    JPEG_2000_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    HTJ2K_LOSSLESS,
    JPEG_XL_LOSSLESS,
    JPEG_XL_JPEG_RECOMPRESSION,
    RLE_LOSSLESS,
    DEFLATED_IMAGE_FRAME_COMPRESSION,
    JPEG_2000_MC_LOSSLESS,
    JPEG_LOSSLESS_NON_HIERARCHICAL_15,
    JPEG_LOSSLESS_HIERARCHICAL_28,
    JPEG_LOSSLESS_HIERARCHICAL_29,
)
"""Those that lose nothing by themselves, the usual ones first."""

LOSSY = (
    JPEG_BASELINE_8BIT,
    JPEG_EXTENDED_12BIT,
    JPEG_LS_NEAR_LOSSLESS,
    JPEG_2000,
    HTJ2K,
    JPEG_XL,
    JPEG_2000_MC,
    JPEG_EXTENDED_3_5,
    JPEG_SPECTRAL_SELECTION_NON_HIERARCHICAL_6_8,
    JPEG_SPECTRAL_SELECTION_NON_HIERARCHICAL_7_9,
    JPEG_FULL_PROGRESSION_NON_HIERARCHICAL_10_12,
    JPEG_FULL_PROGRESSION_NON_HIERARCHICAL_11_13,
    JPEG_EXTENDED_HIERARCHICAL_16_18,
    JPEG_EXTENDED_HIERARCHICAL_17_19,
    JPEG_SPECTRAL_SELECTION_HIERARCHICAL_20_22,
    JPEG_SPECTRAL_SELECTION_HIERARCHICAL_21_23,
    JPEG_FULL_PROGRESSION_HIERARCHICAL_24_26,
    JPEG_FULL_PROGRESSION_HIERARCHICAL_25_27,
)
"""Those that may lose information, the usual ones first."""

REFERENCED = (
    JPIP_REFERENCED,
    JPIP_REFERENCED_DEFLATE,
    JPIP_HTJ2K_REFERENCED,
    JPIP_HTJ2K_REFERENCED_DEFLATE,
)
"""Those whose pixel data stay with a provider and are named by a URL (PS3.5 A.6, A.7)."""

VIDEO = (
    MPEG4_HP41,
    MPEG4_HP41_BD,
    MPEG4_HP42_2D,
    MPEG4_HP42_3D,
    MPEG4_HP42_STEREO,
    HEVC_MP51,
    HEVC_M10P51,
    MPEG2_MPML,
    MPEG2_MPHL,
    MPEG4_HP41_F,
    MPEG4_HP41_BD_F,
    MPEG4_HP42_2D_F,
    MPEG4_HP42_3D_F,
    MPEG4_HP42_STEREO_F,
    MPEG2_MPML_F,
    MPEG2_MPHL_F,
)
"""MPEG-2, MPEG-4 and HEVC, the fragmentable forms last."""

NOT_NEGOTIATED = (
    RFC_2557_MIME_ENCAPSULATION,
    XML_ENCODING,
    SMPTE_ST_2110_20_PROGRESSIVE,
    SMPTE_ST_2110_20_INTERLACED,
    SMPTE_ST_2110_30_PCM,
    PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN,
    PRIVATE_GE_IMPLICIT_VR_LITTLE_ENDIAN_WITH_BIG_ENDIAN_PIXEL_DATA,
)
"""Of use in files, mail or real-time video only, or private: negotiated only if they are named one by one."""

ALL = (*NATIVE, *LOSSLESS, *LOSSY, *REFERENCED, *VIDEO)
"""Every one that a data set may be sent in over an association."""

_DEFLATED = frozenset(
    (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, JPIP_REFERENCED_DEFLATE, JPIP_HTJ2K_REFERENCED_DEFLATE)
)
_ENCAPSULATED = frozenset((ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN, *LOSSLESS, *LOSSY, *VIDEO))
_IMPLICIT = frozenset(
    (
        IMPLICIT_VR_LITTLE_ENDIAN,
        PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN,
        PRIVATE_GE_IMPLICIT_VR_LITTLE_ENDIAN_WITH_BIG_ENDIAN_PIXEL_DATA,
    )
)


def is_transfer_syntax(uid: str) -> bool:
    """Whether the UID is a registered transfer syntax."""
    entry = UIDS.get(uid)
    return entry is not None and entry[2] == "Transfer Syntax"


def is_encapsulated(uid: str) -> bool:
    """Whether Pixel Data are in encapsulated form (PS3.5 A.4); False for one that is not registered."""
    return uid in _ENCAPSULATED


def is_implicit(uid: str) -> bool:
    """Whether value representations are left out (PS3.5 A.1)."""
    return uid in _IMPLICIT


def is_big_endian(uid: str) -> bool:
    """Whether numbers have their most significant byte first (PS3.5 A.3, retired)."""
    return uid == EXPLICIT_VR_BIG_ENDIAN


def is_deflated(uid: str) -> bool:
    """Whether the whole data set is a deflate stream (PS3.5 A.5)."""
    return uid in _DEFLATED


@dataclass(frozen=True, slots=True)
class Preference:
    """What a one-letter code of the tools' options `-x?` and `+x?` stands for.

    Attributes:
        suffix: What follows `--propose-` and `--prefer-` in the long spelling.
        transfer_syntaxes: The transfer syntaxes it names, in order of preference.
        adds_uncompressed: Whether a proposal (`-x?`) also has the uncompressed ones.
    """

    suffix: str
    transfer_syntaxes: tuple[str, ...]
    adds_uncompressed: bool


PREFERENCE_CODES: dict[str, Preference] = {
    "=": Preference("uncompr", UNCOMPRESSED, False),
    "e": Preference("little", UNCOMPRESSED, False),
    "b": Preference(
        "big", (EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN), False
    ),
    "i": Preference("implicit", (IMPLICIT_VR_LITTLE_ENDIAN,), False),
    "s": Preference("lossless", (JPEG_LOSSLESS_SV1,), True),
    "y": Preference("jpeg8", (JPEG_BASELINE_8BIT,), True),
    "x": Preference("jpeg12", (JPEG_EXTENDED_12BIT,), True),
    "v": Preference("j2k-lossless", (JPEG_2000_LOSSLESS,), True),
    "w": Preference("j2k-lossy", (JPEG_2000,), True),
    "t": Preference("jls-lossless", (JPEG_LS_LOSSLESS,), True),
    "u": Preference("jls-lossy", (JPEG_LS_NEAR_LOSSLESS,), True),
    "m": Preference("mpeg2", (MPEG2_MPML,), False),
    "h": Preference("mpeg2-high", (MPEG2_MPHL,), False),
    "n": Preference("mpeg4", (MPEG4_HP41,), False),
    "l": Preference("mpeg4-bd", (MPEG4_HP41_BD,), False),
    "2": Preference("mpeg4-2-2d", (MPEG4_HP42_2D,), False),
    "3": Preference("mpeg4-2-3d", (MPEG4_HP42_3D,), False),
    "o": Preference("mpeg4-2-st", (MPEG4_HP42_STEREO,), False),
    "4": Preference("hevc", (HEVC_MP51,), False),
    "5": Preference("hevc10", (HEVC_M10P51,), False),
    "r": Preference("rle", (RLE_LOSSLESS,), True),
    "d": Preference("deflated", (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,), True),
    "a": Preference("accept-all", ALL, False),
}
"""Code to preference. The machine's byte order plays no part: "=" is little endian first everywhere."""


def proposed(code: str) -> tuple[str, ...]:
    """What `-x<code>` proposes, in order.

    Raises:
        KeyError: There is no such code.
    """
    preference = PREFERENCE_CODES[code]
    return _distinct((*preference.transfer_syntaxes, *(UNCOMPRESSED if preference.adds_uncompressed else ())))


def accepted(code: str) -> tuple[str, ...]:
    """What `+x<code>` accepts, best first: what the code names, else an uncompressed one.

    `i` accepts Implicit VR Little Endian and nothing else.

    Raises:
        KeyError: There is no such code.
    """
    named = PREFERENCE_CODES[code].transfer_syntaxes
    return named if code == "i" else _distinct((*named, *UNCOMPRESSED))


def in_order_of(code: str, transfer_syntaxes: Iterable[str]) -> tuple[str, ...]:
    """The transfer syntaxes with what the code prefers first; the others keep their order behind.

    Raises:
        KeyError: There is no such code.
    """
    rank = {uid: position for position, uid in enumerate(accepted(code))}
    return tuple(sorted(_distinct(transfer_syntaxes), key=lambda uid: rank.get(uid, len(rank))))


def _distinct(uids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(uids))
