"""Judges whether header, debugger data, modules and processors of a kernel dump agree.

In a small dump the debugger data and the driver list are parts of the file. A rule is skipped if a small dump lacks the
memory for it.
"""

from __future__ import annotations

from typing import Final

from ...case import KernelCase
from ...decode import Record
from ...model import Fault, Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.kernel_dump import FILL32, TRIAGE, XP, KernelDump
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import same
from .asserts import EXCEPTION_CONTEXT, header_of

_LEAST, _MOST = 0x290, 0x800
"""Plausible sizes of KDDEBUGGER_DATA64 (docs/format/kernel-debugger-data.md#size-of-the-block)."""
_LEAST_BEFORE_XP = 0x208
"""Its size before Windows XP."""
_FILLS: Final = (FILL32, FILL32 << 32 | FILL32)
"""An address of 32 or 64 bits that was never stored."""
_MAX_PROCESSORS: Final = 4096
_SEVEN: Final = 7600
"""The build of Windows 7."""

KUSER_SHARED_DATA: Final = {"amd64": 0xFFFF_F780_0000_0000, "arm64": 0xFFFF_F780_0000_0000, "x86": 0xFFDF_0000}
"""Kernel address of the page (docs/format/kernel-structures.md#shared-user-data-page)."""
_PRODUCT_TYPE, _SUITE_MASK = 0x264, 0x2D0


def holds_memory(case: KernelCase) -> bool:
    """Whether the kind of dump holds memory of the target."""
    return case.dump.paged or case.dump.type == TRIAGE


def with_debugger_data(case: KernelCase) -> bool:
    return case.dump.debugger_data is not None


def debugger_data(case: KernelCase) -> Record:
    record = case.dump.debugger_data
    assert record is not None
    return record


@kernel_rule(
    "KXCT-KDBG-001",
    "KDDEBUGGER_DATA64 is present and decoded",
    Level.MUST,
    Source(
        "docs/format/kernel-structures.md#debugger-data-agrees-with-the-header", Grade.WITNESSED, versions=("29507",)
    ),
    Source("docs/format/kernel-debugger-data.md#header-of-the-block", Grade.DOCUMENTED),
    needs=("header", "memory"),
    applies=lambda case: holds_memory(case) and (own(case) or with_debugger_data(case) or _must_be_there(case.dump)),
)
def debugger_block(case: KernelCase) -> Checks:
    """Readers find everything except pages and registers through KDDEBUGGER_DATA64. The running kernel keeps it
    encoded. In a dump it is decoded, and its tag reads KDBG. Without truth a dump with pages may have no address of the
    block. Page tables of arm64 are known from one reader only, so there its absence proves nothing.
    """
    dump = case.dump
    record = dump.debugger_data
    least = _LEAST if own(case) or dump.build >= XP else _LEAST_BEFORE_XP
    if record is None:
        span = header_of(dump).span_of("KdDebuggerDataBlock")
        address = f"{header_of(dump)['KdDebuggerDataBlock']:#x}"
        yield bad("debugger data", f"KDDEBUGGER_DATA64 at {address}", "not in the dump", span, fault=Fault.MISSING)
        return
    tag, size = record.raw("Header.OwnerTag"), record["Header.Size"]
    for name, passed, expected, actual in (
        ("Header.OwnerTag", tag == b"KDBG", "KDBG", repr(tag)[1:]),
        ("Header.Size", least <= size <= _MOST, f"{least:#x} to {_MOST:#x}", f"{size:#x}"),
    ):
        span = record.span_of(name)
        yield ok(f"debugger data, {name}") if passed else bad(f"debugger data, {name}", expected, actual, span)


def _must_be_there(dump: KernelDump) -> bool:
    address = header_of(dump)["KdDebuggerDataBlock"]
    return not dump.paged or (address not in (0, *_FILLS) and dump.architecture != "arm64")


