"""Reads the parts of a file: the file itself and, in a cabinet, the dump inside."""

# ruff: noqa: PLC0415 - each reader is imported for a file of its kind

from __future__ import annotations

from dataclasses import dataclass

from ..budget import MAX_EXPANSION
from ..memory.source import ByteSource
from ..model import Finding, Report
from ..readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from ..readers.reading import Reading


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
    if kind != CABINET:
        reading = _read(kind, source)
        return [] if reading is None else [Subject(None, reading)]
    from ..readers.cab import read_cabinet

    cabinet = read_cabinet(source, max_expansion)
    found = [Subject(None, cabinet)]
    for member, inside in cabinet.dumps()[:1]:
        reading = None if member.source is None else _read(inside, member.source)
        if reading is not None:
            found.append(Subject(member.name, reading))
    return found


def _read(kind: str, source: ByteSource) -> Reading | None:
    """A dump; None for a kind without a reader."""
    if kind == MINIDUMP:
        from ..readers.minidump import read_minidump

        return read_minidump(source)
    if kind == KERNEL_DUMP:
        from ..readers.kernel import read_kernel

        return read_kernel(source)
    if kind == USERDUMP:
        from ..readers.userdump import read_userdump

        return read_userdump(source)
    return None


def findings_inside(report: Report, subject: Subject) -> list[Finding]:
    """The findings whose spans are offsets in ``subject``."""
    return [finding for result in report.results if result.inside == subject.inside for finding in result.findings]
