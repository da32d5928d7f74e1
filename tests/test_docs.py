"""What the documentation says works: its Python runs, its commands parse, its links lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import dcmnet
import dcmnet.aio
import dcmnet.sync.server
from dcmnet.cli import catalogue
from dcmnet.cli.parser import parse
from dcmnet.storage.scp import FileStore
from dcmnet.storage.scu import Transfer
from tests.certificates import Certificates

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SAMPLES = ROOT / "src" / "dcmnet" / "sample"
PORT = "11112"
MOVE_PORT = "11113"


def with_queries(node: dcmnet.StorageSCP, folder: Path, port: int) -> dcmnet.StorageSCP:
    """Make a node answer what the pages ask."""
    for model in (dcmnet.STUDY_ROOT, dcmnet.MODALITY_WORKLIST):
        node.on_find(model)(lambda request: {"StudyInstanceUID": "1.2.3", "PatientName": "DOE^JANE"})
    node.on_get()(lambda request: [folder / "1.dcm", folder / "2.dcm"])
    node.on_move()(lambda request: [folder / "1.dcm", folder / "2.dcm"])
    node.destinations = {"DCMNET": ("127.0.0.1", port)}
    return node


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for match in re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            line = page.read_text()[: match.start()].count("\n") + 2
            found.append((f"{page.relative_to(ROOT)}:{line}", match.group(1)))
    return found


def example_of_profiles() -> str:
    (text,) = (text for where, text in blocks("ini") if where.startswith("docs/reference/asconfig.md:"))
    return text


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> Path:
    """A folder to be in, with what the pages talk about: `a-study/`, `received/`, `profiles.cfg`."""
    folder = tmp_path / "a-study"
    shutil.copytree(SAMPLES, folder)
    shutil.copy(SAMPLES / "ct-1.dcm", folder / "1.dcm")
    shutil.copy(SAMPLES / "mr.dcm", folder / "2.dcm")
    (tmp_path / "received").mkdir()
    (tmp_path / "profiles.cfg").write_text(example_of_profiles())
    for name in ("ca", "pacs", "pacs-key", "modality", "modality-key"):  # as docs/howto/tls.md calls them
        source = name.replace("pacs", "server").replace("modality", "client")
        shutil.copy(certificates.folder / f"{source}.pem", tmp_path / f"{name}.pem")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("where", "code"), blocks("python"), ids=lambda each: each if ":" in each[:60] else ""
)
def test_python_runs(where: str, code: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: dcmnet.aio.Server) -> bool:
        return True

    monkeypatch.setattr(dcmnet.sync.server.Server, "wait", lambda self, timeout=None: True)
    monkeypatch.setattr(dcmnet.aio.Server, "wait", at_once)
    serves = re.search(r"\.(start|serve)\(", code)
    secure = dcmnet.TLS(certificate="pacs.pem", private_key="pacs-key.pem", ca_files=("ca.pem",))
    tls = secure if "dcmnet.TLS(" in code else None
    move_port = free_port()
    node = dcmnet.StorageSCP(study / "received", "ARCHIVE", tls=tls)
    with_queries(node, study / "a-study", move_port).start(0)
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        port = "0" if serves else str(node.port)
        exec(compile(code.replace(PORT, port).replace(MOVE_PORT, str(move_port)), where, "exec"), names)
    finally:
        server = names.get("server")
        if isinstance(server, dcmnet.Server):
            server.shutdown(drain=0)
        node.shutdown(drain=0)


GUIDES = ("docs/howto/from-dcmtk.md", "docs/howto/from-pynetdicom.md")


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_names_what_is_there(page: str) -> None:
    """What stands in the right column of a guide's tables, as far as a name alone says where it is from."""
    rows = re.findall(r"^\|.*\| (.*) \|$", (ROOT / page).read_text(), re.MULTILINE)
    assert len(rows) > 40
    text = " ".join(re.findall(r"`([^`]*)`", " ".join(rows)))
    for name in re.findall(r"dcmnet\.([a-z_]+\.[\w.]+|\w+)", text):
        *module, last = name.split(".")
        home = importlib.import_module(".".join(["dcmnet", *module]))
        assert hasattr(home, last) or importlib.import_module(f"{home.__name__}.{last}"), name
    server, transfer = dcmnet.Server(), Transfer(host="", port=0)
    for name in re.findall(r"\bon_\w+", text):
        assert any(hasattr(each, name) for each in (server, transfer, FileStore(directory=Path()))), name
    for name in re.findall(r"\b(?:assoc|server)\.(\w+)", text):
        assert hasattr(dcmnet.Association, name) or hasattr(dcmnet.Server, name) or name == "node", name


def test_the_example_of_a_profile_works() -> None:
    profiles = dcmnet.Profiles(example_of_profiles())
    assert profiles.warnings == ()
    assert len(profiles["Scanner"].requestor_policy().contexts) == 3
    assert len(profiles["Archive"].acceptor_policy().contexts) == 2


def commands() -> Iterator[tuple[str, str]]:
    for where, text in (*blocks("console"), *blocks("sh")):
        for line in text.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("dcmnet "):
                yield where, re.split(r" [#|]", command)[0].removesuffix("&").strip()


@pytest.mark.parametrize(("where", "command"), list(commands()), ids=lambda each: each.replace("/", "_")[:60])
def test_commands_parse(where: str, command: str) -> None:
    words = shlex.split(command)[1:]
    if words[0] in ("--version", "--help", "help"):
        return
    tool = importlib.import_module(f"dcmnet.cli.{words[0]}").TOOL
    parse(tool, words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        name, anchor = target
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.name} -> {name}"
        if anchor and other.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name} -> {name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert not re.findall(r"@[A-Z]+@", page.read_text())


def table_of_exit_codes() -> dict[str, list[tuple[str, str]]]:
    """The rows of docs/reference/tools.md by tool, without quotation marks."""
    page = (ROOT / "docs" / "reference" / "tools.md").read_text()
    section = page.partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for tool, code, meaning in re.findall(r"^\|(.*)\|(.*)\|(.*)\|$", section, re.MULTILINE)[2:]:
        name = tool.strip(" `") or name
        found.setdefault(name, []).append((code.strip(), meaning.strip().replace("`", "")))
    return found


def test_exit_codes_are_those_of_the_tools() -> None:
    table = table_of_exit_codes()
    everywhere = [code for code, _ in table.pop("all")]
    assert everywhere == ["130", "141"]
    assert list(table) == list(catalogue.names())
    for name, rows in table.items():
        told = [row for row in catalogue.tool_of(name).exit_codes if row[0] not in everywhere]
        assert rows == told, name
