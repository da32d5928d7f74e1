"""Statuses of DIMSE responses and what they mean, in the standard's words (PS3.7 Annex C, PS3.4)."""

from __future__ import annotations

from dcmnet.registry import sop_classes

# PS3.7 Annex C.
SUCCESS = 0x0000
REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED = 0x0001
NO_SUCH_ATTRIBUTE = 0x0105
INVALID_ATTRIBUTE_VALUE = 0x0106
ATTRIBUTE_LIST_ERROR = 0x0107
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_SOP_INSTANCE = 0x0112
NO_SUCH_EVENT_TYPE = 0x0113
NO_SUCH_ARGUMENT = 0x0114
INVALID_ARGUMENT_VALUE = 0x0115
ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
INVALID_SOP_INSTANCE = 0x0117
NO_SUCH_SOP_CLASS = 0x0118
CLASS_INSTANCE_CONFLICT = 0x0119
MISSING_ATTRIBUTE = 0x0120
MISSING_ATTRIBUTE_VALUE = 0x0121
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
NOT_AUTHORIZED = 0x0124
DUPLICATE_TRANSACTION_UID = 0x0131
DUPLICATE_INVOCATION = 0x0210
UNRECOGNIZED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213
CANCEL = 0xFE00
PENDING = 0xFF00

# PS3.4 B.2.3: storage.
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
COERCION_OF_DATA_ELEMENTS = 0xB000
ELEMENTS_DISCARDED = 0xB006
DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007

# PS3.4 C.4: query and retrieve; PS3.4 Y.4: frames.
PENDING_OPTIONAL_KEYS_NOT_SUPPORTED = 0xFF01
UNABLE_TO_CALCULATE_NUMBER_OF_MATCHES = 0xA701
UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
MOVE_DESTINATION_UNKNOWN = 0xA801
UNABLE_TO_PROCESS = 0xC000
SUBOPERATIONS_COMPLETE_WITH_FAILURES = 0xB000
NO_REQUESTED_FRAMES_FOUND = 0xAA00
UNABLE_TO_CREATE_NEW_OBJECT = 0xAA01
UNABLE_TO_EXTRACT_FRAMES = 0xAA02
TIME_BASED_REQUEST_FOR_NON_TIME_BASED_INSTANCE = 0xAA03
INVALID_REQUEST = 0xAA04

# PS3.4 CC.2: unified procedure steps.
UPS_CREATED_WITH_MODIFICATIONS = 0xB300
UPS_DELETION_LOCK_NOT_GRANTED = 0xB301
UPS_ALREADY_CANCELED = 0xB304
UPS_COERCED_INVALID_VALUES = 0xB305
UPS_ALREADY_COMPLETED_WARNING = 0xB306
UPS_MAY_NO_LONGER_BE_UPDATED = 0xC300
UPS_WRONG_TRANSACTION_UID = 0xC301
UPS_ALREADY_IN_PROGRESS = 0xC302
UPS_SCHEDULED_ONLY_BY_N_CREATE = 0xC303
UPS_FINAL_STATE_REQUIREMENTS_NOT_MET = 0xC304
UPS_DOES_NOT_EXIST = 0xC307
UPS_RECEIVING_AE_TITLE_UNKNOWN = 0xC308
UPS_STATE_WAS_NOT_SCHEDULED = 0xC309
UPS_NOT_YET_IN_PROGRESS = 0xC310
UPS_ALREADY_COMPLETED = 0xC311
UPS_PERFORMER_CANNOT_BE_CONTACTED = 0xC312
UPS_PERFORMER_CHOOSES_NOT_TO_CANCEL = 0xC313
UPS_ACTION_NOT_APPROPRIATE = 0xC314
UPS_NO_EVENT_REPORTS = 0xC315

