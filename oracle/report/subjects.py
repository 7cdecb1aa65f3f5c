"""Reads the parts of a file: the file itself and, in a cabinet, the dump inside."""

from __future__ import annotations

from dataclasses import dataclass

from ..memory.source import ByteSource
from ..model import Finding, Report
from ..readers.cab import MAX_EXPANSION, read_cabinet
from ..readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from ..readers.kernel import read_kernel
from ..readers.minidump import read_minidump
from ..readers.reading import Reading
from ..readers.userdump import read_userdump

_READERS = {
    MINIDUMP: read_minidump,
    KERNEL_DUMP: read_kernel,
    USERDUMP: read_userdump,
}


@dataclass(frozen=True, slots=True)
class Subject:
    inside: str | None
    """The name of the cabinet's member; None for the file itself. As in RuleResult."""
    reading: Reading


def subjects(source: ByteSource, max_expansion: int = MAX_EXPANSION) -> list[Subject]:
    """The file, then the dump inside it; empty for a file without a reader. Never raises on content.

    ``max_expansion``: bytes that a cabinet may expand to.
    """
    kind = identify(source).kind
    if kind in _READERS:
        return [Subject(None, _READERS[kind](source))]
    if kind != CABINET:
        return []
    cabinet = read_cabinet(source, max_expansion)
    found = [Subject(None, cabinet)]
    for member, inside in cabinet.dumps()[:1]:
        if member.source is not None and inside in _READERS:
            found.append(Subject(member.name, _READERS[inside](member.source)))
    return found


def findings_inside(report: Report, subject: Subject) -> list[Finding]:
    """The findings whose spans are offsets in ``subject``."""
    return [finding for result in report.results if result.inside == subject.inside for finding in result.findings]
