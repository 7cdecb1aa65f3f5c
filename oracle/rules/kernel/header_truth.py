"""Against truth and request: the main header of a kernel dump, to the last byte."""

from __future__ import annotations

from struct import pack
from typing import Final

from ...case import KernelCase
from ...decode import Record, decode
from ...entitlement.kernel import dump_types, refusal
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import FULL, HEADER, TRIAGE
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import one_of, same, same_bytes
from .asserts import blank, blank_area, blank_fields, header_of, spec, truth_of
from .header import special_registers

TRUTH: Final = Source("the machine's own state, docs/truth-format.md", Grade.DOCUMENTED)
_AMD64: Final = 0x8664
_NO_EXCEPTION: Final = 0x80000003
"""STATUS_BREAKPOINT: the exception record of every real dump without one (spec kernel-mode 2.3)."""


def own_amd64(case: KernelCase) -> bool:
    """A dump of one's own whose header is that of the truth's architecture."""
    return case.truth is not None and case.dump.bits == 64


@kernel_rule(
    "KHDR-REQUEST-001",
    "A kernel dump exists only where the request makes one",
    Level.MUST,
    Source("learn.microsoft.com IDebugClient4::WriteDumpFile2; spec kernel-mode 1.1, 1.4", Grade.DOCUMENTED),
    applies=lambda case: case.truth is not None and case.request is not None,
)
def request_makes_a_dump(case: KernelCase) -> Checks:
    """User-mode format flags mean nothing for a kernel target, other qualifiers write nothing, a page that cannot be
    read ends the writing: a dump that is there all the same hides a failure.
    """
    assert case.request is not None
    why = refusal(truth_of(case), case.request)
    if why is None:
        yield ok("dump")
    else:
        yield bad("dump", f"no dump: {why}", "a kernel dump", Span(0, case.dump.header_size), fault=Fault.FORBIDDEN)


@kernel_rule(
    "KHDR-TYPE-002",
    "DumpType is the one that qualifier and profile give",
    Level.MUST,
    spec("1.3, 6.1 A3; design.md 11", Grade.INFERRED),
    needs=("header",),
    applies=lambda case: case.truth is not None and case.request is not None,
)
def requested_type(case: KernelCase) -> Checks:
    """Small, kernel, complete and active dumps each have types of their own; which, the profile says."""
    assert case.request is not None
    types = dump_types(case.request)
    if types:
        yield from one_of(header_of(case.dump), "header", "DumpType", types)


@kernel_rule(
    "KHDR-FIELDS-001",
    "The header's fields have the target's values",
    Level.MUST,
    TRUTH,
    spec("2.2, 6.1 A1, A4, A5, A11", Grade.IMPLEMENTED),
    needs=("header",),
    applies=own_amd64,
)
def fields(case: KernelCase) -> Checks:
    """Build, root, list heads, machine, processors, product: what a debugger starts from. One wrong address, and there
    are no modules; one processor too many, and the debugger walks structures that are not there.
    """
    truth = truth_of(case)
    expected = {
        "MajorVersion": truth.system.major_version,
        "MinorVersion": truth.system.build_number,
        "DirectoryTableBase": truth.directory_table_base,
        "PsLoadedModuleList": truth.symbols.ps_loaded_module_list,
        "PsActiveProcessHead": truth.symbols.ps_active_process_head,
        "MachineImageType": _AMD64,
        "NumberProcessors": len(truth.processors),
        "KdDebuggerDataBlock": truth.symbols.kd_debugger_data_block,
        "ProductType": truth.system.product_type,
        "SuiteMask": truth.system.suite_mask,
    }
    yield from same(header_of(case.dump), "header", expected)