_GENERAL = {
    SUCCESS: "Success",
    REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED: "Requested optional Attributes are not supported",
    NO_SUCH_ATTRIBUTE: "No such Attribute",
    INVALID_ATTRIBUTE_VALUE: "Invalid Attribute Value",
    ATTRIBUTE_LIST_ERROR: "Attribute List Error",
    PROCESSING_FAILURE: "Processing failure",
    DUPLICATE_SOP_INSTANCE: "Duplicate SOP Instance",
    NO_SUCH_SOP_INSTANCE: "No such SOP Instance",
    NO_SUCH_EVENT_TYPE: "No such event type",
    NO_SUCH_ARGUMENT: "No such argument",
    INVALID_ARGUMENT_VALUE: "Invalid argument value",
    ATTRIBUTE_VALUE_OUT_OF_RANGE: "Attribute Value Out of Range",
    INVALID_SOP_INSTANCE: "Invalid SOP Instance",
    NO_SUCH_SOP_CLASS: "No such SOP Class",
    CLASS_INSTANCE_CONFLICT: "Class-Instance conflict",
    MISSING_ATTRIBUTE: "Missing Attribute",
    MISSING_ATTRIBUTE_VALUE: "Missing Attribute Value",
    SOP_CLASS_NOT_SUPPORTED: "Refused: SOP Class not supported",
    NO_SUCH_ACTION: "No such action",
    NOT_AUTHORIZED: "Refused: Not authorized",
    DUPLICATE_TRANSACTION_UID: "Duplicate transaction UID",
    DUPLICATE_INVOCATION: "Duplicate invocation",
    UNRECOGNIZED_OPERATION: "Unrecognized operation",
    MISTYPED_ARGUMENT: "Mistyped argument",
    RESOURCE_LIMITATION: "Resource limitation",
    CANCEL: "Cancel",
    PENDING: "Pending",
}

_QUERY = {
    SUCCESS: "Matching is complete - No final Identifier is supplied",
    OUT_OF_RESOURCES: "Refused: Out of Resources",
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS: "Error: Data Set does not match SOP Class",
    CANCEL: "Matching terminated due to Cancel request",
    PENDING: "Matches are continuing - Current Match is supplied and any Optional Keys were supported in the "
    "same manner as Required Keys",
    PENDING_OPTIONAL_KEYS_NOT_SUPPORTED: "Matches are continuing - Warning that one or more Optional Keys "
    "were not supported for existence and/or matching for this Identifier",
}

_RETRIEVE = {
    SUCCESS: "Sub-operations Complete - No Failures or Warnings",
    SUBOPERATIONS_COMPLETE_WITH_FAILURES: "Sub-operations Complete - One or more Failures or Warnings",
    UNABLE_TO_CALCULATE_NUMBER_OF_MATCHES: "Refused: Out of Resources - Unable to calculate number "
    "of matches",
    UNABLE_TO_PERFORM_SUBOPERATIONS: "Refused: Out of Resources - Unable to perform sub-operations",
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS: "Error: Data Set does not match SOP Class",
    NO_REQUESTED_FRAMES_FOUND: "None of the frames requested were found in the SOP Instance",
    UNABLE_TO_CREATE_NEW_OBJECT: "Unable to create new object for this SOP Class",
    UNABLE_TO_EXTRACT_FRAMES: "Unable to extract frames",
    TIME_BASED_REQUEST_FOR_NON_TIME_BASED_INSTANCE: "Time-based request received for a non-time-based "
    "original SOP Instance",
    INVALID_REQUEST: "Invalid Request",
    CANCEL: "Sub-operations terminated due to Cancel Indication",
    PENDING: "Sub-operations are continuing",
}

_PRINT = {
    0xB600: "Memory allocation not supported",
    0xB601: "Film session printing (collation) is not supported",
    0xB602: "Film Session SOP Instance hierarchy does not contain Image Box SOP Instances (empty page)",
    0xB603: "Film Box SOP Instance hierarchy does not contain Image Box SOP Instances (empty page)",
    0xB604: "Image size is larger than Image Box size, the image has been demagnified",
    0xB605: "Requested Min Density or Max Density outside of printer's operating range",
    0xB609: "Image size is larger than the Image Box size, the image has been cropped to fit",
    0xB60A: "Image size or Combined Print Image size is larger than the Image Box size, the image has been "
    "decimated to fit",
    0xC600: "Film Session SOP Instance hierarchy does not contain Film Box SOP Instances",
    0xC601: "Unable to create Print Job SOP Instance; print queue is full",
    0xC602: "Unable to create Print Job SOP Instance; print queue is full",
    0xC603: "Image size is larger than Image Box size",
    0xC605: "Insufficient memory in printer to store the image",
    0xC613: "Combined Print Image size is larger than the Image Box size",
    0xC616: "There is an existing Film Box that has not been printed and N-ACTION at the Film Session level "
    "is not supported",
}

