"""findscu, getscu and movescu: DCMTK's and ours with one command line against one archive.

Same responses, same files, same exit codes; what is different on purpose stands in
docs/reference/differences.md. And ours against Orthanc and pynetdicom.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from dcmnet.registry.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from tests.conformance.peers import DCMNET, ENVIRONMENT, HOST, RUN_SECONDS, Process, free_port, program
from tests.conformance.test_orthanc import SAMPLE, Orthanc, orthanc
from tests.conformance.test_pynetdicom import pynetdicom_archive
from tests.conformance.test_query_retrieve import (
    KEYS,
    LEVELS,
    OBJECTS,
    ROOT,
    archive,
    expected,
    study,
    uids,
    worklist,
)

__all__ = ["archive", "orthanc", "study", "worklist"]

STUDY_1 = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ROOT}.1")


def both(*command: str | Path, folder: Path) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """DCMTK's tool, and ours: exit code, standard output, standard error; each in a folder of its own."""
    theirs = ended(program(str(command[0])), *command[1:], folder=folder / "dcmtk", encoding="latin-1")
    return theirs, ours(*command, folder=folder / "dcmnet")


def ours(*command: str | Path, folder: Path) -> tuple[int, str, str]:
    return ended(*DCMNET, *command, folder=folder, encoding="utf-8")


def ended(*command: str | Path, folder: Path, encoding: str) -> tuple[int, str, str]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        list(map(str, command)),
        env=ENVIRONMENT,
        cwd=folder,
        capture_output=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def responses(said: str) -> str:
    """The part with the responses: what is asked for is shown before it is encoded by DCMTK."""
    return re.sub(r"\A.*?(?=I: -{20})", "", said, flags=re.DOTALL)


def port_of(peer: Process) -> tuple[str, str]:
    return HOST, str(peer.port)


# ---------------------------------------------------------------------- findscu

ROOTS = {"-P": LEVELS, "-S": LEVELS[1:], "-O": LEVELS[:2]}


