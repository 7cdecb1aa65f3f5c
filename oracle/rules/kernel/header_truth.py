"""Judges every byte of a kernel dump's main header against truth and request."""

from __future__ import annotations

from struct import pack
from typing import Final

from ...case import KernelCase
from ...decode import Record, decode
from ...entitlement.kernel import dump_types, refusal
from ...entitlement.kernel_writers import E29507, engine_of
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import FULL, RANGES, TRIAGE
from ...rule import Checks, bad, kernel_rule, ok
from ..asserts import of_a_dump, one_of, same, same_bytes
from .asserts import EXCEPTION_CONTEXT, blank_area, blank_at, blank_fields, header_of, truth_of
from .header import special_registers

_AMD64: Final = 0x8664
_UNHANDLED_EXCEPTION: Final = 0x7E
"""SYSTEM_THREAD_EXCEPTION_NOT_HANDLED. Its Parameter4 is the address of a CONTEXT."""
_MARKED: Final = 0x1000_0000
"""Bit of BugCheckCode (docs/format/kernel-header-fields.md#bug-check-code-and-parameters)."""
_NO_EXCEPTION: Final = 0x80000003
"""STATUS_BREAKPOINT, for a target without exception (docs/format/kernel-header.md#values-of-the-exception-record)."""


def own_amd64(case: KernelCase) -> bool:
    """A 64-bit dump with truth."""
    return case.truth is not None and case.dump.bits == 64


@kernel_rule(
    "KHDR-REQUEST-001",
    "Only a request for a kernel dump makes one",
    Level.MUST,
    Source(
        "docs/format/kernel-kinds.md#qualifiers-in-the-engine-by-version", Grade.WITNESSED, versions=("15063", "29507")
    ),
    Source("docs/format/write-dump-file.md#unknown-qualifiers", Grade.WITNESSED, versions=("15063", "29507")),
    Source(
        "docs/format/write-dump-file.md#user-flags-in-a-kernel-session", Grade.WITNESSED, versions=("15063", "29507")
    ),
    applies=lambda case: case.truth is not None and case.request is not None,
)
def request_makes_a_dump(case: KernelCase) -> Checks:
    """Other qualifiers write nothing, and flags of user minidumps are invalid for a kernel target. RAM that cannot be
    read fails the dump. A file in spite of that hides the failure.
    """
    assert case.request is not None
    why = refusal(truth_of(case), case.request)
    if why is None:
        yield ok("dump")
    else:
        yield bad(
            "dump", f"no file, because {why}", "a kernel dump", Span(0, case.dump.header_size), fault=Fault.FORBIDDEN
        )


@kernel_rule(
    "KHDR-TYPE-002",
    "DumpType is the type that the profile gives for the requested kind",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#type-for-each-kind", Grade.IMPLEMENTED),
    needs=("header",),
    applies=lambda case: case.truth is not None and case.request is not None,
)
def requested_type(case: KernelCase) -> Checks:
    """Small, kernel, complete and active dumps have different types. The profile of the request chooses between the
    types of one kind.
    """
    assert case.request is not None
    types = dump_types(case.request)
    if types:
        yield from one_of(header_of(case.dump), "header", "DumpType", types)


