"""The query/retrieve information models: the SOP classes of C-FIND, C-MOVE and C-GET (PS3.4 C.6, K.6)."""

from __future__ import annotations

from typing import NamedTuple

from dcmnet.registry import sop_classes


class QueryModel(NamedTuple):
    """An information model; a class is empty where the model has no such operation.

    Attributes:
        name: For people.
        find: SOP Class UID of C-FIND.
        move: SOP Class UID of C-MOVE.
        get: SOP Class UID of C-GET.
    """

    name: str
    find: str = ""
    move: str = ""
    get: str = ""


STUDY_ROOT = QueryModel(
    "Study Root", sop_classes.STUDY_ROOT_FIND, sop_classes.STUDY_ROOT_MOVE, sop_classes.STUDY_ROOT_GET
)
"""PS3.4 C.6.2: levels STUDY, SERIES, IMAGE."""

PATIENT_ROOT = QueryModel(
    "Patient Root", sop_classes.PATIENT_ROOT_FIND, sop_classes.PATIENT_ROOT_MOVE, sop_classes.PATIENT_ROOT_GET
)
"""PS3.4 C.6.1: levels PATIENT, STUDY, SERIES, IMAGE."""

PATIENT_STUDY_ONLY = QueryModel(
    "Patient/Study Only",
    sop_classes.PATIENT_STUDY_ONLY_FIND,
    sop_classes.PATIENT_STUDY_ONLY_MOVE,
    sop_classes.PATIENT_STUDY_ONLY_GET,
)
"""PS3.4 C.6.3: levels PATIENT and STUDY; retired, and still met."""

MODALITY_WORKLIST = QueryModel("Modality Worklist", sop_classes.MODALITY_WORKLIST_FIND)
"""PS3.4 K.6.1: C-FIND alone, and no levels."""


def class_for(model: QueryModel | str, operation: str) -> str:
    """The SOP Class UID of an operation of a model; a UID stands for itself.

    Args:
        model: A model, or a SOP Class UID.
        operation: "find", "move" or "get".

    Raises:
        ValueError: The model has no such operation.
        TypeError: It is neither a model nor a text.
    """
    if not isinstance(model, QueryModel):
        if not isinstance(model, str):
            raise TypeError(f"model: {type(model).__name__}, expected a QueryModel or a SOP Class UID")
        return model
    uid: str = getattr(model, operation)
    if not uid:
        raise ValueError(f"{model.name} has no C-{operation.upper()}; it has C-FIND alone")
    return uid
