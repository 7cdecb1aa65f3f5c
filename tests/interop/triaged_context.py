"""What FILTER_TRIAGE leaves of a context: docs/format/minidump-filters.md#filter-triage-contexts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from dumptruth.oracle import ProcessTruth
from dumptruth.oracle.truth.context import ThreadContextTruth

FILL = 0xAA
WORDS = {
    "amd64": {"Rax", "Rcx", "Rdx", "Rbx", "Rbp", "Rsi", "Rdi", *(f"R{number}" for number in range(8, 16))},
    "x86": {"Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax"},
}
"""The registers that are filtered like words of a stack. arm64 has none."""
NOT_MEASURED = {"x86": {"EFlags"}}
"""Registers that are kept or filled; the page does not say which."""


def triaged(
    truth: ProcessTruth, context: ThreadContextTruth, said: Mapping[str, int], *, exception: bool = False
) -> ThreadContextTruth:
    """The context as the dump holds it. ``said`` decides where no measurement does."""
    architecture = truth.system.architecture
    if architecture not in WORDS:
        return context
    width = 8 if architecture == "amd64" else 4
    fill = int.from_bytes(bytes([FILL]) * width, "little")
    registers = dict(context.registers)
    open_points = set(NOT_MEASURED.get(architecture, ()))
    if architecture == "x86" and exception:
        open_points |= WORDS["x86"]
    for name, value in context.registers.items():
        if name in open_points:
            registers[name] = fill if said.get(name) == fill else value
        elif name in WORDS[architecture] and not exception and not _survives(truth, value, width):
            registers[name] = fill
    fxsave, float_save = bytes([FILL]) * len(context.fxsave), context.float_save
    if float_save is not None:
        float_save = bytes([FILL]) * len(float_save)
    return dataclasses.replace(context, registers=registers, fxsave=fxsave, float_save=float_save)


def _survives(truth: ProcessTruth, value: int, width: int) -> bool:
    """Whether the word is 0, points to code or a stack, or points at a word that does."""
    if value == 0 or _points(truth, value):
        return True
    held = truth.read(value, width)
    return held is not None and _points(truth, int.from_bytes(held, "little"))


def _points(truth: ProcessTruth, value: int) -> bool:
    ranges = [(module.base, module.base + module.size) for module in truth.modules]
    ranges += [(table.minimum_address, table.maximum_address) for table in truth.function_tables or ()]
    for thread in truth.threads:
        sp = thread.context.sp
        low = sp if thread.stack_limit <= sp < thread.stack_base else thread.stack_limit
        ranges.append((low, thread.stack_base))
    return any(low <= value < high for low, high in ranges)
