"""What a query or retrieval proposes: presentation contexts, roles, extended negotiation (PS3.4 C.5, K.5)."""

from __future__ import annotations

from collections.abc import Iterable

from dcmnet import arguments
from dcmnet._records import dataclass
from dcmnet.acse import ProposedContext
from dcmnet.limits import MAX_PRESENTATION_CONTEXTS
from dcmnet.registry.query_models import STUDY_ROOT, QueryModel, class_for
from dcmnet.registry.sop_classes import STORAGE
from dcmnet.services.defaults import LITTLE_ENDIAN
from dcmnet.ul.items import SOPClassExtendedNegotiation

# Objects that belong to no patient, or to services of their own, or are rare: with them the classes would not
# fit into one association.
_RARELY_RETRIEVED = (
    "1.2.840.10008.5.1.4.1.1.6.3",
    "1.2.840.10008.5.1.4.1.1.9.6.2",
    "1.2.840.10008.5.1.4.1.1.9.7.",
    "1.2.840.10008.5.1.4.1.1.9.8.",
    "1.2.840.10008.5.1.4.1.1.9.100.",
    "1.2.840.10008.5.1.4.1.1.11.6",
    "1.2.840.10008.5.1.4.1.1.11.7",
    "1.2.840.10008.5.1.4.1.1.11.9",
    "1.2.840.10008.5.1.4.1.1.11.10",
    "1.2.840.10008.5.1.4.1.1.11.11",
    "1.2.840.10008.5.1.4.1.1.11.12",
    "1.2.840.10008.5.1.4.1.1.78.",
    "1.2.840.10008.5.1.4.1.1.200.",
    "1.2.840.10008.5.1.4.1.1.201.",
    "1.2.840.10008.5.1.4.1.1.481.1?",
    "1.2.840.10008.5.1.4.1.1.481.2?",
    "1.2.840.10008.5.1.4.1.1.501.",
    "1.2.840.10008.5.1.4.1.1.601.",
    "1.2.840.10008.5.1.4.34.",
    "1.2.840.10008.5.1.4.38.",
    "1.2.840.10008.5.1.4.39.",
    "1.2.840.10008.5.1.4.43.",
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
)


def _is_rare(uid: str) -> bool:
    return any(
        uid.startswith(each[:-1]) and len(uid) == len(each) if each.endswith("?") else uid.startswith(each)
        for each in _RARELY_RETRIEVED
    )


RETRIEVED = tuple(uid for uid, storage in STORAGE.items() if not storage.retired and not _is_rare(uid))
"""The storage classes that a C-GET is ready for unless told which: all that fit beside its own class."""


def query_contexts(
    model: QueryModel | str = STUDY_ROOT,
    *,
    find: bool = True,
    move: bool = False,
    transfer_syntaxes: str | Iterable[str] = LITTLE_ENDIAN,
) -> tuple[ProposedContext, ...]:
    """Presentation contexts for C-FIND and C-MOVE.

    ```python
    with dcmnet.connect("127.0.0.1", 11112, contexts=dcmnet.query_contexts(move=True)) as assoc: ...
    ```

    Args:
        model: A model, or the UID of one of its SOP classes, which is proposed alone.
        find: Whether to propose C-FIND.
        move: Whether to propose C-MOVE.
        transfer_syntaxes: UIDs for the identifiers, the best first.

    Raises:
        ValueError: The model has no such operation.
    """
    for name, asked in (("find", find), ("move", move)):
        arguments.check_type(asked, name, "bool")
    wanted = [name for name, asked in (("find", find), ("move", move)) if asked]
    uids = dict.fromkeys(class_for(model, name) for name in wanted)
    syntaxes = arguments.strings(transfer_syntaxes, "transfer_syntaxes")
    return tuple(ProposedContext(abstract_syntax=uid, transfer_syntaxes=syntaxes) for uid in uids)