@pytest.mark.parametrize(
    ("root", "level"), [(root, level) for root, levels in ROOTS.items() for level in levels]
)
def test_findscu_on_every_level(
    archive: tuple[Process, int, int], root: str, level: str, tmp_path: Path
) -> None:
    depth = LEVELS.index(level)
    skipped = 1 if root == "-S" else 0
    unique = dict(zip(KEYS[skipped:depth], OBJECTS[0][skipped:depth], strict=True))
    asked = {"QueryRetrieveLevel": level, "PatientName": "", KEYS[depth]: "", **unique}
    words = [word for key, value in asked.items() for word in ("-k", f"{key}={value}")]
    command = ("findscu", root, "-aec", "QRSCP", *words, *port_of(archive[0]))
    theirs, own = both(*command, folder=tmp_path)
    assert own == theirs
    assert own[0] == 0
    assert own[2].count("Find Response: ") == len(expected(level, **unique))
    if depth > skipped:
        return  # the rest is the same on every level
    verbose_theirs, verbose = both(*command, "-v", "+sr", folder=tmp_path)
    assert responses(verbose[2]) == responses(verbose_theirs[2])
    _, out, _ = ours(*command, "--csv", KEYS[depth], folder=tmp_path / "csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert {row[0] for row in rows[1:]} == {row[depth] for row in expected(level, **unique)}


@pytest.mark.parametrize("syntax", ["-x=", "-xe", "-xb", "-xi"])
def test_findscu_in_every_transfer_syntax(
    archive: tuple[Process, int, int], syntax: str, tmp_path: Path
) -> None:
    words = ("-k", "8,52=STUDY", "-k", "PatientName", "-k", "StudyDate")
    theirs, own = both(
        "findscu", "-S", syntax, "-aec", "QRSCP", *words, *port_of(archive[0]), folder=tmp_path
    )
    assert own == theirs
    assert own[2].count("Find Response: ") == 3


def test_findscu_with_files_and_files_to_write(
    archive: tuple[Process, int, int], study: Path, tmp_path: Path
) -> None:
    extract = (
        "findscu",
        "-S",
        "-aec",
        "QRSCP",
        *port_of(archive[0]),
        "-k",
        "8,52=STUDY",
        "-k",
        "PatientName=P1*",
    )
    theirs, own = both(*extract, "-X", "-Xlo", "1", folder=tmp_path)
    assert own == theirs == (0, "", "")
    name = Path("rsp0001.dcm")
    made = [pydicom.dcmread(tmp_path / maker / name) for maker in ("dcmtk", "dcmnet")]
    assert made[0] == made[1]
    assert made[0].file_meta.MediaStorageSOPClassUID == made[1].file_meta.MediaStorageSOPClassUID
    assert not (tmp_path / "dcmnet" / "rsp0002.dcm").exists()
    both(*extract, "-Xx", folder=tmp_path)
    files = [(tmp_path / maker / "rsp0002.xml").read_bytes() for maker in ("dcmtk", "dcmnet")]
    latin, utf = files[0].decode("latin-1"), files[1].decode("utf-8")
    assert latin.partition("?>")[2] == utf.partition("?>")[2]
    both(*extract, "-Xs", "all.xml", folder=tmp_path)
    whole = [(tmp_path / maker / "all.xml").read_bytes().count(b"<data-set") for maker in ("dcmtk", "dcmnet")]
    assert whole == [2, 2]
    query = (tmp_path / "dcmtk" / name, "-k", "StudyInstanceUID", "-k", "PatientName=P2*", "--repeat", "2")
    theirs, own = both("findscu", "-S", "-aec", "QRSCP", *port_of(archive[0]), *query, folder=tmp_path)
    assert own[2] == theirs[2].replace("Find Response: 3", "Find Response: 2")
    assert re.findall(r"Find Response: (\d)", own[2]) == ["1", "2"]


def test_findscu_cancels(archive: tuple[Process, int, int], tmp_path: Path) -> None:
    words = ("-k", "8,52=STUDY", "--cancel", "1", "-v")
    theirs, own = both("findscu", "-S", "-aec", "QRSCP", *words, *port_of(archive[0]), folder=tmp_path)
    assert own[0] == theirs[0] == 0
    assert ["Sending Cancel Request (MsgID 1" in each[2] for each in (theirs, own)] == [True, True]


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (("-S", "-aec", "QRSCP", "-k", "PatientName"), (0, 69)),  # A900: no level
        (("-S", "-aec", "QRSCP", "-k", "NoSuch=1"), (0, 1)),
        (("-S", "-aec", "NOBODY", "-k", "8,52=STUDY"), (2, 2)),
        (("-W", "-aec", "QRSCP", "-k", "PatientName"), (2, 2)),  # the model is refused
        (("-S", "-aec", "QRSCP"), (1, 1)),
        (("-S", "-aec", "QRSCP", "-k", "8,52=STUDY", "-od", ".", "-X", "-Xlo", "0"), (1, 1)),
    ],
)
def test_exit_codes_of_findscu(
    archive: tuple[Process, int, int], words: tuple[str, ...], codes: tuple[int, int], tmp_path: Path
) -> None:
    theirs, own = both("findscu", *words, *port_of(archive[0]), folder=tmp_path)
    assert (theirs[0], own[0]) == codes


@pytest.mark.parametrize(
    "keys",
    [
        ("PatientName", "(0040,0100)[0].Modality=CT", "(0040,0100)[0].(0040,0002)"),
        ("AccessionNumber", "ScheduledProcedureStepSequence[0].Modality", "PatientBirthDate"),
        ("PatientID=P2", "0040,0100[0].0008,0060"),
        ("PatientName=*1", "(0040,0100)[0].ScheduledProcedureStepStartDate=20291231-20300102"),
        ("PatientID", "0040,0100"),
        ("PatientID=NOBODY",),
    ],
)
def test_worklists(worklist: Process, keys: tuple[str, ...], tmp_path: Path) -> None:
    words = [word for key in keys for word in ("-k", key)]
    theirs, own = both("findscu", "-aec", "RIS", *words, *port_of(worklist), folder=tmp_path)
    assert own == theirs
    assert own[0] == 0


