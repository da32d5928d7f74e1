"""What a query or retrieval proposes, and what extended negotiation makes of it."""

from __future__ import annotations

import pytest

import dcmnet
from dcmnet.acse import RequestorPolicy, build_request
from dcmnet.limits import MAX_PRESENTATION_CONTEXTS
from dcmnet.registry import sop_classes
from dcmnet.registry.query_models import QueryModel, class_for
from dcmnet.registry.sop_classes import STORAGE
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000_LOSSLESS
from dcmnet.services.query_contexts import RETRIEVED, QueryOptions, get_contexts, query_contexts

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize("model", [dcmnet.STUDY_ROOT, dcmnet.PATIENT_ROOT, dcmnet.PATIENT_STUDY_ONLY])
def test_models(model: QueryModel) -> None:
    names = [class_for(model, operation) for operation in ("find", "move", "get")]
    assert names == [model.find, model.move, model.get]
    assert len(set(names)) == 3


def test_a_uid_stands_for_itself() -> None:
    assert class_for("1.2.3", "move") == "1.2.3"


def test_a_worklist_has_no_move() -> None:
    with pytest.raises(ValueError, match="Modality Worklist has no C-MOVE; it has C-FIND alone"):
        query_contexts(dcmnet.MODALITY_WORKLIST, move=True)


def test_contexts_of_a_query() -> None:
    assert [each.abstract_syntax for each in query_contexts()] == [sop_classes.STUDY_ROOT_FIND]
    both = query_contexts(dcmnet.PATIENT_ROOT, move=True)
    assert [each.abstract_syntax for each in both] == [
        sop_classes.PATIENT_ROOT_FIND,
        sop_classes.PATIENT_ROOT_MOVE,
    ]
    assert [each.abstract_syntax for each in query_contexts("1.2.3", move=True)] == ["1.2.3"]
    assert query_contexts(find=False) == ()


def test_contexts_of_a_get_fit_into_one_association() -> None:
    contexts = get_contexts()
    assert len(contexts) == MAX_PRESENTATION_CONTEXTS
    request = build_request(RequestorPolicy(called_ae_title="A", calling_ae_title="B", contexts=contexts))
    roles = {each.sop_class_uid: each for each in request.user_information.role_selections}
    assert (roles[CT].scu_role, roles[CT].scp_role) == (False, True)
    assert sop_classes.STUDY_ROOT_GET not in roles


def test_the_classes_that_are_ready_are_the_common_ones() -> None:
    assert not [uid for uid in RETRIEVED if STORAGE[uid].retired]
    prefixes = {STORAGE[uid].prefix for uid in RETRIEVED}
    assert prefixes >= {
        "CT",
        "MR",
        "US",
        "CR",
        "DX",
        "SC",
        "NM",
        "PI",
        "XA",
        "RD",
        "RS",
        "RP",
        "SG",
        "KO",
        "PDF",
    }
    assert not prefixes & {"HP", "CP", "INV", "AI2"}


def test_transfer_syntaxes_of_few_classes_have_contexts_of_their_own() -> None:
    syntaxes = (JPEG_2000_LOSSLESS, EXPLICIT_VR_LITTLE_ENDIAN)
    own, *others = get_contexts(sop_classes=[CT, CT], transfer_syntaxes=syntaxes)
    assert own.abstract_syntax == sop_classes.STUDY_ROOT_GET
    assert [each.transfer_syntaxes for each in others] == [(syntax,) for syntax in syntaxes]


def test_too_many_classes() -> None:
    with pytest.raises(ValueError, match="211 storage classes, and there is room for 127"):
        get_contexts(sop_classes=STORAGE)


def test_options_as_bytes() -> None:
    assert QueryOptions().information == b"\0\0\0"
    assert QueryOptions(relational=True, fuzzy=True).information == b"\1\0\1"
    assert QueryOptions(date_time=True, timezone=True).information == b"\0\1\0\1"
    assert QueryOptions(relational=True).retrieve_information == b"\1"
    assert QueryOptions(enhanced_conversion=True).retrieve_information == b"\0\1"


def test_options_to_propose() -> None:
    options = QueryOptions(relational=True)
    items = options.negotiations(dcmnet.STUDY_ROOT)
    assert [(each.sop_class_uid, each.application_information) for each in items] == [
        (sop_classes.STUDY_ROOT_FIND, b"\1\0\0"),
        (sop_classes.STUDY_ROOT_MOVE, b"\1"),
        (sop_classes.STUDY_ROOT_GET, b"\1"),
    ]
    assert [each.sop_class_uid for each in options.negotiations(dcmnet.MODALITY_WORKLIST)] == [
        sop_classes.MODALITY_WORKLIST_FIND
    ]
    assert [each.sop_class_uid for each in options.negotiations("1.2.3")] == ["1.2.3"]


def test_options_that_are_agreed_to() -> None:
    ours = QueryOptions(fuzzy=True, timezone=True, enhanced_conversion=True)
    assert ours.agree(b"\1\1\1") == b"\0\0\1"
    assert ours.agree(b"\1\1\1\1\1\1") == b"\0\0\1\1\1"
    assert ours.agree(b"\1\1", find=False) == b"\0\1"
    assert QueryOptions.from_information(b"\0\0\1") == QueryOptions(fuzzy=True)
    assert QueryOptions.from_information(b"\1\1", find=False) == QueryOptions(
        relational=True, enhanced_conversion=True
    )
    assert QueryOptions.from_information(b"") == QueryOptions()
