"""``describe``: what a dump is, at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from ..inputs import DumpInput, open_source
from ..memory.source import ByteSource
from ..readers.cab import MAX_EXPANSION
from ..readers.cab_facts import Cabinet
from ..readers.facts import Dump
from ..readers.identify import identify
from ..readers.kernel_dump import KernelDump
from ..readers.reading import Reading
from ..readers.userdump_facts import UserDump
from ..report.subjects import Subject, subjects
from .kernel import describe_kernel
from .minidump import describe_minidump
from .model import Description, DumpDescription, MemberLine
from .userdump import describe_userdump


def describe(dump: DumpInput, *, max_expansion: int = MAX_EXPANSION) -> Description:
    """What a file is and, if it is a dump or a cabinet with one, what the dump tells.

    ``dump`` is a path, the bytes of the file, or an open ByteSource. A cabinet is expanded to at most
    ``max_expansion`` bytes. Never raises on content. Raises OSError for a file that cannot be opened.
    """
    source = open_source(dump)
    try:
        return describe_read(source, subjects(source, max_expansion))
    finally:
        if source is not dump:
            source.close()


def describe_read(source: ByteSource, read: Sequence[Subject]) -> Description:
    """The same of a file that is read already: ``read`` are its ``subjects``."""
    identity = identify(source)
    members: tuple[MemberLine, ...] = ()
    inner, name = None, None
    for subject in read:
        if isinstance(subject.reading, Cabinet):
            pairs = zip(subject.reading.members, subject.reading.kinds, strict=False)
            members = tuple(MemberLine(member.name, member.size, kind) for member, kind in pairs)
        else:
            inner, name = _dump(subject.reading), subject.inside
    return Description(identity.kind, identity.description, source.size, inner, name, members)


def _dump(reading: Reading) -> DumpDescription | None:
    description = identify(reading.source).description
    if isinstance(reading, Dump):
        return describe_minidump(reading, description)
    if isinstance(reading, KernelDump):
        return describe_kernel(reading, description)
    return describe_userdump(reading, description) if isinstance(reading, UserDump) else None