# ---------------------------------------------------------------------- getscu


@pytest.mark.parametrize("mode", ["-B", "+B"])
@pytest.mark.parametrize("root", ["-P", "-S"])
def test_getscu(archive: tuple[Process, int, int], root: str, mode: str, tmp_path: Path) -> None:
    patient = ("-k", "PatientID=P1") if root == "-P" else ()
    words = (root, mode, "-v", "-aec", "QRSCP", *patient, *STUDY_1, *port_of(archive[0]))
    theirs, own = both("getscu", *words, folder=tmp_path)
    assert own[0] == theirs[0] == 0
    found = [sorted(path.name for path in (tmp_path / maker).iterdir()) for maker in ("dcmtk", "dcmnet")]
    assert found[0] == found[1]
    assert len(found[0]) == 3
    for name in found[0]:
        made = [pydicom.dcmread(tmp_path / maker / name) for maker in ("dcmtk", "dcmnet")]
        assert made[0] == made[1]
    counted = [re.findall(r"I: .*(?:C-GET|Number).*", each[2]) for each in (theirs, own)]
    assert counted[0] == counted[1]


def test_exit_codes_of_getscu(archive: tuple[Process, int, int], tmp_path: Path) -> None:
    nothing = ("-k", "8,52=STUDY", "-k", "StudyInstanceUID=1.2.3.4.5")
    peer = port_of(archive[0])
    for words, codes in (
        (("-S", "-aec", "QRSCP", *nothing), (0, 0)),
        (("-S", "-aec", "QRSCP", "-k", "PatientName"), (0, 69)),
        (("-S", "-aec", "NOBODY", *STUDY_1), (1, 1)),
        (("-S", "-aec", "QRSCP"), (1, 1)),
        (("-S", "-aec", "QRSCP", *STUDY_1, "-od", "none"), (1, 1)),
        (("-S", "-aec", "QRSCP", *STUDY_1, "--ignore"), (0, 0)),
    ):
        theirs, own = both("getscu", *words, *peer, folder=tmp_path)
        assert (theirs[0], own[0]) == codes, words
    assert not list((tmp_path / "dcmnet").iterdir())


# ---------------------------------------------------------------------- movescu


def test_movescu(archive: tuple[Process, int, int], tmp_path: Path) -> None:
    process, port, _ = archive
    words = ("-S", "-v", "-aec", "QRSCP", "-aet", "DCMNET", "+P", str(port), *STUDY_1, *port_of(process))
    theirs, own = both("movescu", *words, folder=tmp_path)
    assert own[0] == theirs[0] == 0
    found = [sorted(path.name for path in (tmp_path / maker).iterdir()) for maker in ("dcmtk", "dcmnet")]
    assert found[0] == found[1]
    assert uids(tmp_path / "dcmnet") == uids(tmp_path / "dcmtk") == {row[3] for row in OBJECTS[:3]}
    said = [[line for line in each[2].splitlines() if "Move" in line] for each in (theirs, own)]
    assert said[0] == said[1]


def test_movescu_to_a_third(archive: tuple[Process, int, int], tmp_path: Path) -> None:
    process, _, other = archive
    words = ("-P", "-aec", "QRSCP", "-aem", "OTHER", "-k", "PatientID=P1", *STUDY_1, *port_of(process))
    for maker in ("dcmtk", "dcmnet"):
        folder = tmp_path / f"{maker}-received"
        folder.mkdir()
        command = (program("movescu"),) if maker == "dcmtk" else (*DCMNET, "movescu")
        with dcmnet.StorageSCP(folder, "OTHER").start(other):
            code, _, err = ended(*command, *words, folder=tmp_path / maker, encoding="utf-8")
        assert (code, err) == (0, "")
        assert uids(folder) == {row[3] for row in OBJECTS[:3]}


