"""An association negotiation file that uses everything, and texts made from it by changing one thing."""

from __future__ import annotations

FULL = r"""# ultrasound gateway
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[Baseline8]
TransferSyntax1 = 1.2.840.10008.1.2.4.50

[[PresentationContexts]]
[Gateway Out]
PresentationContext1 = UltrasoundImageStorage\Plain
PresentationContext2 = UltrasoundImageStorage\Baseline8
PresentationContext3 = VerificationSOPClass\Plain

[[SCPSCURoleSelection]]
[BothWays]
Role1 = UltrasoundImageStorage\BOTH

[[ExtendedNegotiation]]
[Level2]
ExtendedNegotiation1 = UltrasoundImageStorage\020003000000

[[Profiles]]
[UltrasoundOut]
PresentationContexts = GatewayOut
SCPSCURoleSelection  = BothWays
ExtendedNegotiation  = Level2
[ultrasound-in]
PresentationContexts = GatewayOut
"""

SMALL = r"""[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[Out]
PresentationContext1 = CTImageStorage\Plain
[[Profiles]]
[Default]
PresentationContexts = Out
"""

US = "1.2.840.10008.5.1.4.1.1.6.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def changed(old: str, new: str, text: str = FULL) -> str:
    """The text with one thing changed, which has to be there exactly once."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def with_syntaxes(*lines: str) -> str:
    """SMALL with these lines below `[Plain]`, from line 3 on."""
    return changed("TransferSyntax1 = LittleEndianImplicit", "\n".join(lines), SMALL)


def with_contexts(*values: str) -> str:
    """SMALL with these presentation contexts."""
    lines = (f"PresentationContext{number} = {value}" for number, value in enumerate(values, 1))
    return changed("PresentationContext1 = CTImageStorage\\Plain", "\n".join(lines), SMALL)
