"""Both faces have the same public names, and the same signatures but for `await`."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dcmnet
from dcmnet import aio
from dcmnet.aio import query_retrieve as aio_query_retrieve
from dcmnet.aio import storage as aio_storage
from dcmnet.sync import query_retrieve as sync_query_retrieve
from dcmnet.sync import storage as sync_storage

CLASSES = ("Association", "Server", "StorageSCP", "StorageSCU")
AWAITED = {
    "Association": {
        *("abort", "echo", "release", "store", "next_event"),
        *("n_action", "n_create", "n_delete", "n_event_report", "n_get", "n_set"),
    },
    "Server": {"serve", "shutdown", "start", "wait"},
    "StorageSCP": {"serve", "shutdown", "start", "wait"},
    "StorageSCU": {"send"},
}


def public(owner: Any) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(owner) if not name.startswith("_")}


def signature(function: Any, *, method: bool = False) -> list[tuple[str, Any, Any, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    return [(each.name, each.kind, each.default, str(each.annotation)) for each in parameters[method:]]


def test_every_name_of_the_asyncio_face_is_one_of_the_blocking_face() -> None:
    assert set(aio.__all__) <= set(dcmnet.__all__)
    homes = {
        name: getattr(dcmnet, name).__module__
        for name in dcmnet.__all__
        if name not in ("aio", "__version__")
    }
    assert {name for name, home in homes.items() if home.startswith("dcmnet.sync")} == set(aio.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_members(name: str) -> None:
    blocking, awaited = public(getattr(dcmnet, name)), public(getattr(aio, name))
    assert blocking.keys() == awaited.keys()
    for member, ours in blocking.items():
        theirs = awaited[member]
        assert type(ours) is type(theirs), member
        if inspect.isfunction(ours):
            assert signature(ours, method=True) == signature(theirs, method=True), member
            assert inspect.iscoroutinefunction(theirs) is (member in AWAITED[name]), member


@pytest.mark.parametrize("name", CLASSES)
def test_constructors(name: str) -> None:
    if name != "Association":  # made by `connect`
        assert signature(getattr(dcmnet, name).__init__) == signature(getattr(aio, name).__init__)


def test_connect() -> None:
    assert signature(dcmnet.connect) == signature(aio.connect.__init__, method=True)
    assert inspect.getdoc(aio.connect) is not None


def test_send() -> None:
    assert signature(dcmnet.send) == signature(aio.send)
    assert inspect.iscoroutinefunction(aio.send)


@pytest.mark.parametrize("name", CLASSES)
def test_context_managers(name: str) -> None:
    blocking, awaited = getattr(dcmnet, name), getattr(aio, name)
    assert hasattr(blocking, "__enter__") is hasattr(awaited, "__aenter__")
    assert hasattr(blocking, "__exit__") is hasattr(awaited, "__aexit__")


def test_helpers_of_the_storage_service() -> None:
    assert public(sync_storage).keys() == public(aio_storage).keys()


@pytest.mark.parametrize("name", ["find", "get", "move"])
def test_queries(name: str) -> None:
    assert signature(getattr(dcmnet, name)) == signature(getattr(aio, name))
    assert inspect.iscoroutinefunction(getattr(aio, name))


def test_responses() -> None:
    blocking, awaited = public(sync_query_retrieve.Responses), public(aio_query_retrieve.Responses)
    assert blocking.keys() == awaited.keys()
    for name in ("wait", "cancel", "close"):
        assert signature(blocking[name]) == signature(awaited[name])
        assert inspect.iscoroutinefunction(awaited[name])
