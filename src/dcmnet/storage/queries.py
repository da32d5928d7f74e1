"""Which handlers answer queries and retrievals, and the decorators that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from dcmnet import arguments
from dcmnet._records import dataclass, field
from dcmnet.acse import SupportedContext
from dcmnet.dimse.messages import CFindRQ, CGetRQ, CMoveRQ, Message
from dcmnet.procedures.scp import Service
from dcmnet.registry.query_models import STUDY_ROOT, QueryModel, class_for
from dcmnet.storage.registering import H, Registering
from dcmnet.ul.items import SOPClassExtendedNegotiation

if TYPE_CHECKING:
    from dcmnet.services.query_contexts import QueryOptions
    from dcmnet.storage.answering import Destinations, QueryHandler


@dataclass(slots=True, kw_only=True)
class Queries:
    """What answers queries and retrievals, by SOP Class UID (PS3.4 Annex C and K).

    Attributes:
        finders: Handlers of C-FIND.
        getters: Handlers of C-GET.
        movers: Handlers of C-MOVE.
        destinations: Where the AEs are that C-MOVE sends to.
        options: What is agreed to by extended negotiation.
    """

    finders: dict[str, QueryHandler] = field(default_factory=dict)
    getters: dict[str, QueryHandler] = field(default_factory=dict)
    movers: dict[str, QueryHandler] = field(default_factory=dict)
    destinations: Destinations = field(default_factory=dict)
    options: dict[str, QueryOptions] = field(default_factory=dict)

    def contexts(self) -> tuple[SupportedContext, ...]:
        """The classes that there are handlers for."""
        if not (self.finders or self.getters or self.movers):
            return ()
        from dcmnet.dataset import CONVERTIBLE

        uids = dict.fromkeys((*self.finders, *self.getters, *self.movers))
        return tuple(SupportedContext(abstract_syntax=uid, transfer_syntaxes=CONVERTIBLE) for uid in uids)

    def services(
        self, ae_title: str, report: Callable[[str, BaseException | None], Any] | None
    ) -> dict[type[Message], Service]:
        """The services that call the handlers; what answers them is loaded when there is a handler."""
        if not (self.finders or self.getters or self.movers):
            return {}
        from dcmnet.services import query_retrieve, retrieve
        from dcmnet.storage.answering import FindHandling, RetrieveHandling

        get = RetrieveHandling(self.getters, report)
        move = RetrieveHandling(self.movers, report, ae_title, self.destinations)
        found = {
            CFindRQ: (self.finders, query_retrieve.query(FindHandling(self.finders, report))),
            CGetRQ: (self.getters, retrieve.get(get)),
            CMoveRQ: (self.movers, retrieve.move(move)),
        }
        return {request: service for request, (handlers, service) in found.items() if handlers}

    def agree(self, item: SOPClassExtendedNegotiation) -> bytes | None:
        """The answer to an extended negotiation; None where there are no options for the class."""
        options = self.options.get(item.sop_class_uid)
        if options is None:
            return None
        return options.agree(item.application_information, find=item.sop_class_uid in self.finders)


def checked_address(address: Any, name: str) -> Any:
    """An address of an AE: host, port, and perhaps how TLS is used.

    Raises:
        TypeError: It is none.
        ValueError: There is no such port.
    """
    if not isinstance(address, tuple | list) or len(address) not in (2, 3):
        raise TypeError(f"{name}: {arguments.kind_of(address)}, expected (host, port) or (host, port, TLS)")
    arguments.text(address[0], f"{name}: host")
    arguments.port(address[1], f"{name}: port")
    return address


def _check_destinations(destinations: Any) -> None:
    if not isinstance(destinations, Mapping):
        arguments.handler(destinations, "destinations", 1)
    elif isinstance(destinations, dict):  # another mapping may take long, a database for example
        for title, address in destinations.items():
            if arguments.ae_title(title, "destinations") != title:
                raise ValueError(f"destinations: {title!a} has spaces around it, which no AE title has")
            checked_address(address, f"destinations: {title}")


class QueryHandlers(Registering):
    """The decorators of both faces' `Server` for Query/Retrieve and worklists."""

    _queries: Queries

    @overload
    def on_find(self, model: H, /) -> H: ...

    @overload
    def on_find(
        self, model: QueryModel | str = STUDY_ROOT, *, options: QueryOptions | None = None
    ) -> Callable[[H], H]: ...

    def on_find(self, model: Any = STUDY_ROOT, *, options: QueryOptions | None = None) -> Any:
        """Decorator: `handler(request)` answers each C-FIND of a model with its matches.

        It gets a `QueryRequest`, and yields or returns data sets, mappings of keywords and values, or encoded
        bytes; a pair of FF01 and one of those says that an optional key was not supported. A C-CANCEL
        closes a generator. A `StatusError` that it raises is the final status; any other exception becomes
        C001 and a log record. It may be a generator, a function, or an asynchronous one of both.

        ```python
        @server.on_find(dcmnet.STUDY_ROOT)
        def find(request):
            for study in search(request.identifier.get("PatientName")):
                yield {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study.uid}
        ```

        Args:
            model: The information model, or the UID of a C-FIND SOP class; decorate once more for another.
                `@server.on_find` without parentheses is for the Study Root model.
            options: What is agreed to by extended negotiation; nothing unless given.

        Raises:
            ValueError: The model has no C-FIND.
            TypeError: What is decorated is no function of one argument.
            RuntimeError: The server runs with workers.
        """
        return self._registering("find", self._queries.finders, model, options)

    @overload
    def on_get(self, model: H, /) -> H: ...

    @overload
    def on_get(
        self, model: QueryModel | str = STUDY_ROOT, *, options: QueryOptions | None = None
    ) -> Callable[[H], H]: ...

    def on_get(self, model: Any = STUDY_ROOT, *, options: QueryOptions | None = None) -> Any:
        """Decorator: `handler(request)` answers each C-GET of a model with the objects to be sent.

        It gets a `QueryRequest`, and yields or returns paths, folders, file objects or data sets.
        All of them are taken before the first is sent, so that the peer can be told how many there are: paths
        cost next to nothing. Each goes out on the same association, as it is where the peer has accepted its
        transfer syntax, converted where it can be. Errors and C-CANCEL as for `on_find`.

        Args:
            model: The information model, or the UID of a C-GET SOP class.
            options: What is agreed to by extended negotiation; nothing unless given.

        Raises:
            ValueError: The model has no C-GET.
            TypeError: What is decorated is no function of one argument.
            RuntimeError: The server runs with workers.
        """
        return self._registering("get", self._queries.getters, model, options)

    @overload
    def on_move(self, model: H, /) -> H: ...

    @overload
    def on_move(
        self, model: QueryModel | str = STUDY_ROOT, *, options: QueryOptions | None = None
    ) -> Callable[[H], H]: ...

    def on_move(self, model: Any = STUDY_ROOT, *, options: QueryOptions | None = None) -> Any:
        """Decorator: `handler(request)` answers each C-MOVE of a model with the objects to be sent.

        As `on_get`, but the objects go to `request.destination`, over an association of its own.
        `server.destinations` says where that is; an unknown one is answered with A801 at once.

        Args:
            model: The information model, or the UID of a C-MOVE SOP class.
            options: What is agreed to by extended negotiation; nothing unless given.

        Raises:
            ValueError: The model has no C-MOVE.
            TypeError: What is decorated is no function of one argument.
            RuntimeError: The server runs with workers.
        """
        return self._registering("move", self._queries.movers, model, options)

    @property
    def destinations(self) -> Destinations:
        """Where the AEs are that C-MOVE sends to: a mapping of titles to (host, port) or (host, port, TLS).

        Or a function, which may be a coroutine function, that is called with the title and returns that, or
        None if it is unknown. A change of the mapping counts at once, another mapping from the next
        association on. While workers run, setting it raises RuntimeError, and the mapping is read-only.

        Raises:
            TypeError: When it is set: it is neither, or an address is none.
            ValueError: When it is set: there is no such port or AE title.
        """
        found = self._queries.destinations
        return MappingProxyType(found) if self._has_workers and isinstance(found, Mapping) else found

    @destinations.setter
    def destinations(self, destinations: Destinations) -> None:
        self._refuse_if_shared("destinations")
        _check_destinations(destinations)
        self._queries.destinations = destinations

    def _registering(
        self, kind: str, handlers: dict[str, Any], model: Any, options: QueryOptions | None
    ) -> Callable[[Any], Any]:
        if callable(model):  # without parentheses
            registered: Callable[[Any], Any] = self._registering(kind, handlers, STUDY_ROOT, options)(model)
            return registered
        uid = class_for(model, kind)
        if options is not None and type(options).__name__ != "QueryOptions":
            raise TypeError(f"options: {arguments.kind_of(options)}, expected QueryOptions")

        def register(handler: H) -> H:
            handlers[uid] = self._check(f"on_{kind}", handler, 1)
            if options is not None:
                self._queries.options[uid] = options
            return handler

        return register
