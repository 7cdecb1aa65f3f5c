"""Collects the expected facts of a dump of any kind."""

from __future__ import annotations

from ..memory.source import ByteSource
from ..readers.cab import read_cabinet
from ..readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from ..readers.kernel import read_kernel
from ..readers.minidump import read_minidump
from ..readers.userdump import read_userdump
from ..truth.load import Truth
from .expected import Expected
from .expected_machine import machine_facts
from .expected_process import minidump_facts, userdump_facts


def expected_facts(source: ByteSource, truth: Truth | None = None) -> Expected:
    """The expected facts of the dump, or of the dump inside a cabinet. Never raises on content."""
    kind = identify(source).kind
    if kind == CABINET:
        inside = next((member.source for member, _ in read_cabinet(source).dumps()), None)
        return Expected() if inside is None else expected_facts(inside, truth)
    if kind == MINIDUMP:
        return minidump_facts(read_minidump(source), truth)
    if kind == KERNEL_DUMP:
        return machine_facts(read_kernel(source), truth)
    if kind == USERDUMP:
        return userdump_facts(read_userdump(source))
    return Expected()
