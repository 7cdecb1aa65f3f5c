"""Reads the parts of a file: the file itself and, in a cabinet, the dump inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..budget import MAX_EXPANSION
from ..memory.source import ByteSource
from ..model import Finding, Report
from ..readers.dump import read_dump
from ..readers.identify import CABINET, identify
from ..readers.reading import Reading
from .memory_model import MemoryMap


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
        reading = read_dump(kind, source)
        return [] if reading is None else [Subject(None, reading)]
    from ..readers.cab import read_cabinet  # noqa: PLC0415 - imported for a cabinet only

    cabinet = read_cabinet(source, max_expansion)
    found = [Subject(None, cabinet)]
    for member, inside in cabinet.dumps()[:1]:
        reading = None if member.source is None else read_dump(inside, member.source)
        if reading is not None:
            found.append(Subject(member.name, reading))
    return found


def not_shown(found: Sequence[Subject], memory: MemoryMap) -> list[str]:
    """What the maps of a file leave out, because the work is limited; a line each."""
    left = [item for subject in found for item in subject.reading.budget.unjudged]
    return [str(item) for item in (*left, *memory.unjudged)]


def findings_inside(report: Report, subject: Subject) -> list[Finding]:
    """The findings whose spans are offsets in ``subject``."""
    return [finding for result in report.results if result.inside == subject.inside for finding in result.findings]