def test_exit_codes_of_movescu(archive: tuple[Process, int, int], tmp_path: Path) -> None:
    process, port, _ = archive
    archived = ("-S", "-aec", "QRSCP", "-aet", "DCMNET", *STUDY_1)
    for words, codes in (
        ((*archived, "-aem", "NOBODY"), (69, 69)),
        ((*archived, "-aem", "OTHER"), (69, 69)),  # nobody is there
        ((*archived, "+P", str(port), "-od", "none"), (45, 45)),
        ((*archived, "+P", str(process.port)), (60, 60)),
        (("-S", "-aec", "NOBODY", *STUDY_1), (61, 61)),
        (("-S", "-aec", "QRSCP", "-od", "."), (1, 1)),
        (("-S", "-aec", "QRSCP"), (1, 1)),
    ):
        theirs, own = both("movescu", *words, *port_of(process), folder=tmp_path)
        assert (theirs[0], own[0]) == codes, words


def test_a_peer_without_retrieval(tmp_path: Path) -> None:
    with dcmnet.StorageSCP(tmp_path).start(0) as peer:
        theirs, own = both("movescu", "-S", *STUDY_1, HOST, str(peer.port), folder=tmp_path)
    assert (theirs[0], own[0]) == (66, 66)


def test_objects_in_several_associations_at_once(tmp_path: Path, study: Path) -> None:
    """A peer that sends over four associations, none of which ends before all have begun."""
    port = free_port()
    server = dcmnet.Server("MANY")
    image = pydicom.dcmread(study / "1.dcm", stop_before_pixels=True)
    ct = dcmnet.ProposedContext(
        abstract_syntax=image.SOPClassUID, transfer_syntaxes=(image.file_meta.TransferSyntaxUID,)
    )

    @server.on_move(dcmnet.STUDY_ROOT)
    def move(request: object) -> list[Path]:
        open_ones = [dcmnet.connect(HOST, port, calling="MANY", contexts=(ct,)) for _ in range(4)]
        for number, association in enumerate(open_ones, 1):
            association.store(study / f"{number}.dcm")
        for association in open_ones:
            association.release()
        return [study / "5.dcm"]

    server.destinations = {"MOVESCU": (HOST, port)}
    with server.start(0):
        code, out, err = ours(
            "movescu", "-S", "--json", *STUDY_1, "+P", str(port), "--bind", HOST, HOST, str(server.port),
            folder=tmp_path,
        )  # fmt: skip
    assert (code, err) == (0, "")
    assert uids(tmp_path) == {row[3] for row in OBJECTS}
    assert json.loads(out.splitlines()[-1])["received"] == 5


# ---------------------------------------------------------------------- other archives


def test_orthanc_as_archive(orthanc: Orthanc, study: Path, tmp_path: Path) -> None:
    dcmnet.send(HOST, orthanc.dicom_port, study, called="ORTHANC").raise_for_failures()
    peer = ("-aec", "ORTHANC", "-aet", "DCMNET", HOST, str(orthanc.dicom_port))
    code, out, err = ours(
        "findscu", "-S", *peer, "-k", "8,52=STUDY", "-k", "PatientID=P1", "-k", "StudyInstanceUID",
        "--csv", "PatientID,StudyInstanceUID", folder=tmp_path / "find",
    )  # fmt: skip
    assert (code, err) == (0, "")
    rows = sorted(csv.reader(io.StringIO(out)))
    assert rows == [["P1", f"{ROOT}.1"], ["P1", f"{ROOT}.2"], ["PatientID", "StudyInstanceUID"]]
    code, _, err = ours("getscu", "-S", *peer, *STUDY_1, folder=tmp_path / "get")
    assert (code, err) == (0, "")
    assert uids(tmp_path / "get") == {row[3] for row in OBJECTS[:3]}
    port = free_port()
    orthanc.introduce(port)
    words = ("-S", *peer, *STUDY_1, "+P", str(port), "--bind", HOST)
    code, _, err = ours("movescu", *words, folder=tmp_path / "move")
    assert (code, err) == (0, "")
    assert uids(tmp_path / "move") == {row[3] for row in OBJECTS[:3]}
    code, _, err = ours("movescu", "-S", *peer, *STUDY_1, "-aem", "NOBODY", folder=tmp_path / "no")
    assert code == 69


