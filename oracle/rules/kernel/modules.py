"""The loaded module list of a kernel dump: the kernel first, images that do not overlap, a ring."""

from __future__ import annotations

from itertools import pairwise

from ...case import KernelCase
from ...model import Fault, Grade, Level, Span
from ...readers.kernel_dump import ModuleEntry
from ...rule import Checks, bad, kernel_rule, ok
from .asserts import header_of, spec
from .crossing import debugger_data, holds_memory, with_debugger_data


@kernel_rule(
    "KXCT-KERNEL-001",
    "KernBase is the first module's base, and an image begins there",
    Level.MUST,
    spec("4.5, 6.4 X3 [S 72/72]", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and bool(case.dump.modules),
)
def kernel_base(case: KernelCase) -> Checks:
    """The kernel is the first entry of its own module list. Symbols of the kernel are found from that base."""
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
    "Modules are images of some size that do not overlap",
    Level.MUST,
    spec("4.5, 6.4 X4 [S 72/72]", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=holds_memory,
)
def sound_modules(case: KernelCase) -> Checks:
    """DllBase begins a page, SizeOfImage is not 0 and need not be a multiple of a page."""
    modules = case.dump.modules
    for module in modules:
        if module.base and module.base % 0x1000 == 0 and module.size:
            yield ok(module.record.path)
        else:
            actual = f"DllBase {module.base:#x}, SizeOfImage {module.size:#x}"
            yield bad(module.record.path, "a page-aligned base, a size", actual, module.record.span)
    ordered = sorted(modules, key=lambda module: module.base)
    for first, second in pairwise(ordered):
        if first.end <= second.base:
            yield ok(second.record.path)
        else:
            expected = f"a base from {first.end:#x} on: {first.record.path} ends there"
            yield bad(second.record.path, expected, f"{second.base:#x}", second.record.span_of("DllBase"))


@kernel_rule(
    "KXCT-MODULES-002",
    "The module list is a ring",
    Level.MUST,
    spec("4.5, 6.4 X4: kdmp-parser-rs", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: case.dump.paged,
    foreign_level=Level.SHOULD,
)
def module_ring(case: KernelCase) -> Checks:
    """Each entry's Blink is the entry before, the last Flink the head. A debugger follows Flink until it is back."""
    dump, header = case.dump, header_of(case.dump)
    head = header["PsLoadedModuleList"]
    span = header.span_of("PsLoadedModuleList")
    entries = dump.modules
    if not entries:
        yield bad("PsLoadedModuleList", "a list of modules", "none can be read", span, fault=Fault.MISSING)
        return
    yield from _ring(entries, [head, *(entry.address or 0 for entry in entries)])
    back = dump.pointer_at(head + dump.pointer)
    if back == entries[-1].address:
        yield ok("PsLoadedModuleList, Blink")
    else:
        actual = "not in the dump" if back is None else f"{back:#x}"
        yield bad("PsLoadedModuleList, Blink", f"{entries[-1].address:#x}", actual, span)


def _ring(entries: list[ModuleEntry], addresses: list[int]) -> Checks:
    """``addresses``: of the head, then of the entries."""
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
    spec("6.4 X5 [S 72/72; one other file not]", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=lambda case: holds_memory(case) and bool(case.dump.modules),
)
def inside_kernel(case: KernelCase) -> Checks:
    """Both are variables of the kernel, so their addresses are those of its image."""
    header, kernel = header_of(case.dump), case.dump.modules[0]
    for name in ("KdDebuggerDataBlock", "PsLoadedModuleList"):
        value = header[name]
        if kernel.base <= value < kernel.end:
            yield ok(f"header, {name}")
        else:
            expected = f"{kernel.base:#x} to {kernel.end:#x}, the kernel"
            yield bad(f"header, {name}", expected, f"{value:#x}", header.span_of(name))
