"""SOP classes and well-known SOP instances by service, and the storage SOP classes with their prefixes."""

from __future__ import annotations

from typing import NamedTuple

from dcmnet.registry._uids import UIDS

# Verification (PS3.4 Annex A)
VERIFICATION = "1.2.840.10008.1.1"
DCMTK_PRIVATE_SHUTDOWN = "1.2.276.0.7230010.3.4.1915765545.18030.917282194.0"

# Query/Retrieve (PS3.4 Annex C, Y, Z)
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_FIND = "1.2.840.10008.5.1.4.1.2.3.1"
PATIENT_STUDY_ONLY_MOVE = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET = "1.2.840.10008.5.1.4.1.2.3.3"
COMPOSITE_INSTANCE_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.4.2"
COMPOSITE_INSTANCE_ROOT_GET = "1.2.840.10008.5.1.4.1.2.4.3"
COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET = "1.2.840.10008.5.1.4.1.2.5.3"

# Worklist, procedure steps and notifications (PS3.4 Annex K, F, R, CC)
MODALITY_WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
MODALITY_PERFORMED_PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"
MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE = "1.2.840.10008.3.1.2.3.4"
MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION = "1.2.840.10008.3.1.2.3.5"
INSTANCE_AVAILABILITY_NOTIFICATION = "1.2.840.10008.5.1.4.33"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
UPS_WATCH = "1.2.840.10008.5.1.4.34.6.2"
UPS_PULL = "1.2.840.10008.5.1.4.34.6.3"
UPS_EVENT = "1.2.840.10008.5.1.4.34.6.4"
UPS_QUERY = "1.2.840.10008.5.1.4.34.6.5"
UPS_GLOBAL_SUBSCRIPTION_INSTANCE = "1.2.840.10008.5.1.4.34.5"
UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE = "1.2.840.10008.5.1.4.34.5.1"

# Storage commitment (PS3.4 Annex J)
STORAGE_COMMITMENT_PUSH_MODEL = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"

# Print (PS3.4 Annex H)
BASIC_GRAYSCALE_PRINT_MANAGEMENT_META = "1.2.840.10008.5.1.1.9"
BASIC_COLOR_PRINT_MANAGEMENT_META = "1.2.840.10008.5.1.1.18"
BASIC_FILM_SESSION = "1.2.840.10008.5.1.1.1"
BASIC_FILM_BOX = "1.2.840.10008.5.1.1.2"
BASIC_GRAYSCALE_IMAGE_BOX = "1.2.840.10008.5.1.1.4"
BASIC_COLOR_IMAGE_BOX = "1.2.840.10008.5.1.1.4.1"
PRINT_JOB = "1.2.840.10008.5.1.1.14"
BASIC_ANNOTATION_BOX = "1.2.840.10008.5.1.1.15"
PRINTER = "1.2.840.10008.5.1.1.16"
PRINTER_INSTANCE = "1.2.840.10008.5.1.1.17"
PRINTER_CONFIGURATION_RETRIEVAL = "1.2.840.10008.5.1.1.16.376"
PRINTER_CONFIGURATION_RETRIEVAL_INSTANCE = "1.2.840.10008.5.1.1.17.376"
VOI_LUT_BOX = "1.2.840.10008.5.1.1.22"
PRESENTATION_LUT = "1.2.840.10008.5.1.1.23"

