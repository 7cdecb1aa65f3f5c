"""Known errors of the vendor's engine in kernel dumps (docs/format/engine.md#errors-of-the-engine)."""

from __future__ import annotations

from typing import Final

from ...case import KernelCase
from ...entitlement.cache import computed_once
from ...entitlement.kernel import skipped_by_the_engine
from ...known_errors import known_error
from ...memory.page import PAGE_SIZE
from ...memory.page_set import PageSet
from ...model import Fault
from ...readers.kernel_dump import ACTIVE, COMPLETE, FULL, KERNEL, TRIAGE
from ...rule import Check
from ...truth.kernel import KernelTruth
from ..asserts import of_a_dump
from .asserts import truth_of
from .writer import may_be_by_the_engine

_SHIFTS: Final = (30, 21)
"""Lowest bits of an address that index a page-directory-pointer table and a page directory."""
_LAST: Final = 511
_DEAD_FEED: Final = bytes.fromhex("edfeadde")
_XSAVE, _MISPLACED, _XSAVE_SIZE = 0x100, 0x200, 0x200
"""Offsets of FltSave in CONTEXT, and where the engine puts it; its size in bytes."""
_MXCSR: Final = 0x18
"""Offset of MxCsr in FltSave."""


def _pages(check: Check) -> PageSet:
    return PageSet((part.start // PAGE_SIZE, -(-part.end // PAGE_SIZE)) for part in check.memory)


@known_error(
    "ENGINE-ENTRY-511",
    "range dumps lack every page below entry 511 of a page directory or a page-directory-pointer table",
    versions=("29507",),
    source="docs/format/kernel-kinds.md#what-the-engine-takes-for-default",
    rules=("KPAG-KERNEL-001", "KPAG-SHARED-001", "KXCT-MODULES-002", "KXCT-READ-001"),
)
def entry_511(case: KernelCase, check: Check) -> bool:
    """All missing pages are mapped through such an entry, and through no other. If an address led to the page, its
    bits tell.
    """
    if case.dump.type not in (KERNEL, ACTIVE) or check.fault is not Fault.MISSING or not check.memory:
        return False
    if check.address is not None:
        return any(check.address >> shift & _LAST == _LAST for shift in _SHIFTS)
    return case.truth is not None and not (_pages(check) - _skipped(case.truth)).runs


def _skipped(truth: KernelTruth) -> PageSet:
    roots = tuple(dict.fromkeys((truth.system_directory_table_base, truth.directory_table_base)))
    return computed_once(truth, "skipped by the engine", lambda: skipped_by_the_engine(truth, roots))


@known_error(
    "ENGINE-DEADFEED",
    "a complete dump of a dump fills the pages that the source lacks with ED FE AD DE",
    versions=("15063", "29507"),
    source="docs/format/kernel-pages.md#bytes-of-a-page",
    rules=("KPAG-BYTES-001",),
)
def dead_feed(case: KernelCase, check: Check) -> bool:
    """The whole page is that pattern."""
    if case.dump.type not in (FULL, COMPLETE) or len(check.spans) != 1:
        return False
    end = check.spans[0].end
    return case.dump.source.read(end - PAGE_SIZE, PAGE_SIZE) == _DEAD_FEED * (PAGE_SIZE // 4)


@known_error(
    "ENGINE-FLTSAVE",
    "FltSave of a target whose KdSecondaryVersion is 0 or 1 lands 0x100 too high; a copy of that copy has none",
    versions=("15063", "29507"),
    source="docs/format/kernel-small-layouts.md#other-habits-of-the-engine",
    rules=("KHDR-CONTEXT-003", "KHDR-CONTEXT-004"),
)
def misplaced_fltsave(case: KernelCase, check: Check) -> bool:
    """A small dump has the target's FltSave 0x100 too high, or zeros for it. A complete dump of a dump has zeros."""
    dump = case.dump
    if dump.header is None or dump.context is None:
        return False
    if dump.type in (FULL, COMPLETE):
        if not of_a_dump(case):
            return False
    elif dump.type != TRIAGE or dump.header["KdSecondaryVersion"]:
        return False
    if not any(f", {name}" in check.subject for name in ("FltSave", "MxCsr", "VectorRegister")):
        return False
    raw = dump.source.read(dump.context.span.start, len(dump.context.span))
    if not any(raw[_XSAVE : _XSAVE + _XSAVE_SIZE]):
        return True
    if dump.type != TRIAGE:
        return False
    moved = raw[_MISPLACED : _MISPLACED + _XSAVE_SIZE]
    if case.truth is not None:
        return moved == truth_of(case).crashed.context.fxsave
    return int.from_bytes(moved[_MXCSR : _MXCSR + 4], "little") == dump.context["MxCsr"]


@known_error(
    "ENGINE-STALE-BYTES",
    "unused bytes of a small dump are left over from the debugger's memory",
    versions=("15063",),
    source="docs/format/kernel-small-layouts.md#stale-bytes-of-the-engine",
    rules=("KTRI-DATA-004", "KTRI-DRIVERS-005", "KTRI-POOL-003", "KTRI-ROOM-001", "KTRI-UNLOADED-002"),
)
def stale_bytes(case: KernelCase, check: Check) -> bool:
    """Only bytes that the engine does not fill: of driver entries, behind names, before the end marker, and of a stack
    from the first page on that is not mapped.
    """
    if not may_be_by_the_engine(case) or not check.spans:
        return False
    if check.subject.startswith("unloaded driver"):
        return any(part in check.subject for part in (", _padding04", ", behind DriverName,"))
    if not check.subject.startswith("data block"):
        return check.subject != "end marker"
    return case.truth is not None and _right_up_to_a_hole(case, check)


def _right_up_to_a_hole(case: KernelCase, check: Check) -> bool:
    """Whether a data block holds the target's bytes up to a page that is not mapped."""
    triage, truth = case.dump.triage, truth_of(case)
    assert triage is not None
    block = next((each for each in triage.data_blocks if check.subject.startswith(f"{each.record.path},")), None)
    if block is None:
        return False
    at = block.start
    while at < block.end:
        size = min(PAGE_SIZE - at % PAGE_SIZE, block.end - at)
        held = truth.read(at, size)
        if held is None:
            return True
        if bytes(held) != case.dump.source.read(block.offset + at - block.start, size):
            return False
        at += size
    return False
