"""Across the structures of a kernel dump: header, debugger data, modules and processors have to tell one story.

A small dump has the debugger data and the driver list of its own; other rules are skipped where it lacks the memory.
"""

from __future__ import annotations

from typing import Final

from ...case import KernelCase
from ...decode import Record
from ...model import Fault, Grade, Level, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.kernel_dump import FILL, TRIAGE, KernelDump
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import same
from .asserts import EXCEPTION_CONTEXT, header_of, spec

_LEAST, _MOST = 0x290, 0x800
"""Sizes of KDDEBUGGER_DATA64: Windows XP has 0x290 bytes (spec kernel-mode 4.1, 6.4 X1)."""
_FILL: Final = int.from_bytes(FILL, "little")
_MAX_PROCESSORS: Final = 4096

KUSER_SHARED_DATA: Final = {"amd64": 0xFFFF_F780_0000_0000, "arm64": 0xFFFF_F780_0000_0000, "x86": 0xFFDF_0000}
"""Spec kernel-mode 4.9."""
_PRODUCT_TYPE, _SUITE_MASK = 0x264, 0x2D0


def holds_memory(case: KernelCase) -> bool:
    """A dump of a kind that holds memory of the target."""
    return case.dump.paged or case.dump.type == TRIAGE


def with_debugger_data(case: KernelCase) -> bool:
    return case.dump.debugger_data is not None


def debugger_data(case: KernelCase) -> Record:
    record = case.dump.debugger_data
    assert record is not None
    return record


