"""``describe``: what a dump is, at a glance."""

# ruff: noqa: PLC0415 - a description is imported for a dump of its kind

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ..budget import MAX_EXPANSION
from ..inputs import DumpInput, open_source
from ..memory.source import ByteSource
from ..readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from ..readers.reading import Reading
from ..report.subjects import Subject, subjects
from .model import Description, DumpDescription, MemberLine

if TYPE_CHECKING:
    from ..readers.cab_facts import Cabinet
    from ..readers.facts import Dump
    from ..readers.kernel_dump import KernelDump
    from ..readers.userdump_facts import UserDump


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
        if subject.reading.kind == CABINET:
            cabinet = cast("Cabinet", subject.reading)
            pairs = zip(cabinet.members, cabinet.kinds, strict=False)
            members = tuple(MemberLine(member.name, member.size, kind) for member, kind in pairs)
        else:
            inner, name = _dump(subject.reading), subject.inside
    return Description(identity.kind, identity.description, source.size, inner, name, members)


def _dump(reading: Reading) -> DumpDescription | None:
    description = identify(reading.source).description
    if reading.kind == MINIDUMP:
        from .minidump import describe_minidump

        return describe_minidump(cast("Dump", reading), description)
    if reading.kind == KERNEL_DUMP:
        from .kernel import describe_kernel

        return describe_kernel(cast("KernelDump", reading), description)
    if reading.kind == USERDUMP:
        from .userdump import describe_userdump

        return describe_userdump(cast("UserDump", reading), description)
    return None