def get_contexts(
    model: QueryModel | str = STUDY_ROOT,
    *,
    sop_classes: str | Iterable[str] = RETRIEVED,
    transfer_syntaxes: str | Iterable[str] = LITTLE_ENDIAN,
) -> tuple[ProposedContext, ...]:
    """Presentation contexts for C-GET: its own, and those that the objects come on, where this side is SCP.

    Of the transfer syntaxes the peer chooses one for all objects of a class; what it keeps compressed comes
    only when that is proposed. Where there is room (few classes), every transfer syntax has a context of its
    own, and every object can come as it is.

    Args:
        model: A model, or the UID of its C-GET class.
        sop_classes: Storage classes to be ready for, at most 127; the 127 most common ones unless given.
        transfer_syntaxes: UIDs for the objects, the best first.

    Raises:
        ValueError: There are too many classes, or the model has no C-GET.
    """
    classes = tuple(dict.fromkeys(arguments.strings(sop_classes, "sop_classes")))
    room = MAX_PRESENTATION_CONTEXTS - 1
    if len(classes) > room:
        raise ValueError(f"{len(classes)} storage classes, and there is room for {room}: name those you need")
    syntaxes = arguments.strings(transfer_syntaxes, "transfer_syntaxes")
    apart = len(classes) * len(syntaxes) <= room
    groups = [(syntax,) for syntax in syntaxes] if apart else [syntaxes]
    own = ProposedContext(abstract_syntax=class_for(model, "get"), transfer_syntaxes=LITTLE_ENDIAN)
    # PS3.7 D.3.3.4: who asks for the objects receives them, which makes it their SCP.
    return (
        own,
        *(
            ProposedContext(abstract_syntax=uid, transfer_syntaxes=group, scu_role=False, scp_role=True)
            for uid in classes
            for group in groups
        ),
    )


_OPTIONS = ("relational", "date_time", "fuzzy", "timezone", "enhanced_conversion")
_RETRIEVE_OPTIONS = ("relational", "enhanced_conversion")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What is asked for beyond the baseline, with SOP Class Extended Negotiation (PS3.4 C.5.1.1, K.5.1.1).

    What the peer agrees to is in `Negotiated.extended_negotiations`; `from_information` reads it.

    Attributes:
        relational: Queries and retrievals that do not give the unique keys of the levels above.
        date_time: Dates and times that are matched together.
        fuzzy: Fuzzy semantic matching of person names.
        timezone: Times are in the time zone that the identifier names.
        enhanced_conversion: Views of enhanced multi-frame objects as classic ones, and the other way round.
    """

    relational: bool = False
    date_time: bool = False
    fuzzy: bool = False
    timezone: bool = False
    enhanced_conversion: bool = False

    def __post_init__(self) -> None:
        arguments.check_types(self)

    @property
    def information(self) -> bytes:
        """The Service-class-application-information of C-FIND: a byte an option, three at least."""
        values = [getattr(self, name) for name in _OPTIONS]
        while len(values) > 3 and not values[-1]:  # PS3.4 K.5.1.1: three fields or more
            values.pop()
        return bytes(values)

    @property
    def retrieve_information(self) -> bytes:
        """The same for C-MOVE and C-GET (PS3.4 C.5.2.1, C.5.3.1): relational, and the conversion."""
        return bytes(
            [self.relational, self.enhanced_conversion] if self.enhanced_conversion else [self.relational]
        )

    @classmethod
    def from_information(cls, information: bytes, *, find: bool = True) -> QueryOptions:
        """What a peer's answer agrees to; bytes that are missing are no.

        Args:
            information: The application information.
            find: Whether it is that of a C-FIND class, and not of C-MOVE or C-GET.
        """
        names = _OPTIONS if find else _RETRIEVE_OPTIONS
        return cls(**{name: value == 1 for name, value in zip(names, information, strict=False)})

    def agree(self, offered: bytes, *, find: bool = True) -> bytes:
        """An acceptor's answer to what was offered: 1 where both want it (PS3.4 C.5.1.1, K.5.1.1)."""
        ours = [getattr(self, name) for name in (_OPTIONS if find else _RETRIEVE_OPTIONS)]
        return bytes(wanted and value == 1 for wanted, value in zip(ours, offered, strict=False))

    def negotiations(self, model: QueryModel | str = STUDY_ROOT) -> tuple[SOPClassExtendedNegotiation, ...]:
        """The items to propose for a model's classes; for a UID, which is taken for a C-FIND class, one.

        ```python
        options = dcmnet.QueryOptions(fuzzy=True)
        dcmnet.connect(host, port, contexts=dcmnet.query_contexts(), extended=options.negotiations())
        ```
        """
        if not isinstance(model, QueryModel):
            return (SOPClassExtendedNegotiation(model, self.information),)
        retrieve = [uid for uid in (model.move, model.get) if uid]
        return (
            SOPClassExtendedNegotiation(model.find, self.information),
            *(SOPClassExtendedNegotiation(uid, self.retrieve_information) for uid in retrieve),
        )
