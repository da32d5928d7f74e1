"""pydicom, as far as dcmnet uses it: loaded as a whole, at one place, under one lock.

The modules of pydicom import one another in circles, the package its submodules, and each submodule the
package. Python has an import lock for each module, so that two threads that begin with different modules
wait for each other: one of them has `pydicom.datadict` and waits for `pydicom`, the other one the other way
round. Python sees that, and breaks it up with an exception, or hands out a module that is not ready; either
way what is half loaded stays half loaded, and every later data set fails.

So nothing else in dcmnet imports from pydicom. The import lock of this module is the one lock: one thread
loads everything, and the others wait for that. A server with handlers does it before it listens, as handlers
may import pydicom themselves.
"""

import pydicom.config
import pydicom.misc
from pydicom import dcmread
from pydicom.charset import (
    CODES_TO_ENCODINGS,
    STAND_ALONE_ENCODINGS,
    convert_encodings,
    decode_bytes,
    default_encoding,
    encode_string,
    python_encoding,
)
from pydicom.datadict import (
    dictionary_VR,
    keyword_dict,
    keyword_for_tag,
    private_dictionary_VR,
    tag_for_keyword,
)
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import (
    _read_file_meta_info,
    data_element_generator,
    read_dataset,
    read_deferred_data_element,
    read_partial,
    read_preamble,
)
from pydicom.fileutil import read_undefined_length_value
from pydicom.filewriter import write_data_element
from pydicom.pixels.decoders.base import get_decoder
from pydicom.sequence import Sequence
from pydicom.tag import SequenceDelimiterTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import TEXT_VR_DELIMS
from pydicom.values import convert_numbers, convert_tag

from dcmnet.dataset import quiet

__all__ = [
    "CODES_TO_ENCODINGS",
    "IGNORE",
    "STAND_ALONE_ENCODINGS",
    "TEXT_VR_DELIMS",
    "UID",
    "DataElement",
    "Dataset",
    "DicomBytesIO",
    "FileMetaDataset",
    "RawDataElement",
    "Sequence",
    "SequenceDelimiterTag",
    "Tag",
    "convert_encodings",
    "convert_numbers",
    "convert_raw_data_element",
    "convert_tag",
    "data_element_generator",
    "dcmread",
    "decode_bytes",
    "default_encoding",
    "dictionary_VR",
    "encode_string",
    "generate_frames",
    "get_decoder",
    "keyword_dict",
    "keyword_for_tag",
    "private_dictionary_VR",
    "python_encoding",
    "read_dataset",
    "read_deferred_data_element",
    "read_file_meta_info",
    "read_partial",
    "read_preamble",
    "read_undefined_length_value",
    "tag_for_keyword",
    "write_data_element",
]

IGNORE = pydicom.config.IGNORE
read_file_meta_info = _read_file_meta_info

# All warnings of pydicom go through `pydicom.misc.warn_and_log`, and all its records through this logger.
pydicom.misc.warnings = quiet.Warnings()  # type: ignore[assignment, attr-defined]
pydicom.config.logger.addFilter(quiet.admits)
