"""The rules between the layers, as CONTRIBUTING.md states them, held against the source."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dcmnet
import dcmnet.aio
import dcmnet.sync.association
import dcmnet.sync.storage

SOURCE = Path(dcmnet.__file__).parent

# From left to right: a module imports from its own layer and from those to the left of it.
LAYERS = (
    ("_records", "_version", "arguments", "errors", "payload", "limits", "registry", "tls"),
    ("ul",),
    ("acse", "acse_contexts", "asconfig", "asconfig_lists", "asconfig_text", "dimse"),
    ("procedures",),
    ("services",),
    ("dataset",),
    ("storage",),
    ("_net", "sync", "aio"),
    ("cli", "__main__", "__init__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FACES = LEVEL["sync"]

# Rule 2: the core has no input, no output, no clock and no threads.
FORBIDDEN = frozenset(
    "socket ssl select selectors asyncio threading queue concurrent subprocess time os logging".split()
)
STORAGE_MAY = frozenset(("os",))

# Rule 5: where bytes are packed and unpacked; part10 is the file format's place (docs/decisions).
CODECS = {
    "ul/pdu.py",
    "ul/items.py",
    "ul/reader.py",
    "dimse/command.py",
    "dimse/patterns.py",
    "storage/part10.py",
    "storage/elements.py",
    "storage/identity.py",
    "storage/completeness.py",
}
# Data sets are transcoded as bytes, so that no value is decoded on the way.
CODECS |= {
    f"dataset/{name}.py" for name in ("codestreams", "content", "data_sets", "elements", "level", "writer")
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def layer_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The full name of every imported module, also within functions, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "dcmnet")


def own(names: Iterator[str]) -> Iterator[str]:
    """The layers of dcmnet among imported modules."""
    for name in names:
        parts = name.split(".")
        if parts[0] == "dcmnet" and len(parts) > 1 and parts[1] in LEVEL:
            yield parts[1]


PATHS = pytest.mark.parametrize("path", modules(), ids=relative)


@PATHS
def test_rule_1_imports_come_from_the_left(path: Path) -> None:
    level = LEVEL[layer_of(path)]
    wrong = sorted({name for name in own(imports(path)) if LEVEL[name] > level})
    assert not wrong, f"{relative(path)} imports from its right: {wrong}"


@PATHS
def test_rule_2_the_core_has_no_input_or_output(path: Path) -> None:
    layer = layer_of(path)
    if LEVEL[layer] >= FACES:
        return
    forbidden = FORBIDDEN - (STORAGE_MAY if layer == "storage" else frozenset())
    wrong = sorted({name for name in imports(path) if name.split(".")[0] in forbidden} - _types_only(path))
    assert not wrong, f"{relative(path)} imports {wrong}"


def _types_only(path: Path) -> set[str]:
    """`from os import PathLike` names a type and does nothing."""
    tree = ast.parse(path.read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "os"]
    names = {alias.name for node in froms for alias in node.names}
    plain = any(
        alias.name == "os" for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    )
    return {"os"} if names == {"PathLike"} and not plain else set()


@PATHS
def test_rule_3_the_faces_are_apart(path: Path) -> None:
    layer = layer_of(path)
    used = set(own(imports(path)))
    if layer in ("sync", "aio", "_net"):
        assert not used & ({"sync", "aio"} - {layer}), f"{relative(path)} imports another face"
    if layer not in ("sync", "aio", "_net"):
        assert "_net" not in used, f"{relative(path)} imports _net"


@PATHS
def test_rule_4_pydicom_is_behind_its_bridge(path: Path) -> None:
    if layer_of(path) != "dataset":
        assert not [name for name in imports(path) if name.split(".")[0] == "pydicom"]


@PATHS
def test_data_classes_are_those_that_are_quick_to_load(path: Path) -> None:
    if relative(path) != "_records.py":
        wrong = "dataclasses" in set(imports(path))
        assert not wrong, f"{relative(path)}: dcmnet._records has dataclass, field, fields and replace"


@PATHS
def test_rule_5_bytes_are_packed_in_the_codecs_alone(path: Path) -> None:
    if relative(path) in CODECS:
        return
    assert "struct" not in set(imports(path))
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute))
    assert not [node.attr for node in calls if node.attr in ("from_bytes", "to_bytes")]


@PATHS
def test_rule_5_the_state_is_assigned_in_the_state_machine_alone(path: Path) -> None:
    if relative(path) == "ul/fsm.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            name = getattr(target, "attr", "")
            assert name != "_state", f"{relative(path)}:{node.lineno} assigns {name}"  # type: ignore[attr-defined]


def face_classes() -> Iterator[tuple[str, type, type]]:
    yield "Association", dcmnet.sync.association.Association, dcmnet.aio.Association
    yield "StorageSCU", dcmnet.sync.storage.StorageSCU, dcmnet.aio.StorageSCU
    yield "StorageSCP", dcmnet.sync.storage.StorageSCP, dcmnet.aio.StorageSCP
    yield "Server", dcmnet.Server, dcmnet.aio.Server


def public(cls: type) -> dict[str, object]:
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("name", "blocking", "asynchronous"), list(face_classes()), ids=lambda each: str(each)[:20]
)
def test_rule_7_the_faces_have_the_same_names_and_signatures(
    name: str, blocking: type, asynchronous: type
) -> None:
    ours, theirs = public(blocking), public(asynchronous)
    assert set(ours) == set(theirs), name
    for method, function in ours.items():
        if not inspect.isfunction(function):
            continue
        other = theirs[method]
        assert inspect.isfunction(other)
        one, two = inspect.signature(function), inspect.signature(other)
        assert list(one.parameters.values()) == list(two.parameters.values()), f"{name}.{method}"


@pytest.mark.parametrize("face", ["sync", "aio"])
@pytest.mark.parametrize(("module", "cls"), [("association", "Association"), ("storage", "StorageSCU")])
def test_rule_7_public_methods_only_run_procedures(face: str, module: str, cls: str) -> None:
    tree = ast.parse((SOURCE / face / f"{module}.py").read_text())
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls)
    for method in found.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
            statements = [each for each in method.body if not isinstance(each, ast.Expr)]
            assert len(statements) <= 3, f"{face}.{cls}.{method.name}"


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(path) for path in modules()} <= set(LEVEL)


def test_the_public_names_are_few_and_there() -> None:
    assert len(dcmnet.__all__) == len(set(dcmnet.__all__)) <= 60
    for name in dcmnet.__all__:
        assert getattr(dcmnet, name) is not None


@pytest.mark.parametrize("size", [600])
def test_modules_stay_small(size: int) -> None:
    generated = {"registry/_uids.py"}
    large = {relative(path): path.read_text().count("\n") for path in modules()}
    assert not {name: lines for name, lines in large.items() if lines > size and name not in generated}


def loaded_by(*command: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        "import sys, runpy, atexit\n"
        f"sys.argv = {list(command)!r}\n"
        "atexit.register(lambda: sys.stderr.write('MODULES ' + ' '.join(sys.modules)))\n"
        "runpy.run_module('dcmnet', run_name='__main__', alter_sys=True)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return set(run.stderr.rpartition("MODULES ")[2].split())


def test_start_up_is_light() -> None:
    loaded = loaded_by("dcmnet", "--version")
    assert "dcmnet" in loaded
    assert not loaded & {"pydicom", "asyncio", "logging", "socket", "dcmnet.sync.association"}


@pytest.mark.parametrize("tool", ["echoscu", "termscu", "storescu", "dcmsend", "storescp", "asconfig"])
def test_the_tools_load_neither_pydicom_nor_asyncio(tool: str) -> None:
    loaded = loaded_by("dcmnet", tool, "--version")
    assert f"dcmnet.cli.{tool}" in loaded
    assert not loaded & {"pydicom", "asyncio"}
