"""The registry: generated and hand-kept tables agree with each other and with the standard's rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from tools import generate_registry

from dcmnet.limits import Tolerance
from dcmnet.registry import sop_classes, statuses, transfer_syntaxes, uids
from dcmnet.registry._uids import UIDS
from dcmnet.registry.dcmtk_names import DCMTK_NAMES, OTHER_NAMES

CT = "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "1.2.3.4"


def constants(module: object) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if re.fullmatch(r"[A-Z][A-Z0-9_]*", name)}


class TestGenerated:
    def test_the_file_is_what_the_tool_makes(self) -> None:
        assert generate_registry.TARGET.read_text(encoding="utf-8") == generate_registry.render()

    def test_every_uid_is_valid(self) -> None:
        assert [uid for uid in UIDS if not uids.is_valid_uid(uid)] == []

    def test_keywords_are_distinct(self) -> None:
        keywords = [entry[1] for entry in UIDS.values()]
        assert len(set(keywords)) == len(keywords)
        assert all(keywords)

    def test_the_generated_module_imports_nothing(self) -> None:
        source = generate_registry.TARGET.read_text(encoding="utf-8")
        assert not re.search(r"^(import|from) ", source, re.MULTILINE)


class TestUids:
    def test_registered(self) -> None:
        assert uids.name_of(CT) == "CT Image Storage"
        assert uids.keyword_of(CT) == "CTImageStorage"

    def test_not_registered(self) -> None:
        assert uids.name_of(PRIVATE) == PRIVATE
        assert uids.keyword_of(PRIVATE) == PRIVATE
        assert uids.dcmtk_name_of(PRIVATE) == PRIVATE

    @pytest.mark.parametrize("uid", UIDS)
    def test_keyword_leads_back(self, uid: str) -> None:
        assert uids.uid_for(uids.keyword_of(uid)) == uid

    @pytest.mark.parametrize("uid", DCMTK_NAMES)
    def test_dcmtk_name_leads_back(self, uid: str) -> None:
        assert uid in UIDS
        assert uids.uid_for(uids.dcmtk_name_of(uid)) == uid

    @pytest.mark.parametrize(("name", "uid"), OTHER_NAMES.items())
    def test_other_names_lead_to_a_uid(self, name: str, uid: str) -> None:
        assert uid in UIDS
        assert name not in DCMTK_NAMES.values()
        assert uids.uid_for(name) == uid

    @pytest.mark.parametrize(
        ("name", "uid"),
        [
            # Names of DCMTK 3.6.8 to 3.7, and the standard's keywords for the same.
            ("LabelMapSegmentationStorage", "1.2.840.10008.5.1.4.1.1.66.7"),
            ("HeightMapSegmentationStorage", "1.2.840.10008.5.1.4.1.1.66.8"),
            ("WaveformPresentationStateStorage", "1.2.840.10008.5.1.4.1.1.9.100.1"),
            ("WaveformAcquisitionPresentationStateStorage", "1.2.840.10008.5.1.4.1.1.9.100.2"),
            ("WaveformAnnotationSRStorage", "1.2.840.10008.5.1.4.1.1.88.77"),
            ("General32BitECGWaveformStorage", "1.2.840.10008.5.1.4.1.1.9.1.4"),
            ("General32bitECGWaveformStorage", "1.2.840.10008.5.1.4.1.1.9.1.4"),
            ("PhotoacousticImageStorage", "1.2.840.10008.5.1.4.1.1.6.3"),
            ("EnhancedRTImageStorage", "1.2.840.10008.5.1.4.1.1.481.23"),
            ("DICONDE_ThermographyImageStorage", "1.2.840.10008.5.1.4.1.1.601.3"),
            ("DICONDE_ThermographyMultiFrameImageStorage", "1.2.840.10008.5.1.4.1.1.601.4"),
            ("DICONDE_UltrasoundWaveformStorage", "1.2.840.10008.5.1.4.1.1.601.5"),
            ("DICOS_2DAITStorage", "1.2.840.10008.5.1.4.1.1.501.4"),
            ("RETIRED_VLMultiframeImageStorage", "1.2.840.10008.5.1.4.1.1.77.2"),
            ("GETHangingProtocolInformationModel", "1.2.840.10008.5.1.4.38.4"),
            ("FINDInventory", "1.2.840.10008.5.1.4.1.1.201.2"),
            ("EncapsulatedUncompressedLittleEndianExplicit", "1.2.840.10008.1.2.1.98"),
            ("FragmentableMPEG4HighProfile/Level4.1", "1.2.840.10008.1.2.4.102.1"),
            ("HighThroughputJPEG2000ImageCompressionLosslessOnly", "1.2.840.10008.1.2.4.201"),
            ("HTJ2KLossless", "1.2.840.10008.1.2.4.201"),
            ("JPEGXLJPEGRecompression", "1.2.840.10008.1.2.4.111"),
            ("DeflatedImageFrameCompression", "1.2.840.10008.1.2.8.1"),
            ("RETIRED_RFC2557MIMEEncapsulation", "1.2.840.10008.1.2.6.1"),
            ("RFC2557MIMEEncapsulation", "1.2.840.10008.1.2.6.1"),
            ("PrivateGELittleEndianImplicitWithBigEndianPixelData", "1.2.840.113619.5.2"),
        ],
    )
    def test_names_of_today(self, name: str, uid: str) -> None:
        assert uids.uid_for(name) == uid

    def test_dcmtk_name(self) -> None:
        assert uids.dcmtk_name_of(transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN) == "LittleEndianImplicit"
        assert uids.dcmtk_name_of(CT) == "CTImageStorage"

    def test_digits_are_returned(self) -> None:
        assert uids.uid_for("1.2.3") == "1.2.3"

    @pytest.mark.parametrize("text", ["", "NoSuchKeyword", "1..2", "1.2.", "CTImageStorage "])
    def test_neither_uid_nor_keyword(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither a UID nor a keyword"):
            uids.uid_for(text)

    @pytest.mark.parametrize("text", ["1", "0", "1.2.840", "1.0.2", "2." + "1" * 62])
    def test_valid(self, text: str) -> None:
        assert uids.is_valid_uid(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            ".1",
            "1.",
            "1..2",
            "1.a",
            "1.2 ",
            "1.2\0",
            "1.2\n",
            "2." + "1" * 63,
            "\u0661.\u0662",
        ],
    )
    def test_never_valid(self, text: str) -> None:
        assert not uids.is_valid_uid(text)
        assert not uids.is_valid_uid(text, Tolerance.NONCONFORMING_UID | Tolerance.PADDED_UID)

    @pytest.mark.parametrize("text", ["01.2", "1.02", "1.00"])
    def test_leading_zeros_are_tolerated_on_demand(self, text: str) -> None:
        assert not uids.is_valid_uid(text, Tolerance.PADDED_UID)
        assert uids.is_valid_uid(text, Tolerance.NONCONFORMING_UID)

    @given(st.text(alphabet="0123456789.", max_size=70))
    def test_agrees_with_pydicom(self, text: str) -> None:
        assert uids.is_valid_uid(text) == UID(text, validation_mode=config.IGNORE).is_valid

    @given(st.text("0129.", max_size=70) | st.text("0.1 \n\u0663a", max_size=6))
    def test_components_are_not_empty(self, text: str) -> None:
        expected = len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None
        assert uids.is_valid_uid(text, Tolerance.NONCONFORMING_UID) == expected


class TestTransferSyntaxes:
    groups = (
        transfer_syntaxes.NATIVE,
        transfer_syntaxes.LOSSLESS,
        transfer_syntaxes.LOSSY,
        transfer_syntaxes.REFERENCED,
        transfer_syntaxes.VIDEO,
        transfer_syntaxes.NOT_NEGOTIATED,
    )

    def test_groups_hold_every_one_once(self) -> None:
        grouped = [uid for group in self.groups for uid in group]
        assert sorted(grouped) == sorted(uid for uid, entry in UIDS.items() if entry[2] == "Transfer Syntax")

    def test_there_is_a_constant_for_every_one(self) -> None:
        named = [value for value in constants(transfer_syntaxes).values() if isinstance(value, str)]
        assert sorted(named) == sorted(uid for group in self.groups for uid in group)

    def test_all_is_in_order(self) -> None:
        assert transfer_syntaxes.ALL == tuple(uid for group in self.groups[:-1] for uid in group)

    def test_constants_are_named_after_keywords(self) -> None:
        def squeezed(text: str) -> str:
            return re.sub(r"[^A-Z0-9]", "", text.upper())

        differing = {
            name
            for name, uid in constants(transfer_syntaxes).items()
            if isinstance(uid, str) and squeezed(name) != squeezed(uids.keyword_of(uid))
        }
        assert differing == {
            "SMPTE_ST_2110_20_PROGRESSIVE",
            "SMPTE_ST_2110_20_INTERLACED",
            "SMPTE_ST_2110_30_PCM",
        }

    def test_properties_agree_with_pydicom(self) -> None:
        known = [UID(uid) for uid in transfer_syntaxes.ALL if uid in UID_dictionary]
        for uid in known:
            assert transfer_syntaxes.is_implicit(uid) == uid.is_implicit_VR
            assert transfer_syntaxes.is_big_endian(uid) == (not uid.is_little_endian)
            if uid not in transfer_syntaxes.REFERENCED:
                assert transfer_syntaxes.is_deflated(uid) == uid.is_deflated
                assert transfer_syntaxes.is_encapsulated(uid) == uid.is_encapsulated

    def test_referenced_pixel_data_are_not_encapsulated(self) -> None:
        # PS3.5 A.6, A.7: there is no Pixel Data element at all; two of them are deflated as a whole.
        assert not any(map(transfer_syntaxes.is_encapsulated, transfer_syntaxes.REFERENCED))
        assert [uid for uid in transfer_syntaxes.REFERENCED if transfer_syntaxes.is_deflated(uid)] == [
            transfer_syntaxes.JPIP_REFERENCED_DEFLATE,
            transfer_syntaxes.JPIP_HTJ2K_REFERENCED_DEFLATE,
        ]

    def test_is_transfer_syntax(self) -> None:
        assert transfer_syntaxes.is_transfer_syntax(transfer_syntaxes.RLE_LOSSLESS)
        assert not transfer_syntaxes.is_transfer_syntax(CT)
        assert not transfer_syntaxes.is_transfer_syntax(PRIVATE)

    def test_unknown_has_no_property(self) -> None:
        assert not transfer_syntaxes.is_encapsulated(PRIVATE)
        assert not transfer_syntaxes.is_implicit(PRIVATE)
        assert not transfer_syntaxes.is_big_endian(PRIVATE)
        assert not transfer_syntaxes.is_deflated(PRIVATE)


class TestPreferences:
    def test_codes(self) -> None:
        assert "".join(transfer_syntaxes.PREFERENCE_CODES) == "=ebisyxvwtumhnl23o45rda"
        suffixes = [preference.suffix for preference in transfer_syntaxes.PREFERENCE_CODES.values()]
        assert len(set(suffixes)) == len(suffixes)

    @pytest.mark.parametrize("code", transfer_syntaxes.PREFERENCE_CODES)
    def test_orders_hold_nothing_twice(self, code: str) -> None:
        for order in (transfer_syntaxes.proposed(code), transfer_syntaxes.accepted(code)):
            assert len(set(order)) == len(order)
            assert set(order) <= set(transfer_syntaxes.ALL)

    def test_compressed_proposal_adds_uncompressed(self) -> None:
        jpeg = transfer_syntaxes.JPEG_BASELINE_8BIT
        assert transfer_syntaxes.proposed("y") == (jpeg, *transfer_syntaxes.UNCOMPRESSED)
        assert transfer_syntaxes.accepted("y") == (jpeg, *transfer_syntaxes.UNCOMPRESSED)

    def test_video_proposal_stands_alone(self) -> None:
        video = transfer_syntaxes.MPEG2_MPML
        assert transfer_syntaxes.proposed("m") == (video,)
        assert transfer_syntaxes.accepted("m") == (video, *transfer_syntaxes.UNCOMPRESSED)

    def test_implicit_alone(self) -> None:
        implicit = (transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN,)
        assert transfer_syntaxes.proposed("i") == transfer_syntaxes.accepted("i") == implicit

    def test_big_endian_first(self) -> None:
        assert transfer_syntaxes.proposed("b")[0] == transfer_syntaxes.EXPLICIT_VR_BIG_ENDIAN
        assert set(transfer_syntaxes.proposed("b")) == set(transfer_syntaxes.UNCOMPRESSED)

    def test_accept_all(self) -> None:
        assert transfer_syntaxes.accepted("a") == transfer_syntaxes.ALL

    def test_in_order_of(self) -> None:
        offered = (
            "1.2.3",
            transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN,
            transfer_syntaxes.JPEG_2000,
            transfer_syntaxes.RLE_LOSSLESS,
            "1.2.3",
        )
        assert transfer_syntaxes.in_order_of("r", offered) == (
            transfer_syntaxes.RLE_LOSSLESS,
            transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN,
            "1.2.3",
            transfer_syntaxes.JPEG_2000,
        )

    @pytest.mark.parametrize(
        "order", [transfer_syntaxes.proposed, transfer_syntaxes.accepted], ids=["proposed", "accepted"]
    )
    def test_unknown_code(self, order: object) -> None:
        assert callable(order)
        with pytest.raises(KeyError):
            order("?")


class TestSopClasses:
    def test_storage_holds_every_storage_class(self) -> None:
        # Not stored over the network, or not a storage class in spite of the name.
        others = {
            "MediaStorageDirectoryStorage",
            "StorageCommitmentPushModel",
            "StorageCommitmentPullModel",
        }
        named = {uid for uid, entry in UIDS.items() if entry[2] == "SOP Class" and "Storage" in entry[1]}
        assert set(sop_classes.STORAGE) == {uid for uid in named if UIDS[uid][1] not in others}

    def test_storage_entry(self) -> None:
        ct = sop_classes.STORAGE[CT]
        assert ct == (CT, "CTImageStorage", "CT Image Storage", "CT", False)
        assert sop_classes.STORAGE["1.2.840.10008.5.1.4.1.1.6"].retired

    @pytest.mark.parametrize(
        ("keyword", "prefix"),
        [
            ("CTImageStorage", "CT"),
            ("EnhancedCTImageStorage", "CTe"),
            ("MRImageStorage", "MR"),
            ("UltrasoundMultiFrameImageStorage", "USm"),
            ("PositronEmissionTomographyImageStorage", "PI"),
            ("MultiFrameTrueColorSecondaryCaptureImageStorage", "SCc"),
            ("GrayscaleSoftcopyPresentationStateStorage", "PSg"),
            ("BasicTextSRStorage", "SRt"),
            ("KeyObjectSelectionDocumentStorage", "KO"),
            ("EncapsulatedPDFStorage", "PDF"),
            ("RTPlanStorage", "RP"),
            ("VLWholeSlideMicroscopyImageStorage", "VLw"),
            ("LabelMapSegmentationStorage", "SGl"),
            ("HeightMapSegmentationStorage", "SGh"),
            ("WaveformPresentationStateStorage", "PSw"),
            ("ThermographyMultiFrameImageStorage", "TGm"),
        ],
    )
    def test_prefix(self, keyword: str, prefix: str) -> None:
        assert sop_classes.prefix_of(uids.uid_for(keyword)) == prefix

    def test_prefixes_are_fit_for_file_names_and_distinct(self) -> None:
        prefixes = [entry.prefix for entry in sop_classes.STORAGE.values()]
        assert all(re.fullmatch(r"[A-Za-z0-9_]{2,4}", prefix) for prefix in prefixes)
        assert {prefix for prefix in prefixes if prefixes.count(prefix) > 1} == {"SRi"}

    def test_other_classes(self) -> None:
        assert sop_classes.is_storage(CT)
        for uid in (sop_classes.VERIFICATION, PRIVATE):
            assert not sop_classes.is_storage(uid)
            assert sop_classes.prefix_of(uid) == sop_classes.UNKNOWN_PREFIX

    def test_classes_that_nothing_can_be_stored_with(self) -> None:
        assert sop_classes.is_another_service(sop_classes.VERIFICATION)
        assert sop_classes.is_another_service(sop_classes.STUDY_ROOT_FIND)
        assert not any(map(sop_classes.is_another_service, (CT, PRIVATE, "1.2.840.10008.5.1.4.1.1.999")))

    def test_constants_are_registered(self) -> None:
        for name, uid in constants(sop_classes).items():
            if isinstance(uid, str) and name != "UNKNOWN_PREFIX":
                expected = "Well-known SOP Instance" if name.endswith("_INSTANCE") else "SOP Class"
                assert UIDS[uid][2].removeprefix("Meta ") == expected, name


class TestStatuses:
    @pytest.mark.parametrize(
        ("status", "service", "text"),
        [
            (statuses.SUCCESS, "", "Success"),
            (statuses.SUCCESS, "verification", "Success"),
            (statuses.SUCCESS, "storage", "Success"),
            (statuses.OUT_OF_RESOURCES, "storage", "Refused: Out of Resources"),
            (0xA7FF, "storage", "Refused: Out of Resources"),
            (
                statuses.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
                "storage",
                "Error: Data Set does not match SOP Class",
            ),
            (statuses.CANNOT_UNDERSTAND, "storage", "Error: Cannot understand"),
            (0xC123, "storage", "Error: Cannot understand"),
            (statuses.COERCION_OF_DATA_ELEMENTS, "storage", "Coercion of Data Elements"),
            (statuses.ELEMENTS_DISCARDED, "storage", "Elements Discarded"),
            (0xB007, "storage", "Data Set does not match SOP Class"),
            (statuses.INVALID_SOP_INSTANCE, "storage", "Invalid SOP Instance"),
            (statuses.SOP_CLASS_NOT_SUPPORTED, "storage", "Refused: SOP Class not supported"),
            (statuses.SUCCESS, "query", "Matching is complete - No final Identifier is supplied"),
            (statuses.CANCEL, "worklist", "Matching terminated due to Cancel request"),
            (statuses.UNABLE_TO_PROCESS, "query", "Failed: Unable to process"),
            (statuses.MOVE_DESTINATION_UNKNOWN, "move", "Refused: Move Destination unknown"),
            (statuses.PENDING, "get", "Sub-operations are continuing"),
            (statuses.UPS_MAY_NO_LONGER_BE_UPDATED, "ups", "Refused: The UPS may no longer be updated"),
            (statuses.SUCCESS, "ups", "Success"),
            (0xC316, "ups", "Failed: Unable to process"),
            (statuses.MOVE_DESTINATION_UNKNOWN, "get", "Failure 0xA801"),
            (0xC000, "", "Failure 0xC000"),
            (0x01FE, "", "Failure 0x01FE"),
            (0x02FE, "", "Failure 0x02FE"),
            (0xB123, "print", "Warning 0xB123"),
            (0x9999, "storage", "Unknown status 0x9999"),
            (0xD000, "no such service", "Unknown status 0xD000"),
        ],
    )
    def test_text(self, status: int, service: str, text: str) -> None:
        assert statuses.text_of(status, service) == text

    @given(
        st.integers(0, 0xFFFF),
        st.sampled_from(
            ["", "storage", "query", "move", "get", "worklist", "print", "ups", "media creation"]
        ),
    )
    def test_there_is_a_text_for_everything(self, status: int, service: str) -> None:
        assert statuses.text_of(status, service)

    def test_constants_are_statuses(self) -> None:
        numbers = [value for value in constants(statuses).values() if isinstance(value, int)]
        assert all(0 <= number <= 0xFFFF for number in numbers)
        assert len(numbers) > 50

    @pytest.mark.parametrize(
        ("uid", "service"),
        [
            (CT, "storage"),
            (sop_classes.VERIFICATION, "verification"),
            (sop_classes.STUDY_ROOT_FIND, "query"),
            (sop_classes.HANGING_PROTOCOL_FIND, "query"),
            (sop_classes.PATIENT_ROOT_MOVE, "move"),
            (sop_classes.COMPOSITE_INSTANCE_ROOT_GET, "get"),
            (sop_classes.MODALITY_WORKLIST_FIND, "worklist"),
            (sop_classes.UPS_PULL, "ups"),
            (sop_classes.BASIC_FILM_BOX, "print"),
            (sop_classes.MODALITY_PERFORMED_PROCEDURE_STEP, "mpps"),
            (sop_classes.STORAGE_COMMITMENT_PUSH_MODEL, "storage commitment"),
            (sop_classes.MEDIA_CREATION_MANAGEMENT, "media creation"),
            (PRIVATE, ""),
        ],
    )
    def test_service_of(self, uid: str, service: str) -> None:
        assert statuses.service_of(uid) == service
