"""The configuration of a server, and the decorators that fill it in."""

from __future__ import annotations

import gc
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dcmnet.acse import AcceptorPolicy, SupportedContext
from dcmnet.dimse.messages import CEchoRQ, CStoreRQ
from dcmnet.limits import Limits, Timeouts
from dcmnet.registry.sop_classes import STORAGE, VERIFICATION
from dcmnet.storage.files import Duplicates
from dcmnet.storage.node import Handlers, Hooks, Node
from dcmnet.storage.scp import FileStore
from tests.unit.objects import CT, EXPLICIT


def accepted(node: Node) -> set[str]:
    return {context.abstract_syntax for context in node.acceptor().policy.contexts}


def test_a_server_without_a_store_verifies() -> None:
    acceptor = Node().acceptor()
    assert set(acceptor.services) == {CEchoRQ}
    assert accepted(Node()) == {VERIFICATION}


def test_a_server_with_a_store_takes_every_storage_class(tmp_path: Path) -> None:
    node = Node(store=FileStore(directory=tmp_path))
    assert set(node.acceptor().services) == {CEchoRQ, CStoreRQ}
    assert accepted(node) == {VERIFICATION, *STORAGE}


def test_own_contexts_take_the_place_of_the_defaults(tmp_path: Path) -> None:
    contexts = (SupportedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,)),)
    node = Node(policy=AcceptorPolicy(contexts=contexts), store=FileStore(directory=tmp_path))
    assert accepted(node) == {CT}


def test_hooks_reach_the_acceptor() -> None:
    def hook(*_: Any) -> None: ...

    hooks = Hooks(request=hook, accepted=hook, released=hook)
    acceptor = Node(hooks=hooks).acceptor()
    assert (acceptor.on_request, acceptor.on_accepted, acceptor.on_released) == (hook, hook, hook)


def test_a_core_has_the_node_s_limits() -> None:
    own: list[str] = []
    other: list[str] = []
    node = Node(
        policy=AcceptorPolicy(max_pdu_length=4096),
        timeouts=Timeouts(dimse=3),
        limits=Limits(max_user_items=7),
        trace=lambda what, _: own.append(what),
    )
    core = node.new_core(lambda what, _: other.append(what))
    assert (core.timeouts.dimse, core.limits.max_user_items) == (3, 7)
    core.upper_layer.transport_connected(0.0)
    assert own
    assert not other
    Node().new_core(lambda what, _: other.append(what)).upper_layer.transport_connected(0.0)
    assert other


def test_the_options_of_a_server() -> None:
    contexts = [SupportedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,))]
    handlers = Handlers(
        "ARCHIVE",
        contexts=contexts,
        require_called_ae_title=True,
        calling_ae_titles=["CT1", "CT2"],
        max_pdu_length=4096,
        timeouts=Timeouts(acse=1),
        limits=Limits(max_user_items=7),
    )
    assert handlers.node.policy == AcceptorPolicy(
        ae_title="ARCHIVE",
        contexts=tuple(contexts),
        require_called_ae_title=True,
        calling_ae_titles=frozenset(("CT1", "CT2")),
        max_pdu_length=4096,
    )
    assert (handlers.node.timeouts.acse, handlers.node.limits.max_user_items) == (1, 7)
    assert Handlers().node.policy.calling_ae_titles is None
    node = Node()
    assert Handlers(node=node).node is node


def test_decorators_return_what_they_decorate(tmp_path: Path) -> None:
    handlers = Handlers(spool=tmp_path)

    def handler(*_: Any) -> None: ...

    for decorate in (handlers.on_store, handlers.on_echo, handlers.on_association, handlers.on_ended):
        assert decorate(handler) is handler
    hooks = handlers.node.hooks
    assert (hooks.echo, hooks.request, hooks.ended) == (handler, handler, handler)
    assert handlers.node.store == FileStore(directory=tmp_path, handler=handler)


def test_objects_wait_in_a_folder_that_is_private_and_removed_with_the_server() -> None:
    handlers = Handlers()
    handlers.on_store(lambda _: None)
    assert handlers.node.store is not None
    spool = handlers.node.store.directory
    assert spool.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    handlers.on_store(lambda _: 0)
    assert handlers.node.store.directory == spool
    (spool / "left").touch()
    del handlers
    gc.collect()
    assert not spool.exists()


def test_the_folder_outlives_a_child_process_and_not_the_interpreter() -> None:
    code = """
import os
from dcmnet.storage.node import Handlers
handlers = Handlers()
handlers.on_store(print)
child = os.fork()
if child:
    os.waitpid(child, 0)
    print(os.path.isdir(handlers.node.store.directory), handlers.node.store.directory)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    there, folder = ran.stdout.split()
    assert there == "True"
    assert not Path(folder).exists()


def test_no_folder_is_made_without_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: pytest.fail("made"))
    Handlers()
    Handlers(spool=tmp_path).on_store(lambda _: None)


def test_how_many_associations() -> None:
    standard = Handlers().node
    assert (standard.max_associations, standard.max_associations_by_peer) == (2000, 1000)
    node = Handlers(max_associations=7, max_associations_by_peer=3).node
    assert (node.max_associations, node.max_associations_by_peer) == (7, 3)


def test_how_many_workers() -> None:
    assert Handlers().node.workers == 0
    handlers = Handlers(workers=3)
    assert handlers.node.workers == 3
    assert handlers.on_worker(print) is handlers.node.hooks.worker is print
    with pytest.raises(ValueError, match="there cannot be -1 workers: give 0"):
        Handlers(workers=-1)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 1},
        {"ae_title": "A"},
        {"max_associations": 1},
        {"limits": Limits(max_user_items=1)},
        {"max_pdu_length": 9},
    ],
)
def test_a_node_has_everything(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="set them there"):
        Handlers(node=Node(), **options)


def test_a_handler_leaves_the_store_as_it_was_set_up(tmp_path: Path) -> None:
    store = FileStore(directory=tmp_path, duplicates=Duplicates.REFUSE, fsync=True)
    handlers = Handlers(node=Node(store=store))

    @handlers.on_store
    def handler(_: Any) -> None: ...

    assert handlers.node.store is store
    assert (store.handler, store.duplicates, store.fsync) == (handler, Duplicates.REFUSE, True)
