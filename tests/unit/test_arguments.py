"""What callers may pass: a lone text is one text, and every mistake is told by the name of its argument."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmnet import arguments
from dcmnet.acse import AcceptorPolicy, ProposedContext, RequestorPolicy, SupportedContext
from dcmnet.acse_contexts import AcceptedContext, Negotiated
from dcmnet.errors import InvalidAETitle, LocalProtocolError
from dcmnet.limits import Limits, Timeouts
from dcmnet.registry.query_models import class_for
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.services.defaults import LITTLE_ENDIAN, check_connection, requestor_policy, storage_contexts
from dcmnet.services.query_contexts import QueryOptions, get_contexts, query_contexts
from dcmnet.storage.files import existing_folder
from dcmnet.storage.node import Handlers, Hooks, Node
from dcmnet.storage.planning import Proposal
from dcmnet.storage.profiles import Profiles
from dcmnet.storage.querying import file_store
from dcmnet.storage.scp import FileStore
from dcmnet.storage.scu import Transfer
from dcmnet.storage.scu import transfer as sending
from dcmnet.tls import TLS
from dcmnet.ul.items import UserIdentityRQ
from tests.unit.objects import CT, EXPLICIT, IMPLICIT


def transfer(**options: Any) -> Transfer:
    return Transfer(**{"host": "peer", "port": 104, **options})


def requestor(**options: Any) -> RequestorPolicy:
    titles = {"called_ae_title": "YOU", "calling_ae_title": "ME", "contexts": VERIFICATION}
    return RequestorPolicy(**{**titles, **options})


def accepting(**options: Any) -> AcceptorPolicy:
    return AcceptorPolicy(**options)


def connecting(**options: Any) -> RequestorPolicy:
    given: dict[str, Any] = {
        **{"called": "YOU", "calling": "ME", "contexts": None, "max_pdu_length": 0},
        **{"user_identity": None, "extended": ()},
    }
    return requestor_policy(options.pop("policy", None), **{**given, **options})


def identity(**options: Any) -> UserIdentityRQ:
    return UserIdentityRQ(**{"identity_type": 1, "primary_field": b"me", **options})


# ---------------------------------------------------------------------- one or several


@pytest.mark.parametrize("value", ["SCANNER1", ["SCANNER1"], {"SCANNER1"}, (each for each in ["SCANNER1"])])
def test_one_title_that_may_call(value: Any) -> None:
    policy = Handlers(calling_ae_titles=value).node.policy
    assert policy.calling_ae_titles == frozenset(("SCANNER1",))
    assert accepting(calling_ae_titles="SCANNER1").calling_ae_titles == frozenset(("SCANNER1",))


@pytest.mark.parametrize(
    "made",
    [
        lambda one: ProposedContext(abstract_syntax=CT, transfer_syntaxes=one).transfer_syntaxes,
        lambda one: SupportedContext(abstract_syntax=CT, transfer_syntaxes=one).transfer_syntaxes,
        lambda one: Proposal(transfer_syntaxes=one).transfer_syntaxes,
        lambda one: AcceptorPolicy(promiscuous=one).promiscuous,
        lambda one: tuple(AcceptorPolicy(refused=one).refused),
        lambda one: storage_contexts(one)[0].transfer_syntaxes,
        lambda one: tuple(each.abstract_syntax for each in storage_contexts(sop_classes=one)),
        lambda one: query_contexts(transfer_syntaxes=one)[0].transfer_syntaxes,
        lambda one: get_contexts(transfer_syntaxes=one)[1].transfer_syntaxes,
        lambda one: tuple(each.abstract_syntax for each in get_contexts(sop_classes=one)[1:2]),
        lambda one: TLS(ciphers=one).ciphers,
        lambda one: TLS(ca_files=one).ca_files,
        lambda one: TLS(ca_directories=one).ca_directories,
        lambda one: TLS(crl_files=one).crl_files,
    ],
)
def test_a_lone_text_is_one_of_them(made: Callable[[Any], Any]) -> None:
    assert made(EXPLICIT) == made([EXPLICIT]) == (EXPLICIT,)
    with pytest.raises(TypeError, match=r"^\w+: an int, expected one or several of str"):
        made(5)
    with pytest.raises(TypeError, match=r"^\w+: an int is among them, expected one or several of str"):
        made([EXPLICIT, 5])
    with pytest.raises(TypeError, match=r"^\w+: a bytes, expected"):
        made(b"1.2")


def test_a_path_is_one_file() -> None:
    assert TLS(ca_files=Path("ca.pem")).ca_files == (Path("ca.pem"),)  # type: ignore[arg-type]


def test_a_lone_transfer_syntax_finds_its_context() -> None:
    context = AcceptedContext(1, CT, IMPLICIT, scu_role=True, scp_role=False)
    agreed = Negotiated(
        contexts={1: context},
        proposed=(),
        rejected=(),
        max_pdu_length_to_send=0,
        max_invoked=1,
        max_performed=1,
        called_ae_title="A",
        calling_ae_title="B",
    )
    assert agreed.find(CT, IMPLICIT) is context


@pytest.mark.parametrize("given", [CT, [CT], (CT,), ProposedContext(abstract_syntax=CT)])
def test_a_class_is_proposed_with_the_default_transfer_syntaxes(given: Any) -> None:
    own = (ProposedContext(abstract_syntax=CT, transfer_syntaxes=LITTLE_ENDIAN),)
    assert connecting(contexts=given).contexts == own
    assert requestor(contexts=given).contexts == own
    assert Proposal(contexts=given).contexts == own


@pytest.mark.parametrize("given", [CT, [CT], SupportedContext(abstract_syntax=CT)])
def test_a_class_is_accepted_in_every_transfer_syntax(given: Any) -> None:
    assert Handlers(contexts=given).node.policy.contexts == (SupportedContext(abstract_syntax=CT),)
    assert AcceptorPolicy(contexts=given).contexts == (SupportedContext(abstract_syntax=CT),)


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (connecting, [(CT, [EXPLICIT])]),
        (connecting, SupportedContext(abstract_syntax=CT)),
        (connecting, 5),
        (Handlers, [ProposedContext(abstract_syntax=CT)]),
        (Handlers, None),
    ],
)
def test_what_is_no_context(made: Any, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^contexts: .* expected one or several of"):
        made(contexts=value)


# ---------------------------------------------------------------------- AE titles

TITLES = ["", "   ", "A" * 17, "BACK\\SLASH", "TAB\tTITLE", "NEW\nLINE", "NUL\0", "MÜLLER", "АБВ"]
WITH_TITLES = [
    ("ae_title", Handlers),
    ("calling_ae_titles", Handlers),
    ("called", connecting),
    ("calling", connecting),
    ("called", transfer),
    ("calling", transfer),
    ("called_ae_title", requestor),
    ("calling_ae_title", requestor),
]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize(("name", "made"), WITH_TITLES)
def test_an_ae_title_that_is_none(name: str, made: Callable[..., Any], title: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: ") as caught:
        made(**{name: title})
    assert isinstance(caught.value, LocalProtocolError | InvalidAETitle)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("title", [None, 5, b"AE"])
@pytest.mark.parametrize(("name", "made"), [each for each in WITH_TITLES if each[0] != "calling_ae_titles"])
def test_an_ae_title_that_is_no_text(name: str, made: Callable[..., Any], title: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: .*, expected str$"):
        made(**{name: title})


def test_the_titles_of_a_policy() -> None:
    assert AcceptorPolicy().ae_title == ""
    assert AcceptorPolicy(ae_title=" ARCHIVE ").ae_title == "ARCHIVE"  # spaces around are not significant
    assert accepting(calling_ae_titles=["", " A"]).calling_ae_titles == frozenset(("", "A"))
    for name in ("ae_title", "calling_ae_titles"):
        with pytest.raises(InvalidAETitle, match=rf"^{name}: 'A+' has 17 characters, expected 1 to 16$"):
            accepting(**{name: "A" * 17})
    assert Handlers("A" * 16).node.policy.ae_title == "A" * 16


# ---------------------------------------------------------------------- ports


@pytest.mark.parametrize("port", [-1, 65536, 70000, 1 << 40])
def test_a_port_that_is_none(port: int) -> None:
    for made in (
        lambda: transfer(port=port),
        lambda: check_connection("host", port, None, None, None),
        lambda: Handlers()._check_start("", port),
        lambda: setattr(Handlers(), "destinations", {"A": ("host", port)}),
    ):
        with pytest.raises(ValueError, match=rf"port: {port}, expected [01] to 65535$"):
            made()


@pytest.mark.parametrize("port", [True, 104.0, "104", None])
def test_a_port_that_is_no_integer(port: Any) -> None:
    for made in (
        lambda: transfer(port=port),
        lambda: check_connection("host", port, None, None, None),
        lambda: Handlers()._check_start("", port),
        lambda: setattr(Handlers(), "destinations", {"A": ("host", port)}),
    ):
        with pytest.raises(TypeError, match=r"port: .*, expected int$"):
            made()


def test_the_first_and_the_last_port() -> None:
    for port in (1, 65535):
        assert transfer(port=port).port == port
        check_connection("host", port, None, None, None)
    Handlers()._check_start("", 0)
    with pytest.raises(ValueError, match="port: 0, expected 1 to 65535"):
        check_connection("host", 0, None, None, None)
    with pytest.raises(ValueError, match="port: 0, expected 1 to 65535"):
        next(sending(transfer(port=0)))  # it may be made before the port is known
    with pytest.raises(TypeError, match="host: an int, expected str"):
        check_connection(104, "host", None, None, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="host: None, expected str"):
        Handlers()._check_start(None, 104)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- numbers, times, types


@pytest.mark.parametrize(
    ("made", "name", "wrong", "error"),
    [
        (transfer, "window", "4", TypeError),
        (transfer, "window", True, TypeError),
        (transfer, "window", 0, ValueError),
        (transfer, "window", 1001, ValueError),
        (transfer, "parallel", 2.0, TypeError),
        (transfer, "parallel", 0, ValueError),
        (transfer, "repeat", 0, ValueError),
        (transfer, "retries", "3", TypeError),
        (transfer, "retries", -1, ValueError),
        (transfer, "rate", "1M", TypeError),
        (transfer, "rate", -1, ValueError),
        (transfer, "max_pdu_length", None, TypeError),
        (transfer, "retry_wait", -1, ValueError),
        (transfer, "retry_wait", math.nan, ValueError),
        (transfer, "host", None, TypeError),
        (transfer, "halt", "yes", TypeError),
        (transfer, "timeouts", 5, TypeError),
        (transfer, "limits", {}, TypeError),
        (transfer, "tls", True, TypeError),
        (transfer, "proposal", EXPLICIT, TypeError),
        (transfer, "priority", "high", TypeError),
        (transfer, "on_result", "print", TypeError),
        (transfer, "sources", "a.dcm", TypeError),
        (Handlers, "workers", "2", TypeError),
        (Handlers, "workers", 1.5, TypeError),
        (Handlers, "workers", False, TypeError),
        (Handlers, "max_window", "16", TypeError),
        (Handlers, "max_window", 65536, ValueError),
        (Handlers, "max_pdu_length", "16384", TypeError),
        (Handlers, "max_pdu_length", 7, ValueError),
        (Handlers, "max_pdu_length", 1 << 32, ValueError),
        (Handlers, "max_associations", 0, ValueError),
        (Handlers, "max_associations_by_peer", "1", TypeError),
        (Handlers, "timeouts", 30, TypeError),
        (Handlers, "limits", 30, TypeError),
        (Handlers, "tls", "cert.pem", TypeError),
        (Handlers, "require_called_ae_title", "no", TypeError),
        (Handlers, "spool", 5, TypeError),
        (AcceptorPolicy, "max_invoked", -1, ValueError),
        (AcceptorPolicy, "transfer_syntax_order", "mine", ValueError),
        (AcceptorPolicy, "implementation_version_name", "V" * 17, ValueError),
        (AcceptorPolicy, "extended_negotiation", 1, TypeError),
        (requestor, "user_identity", "me", TypeError),
        (connecting, "max_pdu_length", "1", TypeError),
        (connecting, "policy", "me", TypeError),
        (Hooks, "echo", 1, TypeError),
        (Node, "hooks", print, TypeError),
        (Timeouts, "dimse", -0.1, ValueError),
        (Timeouts, "network", math.nan, ValueError),
        (Timeouts, "network", math.inf, ValueError),
        (Timeouts, "connect", 1e9, ValueError),
        (Timeouts, "acse", "30", TypeError),
        (Timeouts, "artim", True, TypeError),
        (Timeouts, "busy_wait", None, TypeError),
        (Timeouts, "minimum_rate", -1, ValueError),
        (Timeouts, "minimum_rate", 0.5, TypeError),
        (Limits, "max_user_items", 0, ValueError),
        (Limits, "tolerance", 5, TypeError),
        (lambda **given: FileStore(**{"directory": Path(), **given}), "duplicates", "replace", TypeError),
        (lambda **given: FileStore(**{"directory": Path(), **given}), "handler", 5, TypeError),
        (FileStore, "directory", None, TypeError),
        (FileStore, "directory", b"folder", TypeError),
        (requestor, "extended_negotiations", [None], TypeError),
        (requestor, "common_extended_negotiations", "1.2", TypeError),
        (Proposal, "extended_negotiations", (None,), TypeError),
        (transfer, "family", -1, ValueError),
        (transfer, "family", "inet", TypeError),
        (connecting, "extended", None, TypeError),
        (identity, "identity_type", "1", TypeError),
        (identity, "primary_field", "me", TypeError),
        (identity, "secondary_field", None, TypeError),
        (identity, "positive_response_requested", 1, TypeError),
        (TLS, "certificate", 5, TypeError),
        (TLS, "private_key", b"key.pem", TypeError),
        (TLS, "dh_parameters", None, TypeError),
        (TLS, "verify", True, TypeError),
        (TLS, "check_revocation", None, TypeError),
        (TLS, "minimum_version", 1.2, TypeError),
        (TLS, "maximum_version", 1, TypeError),
        (QueryOptions, "fuzzy", 1, TypeError),
        (query_contexts, "find", None, TypeError),
        (query_contexts, "move", "yes", TypeError),
        (Profiles, "text", 5, TypeError),
        (lambda **given: Profiles(**{"text": "", **given}), "source", None, TypeError),
        (lambda **given: ProposedContext(**{"abstract_syntax": CT, **given}), "scp_role", 1, TypeError),
        (lambda **given: SupportedContext(**{"abstract_syntax": CT, **given}), "role", True, TypeError),
        (SupportedContext, "abstract_syntax", 5, TypeError),
    ],
)
def test_an_argument_that_cannot_be(made: Any, name: str, wrong: Any, error: type[Exception]) -> None:
    pattern = "workers" if error is ValueError and name == "workers" else f"^{name}: "
    with pytest.raises(error, match=pattern) as caught:
        made(**{name: wrong})
    assert "\n" not in str(caught.value)


def test_what_else_a_connection_needs() -> None:
    for name, place in (("timeouts", 2), ("limits", 3), ("tls", 4)):
        given: list[Any] = ["host", 104, None, None, None]
        given[place] = 5
        with pytest.raises(TypeError, match=rf"^{name}: an int, expected {name[:3]}"[:10]):
            check_connection(*given)
    check_connection("host", 104, Timeouts(), Limits(), TLS())
    policy = requestor()
    assert connecting(policy=policy) is policy
    with pytest.raises(ValueError, match="give one of the two"):
        connecting(policy=policy, contexts=[CT])
    with pytest.raises(TypeError, match="model: int, expected a QueryModel"):
        class_for(5, "find")  # type: ignore[arg-type]


def test_limits_of_times() -> None:
    assert arguments.seconds(0, "timeout") == 0
    assert arguments.seconds(None, "timeout") is None
    with pytest.raises(TypeError, match=r"^timeout: a str, expected seconds or None$"):
        arguments.seconds("5", "timeout")
    assert Timeouts(connect=None, artim=0, acse=1.5, network=arguments.MAX_SECONDS).acse == 1.5


def test_errors_name_the_types_in_words() -> None:
    with pytest.raises(TypeError, match=r"^on_result: an int, expected a function or None$"):
        transfer(on_result=5)
    with pytest.raises(TypeError, match=r"^timeouts: None, expected Timeouts$"):
        transfer(timeouts=None)


# ---------------------------------------------------------------------- folders


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    missing = tmp_path / "missing"
    made: list[Callable[[Any], Any]] = [
        lambda path: Handlers(spool=path),
        lambda path: Handlers(node=Node(store=FileStore(directory=path))),
        lambda path: file_store(path),
        lambda path: file_store(FileStore(directory=path)),
        lambda path: existing_folder(path, "directory"),
    ]
    for make in made:
        with pytest.raises(FileNotFoundError, match="the folder does not exist, make it first"):
            make(missing)
        with pytest.raises(NotADirectoryError, match="is no folder"):
            make(str(file))
        make(tmp_path)
        make(str(tmp_path))
    with pytest.raises(TypeError, match="store: an int, expected the path of a folder"):
        file_store(5)  # type: ignore[arg-type]
    FileStore(directory=missing, discard=True).check_folder()
    handlers = Handlers()
    handlers.node.store = FileStore(directory=missing)
    with pytest.raises(FileNotFoundError):
        handlers._check_start("", 0)


# ---------------------------------------------------------------------- handlers

DECORATORS = {
    **{"on_store": 1, "on_receiving": 1, "on_progress": 1, "on_stored": 2, "on_echo": 3, "on_association": 1},
    **{"on_accepted": 1, "on_released": 1, "on_ended": 2, "on_worker": 1},
}
FOR_A_MODEL = ("on_find", "on_get", "on_move")
FOR_A_CLASS = ("on_n_get", "on_n_set", "on_n_action", "on_n_create", "on_n_delete", "on_n_event_report")


def decorators(handlers: Handlers) -> dict[str, tuple[Callable[[Any], Any], int]]:
    plain = {name: (getattr(handlers, name), count) for name, count in DECORATORS.items()}
    model = {name: (getattr(handlers, name)(), 1) for name in FOR_A_MODEL}
    bare = {f"{name} bare": (getattr(handlers, name), 1) for name in FOR_A_MODEL}
    classes = {name: (getattr(handlers, name)(CT), 1) for name in FOR_A_CLASS}
    return {**plain, **model, **bare, **classes}


ALL = list(decorators(Handlers()))


def test_every_decorator_is_tried() -> None:
    tried = {name.split()[0] for name in ALL}
    assert tried == {name for name in dir(Handlers) if name.startswith("on_")}


@pytest.mark.parametrize("name", ALL)
def test_what_a_decorator_takes(name: str) -> None:
    decorate, _ = decorators(Handlers())[name]

    def fits(*given: Any) -> None: ...

    class Callables:
        def __call__(self, *given: Any) -> None: ...

    for handler in (fits, Callables(), Callables().__call__, functools.partial(fits, 1), print):
        assert decorate(handler) is handler


@pytest.mark.parametrize("name", ALL)
def test_what_a_decorator_refuses(name: str) -> None:
    decorate, count = decorators(Handlers())[name]
    if "bare" not in name:
        for value in (None, 5, "handler", Handlers):
            if not callable(value):
                with pytest.raises(TypeError, match=rf"^{name}: .*, expected a function$"):
                    decorate(value)

    def none() -> None: ...

    def five(a: Any, b: Any, c: Any, d: Any, e: Any) -> None: ...

    def by_name(*, request: Any) -> None: ...

    for handler in (none, five, by_name):
        with pytest.raises(
            TypeError, match=rf"^{name.split()[0]}: \w+\(.*\).* cannot be called with {count} "
        ):
            decorate(handler)


def test_more_parameters_with_defaults() -> None:
    handlers = Handlers()
    handlers.on_store(lambda request, database=None: None)
    handlers.on_stored(lambda *anything: None)

    def inner(request: Any, database: Any) -> None: ...

    @functools.wraps(inner)
    def wrapper(request: Any) -> None:
        inner(request, None)

    assert handlers.on_store(wrapper) is wrapper
    assert arguments.handler(type, "handler", 1) is type  # has no signature that could be known


@pytest.mark.parametrize("name", ["on_stored", "on_progress"])
def test_nothing_waits_for_some_handlers(name: str) -> None:
    async def later(*given: Any) -> None: ...

    with pytest.raises(TypeError, match=rf"^{name}: a coroutine function, expected a plain one"):
        getattr(Handlers(), name)(later)


def test_classes_and_models_of_decorators() -> None:
    handlers = Handlers()
    for name in FOR_A_CLASS:
        with pytest.raises(TypeError, match=rf"name the SOP class .* @server\.{name}\("):
            getattr(handlers, name)(print)
        with pytest.raises(TypeError, match=r"^sop_class_uid: None, expected str"):
            getattr(handlers, name)(None)
        with pytest.raises(TypeError, match=r"^negotiated_as: an int, expected"):
            getattr(handlers, name)(CT, negotiated_as=5)
    for name in FOR_A_MODEL:
        with pytest.raises(TypeError, match=r"^model: int, expected a QueryModel"):
            getattr(handlers, name)(5)
        with pytest.raises(TypeError, match=r"^options: a dict, expected QueryOptions"):
            getattr(handlers, name)(options={})
        with pytest.raises(TypeError):
            getattr(handlers, name)(None)


def test_without_parentheses_it_is_the_study_root() -> None:
    handlers = Handlers()
    for name, table in (("on_find", "finders"), ("on_get", "getters"), ("on_move", "movers")):
        getattr(handlers, name)(print)
        bare = dict(getattr(handlers.node.queries, table))
        getattr(handlers.node.queries, table).clear()
        getattr(handlers, name)()(print)
        assert bare == getattr(handlers.node.queries, table) != {}


# ---------------------------------------------------------------------- destinations


@pytest.mark.parametrize(
    ("value", "error", "why"),
    [
        ({"A": "host:104"}, TypeError, "A: a str, expected .host, port. or .host, port, TLS."),
        ({"A": ("host",)}, TypeError, "expected .host, port."),
        ({"A": (104, "host")}, TypeError, "host: an int, expected str"),
        ({"A" * 17: ("host", 104)}, ValueError, "has 17 characters"),
        ({" A": ("host", 104)}, ValueError, "spaces around it"),
        ({5: ("host", 104)}, TypeError, "an int, expected str"),
        ("A", TypeError, "a str, expected a function"),
        (lambda: None, TypeError, "cannot be called with 1 argument"),
    ],
)
def test_destinations_that_cannot_be(value: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=rf"^destinations: .*{why}"):
        Handlers().destinations = value


def test_destinations() -> None:
    handlers = Handlers()
    for value in ({"A": ("host", 104), "B": ["host", 104, None]}, {}, lambda title: None):
        handlers.destinations = value  # type: ignore[assignment]
        assert handlers.destinations is value


# ---------------------------------------------------------------------- names


def test_a_misspelt_name() -> None:
    with pytest.raises(TypeError, match=r"^send\(\) has no argument 'windw': do you mean 'window'\?$"):
        arguments.known(["windw"], ["window", "parallel"], "send")
    with pytest.raises(TypeError, match=r"^send\(\) has no argument 'xyz'$"):
        arguments.known(["xyz"], ["window", "parallel"], "send")
    arguments.known(["window"], ["window"], "send")