# Other services (PS3.4 Annex P, Q, S, U, V, X, BB, EE, HH, II)
PROCEDURAL_EVENT_LOGGING = "1.2.840.10008.1.40"
PROCEDURAL_EVENT_LOGGING_INSTANCE = "1.2.840.10008.1.40.1"
SUBSTANCE_ADMINISTRATION_LOGGING = "1.2.840.10008.1.42"
SUBSTANCE_ADMINISTRATION_LOGGING_INSTANCE = "1.2.840.10008.1.42.1"
GENERAL_RELEVANT_PATIENT_INFORMATION = "1.2.840.10008.5.1.4.37.1"
BREAST_IMAGING_RELEVANT_PATIENT_INFORMATION = "1.2.840.10008.5.1.4.37.2"
CARDIAC_RELEVANT_PATIENT_INFORMATION = "1.2.840.10008.5.1.4.37.3"
PRODUCT_CHARACTERISTICS_QUERY = "1.2.840.10008.5.1.4.41"
SUBSTANCE_APPROVAL_QUERY = "1.2.840.10008.5.1.4.42"
MEDIA_CREATION_MANAGEMENT = "1.2.840.10008.5.1.1.33"
DISPLAY_SYSTEM = "1.2.840.10008.5.1.1.40"
DISPLAY_SYSTEM_INSTANCE = "1.2.840.10008.5.1.1.40.1"
HANGING_PROTOCOL_FIND = "1.2.840.10008.5.1.4.38.2"
HANGING_PROTOCOL_MOVE = "1.2.840.10008.5.1.4.38.3"
HANGING_PROTOCOL_GET = "1.2.840.10008.5.1.4.38.4"
COLOR_PALETTE_FIND = "1.2.840.10008.5.1.4.39.2"
COLOR_PALETTE_MOVE = "1.2.840.10008.5.1.4.39.3"
COLOR_PALETTE_GET = "1.2.840.10008.5.1.4.39.4"
GENERIC_IMPLANT_TEMPLATE_FIND = "1.2.840.10008.5.1.4.43.2"
GENERIC_IMPLANT_TEMPLATE_MOVE = "1.2.840.10008.5.1.4.43.3"
GENERIC_IMPLANT_TEMPLATE_GET = "1.2.840.10008.5.1.4.43.4"
IMPLANT_ASSEMBLY_TEMPLATE_FIND = "1.2.840.10008.5.1.4.44.2"
IMPLANT_ASSEMBLY_TEMPLATE_MOVE = "1.2.840.10008.5.1.4.44.3"
IMPLANT_ASSEMBLY_TEMPLATE_GET = "1.2.840.10008.5.1.4.44.4"
IMPLANT_TEMPLATE_GROUP_FIND = "1.2.840.10008.5.1.4.45.2"
IMPLANT_TEMPLATE_GROUP_MOVE = "1.2.840.10008.5.1.4.45.3"
IMPLANT_TEMPLATE_GROUP_GET = "1.2.840.10008.5.1.4.45.4"
DEFINED_PROCEDURE_PROTOCOL_FIND = "1.2.840.10008.5.1.4.20.1"
DEFINED_PROCEDURE_PROTOCOL_MOVE = "1.2.840.10008.5.1.4.20.2"
DEFINED_PROCEDURE_PROTOCOL_GET = "1.2.840.10008.5.1.4.20.3"
PROTOCOL_APPROVAL_FIND = "1.2.840.10008.5.1.4.1.1.200.4"
PROTOCOL_APPROVAL_MOVE = "1.2.840.10008.5.1.4.1.1.200.5"
PROTOCOL_APPROVAL_GET = "1.2.840.10008.5.1.4.1.1.200.6"
INVENTORY_FIND = "1.2.840.10008.5.1.4.1.1.201.2"
INVENTORY_MOVE = "1.2.840.10008.5.1.4.1.1.201.3"
INVENTORY_GET = "1.2.840.10008.5.1.4.1.1.201.4"
INVENTORY_CREATION = "1.2.840.10008.5.1.4.1.1.201.5"
REPOSITORY_QUERY = "1.2.840.10008.5.1.4.1.1.201.6"
STORAGE_MANAGEMENT_INSTANCE = "1.2.840.10008.5.1.4.1.1.201.1.1"

FIND = (
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    PATIENT_STUDY_ONLY_FIND,
    HANGING_PROTOCOL_FIND,
    COLOR_PALETTE_FIND,
    GENERIC_IMPLANT_TEMPLATE_FIND,
    IMPLANT_ASSEMBLY_TEMPLATE_FIND,
    IMPLANT_TEMPLATE_GROUP_FIND,
    DEFINED_PROCEDURE_PROTOCOL_FIND,
    PROTOCOL_APPROVAL_FIND,
    INVENTORY_FIND,
    PRODUCT_CHARACTERISTICS_QUERY,
    SUBSTANCE_APPROVAL_QUERY,
    REPOSITORY_QUERY,
)
"""Every class of a C-FIND service but worklists, relevant patient information and UPS."""

MOVE = (
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_MOVE,
    PATIENT_STUDY_ONLY_MOVE,
    COMPOSITE_INSTANCE_ROOT_MOVE,
    HANGING_PROTOCOL_MOVE,
    COLOR_PALETTE_MOVE,
    GENERIC_IMPLANT_TEMPLATE_MOVE,
    IMPLANT_ASSEMBLY_TEMPLATE_MOVE,
    IMPLANT_TEMPLATE_GROUP_MOVE,
    DEFINED_PROCEDURE_PROTOCOL_MOVE,
    PROTOCOL_APPROVAL_MOVE,
    INVENTORY_MOVE,
)
"""Every class of a C-MOVE service."""

