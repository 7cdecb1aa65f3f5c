"""Judges the loaded module list of a kernel dump (docs/format/kernel-structures.md#rules-for-the-module-list)."""

from __future__ import annotations

from itertools import pairwise

from ...case import KernelCase
from ...memory.page import PAGE_SIZE
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import KernelDump, ModuleEntry
from ...rule import Checks, bad, kernel_rule, ok
from .asserts import header_of
from .crossing import debugger_data, holds_memory, with_debugger_data


@kernel_rule(
    "KXCT-KERNEL-001",
    "KernBase is the base of the first module, and an image begins there",
    Level.MUST,
    Source("docs/format/kernel-structures.md#first-module-is-the-kernel", Grade.IMPLEMENTED),
    Source("docs/format/kernel-structures.md#first-module-is-the-kernel", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and bool(case.dump.modules),
)
def kernel_base(case: KernelCase) -> Checks:
    """The kernel is the first entry of its own module list. Debuggers find the kernel's symbols from that base."""
    dump, record, kernel = case.dump, debugger_data(case), case.dump.modules[0]
    base = dump.address(record["KernBase"])
    if base == kernel.base:
        yield ok("module 0, DllBase")
    else:
        expected = f"{base:#x}, KernBase"
        yield bad("module 0, DllBase", expected, f"{kernel.base:#x}", kernel.record.span_of("DllBase"))
    start = dump.read(kernel.base, 2)
    if start is None:
        return
    at = dump.where(kernel.base)
    yield ok("kernel image") if start == b"MZ" else bad("kernel image", "MZ", start.hex(), Span(at, at + 2))


@kernel_rule(
    "KXCT-MODULES-001",
    "Modules have a page-aligned base and a size, and do not overlap",
    Level.MUST,
    Source("docs/format/kernel-structures.md#rules-for-the-module-list", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=holds_memory,
)
def sound_modules(case: KernelCase) -> Checks:
    """SizeOfImage need not be a multiple of the page size."""
    modules = case.dump.modules
    for module in modules:
        if module.base and module.base % 0x1000 == 0 and module.size:
            yield ok(module.record.path)
        else:
            actual = f"DllBase {module.base:#x}, SizeOfImage {module.size:#x}"
            yield bad(module.record.path, "a page-aligned base, a size above 0", actual, module.record.span)
    ordered = sorted(modules, key=lambda module: module.base)
    for first, second in pairwise(ordered):
        if first.end <= second.base:
            yield ok(second.record.path)
        else:
            expected = f"at least {first.end:#x}, the end of {first.record.path}"
            yield bad(second.record.path, expected, f"{second.base:#x}", second.record.span_of("DllBase"))


@kernel_rule(
    "KXCT-MODULES-002",
    "The module list is circular",
    Level.MUST,
    Source("docs/format/kernel-structures.md#rules-for-the-module-list", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: case.dump.paged,
    foreign_level=Level.SHOULD,
)
def module_ring(case: KernelCase) -> Checks:
    """Blink of each entry is the previous entry. Flink of the last entry is the list head. A debugger follows Flink
    until it is back at the head.
    """
    dump, header = case.dump, header_of(case.dump)
    head = header["PsLoadedModuleList"]
    span = header.span_of("PsLoadedModuleList")
    entries = dump.modules
    if not entries:
        first = dump.pointer_at(head)
        yield bad(
            "PsLoadedModuleList",
            "a list of modules",
            "no entry can be read",
            span,
            fault=Fault.MISSING,
            memory=_page_of(dump, first),
            address=first,
        )
        return
    yield from _ring(entries, [head, *(entry.address or 0 for entry in entries)])
    back = dump.pointer_at(head + dump.pointer)
    if back == entries[-1].address:
        yield ok("PsLoadedModuleList, Blink")
    else:
        actual = "not in the dump" if back is None else f"{back:#x}"
        yield bad("PsLoadedModuleList, Blink", f"{entries[-1].address:#x}", actual, span)


def _page_of(dump: KernelDump, address: int | None) -> tuple[Span, ...]:
    """The physical page at a virtual address, if the page tables translate it."""
    physical = None if address is None or dump.space is None else dump.space.translate(address)
    return () if physical is None else (Span(physical & -PAGE_SIZE, (physical & -PAGE_SIZE) + PAGE_SIZE),)


def _ring(entries: list[ModuleEntry], addresses: list[int]) -> Checks:
    """Check the links of ``entries``; ``addresses`` holds the address of the head, then those of the entries."""
    for index, entry in enumerate(entries):
        record = entry.record
        following = addresses[index + 2] if index + 2 < len(addresses) else addresses[0]
        for name, expected in (("Flink", following), ("Blink", addresses[index])):
            actual = record[f"InLoadOrderLinks.{name}"]
            if actual == expected:
                yield ok(f"{record.path}, {name}")
            else:
                where = record.span_of(f"InLoadOrderLinks.{name}")
                yield bad(f"{record.path}, {name}", f"{expected:#x}", f"{actual:#x}", where)


@kernel_rule(
    "KXCT-MODULES-003",
    "Debugger data and module list lie in the kernel image",
    Level.SHOULD,
    Source("docs/format/kernel-structures.md#first-module-is-the-kernel", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=lambda case: holds_memory(case) and bool(case.dump.modules),
)
def inside_kernel(case: KernelCase) -> Checks:
    """KDDEBUGGER_DATA64 and PsLoadedModuleList are variables of the kernel."""
    header, kernel = header_of(case.dump), case.dump.modules[0]
    for name in ("KdDebuggerDataBlock", "PsLoadedModuleList"):
        value = header[name]
        if kernel.base <= value < kernel.end:
            yield ok(f"header, {name}")
        else:
            expected = f"{kernel.base:#x} to {kernel.end:#x}, the kernel"
            yield bad(f"header, {name}", expected, f"{value:#x}", header.span_of(name))
