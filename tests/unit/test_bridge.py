"""pydicom is loaded as a whole and once, however many threads need it first."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

import dcmnet

CT = get_testdata_file("CT_small.dcm", download=False)
SOURCE = Path(dcmnet.__file__).parent

# Every lazy way to pydicom is taken at once, in a process that has not loaded it.
RACE = """
import sys, threading
import dcmnet, dcmnet.storage.scp
sys.setswitchinterval(1e-5)

def attributes():
    from dcmnet.dataset.attributes import read_attributes
    read_attributes({path!r}, 0, "1.2.840.10008.1.2.1", ["AccessionNumber"], name="x")

def data_set():
    from dcmnet import dataset
    dataset.read({path!r}).PatientName

def identifier():
    from dcmnet.dataset.identifiers import decode_identifier, encode_identifier
    decode_identifier(encode_identifier({{"PatientID": "1"}}, "1.2.840.10008.1.2"), "1.2.840.10008.1.2")

def match():
    from dcmnet.storage.querying import Match
    Match(0xFF00, b"\\x10\\0\\x10\\0\\4\\0\\0\\0A^B ", "1.2.840.10008.1.2").identifier.PatientName

def vr():
    from dcmnet.dataset.representations import public_vr
    assert public_vr(0x00100010) == "PN"

def decoders():
    from dcmnet.dataset.decoding import decoders
    assert decoders()

def numbers():
    from dcmnet.dataset.values import numbers
    assert numbers("US", b"\\1\\0", little_endian=True) == [1]

def text():
    from dcmnet.dataset.text import encodings_of
    assert encodings_of(["ISO_IR 192"])

ways = [attributes, data_set, identifier, match, vr, decoders, numbers, text]
barrier = threading.Barrier(len(ways))
failed = []

def run(way):
    barrier.wait()
    try:
        way()
        way()
    except BaseException as error:
        failed.append(f"{{way.__name__}}: {{error!r}}")

threads = [threading.Thread(target=run, args=(way,)) for way in ways]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*failed, sep="\\n")
"""


@pytest.mark.parametrize("attempt", range(3))
def test_all_ways_at_once(attempt: int) -> None:
    code = RACE.format(path=CT)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout.strip(), run.stderr) == ("", ""), f"attempt {attempt}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.name)
def test_one_module_imports_pydicom(path: Path) -> None:
    """Two ways into pydicom would be two locks."""
    if path.name == "bridge.py":
        return
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) not in hidden:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "pydicom"], ast.unparse(node)


SERVER = """
import sys, dcmnet
from pathlib import Path
server = dcmnet.Server("X")
{handler}
server.start(0)
print("pydicom" in sys.modules)
server.shutdown()
"""


@pytest.mark.parametrize(
    ("handler", "loaded"),
    [
        ("", False),
        ("server.on_echo(lambda core, context, request: None)", False),
        ("server.on_store(lambda request: None)", True),
        ("server.on_receiving(lambda request: None)", True),
        ("server.on_find(lambda request: None)", True),
        ("server.on_get(lambda request: None)", True),
        ("server.on_move(lambda request: None)", True),
        ("server.on_n_get('1.2.3')(lambda request: None)", True),
        ("server.node.store = dcmnet.FileStore(directory=Path('.'))", False),
    ],
)
def test_it_is_loaded_before_the_server_listens_if_a_handler_may_need_it(handler: str, loaded: bool) -> None:
    code = SERVER.format(handler=handler)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout.strip(), run.stderr) == (str(loaded), "")