_UPS = {
    UPS_CREATED_WITH_MODIFICATIONS: "The UPS was created with modifications",
    UPS_DELETION_LOCK_NOT_GRANTED: "Deletion Lock not granted",
    UPS_ALREADY_CANCELED: "The UPS is already in the requested state of CANCELED",
    UPS_COERCED_INVALID_VALUES: "Coerced invalid values to valid values",
    UPS_ALREADY_COMPLETED_WARNING: "The UPS is already in the requested state of COMPLETED",
    UPS_MAY_NO_LONGER_BE_UPDATED: "Refused: The UPS may no longer be updated",
    UPS_WRONG_TRANSACTION_UID: "Refused: The correct Transaction UID was not provided",
    UPS_ALREADY_IN_PROGRESS: "Refused: The UPS is already IN PROGRESS",
    UPS_SCHEDULED_ONLY_BY_N_CREATE: "Refused: The UPS may only become SCHEDULED via N-CREATE, not N-SET or "
    "N-ACTION",
    UPS_FINAL_STATE_REQUIREMENTS_NOT_MET: "Refused: The UPS has not met final state requirements for the "
    "requested state change",
    UPS_DOES_NOT_EXIST: "Specified SOP Instance UID does not exist or is not a UPS Instance managed by this "
    "SCP",
    UPS_RECEIVING_AE_TITLE_UNKNOWN: "Receiving AE-TITLE is Unknown to this SCP",
    UPS_STATE_WAS_NOT_SCHEDULED: "Refused: The provided value of UPS State was not SCHEDULED",
    UPS_NOT_YET_IN_PROGRESS: "Refused: The UPS is not yet in the IN PROGRESS state",
    UPS_ALREADY_COMPLETED: "Refused: The UPS is already COMPLETED",
    UPS_PERFORMER_CANNOT_BE_CONTACTED: "Refused: The performer cannot be contacted",
    UPS_PERFORMER_CHOOSES_NOT_TO_CANCEL: "Refused: Performer chooses not to cancel",
    UPS_ACTION_NOT_APPROPRIATE: "Refused: Specified action not appropriate for specified instance",
    UPS_NO_EVENT_REPORTS: "Refused: SCP does not support Event Reports",
    **{status: text for status, text in _QUERY.items() if status != SUCCESS},
}

_BY_SERVICE: dict[str, dict[int, str]] = {
    # PS3.4 B.2.3, Table B.2-1.
    "storage": {
        COERCION_OF_DATA_ELEMENTS: "Coercion of Data Elements",
        ELEMENTS_DISCARDED: "Elements Discarded",
        DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING: "Data Set does not match SOP Class",
    },
    # PS3.4 C.4.1.1.4, Table C.4-1; K.4.1.1.4.
    "query": _QUERY,
    "worklist": _QUERY,
    # PS3.4 C.4.2.1.5, Table C.4-2.
    "move": {**_RETRIEVE, MOVE_DESTINATION_UNKNOWN: "Refused: Move Destination unknown"},
    # PS3.4 C.4.3.1.4, Table C.4-3.
    "get": _RETRIEVE,
    # PS3.4 Q.2.1.1.4.
    "relevant patient information": {
        **_QUERY,
        0xC100: "More than one match found",
        0xC200: "Unable to support requested template",
    },
    # PS3.4 H.4.
    "print": _PRINT,
    # PS3.4 S.3.2.
    "media creation": {
        0xA510: "Refused because an Initiate Media Creation action has already been received for this "
        "SOP Instance",
        0xC201: "Media creation request already completed",
        0xC202: "Media creation request already in progress and cannot be interrupted",
        0xC203: "Cancellation denied for unspecified reason",
    },
    # PS3.4 P.2.
    "procedural event logging": {
        0xB101: "Specified Synchronization Frame of Reference UID does not match SCP Synchronization Frame "
        "of Reference",
        0xB102: "Study Instance UID coercion; Event logged under a different Study Instance UID",
        0xB104: "IDs inconsistent in matching a current study; Event logged",
        0xC101: "Procedural Logging not available for specified Study Instance UID",
        0xC102: "Event Information does not match Template",
        0xC103: "Cannot match event to a current study",
        0xC104: "IDs inconsistent in matching a current study; Event not logged",
    },
    # PS3.4 CC.2.
    "ups": _UPS,
}

