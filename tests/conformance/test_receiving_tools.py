"""`dcmnet storescp` and `dcmrecv` beside DCMTK's: with the same options and senders the same files."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

import pydicom
import pytest

from tests.conformance.peers import (
    DCMNET,
    ENVIRONMENT,
    HOST,
    RUN_SECONDS,
    Process,
    data_set_bytes,
    eventually,
    listening,
    program,
    run,
)

SAMPLE = Path(str(resources.files("dcmnet") / "sample"))
SENT = ("ct-1.dcm", "mr.dcm", "report.dcm")
MAKERS = ("dcmtk", "dcmnet")
PROFILE = """
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Images]
PresentationContext1 = CTImageStorage\\Plain
PresentationContext2 = MRImageStorage\\Plain
PresentationContext3 = EnhancedSRStorage\\Plain
[[Profiles]]
[Images]
PresentationContexts = Images
"""
# What differs from run to run: times, random numbers, new UIDs.
VARYING = (
    (re.compile(r"\.X\.[0-9.]*[0-9]"), ".X.UID"),
    (re.compile(r"\d{8}_\d{9}"), "TIME"),
    (re.compile(r"\d{14}\.\d{6}"), "TIME"),
    (re.compile(r"\d{17}(_\d{4})?"), "TIME"),
    (re.compile(r"_[0-9a-f]{16}\b"), "_ID"),
)


def command(maker: str, tool: str, options: Sequence[str | Path], port: int) -> tuple[str | Path, ...]:
    ours: tuple[str, ...] = (*DCMNET, tool, "--bind", HOST)
    return (*(ours if maker == "dcmnet" else (tool,)), "-v", *options, str(port))


def running(
    maker: str, tool: str, options: Sequence[str | Path], log: Path
) -> AbstractContextManager[Process]:
    return listening(lambda port: command(maker, tool, options, port), log)


def received(
    maker: str,
    tool: str,
    options: Sequence[str | Path],
    folder: Path,
    *senders: Sequence[str | Path],
    last: str = "",
) -> dict[str, bytes]:
    """Files by their normalised paths, after the senders have sent; the folder is empty before.

    The tool is stopped when it has said `last`.
    """
    folder.mkdir()
    whole = (*options, "-od", folder)
    with running(maker, tool, whole, folder.with_suffix(".log")) as process:
        for sender in senders:
            send(process, sender)
        eventually(lambda: last in process.said(), last)
    return {normalised(path, folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def send(process: Process, files: Sequence[str | Path], proposal: str = "-xe") -> None:
    run("storescu", proposal, "-R", "-aet", "SENDER", "-aec", "RECEIVER", HOST, str(process.port), *files)


def normalised(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    for pattern, text in VARYING:
        name = pattern.sub(text, name)
    return name


def samples(*names: str) -> list[Path]:
    return [SAMPLE / name for name in names]


@pytest.fixture
def profile(tmp_path: Path) -> tuple[str | Path, ...]:
    (tmp_path / "profile.cfg").write_text(PROFILE)
    return ("-xf", tmp_path / "profile.cfg", "Images")


# ---------------------------------------------------------------------- names and folders


@pytest.mark.parametrize(
    "options",
    [
        ("-uf",),
        ("+uf", "-fe", ".dcm"),
        ("-tn", "-fe", ".x"),
        ("-ss", "pre"),
        ("-su", ""),
        ("-su", "st", "-fe", ".dcm"),
        ("-sp",),
        ("+te", "-sp", "-tn"),
    ],
    ids=" ".join,
)
def test_storescp_names_and_sorts_alike(options: tuple[str, ...], tmp_path: Path) -> None:
    found = [received(maker, "storescp", options, tmp_path / maker, samples(*SENT)) for maker in MAKERS]
    assert sorted(found[0]) == sorted(found[1])
    assert len(found[0]) == len(SENT)
    assert sorted(map(data_set_bytes, found[0].values())) == sorted(map(data_set_bytes, found[1].values()))


@pytest.mark.parametrize(
    "options",
    [
        ("+fd", "-fe", ".dcm"),
        ("+fu",),
        ("+fsu", "-fe", ".x"),
        ("+fst",),
        ("+ssd",),
        ("+ssd", "+fsu"),
        ("+B",),
    ],
    ids=" ".join,
)
def test_dcmrecv_names_and_sorts_alike(
    options: tuple[str, ...], tmp_path: Path, profile: tuple[str | Path, ...]
) -> None:
    found = [
        received(maker, "dcmrecv", (*profile, *options), tmp_path / maker, samples("ct-1.dcm", "mr.dcm"))
        for maker in MAKERS
    ]
    assert sorted(found[0]) == sorted(found[1])
    assert len(found[0]) == 2
    assert sorted(map(data_set_bytes, found[0].values())) == sorted(map(data_set_bytes, found[1].values()))


PATIENTS = ("DOE^JOHN", "E'v$(id);il^J`x\"|&", "../../x", "-rf^A", "a\\b", "A.B-C:D@E F", "")


@pytest.mark.parametrize("patient", PATIENTS)
def test_folders_after_hostile_patients(patient: str, tmp_path: Path) -> None:
    path = changed(tmp_path / "x.dcm", PatientName=patient)
    found = [received(maker, "storescp", ("-sp",), tmp_path / maker, [path]) for maker in MAKERS]
    assert list(found[0]) == list(found[1])
    assert not (tmp_path.parent / "x").exists()


def changed(path: Path, **values: str) -> Path:
    """A sample with other values, written as they are."""
    data_set = pydicom.dcmread(SAMPLE / "ct-1.dcm")
    for keyword, value in values.items():
        element = data_set[keyword]
        raw = value.encode("latin-1")
        data_set._dict[element.tag] = pydicom.dataelem.RawDataElement(
            element.tag, element.VR, len(raw), raw + b" " * (len(raw) % 2), 0, False, True
        )
    data_set.save_as(path)
    return path


# ---------------------------------------------------------------------- conversion


@pytest.mark.parametrize(
    "options",
    [
        ("+te",),
        ("+tb",),
        ("+ti",),
        ("+g",),
        ("-g",),
        ("-e",),
        ("+te", "-u"),
        ("+ti", "+g", "-e"),
        ("+tb", "+g"),
        ("+te", "+uc"),
        ("-F",),
        ("-F", "+ti", "-e"),
        ("+te", "-su", "st", "-F"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("proposal", ["-xe", "-xi", "-xb"])
def test_storescp_converts_alike(options: tuple[str, ...], proposal: str, tmp_path: Path) -> None:
    found = []
    for maker in MAKERS:
        folder = tmp_path / maker
        folder.mkdir()
        whole = (*options, "-od", str(folder))
        log = tmp_path / f"{maker}.log"
        with running(maker, "storescp", whole, log) as it:
            send(it, samples(*SENT), proposal)
        bare = "-F" in options
        files = {normalised(path, folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        found.append({name: data if bare else data_set_bytes(data) for name, data in files.items()})
    assert found[0] == found[1]
    assert len(found[0]) == len(SENT)


def test_deflated_files_hold_the_same(tmp_path: Path) -> None:
    """DCMTK leaves the byte out that makes a deflated data set even (PS3.5 A.5)."""
    found = [received(maker, "storescp", ("+td",), tmp_path / maker, samples(*SENT)) for maker in MAKERS]
    assert sorted(found[0]) == sorted(found[1])
    for name, data in found[1].items():
        ours, theirs = data_set_bytes(data), data_set_bytes(found[0][name])
        assert len(ours) % 2 == 0
        assert ours in (theirs, theirs + b"\0")


def test_padding(tmp_path: Path) -> None:
    found = [
        received(maker, "storescp", ("+te", "+p", "512", "64"), tmp_path / maker, samples(*SENT))
        for maker in MAKERS
    ]
    padding = b"\xfc\xff\xfc\xffOB\0\0"
    for name, data in found[1].items():
        assert len(data) % 512 == 0
        ours, theirs = data_set_bytes(data), data_set_bytes(found[0][name])
        # the File Meta Information is not equally long, and with it the padding at the end
        assert ours[: ours.rindex(padding)] == theirs[: theirs.rindex(padding)]


def test_compressed_objects_are_decompressed(tmp_path: Path, objects: dict[str, Path]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with running("dcmnet", "storescp", ("+te", "-od", folder), tmp_path / "log") as it:
        send(it, [objects["rle"]], "-xr")
    (found,) = map(pydicom.dcmread, folder.iterdir())
    expected = pydicom.dcmread(objects["rle"])
    expected.decompress(generate_instance_uid=False)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.PixelData == expected.PixelData
    assert found.SOPInstanceUID == expected.SOPInstanceUID


def test_what_cannot_be_converted_is_refused(tmp_path: Path, objects: dict[str, Path]) -> None:
    (tmp_path / "in").mkdir()
    options = ("+xa", "+te", "-od", tmp_path / "in")
    path = tmp_path / "broken.dcm"
    data = objects["rle"].read_bytes()
    path.write_bytes(data[: len(data) - 400] + bytes(392) + data[-8:])
    with running("dcmnet", "storescp", options, tmp_path / "log") as it:
        said = run(*DCMNET, "storescu", "-v", HOST, str(it.port), path, expect=None)
    assert "0xC000" in said
    assert list((tmp_path / "in").iterdir()) == []
    assert "cannot be" in (tmp_path / "log").read_text()


# ---------------------------------------------------------------------- studies and commands


def two_studies(folder: Path) -> list[Path]:
    """Three files: two of one study around one of another."""
    other = changed(folder / "other.dcm", StudyInstanceUID="1.2.3.4")
    return [SAMPLE / "ct-1.dcm", other, SAMPLE / "ct-2.dcm"]


@pytest.mark.parametrize("maker", MAKERS)
def test_the_end_of_studies(maker: str, tmp_path: Path) -> None:
    """The commands run when DCMTK's do, with the same values; only dcmnet's renaming loses no file."""
    (tmp_path / "in").mkdir()
    uid = pydicom.dcmread(SAMPLE / "ct-1.dcm").StudyInstanceUID
    options = (
        *("-od", tmp_path / "in", "-su", "st", "-rns", "-tos", "1", "-dhl", "-xs"),
        *("-xcs", "echo ended #p #a #c #r"),
    )
    log = tmp_path / "log"
    with running(maker, "storescp", options, log) as it:
        send(it, two_studies(tmp_path))
        eventually(lambda: it.said().count("ended ") >= 3, "third end of a study")
        ended = [line for line in it.said().splitlines() if line.startswith("ended ")]
    first, second = f"{tmp_path}/in/st_{uid}", f"{tmp_path}/in/st_1.2.3.4"
    assert ended == [f"ended {each} SENDER RECEIVER {HOST}" for each in (first, second, first)]
    names = sorted(path.relative_to(tmp_path / "in").as_posix() for path in (tmp_path / "in").rglob("CT*"))
    kept = [f"st_{uid}/CT000001", f"st_{uid}/CT000002"] if maker == "dcmnet" else [f"st_{uid}/CT000001"]
    assert names == ["st_1.2.3.4/CT000001", *kept]


@pytest.mark.parametrize("maker", MAKERS)
def test_a_command_after_each_object(maker: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    options = ("-od", tmp_path / "in", "-dhl", "-xs", "-xcr", "echo got #p/#f from #a")
    with running(maker, "storescp", options, tmp_path / "log") as it:
        send(it, samples(*SENT))
        eventually(lambda: it.said().count("got ") >= len(SENT), "command")
        got = {line for line in it.said().splitlines() if line.startswith("got ")}
    assert got == {f"got {path} from SENDER" for path in (tmp_path / "in").iterdir()}


@pytest.mark.parametrize(
    "title", ["B$(cmd)", "`cmd`", "-rf", "a;cmd", "x' cmd '", '"', "a b", "#f", "+x", "|cmd"]
)
def test_hostile_titles_stay_one_argument(title: str, tmp_path: Path) -> None:
    """What DCMTK 3.6.7 executes is one harmless argument here."""
    (tmp_path / "in").mkdir()
    seen = tmp_path / "seen"
    script = tmp_path / "script.sh"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$#" "$1" "$DCMNET_CALLING_AE_TITLE" > "$2"\n')
    script.chmod(0o755)
    options = ("-od", tmp_path / "in", "-xs", "-xcr", f"{script} #a {seen}")
    with running("dcmnet", "storescp", options, tmp_path / "log") as it:
        run("storescu", "-xe", "-R", "-aet", title, HOST, str(it.port), SAMPLE / "ct-1.dcm")
        eventually(lambda: seen.exists() and seen.read_text().count("\n") == 3, "command")
    count, argument, variable = seen.read_text().splitlines()
    assert count == "2"
    assert argument == variable
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9 .:@_-]*", argument)


# ---------------------------------------------------------------------- what the tools say, and faults


def test_dcmrecv_says_the_same(tmp_path: Path, profile: tuple[str | Path, ...]) -> None:
    said = []
    for maker in MAKERS:
        folder = tmp_path / maker
        files, last = samples("ct-1.dcm"), "Received Association Release Request"
        found = received(maker, "dcmrecv", (*profile, "-dhl"), folder, files, last=last)
        assert len(found) == 1
        log = folder.with_suffix(".log").read_text()
        lines = [line for line in log.splitlines() if line.startswith("I: ")]
        first = lines.index(next(line for line in lines if "SENDER -> RECEIVER" in line))
        text = "\n".join(lines[:2] + lines[first : first + 6])
        said.append(re.sub(r"PDV: \d+", "PDV", text.replace(str(folder), "")))
    assert said[0] == said[1]


def test_dcmrecv_without_a_profile(tmp_path: Path) -> None:
    for maker in MAKERS:
        (tmp_path / maker).mkdir()
        options = ("-od", tmp_path / maker)
        log = tmp_path / f"{maker}.log"
        with running(maker, "dcmrecv", options, log) as it:
            run("echoscu", HOST, str(it.port))
            said = run("storescu", HOST, str(it.port), SAMPLE / "ct-1.dcm", expect=1)
        assert "Reason: No Reason" in said
        assert "will only support the Verification SOP Class" in log.read_text()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("-od", "/nowhere", "0"), 45),
        (("-xf", "/nowhere", "x", "0"), 66),
        (("0", "-nonsense"), 1),
    ],
)
@pytest.mark.parametrize("maker", MAKERS)
def test_dcmrecv_exit_codes(maker: str, options: tuple[str, ...], code: int) -> None:
    tool: tuple[str, ...] = (*DCMNET, "dcmrecv") if maker == "dcmnet" else ("dcmrecv",)
    run(
        *tool,
        *(option.replace("0", "11999", 1) if option == "0" else option for option in options),
        expect=code,
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--refuse",), "Result: Rejected Permanent, Source: Service User"),
        (("--abort-after",), "Peer aborted Association"),
        (("--abort-during",), "Store Failed"),  # the abort may come while it still sends
    ],
)
@pytest.mark.parametrize("maker", MAKERS)
def test_faults_look_the_same_to_a_peer(
    maker: str, options: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    whole = (*options, "-od", str(tmp_path / "in"))
    with running(maker, "storescp", whole, tmp_path / "log") as it:
        done = subprocess.run(
            [program("storescu"), "-v", "-xe", "-R", HOST, str(it.port), str(SAMPLE / "ct-1.dcm")],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,  # DCMTK's exit code after an abort is 0
        )
    assert text in done.stderr


@pytest.fixture
def inetd(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`dcmnet storescp --inetd`, started as inetd would for a connection that has come."""
    (tmp_path / "in").mkdir()
    with socket.create_server((HOST, 0)) as listener:
        client = subprocess.Popen(
            [
                program("storescu"),
                "-xe",
                "-R",
                HOST,
                str(listener.getsockname()[1]),
                str(SAMPLE / "ct-1.dcm"),
            ],
            env=ENVIRONMENT,
        )
        connection, _ = listener.accept()
        with connection:
            server = subprocess.Popen(
                [*DCMNET, "storescp", "--inetd", "-v", "-od", str(tmp_path / "in")],
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=connection.fileno(),
            )
        yield client.wait(RUN_SECONDS), server
        server.wait(RUN_SECONDS)


def test_inetd(inetd: tuple[int, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    code, server = inetd
    assert (code, server.wait(RUN_SECONDS)) == (0, 0)
    assert len(list((tmp_path / "in").iterdir())) == 1


def test_inetd_without_a_connection(tmp_path: Path) -> None:
    run(*DCMNET, "storescp", "--inetd", "-od", tmp_path, expect=99)
