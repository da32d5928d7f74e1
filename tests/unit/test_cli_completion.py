from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from dcmnet.cli import catalogue, completing
from dcmnet.cli.completion import SHELLS
from dcmnet.cli.options import TEXT, Choice, Option, Section, Tool
from tests.unit.cli_runs import run_cli
from tests.unit.shell_sessions import ShellSession

HERE = [shell for shell in SHELLS if shutil.which(shell)]


def test_bash_is_there() -> None:
    assert "bash" in HERE


@pytest.fixture(scope="module", params=HERE)
def session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShellSession]:
    folder = tmp_path_factory.mktemp(request.param)
    work = folder / "work"
    (work / "received").mkdir(parents=True)
    for name in ("recording", "slice-1.dcm", "a study.dcm"):
        (work / name).touch()
    script = folder / "completions"
    script.write_text(completing.script(request.param, plain=True))
    shell = ShellSession(request.param, work, script, ("dcmnet", "echoscu"))
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("dcmnet echos\t", "<echoscu>"),
        ("dcmnet help stores\tp\t", "<help><storescp>"),
        ("dcmnet --vers\t", "<--version>"),
        ("dcmnet echoscu --acse\t5", "<echoscu><--acse-timeout><5>"),
        ("dcmnet echoscu --repe\t5", "<echoscu><--repeat><5>"),
        ("dcmnet storescp +xn\t", "<storescp><+xn>"),
        ("dcmnet storescp 104 --prefer-unc\t", "<storescp><104><--prefer-uncompr>"),
        ("dcmnet storescu -x=\tpeer", "<storescu><-x=><peer>"),
        ("dcmnet storescp --on-dup\tref\t", "<storescp><--on-duplicate><refuse>"),
        ("dcmnet echoscu -ll tr\t", "<echoscu><-ll><trace>"),
        ("dcmnet man echos\t", "<man><echoscu>"),
        ("dcmnet completion fi\t", "<completion><fish>"),
        # Files where a parameter or a value is one.
        ("dcmnet storescu peer 104 sli\t", "<storescu><peer><104><slice-1.dcm>"),
        ("dcmnet storescu peer 104 -v x y sli\t", "<storescu><peer><104><-v><x><y><slice-1.dcm>"),
        ("dcmnet storescu peer 104 a\t", "<storescu><peer><104><a study.dcm>"),
        ("dcmnet storescu 'a b' 104 sli\t", "<storescu><a b><104><slice-1.dcm>"),
        ("dcmnet storescu -xf sli\t", "<storescu><-xf><slice-1.dcm>"),
        ("dcmnet echoscu +tls sli\tsli\t", "<echoscu><+tls><slice-1.dcm><slice-1.dcm>"),
        ("dcmnet storescp -od rece\t", "<storescp><-od><received"),
        ("dcmnet link rece\t", "<link><received"),
        # Nothing where it may be anything.
        ("dcmnet storescu sli\t", "<storescu><sli>"),
        ("dcmnet storescu -xf x sli\t", "<storescu><-xf><x><sli>"),
        ("dcmnet echoscu -aet -ll tra\t", "<echoscu><-aet><-ll><tra>"),
        ("dcmnet echoscu -aet --repe\t", "<echoscu><-aet><--repe>"),
        ("dcmnet frob --ver\t", "<frob><--ver>"),
        # The plain names.
        ("echoscu --repe\t5", "<--repeat><5>"),
    ],
    ids=str.strip,
)
def test_a_shell_completes(session: ShellSession, line: str, arguments: str) -> None:
    session.enter(line, arguments)


def test_without_plain_only_dcmnet_is_completed(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        code, out, _ = run_cli(capsys, "completion", shell)
        assert code == 0
        assert out == completing.script(shell)
        named = [line for line in out.splitlines() if line.startswith(("complete ", "#compdef", "  compdef"))]
        assert named
        assert not any("echoscu" in line for line in named)
        plain = completing.script(shell, plain=True).splitlines()
        assert any(line.split()[0] in ("complete", "compdef") and "echoscu" in line for line in plain if line)


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli(capsys, "completion", "tcsh")
    assert (code, out) == (1, "")
    assert "error: Unknown shell\none of: bash, zsh, fish\n" in err


@pytest.mark.parametrize("name", catalogue.names())
def test_every_spelling_is_known_to_every_shell(name: str) -> None:
    tool = catalogue.tool_of(name)
    for shell in SHELLS:
        text = completing.script(shell)
        for option in tool.options:
            for spelling in filter(None, (option.short, option.long)):
                assert f"'{spelling}" in text
                assert (f"'{name} {spelling}'" in text) == bool(option.metavars)


def test_what_stands_in_quotes_stays_there() -> None:
    rows = (Option("-a", "--all", ("word",), "the peer's \\ own", kind=Choice(("it's",))),)
    tool = Tool("sample", "a sample", (), (Section("options", rows),))
    assert list(completing._options(tool)) == [
        (["sample"], ["-a\tthe peer's \\ own", "--all\tthe peer's \\ own"])
    ]
    assert completing._quoted("the peer's") == "'the peer'\\''s'"
    assert completing._fish_quoted("the peer's \\") == "'the peer\\'s \\\\'"


@pytest.mark.parametrize(
    ("name", "entry"),
    [("file", "file"), ("key-file", "file"), ("dcmfile-in", "file"), ("report", "file"),
     ("directory", "directory"), ("profile", ""), ("file-pad", "")],
)  # fmt: skip
def test_what_a_value_is(name: str, entry: str) -> None:
    assert catalogue.expected(name, TEXT) == entry


def test_a_long_description_is_cut_between_words() -> None:
    assert completing._detail("short") == "short"
    cut = completing._detail("word " * 40)
    assert cut.endswith("word ...")
    assert len(cut) < 75
