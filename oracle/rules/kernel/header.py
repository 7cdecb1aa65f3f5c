"""Judges the main header of a kernel dump by itself (docs/format/kernel-header.md#fields-of-the-64-bit-header)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import KernelCase
from ...decode import Record, decode, enumeration, structure
from ...entitlement.kernel_writers import E15063, KernelWriter, engine_of
from ...model import Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.kernel_dump import FILL, FILL32, TRIAGE, KernelDump, is_fill
from ...rule import Checks, bad, kernel_rule, ok, own
from .asserts import EXCEPTION_CONTEXT, blank_area, blank_at, blank_fields, header_of, is_blank, truth_of

_MACHINE_BITS: Final = {0x14C: 32, 0x1C4: 32, 0x200: 64, 0x8664: 64, 0xAA64: 64}
_ENCRYPTED: Final = 0x100
"""Bit 8 of Attributes: the pages are encrypted (docs/format/kernel-header-fields.md#attributes)."""
_RESERVED_ATTRIBUTES: Final = 0xFFFF_FC00
_CONTROL_AND_INTEGER: Final = 0x3
_LEAST_UNKNOWN: Final = 0x10
"""The engine takes PagingLevels from here on for 4 (docs/format/kernel-header-fields.md#paging-levels)."""


@kernel_rule(
    "KHDR-SIZE-001",
    "The file holds the whole main header",
    Level.MUST,
    Source("docs/format/kernel-header.md#signature-and-size", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-header.md#signature-and-size", Grade.DOCUMENTED),
    reports=("kernel.header.size",),
)
def whole_header(case: KernelCase) -> Checks:
    """The header has 0x2000 bytes, or 0x1000 for a 32-bit target. Readers find everything else through it."""
    if case.dump.header is not None:
        yield ok("header")


@kernel_rule(
    "KHDR-MACHINE-001",
    "MachineImageType is a machine with the pointer width of the signature",
    Level.MUST,
    Source("docs/format/kernel-header.md#signature-and-size", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-header.md#signature-and-size", Grade.DOCUMENTED),
    needs=("header",),
)
def machine(case: KernelCase) -> Checks:
    """PAGEDUMP marks a 32-bit target, PAGEDU64 a 64-bit one; the two have different headers. With the wrong signature a
    reader decodes every field at the wrong offset.
    """
    header = header_of(case.dump)
    number = header["MachineImageType"]
    if _MACHINE_BITS.get(number) == case.dump.bits:
        yield ok("header, MachineImageType")
        return
    names = enumeration("DUMP_MACHINE")
    fitting = (item for item, bits in _MACHINE_BITS.items() if bits == case.dump.bits)
    accepted = tuple(f"{names.name_of(item)} {item:#x}" for item in fitting)
    yield bad("header, MachineImageType", accepted, f"{number:#x}", header.span_of("MachineImageType"))


@kernel_rule(
    "KHDR-TYPE-001",
    "DumpType is a type of known layout",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#accepted-dumptype-values", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-kinds.md#types-on-disk", Grade.DOCUMENTED),
    needs=("header",),
    reports=("kernel.type",),
)
def known_type(case: KernelCase) -> Checks:
    """DumpType is at 0xF98, or 0xF88 for a 32-bit target. It says what follows the header. Type 7 has a name, but no
    such file is known. The engine opens a dump whose type was left as fill as type 1.
    """
    if "kind" in case.dump.facts:
        yield ok("header, DumpType")


@kernel_rule(
    "KHDR-VERSION-001",
    "MajorVersion is 0xF or 0xC",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#versions", Grade.DOCUMENTED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def major_version(case: KernelCase) -> Checks:
    """MajorVersion is not the version of Windows. 0xF means a free build of the kernel, 0xC a checked one. The engine
    accepts other values.
    """
    header = header_of(case.dump)
    if header["MajorVersion"] in (0xF, 0xC):
        yield ok("header, MajorVersion")
    else:
        actual = f"{header['MajorVersion']:#x}"
        yield bad("header, MajorVersion", ("0xf", "0xc"), actual, header.span_of("MajorVersion"))


@kernel_rule(
    "KHDR-CPU-001",
    "NumberProcessors is 1 to 4096",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#number-of-processors", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("header",),
)
def processors(case: KernelCase) -> Checks:
    """Debuggers walk KiProcessorBlock up to NumberProcessors. With 0 the engine fails; no machine has more than 4096
    processors.
    """
    header = header_of(case.dump)
    count = header["NumberProcessors"]
    if 1 <= count <= 4096:
        yield ok("header, NumberProcessors")
    else:
        yield bad("header, NumberProcessors", "1 to 4096", f"{count}", header.span_of("NumberProcessors"))


def _lacks_context(dump: KernelDump) -> bool:
    """Whether the context record was never stored: all of it is zero or fill."""
    return dump.context is not None and is_blank(dump, dump.context.span)


def _context(case: KernelCase) -> Record:
    assert case.dump.context is not None
    return case.dump.context


@kernel_rule(
    "KHDR-CONTEXT-001",
    "ContextFlags have the machine's bit, CONTROL and INTEGER",
    Level.MUST,
    Source("docs/format/kernel-header.md#context-record", Grade.OBSERVED),
    Source("docs/format/kernel-header.md#converters-without-a-context", Grade.IMPLEMENTED),
    needs=("context",),
    applies=lambda case: own(case) or case.dump.type == TRIAGE or not _lacks_context(case.dump),
)
def context_flags(case: KernelCase) -> Checks:
    """A debugger shows only the parts that ContextFlags name. Without the machine's bit it treats the record as that of
    another machine. Converters of memory images store no record; in a dump with pages nobody misses it.
    """
    context = _context(case)
    assert case.dump.architecture is not None
    wanted = ARCHITECTURES[case.dump.architecture].machine_bit | _CONTROL_AND_INTEGER
    if context["ContextFlags"] & wanted == wanted:
        yield ok("context record, ContextFlags")
    else:
        actual = f"{context['ContextFlags']:#x}"
        yield bad("context record, ContextFlags", f"all bits of {wanted:#x}", actual, context.span_of("ContextFlags"))


@kernel_rule(
    "KHDR-CONTEXT-002",
    "The rest of the context field is zero or fill, or holds the special registers",
    Level.MUST,
    Source("docs/format/kernel-header.md#context-record", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-structures.md#special-registers-behind-the-header-context", Grade.IMPLEMENTED),
    needs=("header", "context"),
    foreign_level=Level.SHOULD,
)
def context_tail(case: KernelCase) -> Checks:
    """The field has 3000 bytes, or 1200 for a 32-bit target; the record has fewer. One writer stores KSPECIAL_REGISTERS
    in the rest. Other bytes are leaked memory; no reader looks at them.
    """
    dump, context = case.dump, _context(case)
    field = header_of(dump).span_of("ContextRecord")
    rest = Span(context.span.end, field.end)
    if blank_at(dump.source, rest) is not None:
        yield ok("context record, rest of the field")
        return
    special = special_registers(dump)
    if special is None:
        yield from blank_area(dump, "context record, rest of the field", rest)
        return
    yield ok("context record, KSPECIAL_REGISTERS")
    yield from blank_area(dump, "context record, rest of the field", Span(special.span.end, field.end))


def special_registers(dump: KernelDump) -> Record | None:
    """KSPECIAL_REGISTERS after the header's CONTEXT; None unless their Cr3 is the header's root.

    docs/format/kernel-structures.md#special-registers-behind-the-header-context
    """
    if dump.architecture != "amd64" or dump.context is None or dump.header is None:
        return None
    record = decode(dump.source, dump.context.span.end, "KSPECIAL_REGISTERS", "special registers in the header")
    return record if record["Cr3"] and record["Cr3"] & ~0xFFF == dump.header["DirectoryTableBase"] & ~0xFFF else None


@kernel_rule(
    "KHDR-CONTEXT-004",
    "MxCsr of CONTEXT equals MxCsr of FltSave",
    Level.MUST,
    Source("docs/format/kernel-header.md#mxcsr-in-the-context", Grade.IMPLEMENTED),
    Source("docs/format/kernel-structures.md#mxcsr-and-fltsave", Grade.IMPLEMENTED),
    needs=("header", "context"),
    foreign_level=Level.SHOULD,
    applies=lambda case: case.dump.architecture == "amd64" and (own(case) or case.dump.build > 9600),
)
def mxcsr(case: KernelCase) -> Checks:
    """CONTEXT of amd64 stores the register twice. If the copies differ, the record was assembled from two sources.
    Without truth, the rule skips builds up to 9600: build 9600 never saved FltSave, and 39 of its 40 real files differ.
    """
    context = _context(case)
    inner = int.from_bytes(context.raw("FltSave")[0x18:0x1C], "little")
    if context["MxCsr"] == inner:
        yield ok("context record, MxCsr")
    else:
        span = context.span_of("MxCsr")
        yield bad("context record, MxCsr", f"{inner:#x}, the value in FltSave", f"{context['MxCsr']:#x}", span)


def _exception(case: KernelCase) -> Record:
    assert case.dump.exception is not None
    return case.dump.exception


@kernel_rule(
    "KHDR-EXCEPTION-001",
    "NumberParameters of the exception record is at most 15",
    Level.SHOULD,
    Source("docs/format/kernel-header.md#exception-record", Grade.DOCUMENTED),
    needs=("header",),
)
def exception_parameters(case: KernelCase) -> Checks:
    """The record has room for 15 parameters. With a larger number, or fill, readers run beyond its end."""
    record = _exception(case)
    if record["NumberParameters"] <= 15:
        yield ok("exception record, NumberParameters")
    else:
        actual = f"{record['NumberParameters']:#x}"
        yield bad("exception record, NumberParameters", "0 to 15", actual, record.span_of("NumberParameters"))


@kernel_rule(
    "KHDR-EXCEPTION-002",
    "ExceptionAddress is the context's instruction pointer and lies in a module",
    Level.SHOULD,
    Source("docs/format/kernel-header.md#values-of-the-exception-record", Grade.OBSERVED),
    needs=("header", "context"),
)
def exception_address(case: KernelCase) -> Checks:
    """If the context is that of an earlier exception, ExceptionAddress differs from its instruction pointer. The module
    is checked only if the dump has a module list.
    """
    record, context = _exception(case), _context(case)
    assert case.dump.architecture is not None
    address = record["ExceptionAddress"]
    span = record.span_of("ExceptionAddress")
    if not address and not record["ExceptionCode"]:
        return
    ip = context[ARCHITECTURES[case.dump.architecture].ip]
    if not context["ContextFlags"] & EXCEPTION_CONTEXT:
        if address == ip:
            yield ok("exception record, ExceptionAddress")
        else:
            yield bad(
                "exception record, ExceptionAddress",
                f"{ip:#x}, the context's instruction pointer",
                f"{address:#x}",
                span,
            )
    modules = case.dump.modules
    if not modules:
        return
    if any(module.base <= address < module.end for module in modules):
        yield ok("exception record, ExceptionAddress")
    else:
        yield bad("exception record, ExceptionAddress", "an address in a module", f"{address:#x}", span)


@kernel_rule(
    "KHDR-KDVERSION-001",
    "KdSecondaryVersion fits the CONTEXT of the dump",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#kdsecondaryversion", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.MAY,
)
def kd_secondary_version(case: KernelCase) -> Checks:
    """0 and 1 mean obsolete amd64 layouts of CONTEXT, 2 the current one. Windows stores 0 in layout A of small dumps
    and leaves the fill byte in layout B. The engine stores 0 for dump targets, and the target's own value over KD.
    Other machines have 0.
    """
    dump, header = case.dump, header_of(case.dump)
    actual = header["KdSecondaryVersion"]
    accepted: tuple[int, ...] = (0, 2, 0x41)
    if own(case) and dump.architecture is not None:
        engine = engine_of(case.request)
        if dump.architecture != "amd64":
            accepted = (0,)
        elif engine is not None:
            accepted = tuple(dict.fromkeys(_kd_versions(case, engine)))
    if actual in accepted:
        yield ok("header, KdSecondaryVersion")
    else:
        shown = tuple(f"{value:#x}" for value in accepted)
        yield bad("header, KdSecondaryVersion", shown, f"{actual:#x}", header.span_of("KdSecondaryVersion"))


def _kd_versions(case: KernelCase, engine: KernelWriter) -> Iterator[int]:
    assert case.request is not None
    live = case.request.session == "live"
    if not live or engine is E15063:  # a live session of 15063 was not measured
        yield 0
    block = truth_of(case).version_block if live else None
    if block is not None:
        yield block["KdSecondaryVersion"]


@kernel_rule(
    "KHDR-LEVELS-001",
    "Byte 0x104E is the number of paging levels, or says nothing",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#paging-levels", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-header-fields.md#paging-levels", Grade.OBSERVED),
    needs=("header",),
    applies=lambda case: case.dump.architecture == "amd64" and (case.dump.paged or own(case)),
)
def paging_levels(case: KernelCase) -> Checks:
    """4 and 5 are numbers of levels. 0, 0x10 and more, and the fill byte say nothing: the engine then takes 4. With
    other values it finds no page table. Without truth the rule skips small dumps, in which nobody reads the byte. With
    truth the number is the machine's, and a byte that says nothing is 0 or fill.
    """
    header = header_of(case.dump)
    actual, span = header["PagingLevels"], header.span_of("PagingLevels")
    nothing = (0, FILL[span.start % 4])
    if not own(case):
        if actual in (4, 5, 0) or actual >= _LEAST_UNKNOWN:
            yield ok("header, PagingLevels")
        else:
            yield bad("header, PagingLevels", ("4", "5", "0", f"{_LEAST_UNKNOWN:#x} or more"), f"{actual}", span)
        return
    levels = truth_of(case).paging_levels
    accepted = (levels,) if levels == 5 else (levels, *nothing)
    if actual in accepted:
        yield ok("header, PagingLevels")
    else:
        yield bad("header, PagingLevels", tuple(f"{value:#x}" for value in accepted), f"{actual:#x}", span)


@kernel_rule(
    "KHDR-DTB-001",
    "DirectoryTableBase is page-aligned",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#directorytablebase", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def root_alignment(case: KernelCase) -> Checks:
    """The low bits of Cr3 are cache bits or a PCID, and not every reader masks them. With PAE the root is a table of 32
    bytes, aligned to 32.
    """
    header = header_of(case.dump)
    unit = 32 if case.dump.bits == 32 and header["PaeEnabled"] & 1 else 0x1000
    root = header["DirectoryTableBase"]
    if root and root % unit == 0:
        yield ok("header, DirectoryTableBase")
    else:
        expected = f"a multiple of {unit:#x}, not 0"
        yield bad("header, DirectoryTableBase", expected, f"{root:#x}", header.span_of("DirectoryTableBase"))


@kernel_rule(
    "KHDR-COMMENT-001",
    "Comment has a NUL, or is all fill",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#comment", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-header-fields.md#comment", Grade.OBSERVED),
    needs=("header",),
)
def comment_ends(case: KernelCase) -> Checks:
    """Windows leaves all 128 bytes of Comment as fill, so a reader must not read past the field. A stored comment ends
    with a NUL.
    """
    header = header_of(case.dump)
    if b"\0" in header.raw("Comment") or is_fill(header, "Comment"):
        yield ok("header, Comment")
    else:
        yield bad("header, Comment", ("a NUL", "all fill"), "neither", header.span_of("Comment"))


@kernel_rule(
    "KHDR-TIME-001",
    "SystemTime and SystemUpTime are plausible",
    Level.SHOULD,
    Source("docs/format/kernel-header-fields.md#times", Grade.OBSERVED),
    needs=("header",),
)
def plausible_times(case: KernelCase) -> Checks:
    """Neither SystemTime nor SystemUpTime is negative, and SystemUpTime is at most SystemTime."""
    header = header_of(case.dump)
    for name, most in (("SystemTime", (1 << 63) - 1), ("SystemUpTime", header["SystemTime"])):
        value = header[name]
        if value <= most and value < 1 << 63:
            yield ok(f"header, {name}")
        else:
            yield bad(f"header, {name}", f"at most {most:#x}", f"{value:#x}", header.span_of(name))


@kernel_rule(
    "KHDR-PADDING-001",
    "Padding of the header is zero or fill",
    Level.MUST,
    Source("docs/format/kernel-header.md#fill", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-header.md#alignment-bytes", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def padding(case: KernelCase) -> Checks:
    """Fill is the repeated text PAGE. Other bytes belong to a field at the wrong offset. A 43rd run may use the padding
    after the memory map.
    """
    header = header_of(case.dump)
    names = [name for name in structure(header.type).fields if name.startswith("_padding")]
    if case.dump.type == 1 and len(case.dump.runs) > 42:
        names.remove("_padding344")
    yield from blank_fields(header, "header", names)


@kernel_rule(
    "KHDR-ATTRIBUTES-001",
    "Attributes have no bit for encrypted pages",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#values-of-attributes", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def attributes(case: KernelCase) -> Checks:
    """With bit 8 readers look for a secure header. A reader takes fill for a field that was never stored: Windows and
    both engines leave it. Without truth, bits above 9 are allowed: Windows uses some.
    """
    header = header_of(case.dump)
    value, span = header["Attributes"], header.span_of("Attributes")
    if value == FILL32:
        yield ok("header, Attributes")
        return
    never = _ENCRYPTED | (_RESERVED_ATTRIBUTES | 0x200 if own(case) and value not in _SEEN else 0)
    if value & never:
        yield bad("header, Attributes", f"no bit of {never:#x}", f"{value:#x}", span)
    else:
        yield ok("header, Attributes")


_SEEN: Final = (0x21008, 0x21808)
"""Values in small dumps of build 26100 (docs/format/kernel-header-fields.md#attributes)."""
