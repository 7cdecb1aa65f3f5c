"""Judges whether a kernel dump with pages holds what a debugger reads first, page tables included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...case import KernelCase
from ...decode import Record, structure
from ...memory.page import PAGE_SIZE
from ...model import Fault, Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.kernel_dump import KernelDump
from ...rule import Checks, bad, kernel_rule, ok, own
from .asserts import header_of, truth_of
from .crossing import processor_blocks

_MAX_STACK = 0x10000
"""Maximum bytes of a stack to check; kernel stacks have 0x6000 to 0x8000 (docs/format/kernel-structures.md#threads)."""


class Need(NamedTuple):
    """Virtual memory that a reader of the dump needs; ``size`` in bytes."""

    subject: str
    address: int
    size: int


def _from_header(dump: KernelDump) -> Iterator[Need]:
    header, pointer = header_of(dump), dump.pointer
    yield Need("KDBG, header", header["KdDebuggerDataBlock"], 0x18)
    yield Need("PsLoadedModuleList", header["PsLoadedModuleList"], 2 * pointer)
    yield Need("PsActiveProcessHead", header["PsActiveProcessHead"], 2 * pointer)
    record = dump.debugger_data
    if record is not None:
        size = min(record["Header.Size"], structure("KDDEBUGGER_DATA64").size)
        yield Need("KDBG, whole block", header["KdDebuggerDataBlock"], size)
        yield from _processors(dump, record)
    for module in dump.modules:
        for name in ("FullDllName", "BaseDllName"):
            length = module.record[f"{name}.Length"]
            if length:
                yield Need(f"{name} of {module.record.path}", module.record[f"{name}.Buffer"], length)
    if dump.context is not None and dump.architecture is not None:
        yield Need("code at the instruction pointer", dump.context[ARCHITECTURES[dump.architecture].ip], 1)
        yield Need("stack at the stack pointer", dump.context[ARCHITECTURES[dump.architecture].sp], pointer)


def _processors(dump: KernelDump, record: Record) -> Iterator[Need]:
    count = header_of(dump)["NumberProcessors"]
    if record["KiProcessorBlock"]:
        yield Need("KiProcessorBlock", dump.address(record["KiProcessorBlock"]), min(count, 4096) * dump.pointer)
    for index, block in processor_blocks(dump):
        if not block:
            continue
        if record["SizePrcb"]:
            yield Need(f"KPRCB {index}", block, record["SizePrcb"])
        if record["OffsetPrcbContext"] and dump.context is not None:
            pointer = dump.pointer_at(block + record["OffsetPrcbContext"])
            if pointer:
                yield Need(f"context of processor {index}", pointer, dump.context.structure.size)
        thread = dump.pointer_at(block + record["OffsetPrcbCurrentThread"])
        if thread and record["SizeEThread"]:
            yield Need(f"ETHREAD of processor {index}", thread, record["SizeEThread"])
            process = dump.pointer_at(thread + record["OffsetKThreadApcProcess"])
            if process and record["SizeEProcess"]:
                yield Need(f"EPROCESS of processor {index}", process, record["SizeEProcess"])


def _from_truth(case: KernelCase) -> Iterator[Need]:
    truth = truth_of(case)
    sizes = truth.debugger_data
    if truth.symbols.kd_version_block:
        yield Need("KdVersionBlock", truth.symbols.kd_version_block, structure("DBGKD_GET_VERSION64").size)
    for driver in truth.drivers:
        yield Need(f"module list entry of {driver.base_name}", driver.entry, structure("KLDR_DATA_TABLE_ENTRY64").size)
    for process in truth.processes:
        size = sizes["SizeEProcess"] if sizes is not None else 0
        yield Need(f"EPROCESS of {process.image_file_name}", process.process, size or 8)
        for thread in process.threads:
            size = sizes["SizeEThread"] if sizes is not None else 0
            yield Need(f"ETHREAD {thread.thread_id:#x}", thread.thread, size or 8)
    for processor in truth.processors:
        sp, base = processor.context.sp, processor.stack_base
        if processor.stack_limit <= sp < base:
            yield Need(f"stack of processor {processor.number}", sp, min(base - sp, _MAX_STACK))


def _needs(case: KernelCase) -> Iterator[Need]:
    yield from _from_header(case.dump)
    if own(case):
        yield from _from_truth(case)


def _pages(need: Need) -> range:
    return range(need.address & ~(PAGE_SIZE - 1), need.address + min(need.size, 1 << 20), PAGE_SIZE)


def _applies(case: KernelCase) -> bool:
    return case.dump.space is not None


@kernel_rule(
    "KXCT-TRANSLATE-001",
    "The page tables in the dump translate all addresses that a debugger reads first",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#what-a-debugger-reads-first", Grade.INFERRED),
    needs=("header", "pages"),
    applies=_applies,
)
def translates(case: KernelCase) -> Checks:
    """A debugger first reads lists, debugger data, processors, threads, stacks, names and code. Each address goes
    through up to four tables. A missing table makes all addresses below it unreadable. The rule skips addresses of user
    space.
    """
    space = case.dump.space
    assert space is not None
    assert case.dump.header is not None
    for need in _needs(case):
        for address in _pages(need):
            if address >> 63 == 0 and case.dump.bits == 64:
                continue
            if space.translate(address) is None:
                yield bad(need.subject, f"{address:#x} translates", "no translation", _root(case), fault=Fault.MISSING)
            else:
                yield ok(need.subject)


@kernel_rule(
    "KXCT-READ-001",
    "The dump holds all pages that a debugger reads first",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#what-a-debugger-reads-first", Grade.INFERRED),
    needs=("header", "pages"),
    applies=_applies,
)
def readable(case: KernelCase) -> Checks:
    """A debugger first reads the pages that the addresses of KXCT-TRANSLATE-001 translate to."""
    space = case.dump.space
    assert space is not None
    for need in _needs(case):
        for address in _pages(need):
            physical = space.translate(address)
            if physical is None:
                continue
            if case.dump.page(physical // PAGE_SIZE) is not None:
                yield ok(need.subject)
            elif address >> 63 or case.dump.bits == 32:
                expected = f"page {physical // PAGE_SIZE:#x}, which {address:#x} translates to"
                page = Span(physical & -PAGE_SIZE, (physical & -PAGE_SIZE) + PAGE_SIZE)
                yield bad(
                    need.subject,
                    expected,
                    "not in the dump",
                    _root(case),
                    fault=Fault.MISSING,
                    memory=(page,),
                    address=address,
                )


def _root(case: KernelCase) -> Span:
    return header_of(case.dump).span_of("DirectoryTableBase")


@kernel_rule(
    "KXCT-DTB-002",
    "DirectoryTableBase maps the kernel",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#directorytablebase", Grade.IMPLEMENTED),
    Source("docs/format/kernel-structures.md#page-table-root-in-the-header", Grade.IMPLEMENTED),
    needs=("header", "pages"),
    applies=_applies,
    foreign_level=Level.SHOULD,
)
def maps_kernel(case: KernelCase) -> Checks:
    """A process may have two roots; the header must hold the kernel's, because the other maps almost no kernel memory.
    The rule tests it with the loaded module list.
    """
    space, header = case.dump.space, header_of(case.dump)
    assert space is not None
    address = header["PsLoadedModuleList"]
    if space.translate(address) is not None:
        yield ok("header, DirectoryTableBase")
    else:
        expected = f"a root that maps PsLoadedModuleList, {address:#x}"
        yield bad("header, DirectoryTableBase", expected, f"{header['DirectoryTableBase']:#x}", _root(case))