GET = (
    PATIENT_ROOT_GET,
    STUDY_ROOT_GET,
    PATIENT_STUDY_ONLY_GET,
    COMPOSITE_INSTANCE_ROOT_GET,
    COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET,
    HANGING_PROTOCOL_GET,
    COLOR_PALETTE_GET,
    GENERIC_IMPLANT_TEMPLATE_GET,
    IMPLANT_ASSEMBLY_TEMPLATE_GET,
    IMPLANT_TEMPLATE_GROUP_GET,
    DEFINED_PROCEDURE_PROTOCOL_GET,
    PROTOCOL_APPROVAL_GET,
    INVENTORY_GET,
)
"""Every class of a C-GET service."""

UPS = (
    UPS_PUSH,
    UPS_WATCH,
    UPS_PULL,
    UPS_EVENT,
    UPS_QUERY,
)
"""The classes of the Unified Worklist and Procedure Step service."""

PRINT_MANAGEMENT = (
    BASIC_GRAYSCALE_PRINT_MANAGEMENT_META,
    BASIC_COLOR_PRINT_MANAGEMENT_META,
    BASIC_FILM_SESSION,
    BASIC_FILM_BOX,
    BASIC_GRAYSCALE_IMAGE_BOX,
    BASIC_COLOR_IMAGE_BOX,
    PRINT_JOB,
    BASIC_ANNOTATION_BOX,
    PRINTER,
    PRINTER_CONFIGURATION_RETRIEVAL,
    VOI_LUT_BOX,
    PRESENTATION_LUT,
)
"""The classes of the Print Management service."""

UNKNOWN_PREFIX = "UNKNOWN"
"""The prefix of a SOP class that is not a known storage SOP class."""