def test_pynetdicom_as_archive(tmp_path: Path) -> None:
    port = free_port()
    with pynetdicom_archive(port) as peer:
        where = (HOST, str(peer))
        keys = ("-k", "8,52=STUDY", "-k", "PatientName", "-k", "StudyInstanceUID")
        code, out, err = ours("findscu", "-S", *keys, "--json", *where, folder=tmp_path / "find")
        assert (code, err) == (0, "")
        assert json.loads(out.splitlines()[-1])["matches"] == 2
        code, _, err = ours("getscu", "-S", *keys, *where, folder=tmp_path / "get")
        assert (code, err, len(uids(tmp_path / "get"))) == (0, "", 2)
        words = ("-S", *keys, "-aet", "DCMNET", "+P", str(port), "--bind", HOST, *where)
        code, _, err = ours("movescu", *words, folder=tmp_path / "move")
        assert (code, err, len(uids(tmp_path / "move"))) == (0, "", 2)


# ---------------------------------------------------------------------- details of a status


@contextlib.contextmanager
def explaining(status: int) -> Iterator[int]:
    """The port of an SCP of pynetdicom that answers everything with a failure, and says why."""
    import pynetdicom
    from pynetdicom import evt
    from pynetdicom.dimse_primitives import C_ECHO

    def answer(event: Any) -> pydicom.Dataset:
        details = pydicom.Dataset()
        details.Status = status
        details.ErrorComment = "no room"
        if not isinstance(event.request, C_ECHO):  # which has no Offending Element for pynetdicom
            details.OffendingElement = [0x00100010]
        return details

    def answers(event: Any) -> Iterator[tuple[pydicom.Dataset, None]]:
        yield answer(event), None

    entity: Any = pynetdicom.AE()
    for uid in (VERIFICATION, STUDY_ROOT_FIND, pydicom.uid.CTImageStorage):
        entity.add_supported_context(uid)
    handlers = [(evt.EVT_C_ECHO, answer), (evt.EVT_C_STORE, answer), (evt.EVT_C_FIND, answers)]
    server = entity.start_server((HOST, 0), block=False, evt_handlers=handlers)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("tool", "words", "code"),
    [
        ("echoscu", (), 71),
        ("storescu", (SAMPLE,), 167),
        ("dcmsend", (SAMPLE,), 70),
        ("findscu", ("-S", *STUDY_1), 69),
    ],
)
def test_what_pynetdicom_says_of_a_failure(
    tool: str, words: tuple[str | Path, ...], code: int, tmp_path: Path
) -> None:
    with explaining(0xA700) as port:
        found, _, err = ours(tool, HOST, str(port), *words, folder=tmp_path)
        assert found == code
        assert f"no room{'' if tool == 'echoscu' else '; offending element (0010,0010)'}" in err
        _, out, _ = ours(tool, "--json", HOST, str(port), *words, folder=tmp_path)
    (event,) = [each for each in map(json.loads, out.splitlines()) if "comment" in each]
    assert event["comment"] == "no room"
    assert event.get("offending_element", []) == ([] if tool == "echoscu" else ["00100010"])