@kernel_rule(
    "KHDR-FIELDS-001",
    "The header's fields have the target's values",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#versions", Grade.DOCUMENTED),
    Source("docs/format/kernel-header-fields.md#product-and-suite", Grade.DOCUMENTED),
    Source("docs/format/kernel-header-fields.md#directorytablebase", Grade.OBSERVED),
    Source("docs/format/kernel-header-fields.md#list-heads-and-debugger-data", Grade.OBSERVED),
    Source("docs/format/kernel-header-fields.md#number-of-processors", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def fields(case: KernelCase) -> Checks:
    """A debugger starts from build, root, list heads, machine, processors and product. With one wrong address it shows
    no modules. With one processor too many it walks structures that do not exist. Range dumps may
    hold the root of System instead.
    """
    truth = truth_of(case)
    expected = {
        "MajorVersion": truth.system.major_version,
        "MinorVersion": truth.system.build_number,
        "PsLoadedModuleList": truth.symbols.ps_loaded_module_list,
        "PsActiveProcessHead": truth.symbols.ps_active_process_head,
        "MachineImageType": _AMD64,
        "NumberProcessors": len(truth.processors),
        "KdDebuggerDataBlock": truth.symbols.kd_debugger_data_block,
        "ProductType": truth.system.product_type,
        "SuiteMask": truth.system.suite_mask,
    }
    yield from same(header_of(case.dump), "header", expected)
    roots: tuple[int, ...] = (truth.directory_table_base,)
    if case.dump.type in RANGES:
        roots = tuple(dict.fromkeys((*roots, truth.system_directory_table_base)))
    yield from one_of(header_of(case.dump), "header", "DirectoryTableBase", roots)


@kernel_rule(
    "KHDR-PFN-001",
    "PfnDataBase is the PFN database's address, or the address of its variable",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#pfndatabase", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def pfn_database(case: KernelCase) -> Checks:
    """Dumps hold one or the other, and debuggers load both. A small dump holds the address of the variable in layout A,
    the address of the database in layout B.
    """
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
    Source(
        "docs/format/kernel-header-fields.md#bug-check-code-and-parameters",
        Grade.WITNESSED,
        versions=("15063", "29507"),
    ),
    Source("docs/format/kernel-header-fields.md#bug-check-code-and-parameters", Grade.IMPLEMENTED),
    needs=("header",),
    applies=own_amd64,
)
def bug_check(case: KernelCase) -> Checks:
    """Every tool prints code and parameters first, and crash databases group crashes by them. A small dump may have bit
    0x10000000 in the code. The engines set it for 0x7E, with the context of the exception, and for no other code.
    Whether they set it where that context cannot be read was not measured.
    """
    header, check = header_of(case.dump), truth_of(case).bug_check
    accepted: tuple[int, ...] = (check.code,)
    if case.dump.type == TRIAGE:
        marked = check.code | _MARKED
        if engine_of(case.request) is None:
            accepted = (check.code, marked)
        elif has_exception_context(case):
            accepted = (marked,) if raised_context(case) is not None else (check.code, marked)
    yield from one_of(header, "header", "BugCheckCode", accepted)
    expected = {f"BugCheckParameter{index + 1}": value for index, value in enumerate(check.parameters)}
    yield from same(header, "header", expected)


def has_exception_context(case: KernelCase) -> bool:
    """Whether the bug check's Parameter4 is the address of an exception's context
    (docs/format/kernel-small-layouts.md#other-habits-of-the-engine).
    """
    return truth_of(case).bug_check.code & ~_MARKED == _UNHANDLED_EXCEPTION


@kernel_rule(
    "KHDR-CONTEXT-003",
    "The header's context holds the registers of the processor that crashed",
    Level.MUST,
    Source("docs/format/kernel-header.md#context-record", Grade.IMPLEMENTED),
    Source("docs/format/kernel-structures.md#fields-of-the-amd64-context", Grade.DOCUMENTED),
    Source(
        "docs/format/kernel-small-layouts.md#other-habits-of-the-engine", Grade.WITNESSED, versions=("15063", "29507")
    ),
    needs=("context",),
    applies=own_amd64,
)
def context(case: KernelCase) -> Checks:
    """The rule compares integer, control, segment, debug and floating-point registers. Other parts of the CONTEXT are
    zero, or equal to the record in the target's memory. For bug check 0x7E the engines store the exception's context in
    a small dump, and so may others: that record equals the target's to the byte.
    """
    record, truth = case.dump.context, truth_of(case)
    if record is None or record.type != "CONTEXT_AMD64":
        yield bad("context record", "a CONTEXT of amd64", "none")
        return
    raised = raised_context(case)
    if raised is not None and (engine_of(case.request) is not None or record["ContextFlags"] & EXCEPTION_CONTEXT):
        for name in record.structure.fields:
            span = record.span_of(name)
            yield from same_bytes(f"context record, {name}", raised.raw(name), record.raw(name), span)
        return
    saved = truth.crashed.context
    yield from same(record, "context record", {"ContextFlags": saved.context_flags, **saved.registers})
    span = record.span_of("FltSave")
    yield from same_bytes("context record, FltSave", saved.fxsave, record.raw("FltSave"), span)
    yield from _rest_of_context(case, record)


def raised_context(case: KernelCase) -> Record | None:
    """The context of the exception behind bug check 0x7E, if the dump is a small one; read from the truth."""
    if case.dump.type != TRIAGE or not has_exception_context(case):
        return None
    truth = truth_of(case)
    return truth.structure("CONTEXT_AMD64", truth.bug_check.parameters[3])


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
    """The CONTEXT that KPRCB.Context of the crashing processor points to, read from the truth."""
    truth = truth_of(case)
    debugger = truth.debugger_data
    offset = 0 if debugger is None else debugger["OffsetPrcbContext"]
    pointer = truth.read(truth.crashed.kprcb + offset, 8) if offset else None
    return None if pointer is None else truth.structure("CONTEXT_AMD64", int.from_bytes(pointer, "little"))


@kernel_rule(
    "KHDR-CONTEXT-006",
    "Special registers after the CONTEXT are those of the crashing processor",
    Level.MUST,
    Source("docs/format/kernel-structures.md#special-registers-behind-the-header-context", Grade.IMPLEMENTED),
    needs=("context",),
    applies=own_amd64,
)
def special(case: KernelCase) -> Checks:
    """The rule applies if the header holds KSPECIAL_REGISTERS. Registers without a value in the truth are zero."""
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
    "The exception record describes the bug check, or the target's exception",
    Level.MUST,
    Source("docs/format/kernel-header.md#values-of-the-exception-record", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-header.md#values-of-the-exception-record", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def exception(case: KernelCase) -> Checks:
    """Windows stores a breakpoint at the instruction pointer for any bug check. All parameter slots stay fill. Over a
    live KD session engine 29507 stores ExceptionFlags 0; from a dump it copies them.
    """
    record, truth = case.dump.exception, truth_of(case)
    assert record is not None
    held = truth.exception
    copied = 1 if held is None else held.flags
    yield from one_of(record, "exception record", "ExceptionFlags", _exception_flags(case, copied))
    expected = {
        "ExceptionCode": _NO_EXCEPTION if held is None else held.code,
        "ExceptionRecord": 0,
        "ExceptionAddress": truth.crashed.context.ip if held is None else held.address,
        "NumberParameters": 0,
    }
    yield from same(record, "exception record", expected)
    yield from blank_fields(record, "exception record", ("__unusedAlignment", "ExceptionInformation"))


def _exception_flags(case: KernelCase, copied: int) -> tuple[int, ...]:
    if of_a_dump(case):
        return (copied,)
    return (0,) if engine_of(case.request) is E29507 else tuple(dict.fromkeys((copied, 0)))


@kernel_rule(
    "KHDR-TIME-002",
    "SystemTime and SystemUpTime are those of the crash",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#times", Grade.DOCUMENTED),
    needs=("header",),
    applies=own_amd64,
)
def times(case: KernelCase) -> Checks:
    """SystemTime is a FILETIME. SystemUpTime is the time since boot in units of 100 ns."""
    truth = truth_of(case)
    yield from same(header_of(case.dump), "header", {"SystemTime": truth.time, "SystemUpTime": truth.up_time})


@kernel_rule(
    "KHDR-COMMENT-002",
    "Comment is the comment of the request",
    Level.MUST,
    Source("docs/format/write-dump-file.md#comments-in-kernel-dumps", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-header-fields.md#comment", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("header",),
    applies=lambda case: own_amd64(case) and case.request is not None,
)
def comment(case: KernelCase) -> Checks:
    """A comment is ANSI text of at most 127 characters with a NUL. The bytes after the NUL are zero or fill. Without a
    comment the whole field is zero or fill. Characters outside ASCII are not compared, because the code page is
    unknown.
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
        yield from blank_area(case.dump, "header, Comment, after the NUL", rest)


@kernel_rule(
    "KHDR-MAP-001",
    "In types other than 1 the header's memory map is zero, fill, or the machine's memory map",
    Level.MUST,
    Source("docs/format/kernel-header.md#memory-map-in-the-header", Grade.OBSERVED),
    needs=("header",),
    applies=lambda case: own_amd64(case) and case.dump.type != FULL,
)
def memory_map(case: KernelCase) -> Checks:
    """Readers ignore the memory map in these types, but tools print its page count."""
    dump, truth = case.dump, truth_of(case)
    block = header_of(dump).span_of("PhysicalMemoryBlock")
    if dump.type == TRIAGE and dump.triage is not None and dump.triage.layout == "B":
        filled = None
    else:
        filled = blank_at(dump.source, block)
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
    yield from blank_area(dump, "PhysicalMemoryBlock, after the runs", Span(span.end, block.end))