@kernel_rule(
    "KXCT-KDBG-002",
    "Debugger data and header have the same list heads",
    Level.MUST,
    Source("docs/format/kernel-structures.md#debugger-data-agrees-with-the-header", Grade.IMPLEMENTED),
    Source("docs/format/kernel-structures.md#debugger-data-agrees-with-the-header", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=with_debugger_data,
    foreign_level=Level.SHOULD,
)
def list_heads(case: KernelCase) -> Checks:
    """Some tools start from the debugger data, some from the header. One writer stores another PsActiveProcessHead in
    the header, and the engine accepts 0 there.
    """
    header, record = header_of(case.dump), debugger_data(case)
    for name in ("PsLoadedModuleList", "PsActiveProcessHead"):
        value = case.dump.address(record[name])
        if value == header[name]:
            yield ok(f"debugger data, {name}")
        else:
            expected = f"{header[name]:#x}, the value in the header"
            yield bad(f"debugger data, {name}", expected, f"{value:#x}", header.span_of(name), record.span_of(name))


@kernel_rule(
    "KXCT-KDBG-003",
    "Debugger data and header have the same PFN database",
    Level.SHOULD,
    Source("docs/format/kernel-header-fields.md#pfndatabase", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=with_debugger_data,
)
def pfn_database(case: KernelCase) -> Checks:
    """Debugger data and header both hold the address of the variable MmPfnDatabase. Or the header holds the value of
    the variable: the address of a page outside the kernel image.
    """
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
    "KiProcessorBlock[n] leads to the KPRCB with Number n",
    Level.MUST,
    Source("docs/format/kernel-structures.md#processor-list", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and (own(case) or bool(debugger_data(case)["OffsetPrcbNumber"])),
)
def processor_numbers(case: KernelCase) -> Checks:
    """Debuggers read the registers of processor n through KiProcessorBlock[n]. The rule checks as many entries as
    NumberProcessors. A small dump may lack the array. It is all zero if engine 15063 copied another small dump.
    Without truth the rule skips the array of a small dump, which such a copy fills with other values, too, and debugger
    data that ends before OffsetPrcbNumber, as in Windows XP. It also allows null entries after the first: a converter
    may count processors that Windows does not use, and the engine opens that.
    """
    dump, record = case.dump, debugger_data(case)
    blocks = processor_blocks(dump)
    lost = not dump.paged and (not own(case) or not any(block for _, block in blocks))
    for index, block in () if lost else blocks:
        if block is None:
            if dump.paged:
                subject = f"KiProcessorBlock[{index}]"
                yield bad(subject, "an entry", "not in the dump", record.span_of("KiProcessorBlock"))
            continue
        if not block and index and not own(case):
            continue
        number = dump.integer(block + record["OffsetPrcbNumber"], _number_size(dump)) if block else None
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
    """KPRCB.Number of a small dump's saved KPRCB, with its place in the file."""
    return saved_field(case, "prcb", debugger_data(case)["OffsetPrcbNumber"], _number_size(case.dump))


def _number_size(dump: KernelDump) -> int:
    """Bytes of KPRCB.Number (docs/format/kernel-structures.md#number-of-a-kprcb)."""
    return 1 if dump.build < _SEVEN else 4


def saved_field(case: KernelCase, block: str, offset: int, size: int) -> tuple[int, Span] | None:
    """An integer of ``size`` bytes in a saved KPRCB, EPROCESS or ETHREAD of a small dump, with its place in the file.

    None if the dump has no such block, or if the field lies outside it.
    """
    span = None if case.dump.triage is None else case.dump.triage.blocks.get(block)
    if span is None or offset + size > len(span):
        return None
    where = Span(span.start + offset, span.start + offset + size)
    return int.from_bytes(case.dump.source.read(where.start, size), "little"), where


@kernel_rule(
    "KXCT-CONTEXT-001",
    "The header's context is the KPRCB.Context of the crashing processor",
    Level.MUST,
    Source("docs/format/kernel-structures.md#context-of-the-crash-agrees", Grade.IMPLEMENTED),
    Source("docs/format/kernel-header.md#context-against-the-kprcb", Grade.OBSERVED),
    needs=("header", "memory", "context"),
    applies=with_debugger_data,
    foreign_level=Level.SHOULD,
)
def same_context(case: KernelCase) -> Checks:
    """Readers find the crashing processor by the stack pointer, which both records hold. The rule exempts the context
    of an exception: Windows and the engines store it in the header alone. The stack of a small dump then begins at the
    SP of KPRCB.Context.
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
    raised = bool(context["ContextFlags"] & EXCEPTION_CONTEXT) and not (own(case) and dump.paged)
    if raised and dump.triage is not None:
        wanted, what = dump.triage.header["TopOfStack"], "TopOfStack"
    complete = dump.paged or len(contexts) == header_of(dump)["NumberProcessors"]
    if wanted in pointers:
        yield ok("KPRCB.Context")
    elif complete and not raised:
        shown = ", ".join(f"{value:#x}" for value in sorted(pointers))
        yield bad("KPRCB.Context", f"{wanted:#x}, {what}, on one processor", shown, context.span_of(layout.sp))


def _live_contexts(case: KernelCase) -> list[Record]:
    """The records that KPRCB.Context points to, of all processors for which the dump has them."""
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
    "KiBugCheckData holds the header's bug check code and parameters",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#bug-check-code-and-parameters", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and case.dump.paged,
    foreign_level=Level.SHOULD,
)
def bug_check_data(case: KernelCase) -> Checks:
    """The variable has five pointers. Bit 0x10000000 of the code may be set in the header alone. The rule skips five
    zeros: the machine was live.
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
            yield bad(
                f"header, {name}",
                f"{value:#x}, the value in KiBugCheckData",
                f"{header[name]:#x}",
                header.span_of(name),
            )


@kernel_rule(
    "KXCT-PAE-001",
    "PaeEnabled of the header is that of the debugger data",
    Level.MUST,
    Source("docs/format/kernel-other-architectures.md#paging-mode-of-x86", Grade.IMPLEMENTED),
    needs=("header", "memory"),
    applies=lambda case: case.dump.architecture == "x86" and with_debugger_data(case),
)
def pae(case: KernelCase) -> Checks:
    """With the wrong paging mode all translations of a 32-bit target go wrong. The debugger data was found through the
    page tables, so the header's mode is right.
    """
    header, record = header_of(case.dump), debugger_data(case)
    stored, expected = header["PaeEnabled"] & 1, record["PaeEnabled"] & 1
    if stored == expected:
        yield ok("header, PaeEnabled")
    else:
        yield bad(
            "header, PaeEnabled",
            f"{expected}, the value in the debugger data",
            f"{stored}",
            header.span_of("PaeEnabled"),
        )


@kernel_rule(
    "KXCT-USER-001",
    "ProductType and SuiteMask are those of KUSER_SHARED_DATA",
    Level.SHOULD,
    Source("docs/format/kernel-structures.md#shared-user-data-page", Grade.IMPLEMENTED),
    Source("docs/format/kernel-structures.md#shared-user-data-page", Grade.OBSERVED),
    needs=("header", "memory"),
    applies=lambda case: holds_memory(case) and case.dump.architecture is not None,
)
def shared_data(case: KernelCase) -> Checks:
    """KUSER_SHARED_DATA has a fixed address in every address space. Some readers check a page-table root by reading the
    page.
    """
    dump, header = case.dump, header_of(case.dump)
    assert dump.architecture is not None
    base = KUSER_SHARED_DATA[dump.architecture]
    for name, offset in (("ProductType", _PRODUCT_TYPE), ("SuiteMask", _SUITE_MASK)):
        value = dump.integer(base + offset, 4)
        if value is None:
            if dump.paged:
                yield bad("KUSER_SHARED_DATA", f"a page at {base:#x}", "not in the dump", fault=Fault.MISSING)
                return
        elif header[name] in (value, FILL32):
            yield ok(f"header, {name}")
        else:
            yield bad(f"header, {name}", f"{value:#x}", f"{header[name]:#x}", header.span_of(name))


_PCIDS: Final = 0x1000
"""The low bits of Cr3 may hold a PCID below this (docs/format/kernel-header-fields.md#directorytablebase)."""


@kernel_rule(
    "KXCT-DTB-001",
    "DirectoryTableBase of a small dump is that of the saved EPROCESS and KPRCB",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#directorytablebase", Grade.OBSERVED),
    needs=("header", "triage.blocks"),
    applies=lambda case: case.dump.type == TRIAGE and with_debugger_data(case),
    foreign_level=Level.SHOULD,
)
def saved_roots(case: KernelCase) -> Checks:
    """On amd64 DirectoryTableBase is also Cr3 of the saved KPRCB. Without truth the rule ignores the PCID in the low
    bits, which a writer may keep or clear. It skips a field whose offset the debugger data does not give. The engine
    copies the KPRCB of a dump that another program made; its Cr3 can be of an earlier stop.
    """
    dump, header, record = case.dump, header_of(case.dump), debugger_data(case)
    root, span = header["DirectoryTableBase"], header.span_of("DirectoryTableBase")
    places = [("process", record["OffsetEprocessDirectoryTableBase"], "DirectoryTableBase of the saved EPROCESS")]
    if dump.architecture == "amd64":
        places.append(("prcb", record["OffsetPrcbProcStateSpecialReg"] + 0x10, "Cr3 of the saved KPRCB"))
    for block, offset, name in places:
        held = saved_field(case, block, offset, dump.pointer) if own(case) or offset not in (0, 0x10) else None
        if held is None:
            continue
        differing = held[0] ^ root
        if not differing or (not own(case) and dump.architecture == "amd64" and differing < _PCIDS):
            yield ok(f"header, DirectoryTableBase: {name}")
        else:
            yield bad("header, DirectoryTableBase", f"{held[0]:#x}, {name}", f"{root:#x}", span, held[1])


@kernel_rule(
    "KXCT-VERSION-001",
    "KdVersionBlock agrees with header and debugger data",
    Level.SHOULD,
    Source("docs/format/kernel-debugger-data.md#finding-the-version-block", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-header-fields.md#versions", Grade.DOCUMENTED),
    needs=("header", "memory"),
    applies=lambda case: with_debugger_data(case) and case.truth is not None and case.dump.paged,
)
def version_block(case: KernelCase) -> Checks:
    """KdVersionBlock has MajorVersion and MinorVersion of the header, KernBase and PsLoadedModuleList of the debugger
    data.
    """
    assert case.truth is not None
    dump, header, record = case.dump, header_of(case.dump), debugger_data(case)
    address = case.truth.symbols.kd_version_block
    block = dump.structure("DBGKD_GET_VERSION64", address, "KdVersionBlock") if address else None
    if block is None:
        return
    expected = {name: header[name] for name in ("MajorVersion", "MinorVersion")}
    expected |= {name: record[name] for name in ("KernBase", "PsLoadedModuleList")}
    yield from same(block, "KdVersionBlock", expected)