# The prefixes are those of the files that DCMTK 3.6.7's storescp writes, found by sending it an object of
# each class; classes without one there have one of ours. Two classes share `SRi` there, and so they do here.
_PREFIXES = {
    "1.2.840.10008.5.1.1.27": "SP",
    "1.2.840.10008.5.1.1.29": "HG",
    "1.2.840.10008.5.1.1.30": "HC",
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DP",
    "1.2.840.10008.5.1.4.1.1.1.2": "DXm",
    "1.2.840.10008.5.1.4.1.1.1.2.1": "DPm",
    "1.2.840.10008.5.1.4.1.1.1.3": "DXo",
    "1.2.840.10008.5.1.4.1.1.1.3.1": "DPo",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CTe",
    "1.2.840.10008.5.1.4.1.1.2.2": "CTl",
    "1.2.840.10008.5.1.4.1.1.3": "USf",
    "1.2.840.10008.5.1.4.1.1.3.1": "USm",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MRe",
    "1.2.840.10008.5.1.4.1.1.4.2": "MRs",
    "1.2.840.10008.5.1.4.1.1.4.3": "MRc",
    "1.2.840.10008.5.1.4.1.1.4.4": "MRl",
    "1.2.840.10008.5.1.4.1.1.5": "NMr",
    "1.2.840.10008.5.1.4.1.1.6": "USr",
    "1.2.840.10008.5.1.4.1.1.6.1": "US",
    "1.2.840.10008.5.1.4.1.1.6.2": "USe",
    "1.2.840.10008.5.1.4.1.1.6.3": "USp",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.7": "SC",
    "1.2.840.10008.5.1.4.1.1.7.1": "SCs",
    "1.2.840.10008.5.1.4.1.1.7.2": "SCb",
    "1.2.840.10008.5.1.4.1.1.7.3": "SCw",
    "1.2.840.10008.5.1.4.1.1.7.4": "SCc",
    "1.2.840.10008.5.1.4.1.1.8": "OV",
    "1.2.840.10008.5.1.4.1.1.9": "CV",
    "1.2.840.10008.5.1.4.1.1.9.1": "WV_d",
    "1.2.840.10008.5.1.4.1.1.9.1.1": "TLE",
    "1.2.840.10008.5.1.4.1.1.9.1.2": "ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.3": "ECA",
    "1.2.840.10008.5.1.4.1.1.9.1.4": "ECl",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.9.2.1": "WVh",
    "1.2.840.10008.5.1.4.1.1.9.3.1": "WVc",
    "1.2.840.10008.5.1.4.1.1.9.4.1": "AUV",
    "1.2.840.10008.5.1.4.1.1.9.4.2": "AUG",
    "1.2.840.10008.5.1.4.1.1.9.5.1": "WVa",
    "1.2.840.10008.5.1.4.1.1.9.6.1": "WVr",
    "1.2.840.10008.5.1.4.1.1.9.6.2": "WVm",
    "1.2.840.10008.5.1.4.1.1.9.7.1": "EEG",
    "1.2.840.10008.5.1.4.1.1.9.7.2": "EMG",
    "1.2.840.10008.5.1.4.1.1.9.7.3": "EOG",
    "1.2.840.10008.5.1.4.1.1.9.7.4": "WVs",
    "1.2.840.10008.5.1.4.1.1.9.8.1": "WVb",
    "1.2.840.10008.5.1.4.1.1.10": "ML",
    "1.2.840.10008.5.1.4.1.1.11": "VO",
    "1.2.840.10008.5.1.4.1.1.11.1": "PSg",
    "1.2.840.10008.5.1.4.1.1.11.2": "PSc",
    "1.2.840.10008.5.1.4.1.1.11.3": "PSp",
    "1.2.840.10008.5.1.4.1.1.11.4": "PSb",
    "1.2.840.10008.5.1.4.1.1.11.5": "PSx",
    "1.2.840.10008.5.1.4.1.1.11.6": "VPg",
    "1.2.840.10008.5.1.4.1.1.11.7": "VPc",
    "1.2.840.10008.5.1.4.1.1.11.8": "PSa",
    "1.2.840.10008.5.1.4.1.1.11.9": "VPv",
    "1.2.840.10008.5.1.4.1.1.11.10": "VPs",
    "1.2.840.10008.5.1.4.1.1.11.11": "VPm",
    "1.2.840.10008.5.1.4.1.1.11.12": "PSv",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.12.1": "XA",
    "1.2.840.10008.5.1.4.1.1.12.1.1": "XAe",
    "1.2.840.10008.5.1.4.1.1.12.2": "RF",
    "1.2.840.10008.5.1.4.1.1.12.2.1": "RFe",
    "1.2.840.10008.5.1.4.1.1.12.3": "XB",
    "1.2.840.10008.5.1.4.1.1.13.1.1": "XA3",
    "1.2.840.10008.5.1.4.1.1.13.1.2": "XC3",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "BT",
    "1.2.840.10008.5.1.4.1.1.13.1.4": "BX",
    "1.2.840.10008.5.1.4.1.1.13.1.5": "BP",
    "1.2.840.10008.5.1.4.1.1.14.1": "OCt",
    "1.2.840.10008.5.1.4.1.1.14.2": "OCp",
    "1.2.840.10008.5.1.4.1.1.20": "NM",
    "1.2.840.10008.5.1.4.1.1.30": "PM",
    "1.2.840.10008.5.1.4.1.1.66": "RAW",
    "1.2.840.10008.5.1.4.1.1.66.1": "RGs",
    "1.2.840.10008.5.1.4.1.1.66.2": "FID",
    "1.2.840.10008.5.1.4.1.1.66.3": "RGd",
    "1.2.840.10008.5.1.4.1.1.66.4": "SG",
    "1.2.840.10008.5.1.4.1.1.66.5": "SGs",
    "1.2.840.10008.5.1.4.1.1.66.6": "TR",
    "1.2.840.10008.5.1.4.1.1.67": "RWM",
    "1.2.840.10008.5.1.4.1.1.68.1": "SSm",
    "1.2.840.10008.5.1.4.1.1.68.2": "SSp",
    "1.2.840.10008.5.1.4.1.1.77.1": "VLr",
    "1.2.840.10008.5.1.4.1.1.77.1.1": "VLe",
    "1.2.840.10008.5.1.4.1.1.77.1.1.1": "VVe",
    "1.2.840.10008.5.1.4.1.1.77.1.2": "VLm",
    "1.2.840.10008.5.1.4.1.1.77.1.2.1": "VVm",
    "1.2.840.10008.5.1.4.1.1.77.1.3": "VLs",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VLp",
    "1.2.840.10008.5.1.4.1.1.77.1.4.1": "VVp",
    "1.2.840.10008.5.1.4.1.1.77.1.5.1": "OPb",
    "1.2.840.10008.5.1.4.1.1.77.1.5.2": "OPw",
    "1.2.840.10008.5.1.4.1.1.77.1.5.3": "OPr",
    "1.2.840.10008.5.1.4.1.1.77.1.5.4": "OPt",
    "1.2.840.10008.5.1.4.1.1.77.1.5.5": "OWs",
    "1.2.840.10008.5.1.4.1.1.77.1.5.6": "OW3",
    "1.2.840.10008.5.1.4.1.1.77.1.5.7": "OCe",
    "1.2.840.10008.5.1.4.1.1.77.1.5.8": "OCb",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "VLw",
    "1.2.840.10008.5.1.4.1.1.77.1.7": "VLd",
    "1.2.840.10008.5.1.4.1.1.77.1.8": "VLc",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.77.1.9": "VLt",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.77.2": "VMr",
    "1.2.840.10008.5.1.4.1.1.78.1": "OPl",
    "1.2.840.10008.5.1.4.1.1.78.2": "OPa",
    "1.2.840.10008.5.1.4.1.1.78.3": "OPk",
    "1.2.840.10008.5.1.4.1.1.78.4": "OPs",
    "1.2.840.10008.5.1.4.1.1.78.5": "OPv",
    "1.2.840.10008.5.1.4.1.1.78.6": "SRs",
    "1.2.840.10008.5.1.4.1.1.78.7": "OPx",
    "1.2.840.10008.5.1.4.1.1.78.8": "OPc",
    "1.2.840.10008.5.1.4.1.1.79.1": "SRg",
    "1.2.840.10008.5.1.4.1.1.80.1": "OPp",
    "1.2.840.10008.5.1.4.1.1.81.1": "OPm",
    "1.2.840.10008.5.1.4.1.1.82.1": "CM",
    "1.2.840.10008.5.1.4.1.1.88.1": "SR_t",
    "1.2.840.10008.5.1.4.1.1.88.2": "SR_a",
    "1.2.840.10008.5.1.4.1.1.88.3": "SR_d",
    "1.2.840.10008.5.1.4.1.1.88.4": "SR_c",
    "1.2.840.10008.5.1.4.1.1.88.11": "SRt",
    "1.2.840.10008.5.1.4.1.1.88.22": "SRe",
    "1.2.840.10008.5.1.4.1.1.88.33": "SRc",
    "1.2.840.10008.5.1.4.1.1.88.34": "SR3",
    "1.2.840.10008.5.1.4.1.1.88.35": "SRx",
    "1.2.840.10008.5.1.4.1.1.88.40": "SRp",
    "1.2.840.10008.5.1.4.1.1.88.50": "SRm",
    "1.2.840.10008.5.1.4.1.1.88.59": "KO",
    "1.2.840.10008.5.1.4.1.1.88.65": "SRh",
    "1.2.840.10008.5.1.4.1.1.88.67": "SRd",
    "1.2.840.10008.5.1.4.1.1.88.68": "SRr",
    "1.2.840.10008.5.1.4.1.1.88.69": "SRo",
    "1.2.840.10008.5.1.4.1.1.88.70": "SRi",
    "1.2.840.10008.5.1.4.1.1.88.71": "SRa",
    "1.2.840.10008.5.1.4.1.1.88.72": "SRu",
    "1.2.840.10008.5.1.4.1.1.88.73": "SRq",
    "1.2.840.10008.5.1.4.1.1.88.74": "SRj",
    "1.2.840.10008.5.1.4.1.1.88.75": "SRi",
    "1.2.840.10008.5.1.4.1.1.88.76": "SRde",
    "1.2.840.10008.5.1.4.1.1.88.77": "SRw",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.90.1": "AS",
    "1.2.840.10008.5.1.4.1.1.91.1": "MAs",
    "1.2.840.10008.5.1.4.1.1.104.1": "PDF",
    "1.2.840.10008.5.1.4.1.1.104.2": "CDA",
    "1.2.840.10008.5.1.4.1.1.104.3": "STL",
    "1.2.840.10008.5.1.4.1.1.104.4": "OBJ",
    "1.2.840.10008.5.1.4.1.1.104.5": "MTL",
    "1.2.840.10008.5.1.4.1.1.128": "PI",
    "1.2.840.10008.5.1.4.1.1.128.1": "PIl",
    "1.2.840.10008.5.1.4.1.1.129": "PC",
    "1.2.840.10008.5.1.4.1.1.130": "PIe",
    "1.2.840.10008.5.1.4.1.1.131": "SD",
    "1.2.840.10008.5.1.4.1.1.200.1": "PPcd",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.200.2": "PPcp",
    "1.2.840.10008.5.1.4.1.1.200.3": "PPa",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.200.7": "PPxd",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.200.8": "PPxp",
    "1.2.840.10008.5.1.4.1.1.201.1": "INV",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.481.1": "RI",
    "1.2.840.10008.5.1.4.1.1.481.2": "RD",
    "1.2.840.10008.5.1.4.1.1.481.3": "RS",
    "1.2.840.10008.5.1.4.1.1.481.4": "RTb",
    "1.2.840.10008.5.1.4.1.1.481.5": "RP",
    "1.2.840.10008.5.1.4.1.1.481.6": "RTr",
    "1.2.840.10008.5.1.4.1.1.481.7": "RTs",
    "1.2.840.10008.5.1.4.1.1.481.8": "RPi",
    "1.2.840.10008.5.1.4.1.1.481.9": "RTi",
    "1.2.840.10008.5.1.4.1.1.481.10": "RIp",
    "1.2.840.10008.5.1.4.1.1.481.11": "RAs",
    "1.2.840.10008.5.1.4.1.1.481.12": "RSe",
    "1.2.840.10008.5.1.4.1.1.481.13": "Rca",
    "1.2.840.10008.5.1.4.1.1.481.14": "Rto",
    "1.2.840.10008.5.1.4.1.1.481.15": "Rra",
    "1.2.840.10008.5.1.4.1.1.481.16": "RSr",
    "1.2.840.10008.5.1.4.1.1.481.17": "RRs",
    "1.2.840.10008.5.1.4.1.1.481.18": "RRt",
    "1.2.840.10008.5.1.4.1.1.481.19": "RRc",
    "1.2.840.10008.5.1.4.1.1.481.20": "RRr",
    "1.2.840.10008.5.1.4.1.1.481.21": "RSd",
    "1.2.840.10008.5.1.4.1.1.481.22": "RTp",
    "1.2.840.10008.5.1.4.1.1.481.23": "RIe",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.481.24": "RIc",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.481.25": "RPp",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.1.1.501.1": "CTs",
    "1.2.840.10008.5.1.4.1.1.501.2.1": "DXs",
    "1.2.840.10008.5.1.4.1.1.501.2.2": "DPs",
    "1.2.840.10008.5.1.4.1.1.501.3": "TDR",
    "1.2.840.10008.5.1.4.1.1.501.4": "AI2",
    "1.2.840.10008.5.1.4.1.1.501.5": "AI3",
    "1.2.840.10008.5.1.4.1.1.501.6": "QR",
    "1.2.840.10008.5.1.4.1.1.601.1": "EC",
    "1.2.840.10008.5.1.4.1.1.601.2": "ECm",
    "1.2.840.10008.5.1.4.34.1": "RB_d",
    "1.2.840.10008.5.1.4.34.7": "RTd",
    "1.2.840.10008.5.1.4.34.10": "RTa",
    "1.2.840.10008.5.1.4.38.1": "HP",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.39.1": "CP",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.43.1": "ITg",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.44.1": "ITa",  # DCMTK 3.6.7 has none
    "1.2.840.10008.5.1.4.45.1": "ITs",  # DCMTK 3.6.7 has none
}


