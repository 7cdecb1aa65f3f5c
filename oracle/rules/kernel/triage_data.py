"""Judges the data blocks of a small kernel dump against truth."""

from __future__ import annotations

from struct import iter_unpack
from typing import Final

from ...case import KernelCase
from ...decode import structure
from ...entitlement.kernel_writers import E15063, engine_of
from ...memory.intervals import RangeSet
from ...memory.page import PAGE_SIZE
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, kernel_rule, ok
from ...truth.kernel import KernelTruth
from ..asserts import same_bytes
from .asserts import truth_of
from .triage_truth import own_small
from .writer import copy_of_a_small_dump, engine_that_wrote, triage_of

_MAX_CODE: Final = 0x1000
_MAX_LISTED: Final = 0x1000
"""How many ranges of IopTriageDumpDataBlocks are read."""


@kernel_rule(
    "KTRI-DATA-004",
    "Every data block holds the target's bytes",
    Level.MUST,
    Source("docs/format/kernel-small.md#data-block-table", Grade.DOCUMENTED),
    needs=("triage", "triage.data"),
    applies=own_small,
)
def data_bytes(case: KernelCase) -> Checks:
    """Structural rules cannot find a changed byte in a block; this rule can. Pages of a stack that are not mapped must
    be zeros; engine 15063 leaves stale bytes from the first of them on.
    """
    truth = truth_of(case)
    for block in triage_of(case).data_blocks:
        held = _with_zeros(truth, block.start, block.size)
        if held is None:
            actual = f"{block.start:#x}, {block.size:#x} bytes"
            yield bad(block.record.path, "memory that is mapped in the target", actual, block.record.span_of("Address"))
        else:
            data = case.dump.source.read(block.offset, block.size)
            yield from same_bytes(block.record.path, held, data, block.span)


def _with_zeros(truth: KernelTruth, address: int, size: int) -> bytes | None:
    """The target's bytes, zeros for pages that are not mapped; None if none is mapped."""
    parts = []
    end = address + size
    while address < end:
        length = min(PAGE_SIZE - address % PAGE_SIZE, end - address)
        parts.append((truth.read(address, length), length))
        address += length
    if all(held is None for held, _ in parts):
        return None
    return b"".join(bytes(length) if held is None else held for held, length in parts)


@kernel_rule(
    "KTRI-DATA-005",
    "The dump holds all data that bug-check callbacks added",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#pages-added-by-callbacks", Grade.DOCUMENTED),
    Source("docs/format/kernel-small-real.md#kernel-variables-in-data-blocks", Grade.DOCUMENTED),
    needs=("triage", "triage.data"),
    applies=own_small,
)
def callback_data(case: KernelCase) -> Checks:
    """Every range that a driver added can be read at its address in the dump. An engine that copies a small dump does
    not find them. It finds the ranges of IopTriageDumpDataBlocks alone.
    """
    listed = None if engine_of(case.request) is None else _listed(truth_of(case))
    for extent in () if copy_of_a_small_dump(case) else truth_of(case).triage_data:
        if listed is not None and not listed.covers(extent.address, extent.address + extent.size):
            continue
        subject = f"triage data {extent.address:#x}, {extent.size:#x} bytes"
        if not extent.size or case.dump.read(extent.address, extent.size) is not None:
            yield ok(subject)
        else:
            yield bad(
                subject, "in the dump", "missing in whole or in part", triage_of(case).header.span, fault=Fault.MISSING
            )


def _listed(truth: KernelTruth) -> RangeSet:
    """The ranges of the target's IopTriageDumpDataBlocks.

    docs/format/kernel-small-real.md#kernel-variables-in-data-blocks
    """
    sizes = truth.debugger_data
    number = None if sizes is None else truth.read(sizes["IopNumTriageDumpDataBlocks"], 4)
    if sizes is None or number is None:
        return RangeSet(())
    count = min(int.from_bytes(number, "little"), _MAX_LISTED)
    table = truth.read(sizes["IopTriageDumpDataBlocks"], 16 * count) if count else b""
    return RangeSet(iter_unpack("<QQ", table or b""))


@kernel_rule(
    "KTRI-DATA-006",
    "The dump holds no images",
    Level.SHOULD,
    Source("docs/format/kernel-small-real.md#no-images-in-a-small-dump", Grade.DOCUMENTED),
    needs=("triage", "triage.data"),
    applies=own_small,
)
def no_images(case: KernelCase) -> Checks:
    """A debugger takes code and constants from the image files. So no block has more than one page of a read-only
    section.
    """
    truth = truth_of(case)
    sections = [section for driver in truth.drivers for section in driver.read_only_sections]
    for block in triage_of(case).data_blocks:
        inside = max((min(block.end, s.address + s.size) - max(block.start, s.address) for s in sections), default=0)
        if inside <= _MAX_CODE:
            yield ok(block.record.path)
        else:
            expected = f"at most {_MAX_CODE:#x} bytes of a read-only section"
            yield bad(block.record.path, expected, f"{inside:#x}", block.record.span, fault=Fault.FORBIDDEN)


@kernel_rule(
    "KTRI-DATA-007",
    "The dump holds the memory that readers of small dumps need",
    Level.SHOULD,
    Source("docs/format/kernel-small-real.md#kernel-variables-in-data-blocks", Grade.OBSERVED),
    Source("docs/format/kernel-small-real.md#processor-state-in-data-blocks", Grade.OBSERVED),
    Source("docs/format/kernel-small-real.md#memory-around-registers", Grade.OBSERVED),
    needs=("triage", "triage.data"),
    applies=lambda case: (
        own_small(case) and not copy_of_a_small_dump(case) and case.dump.build > 9600 and triage_of(case).layout == "A"
    ),
)
def customary_data(case: KernelCase) -> Checks:
    """Readers need KiProcessorBlock, every KPRCB, and the code at the instruction pointer. Real files of layout A hold
    this memory from build 19041 on, and so do the engines' files. Files of layout B and of build 9600 do not, so the
    rule skips them. Every CONTEXT is there, too, but for files by engine 15063.
    """
    truth, triage = truth_of(case), triage_of(case)
    sizes = truth.debugger_data
    if sizes is None:
        return
    contexts = engine_that_wrote(case) is not E15063
    wanted = [("KiProcessorBlock", truth.symbols.ki_processor_block, 8 * len(truth.processors))]
    for processor in truth.processors:
        wanted.append((f"KPRCB {processor.number}", processor.kprcb, sizes["SizePrcb"]))
        pointer = truth.read(processor.kprcb + sizes["OffsetPrcbContext"], 8)
        if contexts and pointer is not None and any(pointer):
            size = structure("CONTEXT_AMD64").size
            wanted.append((f"context of processor {processor.number}", int.from_bytes(pointer, "little"), size))
    wanted.append(("code at the instruction pointer", truth.crashed.context.ip, 1))
    for subject, address, size in wanted:
        if truth.read(address, size) is None or case.dump.read(address, size) is not None:
            yield ok(subject)
        else:
            expected = f"{size:#x} bytes from {address:#x}"
            yield bad(subject, expected, "not in the dump", triage.header.span, fault=Fault.MISSING)
