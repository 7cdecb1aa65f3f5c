"""Collects the expected facts of a dump of any kind."""

from __future__ import annotations

from ..memory.source import ByteSource
from ..readers.facts import Dump
from ..readers.kernel_dump import KernelDump
from ..readers.userdump_facts import UserDump
from ..report.subjects import subjects
from ..truth.load import Truth
from .expected import Expected
from .expected_machine import machine_facts
from .expected_process import minidump_facts, userdump_facts


def expected_facts(source: ByteSource, truth: Truth | None = None) -> Expected:
    """The expected facts of the dump, or of the dump inside a cabinet. Never raises on content."""
    for subject in reversed(subjects(source)):
        if isinstance(subject.reading, Dump):
            return minidump_facts(subject.reading, truth)
        if isinstance(subject.reading, KernelDump):
            return machine_facts(subject.reading, truth)
        if isinstance(subject.reading, UserDump):
            return userdump_facts(subject.reading)
    return Expected()