class Storage(NamedTuple):
    """A storage SOP class (PS3.4 Annex B and GG).

    Attributes:
        uid: SOP Class UID.
        keyword: Keyword in PS3.6, such as `CTImageStorage`.
        name: Name in PS3.6, such as `CT Image Storage`.
        prefix: Short code of the modality that file names begin with, such as `CT`.
        retired: Whether PS3.6 lists it as retired.
    """

    uid: str
    keyword: str
    name: str
    prefix: str
    retired: bool


def _storage(uid: str, prefix: str) -> Storage:
    name, keyword, _, retired = UIDS[uid]
    return Storage(uid, keyword, name, prefix, retired)


STORAGE: dict[str, Storage] = {uid: _storage(uid, prefix) for uid, prefix in _PREFIXES.items()}
"""Every storage SOP class, retired ones included, in numerical order of UID."""


def is_storage(uid: str) -> bool:
    """Whether the UID is a storage SOP class of the registry (private ones are not)."""
    return uid in STORAGE


def is_another_service(uid: str) -> bool:
    """Whether the UID is one of the registry that nothing can be stored with, Verification for example."""
    return uid in UIDS and uid not in STORAGE


def prefix_of(uid: str) -> str:
    """The modality prefix of a storage SOP class, `UNKNOWN_PREFIX` for any other UID."""
    return _PREFIXES.get(uid, UNKNOWN_PREFIX)