@kernel_rule(
    "KHDR-PFN-001",
    "PfnDataBase is the PFN database's address, or that of the variable that holds it",
    Level.MUST,
    spec("2.2, 3.7 [S 72/72: the variable in layout A, the value in layout B]", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def pfn_database(case: KernelCase) -> Checks:
    """Both are in use, and debuggers load both. A small dump has the one of its layout."""
    truth, dump = truth_of(case), case.dump
    variable = truth.symbols.mm_pfn_database
    raw = truth.read(variable, 8)
    value = () if raw is None else (int.from_bytes(raw, "little"),)
    accepted: tuple[int, ...] = (variable, *value)
    if dump.type == TRIAGE and dump.triage is not None:
        accepted = value if dump.triage.layout == "B" and value else (variable,)
    yield from one_of(header_of(dump), "header", "PfnDataBase", accepted)


@kernel_rule(
    "KHDR-BUGCHECK-001",
    "Bug check code and parameters are the target's",
    Level.MUST,
    TRUTH,
    spec("2.2, 6.1 A6", Grade.IMPLEMENTED),
    needs=("header",),
    applies=own_amd64,
)
def bug_check(case: KernelCase) -> Checks:
    """What every tool prints first, and what crashes are grouped by."""
    check = truth_of(case).bug_check
    expected = {"BugCheckCode": check.code}
    expected |= {f"BugCheckParameter{index + 1}": value for index, value in enumerate(check.parameters)}
    yield from same(header_of(case.dump), "header", expected)


@kernel_rule(
    "KHDR-CONTEXT-003",
    "The context is that of the processor that crashed, every register and byte",
    Level.MUST,
    TRUTH,
    spec("2.2, 4.7, 6.1 A7", Grade.IMPLEMENTED),
    needs=("context",),
    applies=own_amd64,
)
def context(case: KernelCase) -> Checks:
    """Integer, control, segment, debug and floating-point registers. What a CONTEXT has besides is zero, or what the
    record in the target's memory has there.
    """
    record, truth = case.dump.context, truth_of(case)
    if record is None or record.type != "CONTEXT_AMD64":
        yield bad("context record", "a CONTEXT of amd64", "none")
        return
    saved = truth.crashed.context
    yield from same(record, "context record", {"ContextFlags": saved.context_flags, **saved.registers})
    span = record.span_of("FltSave")
    yield from same_bytes("context record, FltSave", saved.fxsave, record.raw("FltSave"), span)
    yield from _rest_of_context(case, record)


_NO_TRUTH: Final = (
    *("P1Home", "P2Home", "P3Home", "P4Home", "P5Home", "P6Home", "VectorRegister", "VectorControl", "DebugControl"),
    *("LastBranchToRip", "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip"),
)


def _rest_of_context(case: KernelCase, record: Record) -> Checks:
    live = saved_context(case)
    for name in _NO_TRUTH:
        raw = record.raw(name)
        held = live.raw(name) if live is not None else raw
        if not any(raw) or (live is not None and raw == held):
            yield ok(f"context record, {name}")
        else:
            expected = ("zero",) if live is None else ("zero", held[:16].hex())
            yield bad(f"context record, {name}", expected, raw[:16].hex(), record.span_of(name))


def saved_context(case: KernelCase) -> Record | None:
    """The record that the crashing processor's KPRCB.Context points at, in the truth."""
    truth = truth_of(case)
    debugger = truth.debugger_data
    offset = 0 if debugger is None else debugger["OffsetPrcbContext"]
    pointer = truth.read(truth.crashed.kprcb + offset, 8) if offset else None
    return None if pointer is None else truth.structure("CONTEXT_AMD64", int.from_bytes(pointer, "little"))


@kernel_rule(
    "KHDR-CONTEXT-006",
    "Special registers behind the CONTEXT are the processor's",
    Level.MUST,
    TRUTH,
    spec("4.6: one writer stores them there", Grade.INFERRED),
    needs=("context",),
    applies=own_amd64,
)
def special(case: KernelCase) -> Checks:
    """Where the header holds KSPECIAL_REGISTERS, they are those of the processor whose context it is."""
    record = special_registers(case.dump)
    if record is None:
        return
    held = truth_of(case).crashed.special_registers
    yield from same(record, "special registers in the header", {n: v for n, v in held.items() if n in _fields(record)})
    for name in _fields(record):
        if name not in held and any(record.raw(name)):
            actual = record.raw(name).hex()
            yield bad(f"special registers in the header, {name}", "zero", actual, record.span_of(name))


def _fields(record: Record) -> tuple[str, ...]:
    return tuple(record.structure.fields)


@kernel_rule(
    "KHDR-EXCEPTION-003",
    "The exception record is the bug check's, or the one the target has",
    Level.MUST,
    TRUTH,
    spec("2.3 [S 73/73]", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def exception(case: KernelCase) -> Checks:
    """Windows stores a breakpoint at the instruction pointer, whatever the bug check, and leaves every slot fill."""
    record, truth = case.dump.exception, truth_of(case)
    assert record is not None
    held = truth.exception
    expected = {
        "ExceptionCode": _NO_EXCEPTION if held is None else held.code,
        "ExceptionFlags": 1 if held is None else held.flags,
        "ExceptionRecord": 0,
        "ExceptionAddress": truth.crashed.context.ip if held is None else held.address,
        "NumberParameters": 0,
    }
    yield from same(record, "exception record", expected)
    yield from blank_fields(record, "exception record", ("__unusedAlignment", "ExceptionInformation"))


@kernel_rule(
    "KHDR-TIME-002",
    "SystemTime and SystemUpTime are the moment of the crash",
    Level.MUST,
    TRUTH,
    needs=("header",),
    applies=own_amd64,
)
def times(case: KernelCase) -> Checks:
    """A FILETIME, and how long the machine had been running, in 100 ns."""
    truth = truth_of(case)
    yield from same(header_of(case.dump), "header", {"SystemTime": truth.time, "SystemUpTime": truth.up_time})


@kernel_rule(
    "KHDR-COMMENT-002",
    "Comment is the one that was given",
    Level.MUST,
    Source("learn.microsoft.com IDebugClient4::WriteDumpFile2; spec kernel-mode 1.4, 6.1 A13", Grade.DOCUMENTED),
    needs=("header",),
    applies=lambda case: own_amd64(case) and case.request is not None,
)
def comment(case: KernelCase) -> Checks:
    """ANSI, at most 127 characters and a NUL; the rest of the field, and the field without a comment, zero or fill.
    Characters that no ANSI code page of the judge's can tell are not judged.
    """
    assert case.request is not None
    header = header_of(case.dump)
    span, raw = header.span_of("Comment"), header.raw("Comment")
    text = case.request.comment
    if not text:
        yield from blank_area(case.dump, "header, Comment", span)
        return
    stored, nul, _ = raw.partition(b"\0")
    wanted = text[:127]
    same_text = len(stored) == len(wanted) and all(
        ord(character) == byte if ord(character) < 0x80 else True
        for character, byte in zip(wanted, stored, strict=True)
    )
    if nul and same_text:
        yield ok("header, Comment")
    else:
        yield bad("header, Comment", repr(wanted), repr(stored.decode("latin-1")), span)
    if nul:
        rest = Span(span.start + len(stored) + 1, span.end)
        yield from blank_area(case.dump, "header, Comment, behind the NUL", rest)


@kernel_rule(
    "KHDR-MAP-001",
    "A memory map in the header is the machine's",
    Level.MUST,
    TRUTH,
    spec("2.2, 2.4: fill, or the real map, where the pages are found elsewhere [S 72/72]", Grade.OBSERVED),
    needs=("header",),
    applies=lambda case: own_amd64(case) and case.dump.type != FULL,
)
def memory_map(case: KernelCase) -> Checks:
    """Readers ignore it for kinds other than type 1, and tools print its page count all the same."""
    dump, truth = case.dump, truth_of(case)
    block = header_of(dump).span_of("PhysicalMemoryBlock")
    if dump.type == TRIAGE and dump.triage is not None and dump.triage.layout == "B":
        filled = None
    else:
        filled = blank(dump.source.view(block.start, len(block)), block.start)
    if filled is not None:
        yield ok("header, PhysicalMemoryBlock")
        return
    runs = truth.physical_runs[:42]
    wanted = pack("<I", len(runs))
    record = decode(dump.source, block.start, "PHYSICAL_MEMORY_DESCRIPTOR64", "PhysicalMemoryBlock")
    yield from same_bytes("PhysicalMemoryBlock, NumberOfRuns", wanted, record.raw("NumberOfRuns"), block)
    yield from blank_fields(record, "PhysicalMemoryBlock", ("_padding04",))
    pages = pack("<Q", sum(run.page_count for run in runs))
    yield from same_bytes("PhysicalMemoryBlock, NumberOfPages", pages, record.raw("NumberOfPages"), block)
    at = record.span.end
    listed = b"".join(pack("<QQ", run.base_page, run.page_count) for run in runs)
    span = Span(at, at + len(listed))
    yield from same_bytes("PhysicalMemoryBlock, Run", listed, dump.source.read(at, len(listed)), span)
    yield from blank_area(dump, "PhysicalMemoryBlock, behind the runs", Span(span.end, block.end))


@kernel_rule(
    "KHDR-FILL-001",
    "What the target has no value for is zero or fill",
    Level.MUST,
    spec("2.2: fill everywhere that nothing was stored [S 73/73]", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def nothing_else(case: KernelCase) -> Checks:
    """Version text, states, unused and reserved bytes. Anything else in them is memory of the machine that wrote the
    dump. Build 26100 puts the value 04 45 and a block of diagnostics into its small dumps.
    """
    dump, header = case.dump, header_of(case.dump)
    names = ["VersionUser", "SecondaryDataState", "WriterStatus", "Unused1"]
    if dump.type != TRIAGE:
        names.append("MiniDumpFields")
    yield from blank_fields(header, "header", names)
    windows = dump.type == TRIAGE and dump.build >= 26100
    if windows and header.raw("Unused") == b"\x04\x45":
        yield ok("header, Unused")
    else:
        yield from blank_fields(header, "header", ("Unused",))
    area = header.span_of("_reserved0")
    if windows and dump.source.read(area.start, 4) == pack("<I", 0x298):
        yield from _diagnostics(case, area)
    else:
        yield from blank_area(dump, "header, _reserved0", area)


def _diagnostics(case: KernelCase, area: Span) -> Checks:
    """The block that build 26100 stores: spec kernel-mode 2.2, table "Diagnostics in _reserved0"."""
    dump = case.dump
    build = f"{truth_of(case).system.build_number}\0".encode("utf-16-le")
    expected = pack("<II", 0x298, 0x298) + bytes(0x190) + b"Dump completed successfully.".ljust(0x100, b"\0") + build
    span = Span(area.start, area.start + len(expected))
    yield from same_bytes("header, diagnostics", expected, dump.source.read(span.start, len(expected)), span)
    yield from blank_area(dump, "header, diagnostics, padding", Span(span.end, 0x1300))
    update = Span(0x1300, 0x1304)
    dump.dont_care(update, "update build revision: nothing else of the target tells it (spec kernel-mode 2.2)")
    version = Span(0x1304, 0x130C)
    yield from same_bytes("header, diagnostics, version", pack("<II", 10, 0), dump.source.read(0x1304, 8), version)
    yield from blank_area(dump, "header, _reserved0", Span(0x130C, area.end))


@kernel_rule(
    "KHDR-ALONE-001",
    "A dump without memory is the header alone",
    Level.MUST,
    spec("1.2, 2.1: type 3, H bytes", Grade.IMPLEMENTED),
    needs=("header",),
    applies=lambda case: own(case) and case.dump.type == HEADER,
)
def header_alone(case: KernelCase) -> Checks:
    """Type 3 holds bug check, registers and addresses, and no byte of memory: neither pages nor what callbacks gave."""
    size, extra = case.dump.header_size, case.dump.source.size
    if extra == size:
        yield ok("file")
    else:
        yield bad("file", f"{size:#x} bytes", f"{extra:#x}", Span(size, extra), fault=Fault.FORBIDDEN)
