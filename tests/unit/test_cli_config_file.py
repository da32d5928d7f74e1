"""`-xf` of the tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmnet import AcceptorPolicy, Hooks, Node, Profiles, Server, StorageSCP, storage_contexts
from dcmnet.cli import logs, serving, storescp, storescu
from dcmnet.cli.options import Tool, UsageError
from dcmnet.cli.parser import parse
from dcmnet.cli.receiving import Reporter
from dcmnet.procedures.association import AssociationCore
from dcmnet.registry.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE_8BIT
from tests.unit.cli_runs import CT as CT_FILE
from tests.unit.cli_runs import HOST, MR, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back
from tests.unit.profile_texts import CT, FULL, SMALL, US, changed, with_contexts, with_syntaxes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profiles.cfg"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[StorageSCP]:
    directory = tmp_path / "archive"
    directory.mkdir()
    with StorageSCP(directory, "ARCHIVE").start(0) as server:
        yield server


# ---------------------------------------------------------------------- storescu


def test_storescu_proposes_what_the_profile_says(capsys: Capture, path: Path) -> None:
    path.write_text(FULL)
    seen: list[AssociationCore] = []
    policy = AcceptorPolicy(
        contexts=storage_contexts(), extended_negotiation=lambda item: item.application_information
    )
    with Server(node=Node(policy=policy, hooks=Hooks(accepted=seen.append))).start(0) as server:
        code, _, err = run_cli(capsys, "storescu", "-xf", path, "ultrasound out", HOST, server.port, CT_FILE)
    assert code == 1
    agreed = seen[0].agreed
    assert [(each.context_id, each.abstract_syntax) for each in agreed.proposed][:2] == [(1, US), (3, US)]
    assert [each.sop_class_uid for each in agreed.extended_negotiations] == [US]
    assert err == (
        f"E: Store Failed, file: {CT_FILE}:\n"
        f"E: no presentation context for CT Image Storage ({CT}): it was not proposed; "
        "add it to the presentation contexts of the association\n"
        "E: without -xf what each file needs is proposed\n"
    )


def test_storescu_sends_what_fits_and_reports_the_rest(
    capsys: Capture, path: Path, archive: StorageSCP
) -> None:
    path.write_text(SMALL)
    code, out, err = run_cli(
        capsys, "storescu", "--json", "-nh", "-xf", path, "Default", HOST, archive.port, MR, CT_FILE
    )
    events = json_lines(out)
    objects = [event for event in events if event["event"] == "object"]
    assert [(each["stored"], each["status"]) for each in objects] == [(False, None), (True, "0x0000")]
    assert objects[1]["transfer_syntax"] == IMPLICIT_VR_LITTLE_ENDIAN
    assert "it was not proposed" in err
    assert (code, events[-1]["associations"]) == (1, 1)


def test_storescu_without_a_context_that_was_accepted(
    capsys: Capture, path: Path, archive: StorageSCP
) -> None:
    path.write_text(with_contexts("1.2.3\\Plain"))
    code, _, err = run_cli(capsys, "storescu", "-xf", path, "Default", HOST, archive.port, CT_FILE)
    assert code == 1
    assert err.startswith("F: No Acceptable Presentation Contexts\n")


def test_warnings_are_logged(capsys: Capture, path: Path, archive: StorageSCP) -> None:
    path.write_text(with_syntaxes("TransferSyntax2 = LittleEndianImplicit"))
    code, _, err = run_cli(capsys, "storescu", "-xf", path, "Default", HOST, archive.port, CT_FILE)
    assert code == 0
    assert err.startswith(f"W: {path}:2: [Plain] has no TransferSyntax1; DCMTK leaves out everything behind")


@pytest.mark.parametrize("tool", [("storescu", HOST, 104, CT_FILE), ("storescp", 0)])
def test_a_profile_that_cannot_be_used(capsys: Capture, path: Path, tool: tuple[object, ...]) -> None:
    def refusal(name: str = "Default") -> str:
        code, out, err = run_cli(capsys, *tool, "-xf", path, name)
        assert (code, out) == (1, "")
        return err

    assert refusal() == (
        f"F: cannot read config file: unable to open configuration file: {path}: No such file or directory\n"
    )
    path.write_text(SMALL)
    unknown = f"unknown configuration profile name: NOPE: {path} has DEFAULT"
    assert refusal("nope") == f"F: cannot read config file: {unknown}\n"
    path.write_text(with_syntaxes("TransferSyntax1 = x", "y"))
    assert refusal() == (
        f"F: cannot read config file: {path}:3: 'x' is not a known transfer syntax: "
        "write a UID, DCMTK's name or the keyword (and 1 more)\n"
        "E: line 4: 'y' is neither a [section], an entry with '=' nor a comment: "
        "write Key = Value, or begin the line with '#'\n"
    )


def test_storescu_refuses_129_contexts(capsys: Capture, path: Path) -> None:
    path.write_text(with_contexts(*[f"{CT}\\Plain"] * 129))
    code, _, err = run_cli(capsys, "storescu", "-xf", path, "Default", HOST, 104, CT_FILE)
    assert code == 1
    assert "129 presentation contexts, and a requestor proposes at most 128" in err


CONFLICTS = [
    (storescu.TOOL, ["host", "104", "file"], ["-xi"], "--config-file not allowed with --propose-implicit"),
    (storescu.TOOL, ["host", "104", "file"], ["-R"], "--config-file not allowed with --required"),
    (storescu.TOOL, ["host", "104", "file"], ["+C"], "--config-file not allowed with --combine"),
    (storescp.TOOL, ["104"], ["+xe"], "--config-file not allowed with --prefer-little"),
    (storescp.TOOL, ["104"], ["+xa"], "--config-file not allowed with --accept-all"),
    (storescp.TOOL, ["104"], ["-pm"], "--config-file not allowed with --promiscuous"),
]


@pytest.mark.parametrize(("tool", "needed", "other", "message"), CONFLICTS)
def test_conflicts(tool: Tool, needed: list[str], other: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(tool, [*needed, "-xf", "f", "p", *other])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("tool", "words"), [(storescu.TOOL, ["h", "104", "f", "-x="]), (storescp.TOOL, ["104", "+x="])]
)
def test_the_default_syntaxes_are_no_conflict(tool: Tool, words: list[str]) -> None:
    assert parse(tool, [*words, "-xf", "f", "p"]).config_file == ("f", "p")


# ---------------------------------------------------------------------- storescp


def policy_of(path: Path, *options: str) -> AcceptorPolicy:
    arguments = parse(storescp.TOOL, ["104", "-xf", str(path), "Default", *options])
    return serving._new_node(
        arguments, Reporter(logs.logger("x"), json=False, verbose_pc=False), serving.STORESCP
    ).policy


def test_storescp_accepts_what_the_profile_says(path: Path) -> None:
    text = with_syntaxes("TransferSyntax1 = JPEGBaseline", "TransferSyntax2 = LittleEndianImplicit")
    path.write_text(text)
    policy = policy_of(path, "-aet", "STORE", "-pdu", "4096", "--check-aetitle")
    assert policy == Profiles(text)["Default"].acceptor_policy(
        ae_title="STORE", max_pdu_length=4096, require_called_ae_title=True
    )
    assert policy.contexts[0].transfer_syntaxes == (JPEG_BASELINE_8BIT, IMPLICIT_VR_LITTLE_ENDIAN)
    assert policy.transfer_syntax_order == "acceptor"
    assert policy.promiscuous is None


def test_storescp_refuses_a_class_twice(capsys: Capture, path: Path) -> None:
    path.write_text(changed("[UltrasoundOut]", "[Default]"))
    code, _, err = run_cli(capsys, "storescp", 0, "-xf", path, "Default")
    assert code == 1
    assert err.startswith(f"F: cannot read config file: {path}:12: {US} is listed in line 11 as well: ")