# (first, last, text): the standard gives a service these whole ranges.
_RANGES: dict[str, tuple[tuple[int, int, str], ...]] = {
    "storage": (
        (0xA700, 0xA7FF, "Refused: Out of Resources"),
        (0xA900, 0xA9FF, "Error: Data Set does not match SOP Class"),
        (0xC000, 0xCFFF, "Error: Cannot understand"),
    ),
    **dict.fromkeys(
        ("query", "worklist", "move", "get", "relevant patient information", "ups"),
        ((0xC000, 0xCFFF, "Failed: Unable to process"),),
    ),
}

_SERVICES = {
    sop_classes.VERIFICATION: "verification",
    sop_classes.MODALITY_WORKLIST_FIND: "worklist",
    sop_classes.STORAGE_COMMITMENT_PUSH_MODEL: "storage commitment",
    sop_classes.MODALITY_PERFORMED_PROCEDURE_STEP: "mpps",
    sop_classes.MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE: "mpps",
    sop_classes.MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION: "mpps",
    sop_classes.MEDIA_CREATION_MANAGEMENT: "media creation",
    sop_classes.PROCEDURAL_EVENT_LOGGING: "procedural event logging",
    sop_classes.GENERAL_RELEVANT_PATIENT_INFORMATION: "relevant patient information",
    sop_classes.BREAST_IMAGING_RELEVANT_PATIENT_INFORMATION: "relevant patient information",
    sop_classes.CARDIAC_RELEVANT_PATIENT_INFORMATION: "relevant patient information",
    **dict.fromkeys(sop_classes.UPS, "ups"),
    **dict.fromkeys(sop_classes.PRINT_MANAGEMENT, "print"),
    **dict.fromkeys(sop_classes.FIND, "query"),
    **dict.fromkeys(sop_classes.MOVE, "move"),
    **dict.fromkeys(sop_classes.GET, "get"),
}


def service_of(sop_class_uid: str) -> str:
    """The service that a SOP class belongs to, as `text_of` wants it; empty when there is none of its own."""
    if sop_classes.is_storage(sop_class_uid):
        return "storage"
    return _SERVICES.get(sop_class_uid, "")


def text_of(status: int, service: str = "") -> str:
    """What a status means, in the standard's words.

    Args:
        status: Status (0000,0900), 0 to 0xFFFF.
        service: "storage", "query", "move", "get", "worklist", "print", "ups" and so on, as `service_of`
            gives it; anything else means the statuses of PS3.7 Annex C alone.

    Returns:
        The text; for a status that the standard does not list, its class and number.
    """
    text = _BY_SERVICE.get(service, {}).get(status)
    if text is not None:
        return text
    for first, last, range_text in _RANGES.get(service, ()):
        if first <= status <= last:
            return range_text
    return _GENERAL.get(status) or f"{_class_of(status)} 0x{status:04X}"


def _class_of(status: int) -> str:
    # PS3.7 C.1 to C.5: the classes are told apart by the high bits where no status is listed.
    if status >> 12 in (0xA, 0xC) or status >> 8 in (0x01, 0x02):
        return "Failure"
    return "Warning" if status >> 12 == 0xB else "Unknown status"
