"""Which presentation contexts a set of objects needs, and over how many associations (PS3.8 9.3.2.2)."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

from dcmnet import arguments
from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext, Negotiated, ProposedContext, several_contexts
from dcmnet.dataset import AS_USUAL, CONVERTIBLE, DECODABLE, Encoding
from dcmnet.errors import LocalProtocolError, NoPresentationContext
from dcmnet.limits import MAX_PRESENTATION_CONTEXTS
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    LOSSLESS,
)
from dcmnet.storage.sources import ForeignFile, Instance, Source, describe, find_files
from dcmnet.ul.items import SOPClassExtendedNegotiation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmnet.asconfig import Profile


class Decompress(enum.Enum):
    """Which compressed objects are decompressed for a peer that does not take them as they are.

    That takes memory for the whole object, compressed and decompressed, and a decoder: pydicom has one for
    RLE, those for JPEG, JPEG-LS and JPEG 2000 come with `pip install dcmnet[codecs]`.
    """

    NEVER = "never"
    LOSSLESS = "lossless"
    """Those whose transfer syntax loses nothing."""
    LOSSY = "lossy"
    """Those as well whose transfer syntax may have lost something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed for the objects of a transfer.

    Attributes:
        transfer_syntaxes: UIDs to propose for every class, the best first; None works them out from the
            objects: what they are in, so that they go out as they are, and for those that can be converted
            the little endian ones as a fallback. An empty tuple is the same as None.
        combine: One context a class with all its transfer syntaxes, rather than the first alone and the
            others as a fallback. The acceptor chooses then.
        decompress: Which compressed objects may be decompressed where the peer does not take them as they
            are; uncompressed transfer syntaxes are proposed for these as a fallback.
        always_uncompressed: Propose an uncompressed transfer syntax for every class, as PS3.5 10.1 asks for,
            also where no object could go out in it.
        encoding: How data sets are encoded that do not go out as they are.
        contexts: Propose exactly these, whatever the objects are, over one association; an object that none
            of them serves has no presentation context. What says what to propose does not count then.
        extended_negotiations: Sent as they are, with whatever is proposed (PS3.7 D.3.3.5).
    """

    transfer_syntaxes: tuple[str, ...] | None = None
    combine: bool = False
    decompress: Decompress = Decompress.NEVER
    always_uncompressed: bool = False
    encoding: Encoding = AS_USUAL
    contexts: tuple[ProposedContext, ...] = ()
    extended_negotiations: tuple[SOPClassExtendedNegotiation, ...] = ()

    def __post_init__(self) -> None:
        if self.transfer_syntaxes is not None:
            syntaxes = arguments.strings(self.transfer_syntaxes, "transfer_syntaxes")
            arguments.set_field(self, "transfer_syntaxes", syntaxes)
        arguments.set_field(self, "contexts", several_contexts(self.contexts, ProposedContext))
        arguments.several(self.extended_negotiations, "extended_negotiations", SOPClassExtendedNegotiation)
        arguments.check_types(self)

    @classmethod
    def of_profile(cls, profile: Profile) -> Proposal:
        """What an association negotiation profile proposes.

        Raises:
            ProfileError: It has more than 128 contexts.
        """
        return cls(
            contexts=profile.proposed_contexts(),
            extended_negotiations=profile.proposed_extended_negotiations(),
        )


_WORKED_OUT = Proposal()


@dataclass(slots=True)
class Plan:
    """What goes over one association.

    Attributes:
        contexts: To be proposed.
        instances: To be sent, in order.
    """

    contexts: list[ProposedContext] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)


def plan(
    instances: Sequence[Instance], proposal: Proposal, limit: int = MAX_PRESENTATION_CONTEXTS
) -> list[Plan]:
    """Spread objects over associations of at most `limit` contexts.

    The objects of a class stay together, unless they come in more transfer syntaxes than fit.

    Args:
        instances: The objects; over each association they go in this order.
        proposal: How transfer syntaxes are proposed.
        limit: Contexts of one association, 2 or more.
    """
    if proposal.contexts:
        return [Plan(list(proposal.contexts), list(instances))] if instances else []
    by_class: dict[str, dict[str, None]] = {}
    for instance in instances:
        by_class.setdefault(instance.sop_class_uid, {})[instance.transfer_syntax] = None
    plan_of: dict[tuple[str, str], Plan] = {}
    plans: list[Plan] = []
    for sop_class_uid, own in by_class.items():
        for syntaxes in _batches(tuple(own), limit - 1):  # one is left for a fallback
            contexts = [
                ProposedContext(abstract_syntax=sop_class_uid, transfer_syntaxes=group)
                for group in _groups(syntaxes, proposal)
            ]
            if not plans or len(plans[-1].contexts) + len(contexts) > limit:
                plans.append(Plan())
            plans[-1].contexts += contexts
            plan_of.update(((sop_class_uid, syntax), plans[-1]) for syntax in syntaxes)
    for instance in instances:
        plan_of[instance.sop_class_uid, instance.transfer_syntax].instances.append(instance)
    return plans


def contexts_for(*sources: Source, proposal: Proposal = _WORKED_OUT) -> tuple[ProposedContext, ...]:
    """The presentation contexts that these objects need, all on one association.

    ```python
    with dcmnet.connect("127.0.0.1", 11112, contexts=dcmnet.contexts_for("a-study/")) as assoc: ...
    ```

    Args:
        sources: Paths, folders (searched to the bottom; files in them that are not DICOM are left out),
            binary file objects that can go back to their start, and pydicom data sets.
        proposal: How transfer syntaxes are proposed.

    Raises:
        InputFileError: A source cannot be sent.
        LocalProtocolError: They need more contexts than an association can have (PS3.8 9.3.2.2).
    """
    plans = plan(list(_instances(sources)), proposal)
    if len(plans) > 1:
        count = sum(len(each.contexts) for each in plans)
        raise LocalProtocolError(
            f"these objects need {count} presentation contexts, and an association has at most "
            f"{MAX_PRESENTATION_CONTEXTS}: let dcmnet.send spread them over several, or take fewer at a time"
        )
    return tuple(plans[0].contexts) if plans else ()


def _instances(sources: Sequence[Source]) -> Iterator[Instance]:
    for source, in_folder in find_files(sources):
        try:
            yield describe(source, check=False)  # whether it is whole is checked when it is sent
        except ForeignFile:
            if not in_folder:
                raise


def choose_context(
    negotiated: Negotiated, instance: Instance, decompress: Decompress = Decompress.NEVER
) -> AcceptedContext:
    """The context to send an object on: in its own transfer syntax if there is one, else converted.

    Raises:
        NoPresentationContext: None serves.
    """
    try:
        return negotiated.find(instance.sop_class_uid, (instance.transfer_syntax,))
    except NoPresentationContext:
        if not _can_be_converted(instance.transfer_syntax, decompress):
            raise
    return negotiated.find(instance.sop_class_uid, CONVERTIBLE)


def _can_be_converted(transfer_syntax: str, decompress: Decompress) -> bool:
    if transfer_syntax in CONVERTIBLE:
        return True
    if decompress is Decompress.NEVER or transfer_syntax not in DECODABLE:
        return False
    return decompress is Decompress.LOSSY or transfer_syntax in LOSSLESS


def _batches(items: tuple[str, ...], length: int) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(items), length):
        yield items[first : first + length]


def _groups(own: tuple[str, ...], proposal: Proposal) -> list[tuple[str, ...]]:
    """The transfer syntaxes of each context of a class whose objects are in those of `own`."""
    if proposal.transfer_syntaxes:
        first, *others = dict.fromkeys(proposal.transfer_syntaxes)
        groups = [(first,), tuple(others)]
    else:
        convertible = proposal.always_uncompressed or any(
            _can_be_converted(syntax, proposal.decompress) for syntax in own
        )
        fallback = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN) if convertible else ()
        groups = [(syntax,) for syntax in own]
        groups.append(tuple(syntax for syntax in fallback if syntax not in own))
    if proposal.combine:
        groups = [tuple(syntax for group in groups for syntax in group)]
    return [group for group in groups if group]