@kernel_rule(
    "KXCT-KDBG-001",
    "The debugger data block is there, and plain",
    Level.MUST,
    spec("4.1, 4.4, 6.4 X1 [S 72/72]; QEMU, MemProcFS", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=holds_memory,
)
def debugger_block(case: KernelCase) -> Checks:
    """Everything but pages and registers is found through it. The running kernel keeps it encoded; a dump has to hold
    it decoded, its tag KDBG readable.
    """
    dump = case.dump
    record = dump.debugger_data
    if record is None:
        span = header_of(dump).span_of("KdDebuggerDataBlock")
        address = f"{header_of(dump)['KdDebuggerDataBlock']:#x}"
        yield bad("debugger data", f"a block at {address}", "not in the dump", span, fault=Fault.MISSING)
        return
    tag, size = record.raw("Header.OwnerTag"), record["Header.Size"]
    for name, passed, expected, actual in (
        ("Header.OwnerTag", tag == b"KDBG", "KDBG", repr(tag)[1:]),
        ("Header.Size", _LEAST <= size <= _MOST, f"{_LEAST:#x} to {_MOST:#x}", f"{size:#x}"),
    ):
        span = record.span_of(name)
        yield ok(f"debugger data, {name}") if passed else bad(f"debugger data, {name}", expected, actual, span)


@kernel_rule(
    "KXCT-KDBG-002",
    "Debugger data and header name the same list heads",
    Level.MUST,
    spec("6.4 X2 [S 72/72]; QEMU", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=with_debugger_data,
)
def list_heads(case: KernelCase) -> Checks:
    """Some tools start from the one, some from the other."""
    header, record = header_of(case.dump), debugger_data(case)
    for name in ("PsLoadedModuleList", "PsActiveProcessHead"):
        value = case.dump.address(record[name])
        if value == header[name]:
            yield ok(f"debugger data, {name}")
        else:
            expected = f"{header[name]:#x}, as in the header"
            yield bad(f"debugger data, {name}", expected, f"{value:#x}", header.span_of(name), record.span_of(name))


@kernel_rule(
    "KXCT-KDBG-003",
    "Debugger data and header name the same PFN database",
    Level.SHOULD,
    spec("2.2, 6.4 X2 [S: equal 62, a value 10]", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=with_debugger_data,
)
def pfn_database(case: KernelCase) -> Checks:
    """The variable's address in both, or in the header what the variable holds: a page outside the kernel image."""
    header, record = header_of(case.dump), debugger_data(case)
    stored, variable = header["PfnDataBase"], case.dump.address(record["MmPfnDatabase"])
    kernel = next(iter(case.dump.modules), None)
    outside = kernel is None or not kernel.base <= stored < kernel.end
    if stored == variable or (stored and stored % 0x1000 == 0 and outside):
        yield ok("header, PfnDataBase")
    else:
        yield bad("header, PfnDataBase", f"{variable:#x}", f"{stored:#x}", header.span_of("PfnDataBase"))


def processor_blocks(dump: KernelDump) -> list[tuple[int, int | None]]:
    """(index, KPRCB) of each processor that the header counts; None for an entry that is not in the dump."""
    count = header_of(dump)["NumberProcessors"]
    return [(index, dump.processor_block(index)) for index in range(min(count, _MAX_PROCESSORS))]


@kernel_rule(
    "KXCT-PRCB-001",
    "Each processor's KPRCB is in KiProcessorBlock under its number",
    Level.MUST,
    spec("4.6, 6.1 A5, 6.4 X6 [S 22/22, 276 processors]", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=with_debugger_data,
)
def processor_numbers(case: KernelCase) -> Checks:
    """Debuggers read the registers of processor n through KiProcessorBlock[n]. The entry behind the last processor is
    null, or not there.
    """
    dump, record = case.dump, debugger_data(case)
    for index, block in processor_blocks(dump):
        if block is None:
            if dump.paged:
                subject = f"KiProcessorBlock[{index}]"
                yield bad(subject, "an entry", "not in the dump", record.span_of("KiProcessorBlock"))
            continue
        number = dump.integer(block + record["OffsetPrcbNumber"], 4) if block else None
        if block and (number == index or (number is None and not dump.paged)):
            yield ok(f"KiProcessorBlock[{index}]")
        else:
            actual = "null" if not block else "not in the dump" if number is None else f"Number {number}"
            yield bad(f"KiProcessorBlock[{index}]", f"a KPRCB with Number {index}", actual, _at(dump, block))
    saved = _saved_number(case)
    count = header_of(dump)["NumberProcessors"]
    if saved is not None:
        number, span = saved
        expected = f"less than {count}"
        yield ok("prcb, Number") if number < count else bad("prcb, Number", expected, f"{number}", span)


def _at(dump: KernelDump, address: int) -> Span:
    offset = dump.where(address)
    return Span(offset, offset + 8)


def _saved_number(case: KernelCase) -> tuple[int, Span] | None:
    """KPRCB.Number of a small dump's saved KPRCB."""
    return saved_field(case, "prcb", debugger_data(case)["OffsetPrcbNumber"], 4)


def saved_field(case: KernelCase, block: str, offset: int, size: int) -> tuple[int, Span] | None:
    """An integer in a saved KPRCB, EPROCESS or ETHREAD of a small dump."""
    span = None if case.dump.triage is None else case.dump.triage.blocks.get(block)
    if span is None or offset + size > len(span):
        return None
    where = Span(span.start + offset, span.start + offset + size)
    return int.from_bytes(case.dump.source.read(where.start, size), "little"), where


@kernel_rule(
    "KXCT-CONTEXT-001",
    "KPRCB.Context of the crashing processor is the header's context",
    Level.MUST,
    spec("4.6, 6.1 A8 [S 22/22: same stack pointer 18, exception contexts 4]; QEMU, kdmp-parser-rs", Grade.OBSERVED),
    needs=("header", "memory", "context"),
    applies=with_debugger_data,
    foreign_level=Level.SHOULD,
)
def same_context(case: KernelCase) -> Checks:
    """Readers find the crashing processor by the stack pointer that both have. The context of an exception, in Windows'
    own dumps, stands in the header alone; the stack of a small dump then begins where KPRCB.Context says.
    """
    dump, context = case.dump, case.dump.context
    assert context is not None
    assert dump.architecture is not None
    contexts = _live_contexts(case)
    if not contexts:
        return
    layout = ARCHITECTURES[dump.architecture]
    pointers = {record[layout.sp] for record in contexts}
    wanted, what = context[layout.sp], "the header's stack pointer"
    if context["ContextFlags"] & EXCEPTION_CONTEXT and not own(case) and dump.triage is not None:
        wanted, what = dump.triage.header["TopOfStack"], "TopOfStack"
    complete = dump.paged or len(contexts) == header_of(dump)["NumberProcessors"]
    if wanted in pointers:
        yield ok("KPRCB.Context")
    elif complete and not (context["ContextFlags"] & EXCEPTION_CONTEXT and not own(case)):
        shown = ", ".join(f"{value:#x}" for value in sorted(pointers))
        yield bad("KPRCB.Context", f"{wanted:#x}, {what}, on one processor", shown, context.span_of(layout.sp))


def _live_contexts(case: KernelCase) -> list[Record]:
    """What KPRCB.Context points at, of each processor for which the dump has it."""
    dump, record = case.dump, debugger_data(case)
    offset = record["OffsetPrcbContext"]
    assert dump.context is not None
    found = []
    for index, block in processor_blocks(dump) if offset else ():
        pointer = dump.pointer_at(block + offset) if block else None
        path = f"context of processor {index}"
        context = dump.structure(dump.context.type, pointer, path) if pointer else None
        if context is not None:
            found.append(context)
    return found


@kernel_rule(
    "KXCT-BUGCHECK-001",
    "KiBugCheckData holds the header's code and parameters",
    Level.MUST,
    spec("4.2, 6.1 A6 [S 1/1]; QEMU copies them from there", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and case.dump.paged,
    foreign_level=Level.SHOULD,
)
def bug_check_data(case: KernelCase) -> Checks:
    """Five pointers in the kernel's memory. Bit 0x10000000 of the code may be set in the header only; a live machine's
    are 0.
    """
    dump, header = case.dump, header_of(case.dump)
    at = dump.address(debugger_data(case)["KiBugcheckData"])
    values = [dump.pointer_at(at + index * dump.pointer) for index in range(5)] if at else []
    if not values or None in values or not any(value for value in values):
        return
    names = ("BugCheckCode", *(f"BugCheckParameter{index}" for index in range(1, 5)))
    for name, value in zip(names, values, strict=True):
        assert value is not None
        mask = ~0x1000_0000 if name == "BugCheckCode" else -1
        if header[name] & mask == value & mask:
            yield ok(f"KiBugCheckData, {name}")
        else:
            yield bad(f"header, {name}", f"{value:#x}, as KiBugCheckData", f"{header[name]:#x}", header.span_of(name))


@kernel_rule(
    "KXCT-PAE-001",
    "PaeEnabled is the paging mode of the tables",
    Level.MUST,
    spec("2.11, 4.1, 6.4 X7: LeechCore, volatility 2", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: case.dump.bits == 32 and with_debugger_data(case),
)
def pae(case: KernelCase) -> Checks:
    """With the wrong mode every translation of a 32-bit target leads elsewhere. That the block could be read through
    the tables shows that the header's is right.
    """
    header, record = header_of(case.dump), debugger_data(case)
    stored, told = header["PaeEnabled"] & 1, record["PaeEnabled"] & 1
    if stored == told:
        yield ok("header, PaeEnabled")
    else:
        yield bad("header, PaeEnabled", f"{told}, as the debugger data", f"{stored}", header.span_of("PaeEnabled"))


@kernel_rule(
    "KXCT-USER-001",
    "ProductType and SuiteMask are those of KUSER_SHARED_DATA",
    Level.SHOULD,
    spec("2.2, 4.9, 6.4 X8 [S 1/1]; QEMU, volatility3", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: holds_memory(case) and case.dump.architecture is not None,
)
def shared_data(case: KernelCase) -> Checks:
    """The page stands at a fixed address of every address space, and some readers judge a root by it."""
    dump, header = case.dump, header_of(case.dump)
    assert dump.architecture is not None
    base = KUSER_SHARED_DATA[dump.architecture]
    for name, offset in (("ProductType", _PRODUCT_TYPE), ("SuiteMask", _SUITE_MASK)):
        value = dump.integer(base + offset, 4)
        if value is None:
            if dump.paged:
                yield bad("KUSER_SHARED_DATA", f"a page at {base:#x}", "not in the dump", fault=Fault.MISSING)
                return
        elif header[name] in (value, _FILL):
            yield ok(f"header, {name}")
        else:
            yield bad(f"header, {name}", f"{value:#x}", f"{header[name]:#x}", header.span_of(name))


_PCIDS: Final = 0x1000
"""Low bits of Cr3 that are a process-context identifier (Intel SDM volume 3, 2.5; spec kernel-mode 6.1 A11)."""


@kernel_rule(
    "KXCT-DTB-001",
    "A small dump's root is that of its process, and of its processor",
    Level.MUST,
    spec("2.2, 4.6, 6.1 A11 [S 72/72, Cr3 71/71]", Grade.OBSERVED),
    needs=("header", "triage.blocks"),
    applies=lambda case: case.dump.type == TRIAGE and with_debugger_data(case),
)
def saved_roots(case: KernelCase) -> Checks:
    """DirectoryTableBase of the saved EPROCESS, and Cr3 of the saved KPRCB on amd64. Low bits that hold a PCID are
    another writer's to store or to clear.
    """
    dump, header, record = case.dump, header_of(case.dump), debugger_data(case)
    root, span = header["DirectoryTableBase"], header.span_of("DirectoryTableBase")
    places = [("process", record["OffsetEprocessDirectoryTableBase"], "DirectoryTableBase of the saved EPROCESS")]
    if dump.architecture == "amd64":
        places.append(("prcb", record["OffsetPrcbProcStateSpecialReg"] + 0x10, "Cr3 of the saved KPRCB"))
    for block, offset, name in places:
        held = saved_field(case, block, offset, dump.pointer)
        if held is None:
            continue
        differing = held[0] ^ root
        if not differing or (not own(case) and dump.architecture == "amd64" and differing < _PCIDS):
            yield ok(f"header, DirectoryTableBase: {name}")
        else:
            yield bad("header, DirectoryTableBase", f"{held[0]:#x}, {name}", f"{root:#x}", span, held[1])


@kernel_rule(
    "KXCT-VERSION-001",
    "KdVersionBlock, where it is known, tells the header's version and lists",
    Level.SHOULD,
    spec("4.3, 6.1 A4, 6.4 X3 [D M19]", Grade.DOCUMENTED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and case.truth is not None and case.dump.paged,
)
def version_block(case: KernelCase) -> Checks:
    """MajorVersion and MinorVersion come from there, and KernBase and PsLoadedModuleList are the debugger data's."""
    assert case.truth is not None
    dump, header, record = case.dump, header_of(case.dump), debugger_data(case)
    address = case.truth.symbols.kd_version_block
    block = dump.structure("DBGKD_GET_VERSION64", address, "KdVersionBlock") if address else None
    if block is None:
        return
    expected = {name: header[name] for name in ("MajorVersion", "MinorVersion")}
    expected |= {name: record[name] for name in ("KernBase", "PsLoadedModuleList")}
    yield from same(block, "KdVersionBlock", expected)
