"""The main header of a kernel dump, judged by itself."""

from __future__ import annotations

from typing import Final

from ...case import KernelCase
from ...decode import Record, decode, enumeration, structure
from ...model import Grade, Level, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.kernel_dump import FILL, PAGED, TRIAGE, KernelDump
from ...rule import Checks, bad, kernel_rule, ok, own
from .asserts import EXCEPTION_CONTEXT, blank, blank_area, blank_fields, header_of, is_fill, spec

_MACHINE_BITS: Final = {0x14C: 32, 0x200: 64, 0x8664: 64, 0xAA64: 64}
_FILL: Final = int.from_bytes(FILL, "little")
_ENCRYPTED: Final = 0x100
"""DUMP_FILE_ATTRIBUTES, bit 8: page data is encrypted (spec kernel-mode 2.2)."""
_RESERVED_ATTRIBUTES: Final = 0xFFFF_FC00
_CONTROL_AND_INTEGER: Final = 0x3


@kernel_rule(
    "KHDR-SIZE-001",
    "The file holds a whole main header",
    Level.MUST,
    spec("2.2, 2.11, 6.1 A2: 0x2000 bytes, 0x1000 of a 32-bit target", Grade.IMPLEMENTED),
    reports=("kernel.header.size",),
)
def whole_header(case: KernelCase) -> Checks:
    """Everything else is found through the header; a file cut inside it is of no use to any reader."""
    if case.dump.header is not None:
        yield ok("header")


@kernel_rule(
    "KHDR-MACHINE-001",
    "MachineImageType is a machine of the signature's width",
    Level.MUST,
    spec("2.2, 6.1 A1, A2", Grade.IMPLEMENTED),
    needs=("header",),
)
def machine(case: KernelCase) -> Checks:
    """PAGEDUMP is a dump of a 32-bit target, PAGEDU64 of a 64-bit one: the two have different headers. A signature that
    does not fit the machine has every field read at the wrong place.
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
    "DumpType is a kind that has a known form",
    Level.MUST,
    spec("1.3, 2.1, 6.1 A3", Grade.IMPLEMENTED),
    needs=("header",),
    reports=("kernel.type",),
)
def known_type(case: KernelCase) -> Checks:
    """DumpType stands at 0xF98 (0xF88 of a 32-bit target) and says what follows the header. Type 7 has a name, but
    nobody has seen such a file.
    """
    if "kind" in case.dump.facts:
        yield ok("header, DumpType")


@kernel_rule(
    "KHDR-VERSION-001",
    "MajorVersion is 0xF or 0xC",
    Level.MUST,
    spec("2.2, 6.1 A4 [D M19; S 72/72]", Grade.DOCUMENTED),
    needs=("header",),
)
def major_version(case: KernelCase) -> Checks:
    """Not the version of Windows: 0xF stands for a free build of the kernel, 0xC for a checked one."""
    header = header_of(case.dump)
    if header["MajorVersion"] in (0xF, 0xC):
        yield ok("header, MajorVersion")
    else:
        actual = f"{header['MajorVersion']:#x}"
        yield bad("header, MajorVersion", ("0xf", "0xc"), actual, header.span_of("MajorVersion"))


@kernel_rule(
    "KHDR-CPU-001",
    "There is at least one processor",
    Level.MUST,
    spec("2.2, 6.1 A5", Grade.IMPLEMENTED),
    needs=("header",),
)
def processors(case: KernelCase) -> Checks:
    """Debuggers walk KiProcessorBlock up to NumberProcessors; no machine has none, and none has 4096."""
    header = header_of(case.dump)
    count = header["NumberProcessors"]
    if 1 <= count <= 4096:
        yield ok("header, NumberProcessors")
    else:
        yield bad("header, NumberProcessors", "1 to 4096", f"{count}", header.span_of("NumberProcessors"))


def _context(case: KernelCase) -> Record:
    assert case.dump.context is not None
    return case.dump.context


@kernel_rule(
    "KHDR-CONTEXT-001",
    "ContextFlags name the machine, control and integer registers",
    Level.MUST,
    spec("2.2, 6.1 A7 [S 72/72]", Grade.OBSERVED),
    needs=("context",),
)
def context_flags(case: KernelCase) -> Checks:
    """A debugger shows only what ContextFlags name, and takes a context without the machine's bit for another
    machine's.
    """
    context = _context(case)
    assert case.dump.architecture is not None
    wanted = ARCHITECTURES[case.dump.architecture].machine_bit | _CONTROL_AND_INTEGER
    if context["ContextFlags"] & wanted == wanted:
        yield ok("context record, ContextFlags")
    else:
        actual = f"{context['ContextFlags']:#x}"
        yield bad("context record, ContextFlags", f"the bits {wanted:#x}", actual, context.span_of("ContextFlags"))


@kernel_rule(
    "KHDR-CONTEXT-002",
    "Behind the CONTEXT its field is zero, fill, or holds the special registers",
    Level.MUST,
    spec("2.2, 4.6, 6.1 A7 [S 73/73 zero or fill]", Grade.OBSERVED),
    needs=("header", "context"),
)
def context_tail(case: KernelCase) -> Checks:
    """The field has 3000 bytes (1200 of a 32-bit target), the record fewer. One writer puts KSPECIAL_REGISTERS there;
    anything else is some other memory of the machine.
    """
    dump, context = case.dump, _context(case)
    field = header_of(dump).span_of("ContextRecord")
    rest = Span(context.span.end, field.end)
    if blank(dump.source.view(rest.start, len(rest)), rest.start) is not None:
        yield ok("context record, rest of the field")
        return
    special = special_registers(dump)
    if special is None:
        yield from blank_area(dump, "context record, rest of the field", rest)
        return
    yield ok("context record, KSPECIAL_REGISTERS")
    yield from blank_area(dump, "context record, rest of the field", Span(special.span.end, field.end))


def special_registers(dump: KernelDump) -> Record | None:
    """KSPECIAL_REGISTERS behind the header's CONTEXT, where a writer put them: their Cr3 is the header's root."""
    if dump.architecture != "amd64" or dump.context is None or dump.header is None:
        return None
    record = decode(dump.source, dump.context.span.end, "KSPECIAL_REGISTERS", "special registers in the header")
    return record if record["Cr3"] and record["Cr3"] & ~0xFFF == dump.header["DirectoryTableBase"] & ~0xFFF else None


@kernel_rule(
    "KHDR-CONTEXT-004",
    "MxCsr is the same in CONTEXT and in its FltSave",
    Level.MUST,
    spec("4.7, 6.1 A7b: 0vercl0k/kdmp-parser refuses other files", Grade.IMPLEMENTED),
    needs=("header", "context"),
    foreign_level=Level.SHOULD,
    # Build 9600 never saved the FltSave area: 39 of 40 real files break the rule (spec kernel-mode 3.7).
    applies=lambda case: case.dump.architecture == "amd64" and (own(case) or case.dump.build > 9600),
)
def mxcsr(case: KernelCase) -> Checks:
    """One register, stored twice in a CONTEXT of amd64. A context whose two copies differ was put together from two."""
    context = _context(case)
    inner = int.from_bytes(context.raw("FltSave")[0x18:0x1C], "little")
    if context["MxCsr"] == inner:
        yield ok("context record, MxCsr")
    else:
        span = context.span_of("MxCsr")
        yield bad("context record, MxCsr", f"{inner:#x}, as in FltSave", f"{context['MxCsr']:#x}", span)


def _exception(case: KernelCase) -> Record:
    assert case.dump.exception is not None
    return case.dump.exception


@kernel_rule(
    "KHDR-EXCEPTION-001",
    "NumberParameters of the exception record is at most 15",
    Level.SHOULD,
    spec("2.3, 6.1 A9 [winnt.h EXCEPTION_MAXIMUM_PARAMETERS]", Grade.DOCUMENTED),
    needs=("header",),
)
def exception_parameters(case: KernelCase) -> Checks:
    """The record has room for 15; a larger number, or fill, makes readers run over its end."""
    record = _exception(case)
    if record["NumberParameters"] <= 15:
        yield ok("exception record, NumberParameters")
    else:
        actual = f"{record['NumberParameters']:#x}"
        yield bad("exception record, NumberParameters", "0 to 15", actual, record.span_of("NumberParameters"))


@kernel_rule(
    "KHDR-EXCEPTION-002",
    "ExceptionAddress lies in a module and is where the processor stopped",
    Level.SHOULD,
    spec("2.3, 6.1 A9 [S 72/72]", Grade.OBSERVED),
    needs=("header", "context"),
)
def exception_address(case: KernelCase) -> Checks:
    """Equal to the context's instruction pointer, unless the context is that of an earlier exception. Lies in a loaded
    module, where the dump has the module list.
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
            yield bad("exception record, ExceptionAddress", f"{ip:#x}, the instruction pointer", f"{address:#x}", span)
    modules = case.dump.modules
    if not modules:
        return
    if any(module.base <= address < module.end for module in modules):
        yield ok("exception record, ExceptionAddress")
    else:
        yield bad("exception record, ExceptionAddress", "an address in a module", f"{address:#x}", span)


@kernel_rule(
    "KHDR-KDVERSION-001",
    "KdSecondaryVersion says which CONTEXT the dump has",
    Level.MUST,
    spec("2.2, 6.1 A10: 2 on amd64; 0 (layout A) or fill (layout B) in small dumps of Windows", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.MAY,
)
def kd_secondary_version(case: KernelCase) -> Checks:
    """0 and 1 stand for obsolete amd64 contexts, and one writer saw WinDbg take them at their word in a complete dump.
    Windows itself writes 0, or leaves fill, in small dumps; so only dumps of one's own are held to it.
    """
    dump, header = case.dump, header_of(case.dump)
    actual = header["KdSecondaryVersion"]
    accepted: tuple[int, ...] = (0, 2, 0x41)
    if own(case) and dump.architecture is not None:
        if dump.architecture != "amd64":
            accepted = (0,)
        elif dump.type == TRIAGE:
            layout = None if dump.triage is None else dump.triage.layout
            accepted = {"A": (0,), "B": (0x41,)}.get(layout or "", (0, 0x41))
        else:
            accepted = (2,)
    if actual in accepted:
        yield ok("header, KdSecondaryVersion")
    else:
        shown = tuple(f"{value:#x}" for value in accepted)
        yield bad("header, KdSecondaryVersion", shown, f"{actual:#x}", header.span_of("KdSecondaryVersion"))


@kernel_rule(
    "KHDR-DTB-001",
    "DirectoryTableBase is the address of a page",
    Level.MUST,
    spec("2.2, 6.1 A11 [S 72/72 small dumps; two others hold a PCID]", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def root_alignment(case: KernelCase) -> Checks:
    """Readers differ on whether they mask the low bits, where Cr3 keeps cache bits or a PCID. Under PAE the root is a
    table of 32 bytes.
    """
    header = header_of(case.dump)
    unit = 32 if case.dump.bits == 32 and header["PaeEnabled"] & 1 else 0x1000
    root = header["DirectoryTableBase"]
    if root and root % unit == 0:
        yield ok("header, DirectoryTableBase")
    else:
        expected = f"a multiple of {unit:#x}"
        yield bad("header, DirectoryTableBase", expected, f"{root:#x}", header.span_of("DirectoryTableBase"))


@kernel_rule(
    "KHDR-SPACE-001",
    "RequiredDumpSpace is what the dump needs",
    Level.MUST,
    spec("2.9, 6.1 A12 [S 72/72]", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
    applies=lambda case: case.dump.primary_end is not None,
)
def required_space(case: KernelCase) -> Checks:
    """Own: to the end of the page data, or for a small dump the length of the file. Other writers of complete dumps
    count P * (pages + 2), or the pages alone; Windows' small dumps may name more than the file has, never less.
    """
    dump, header = case.dump, header_of(case.dump)
    assert dump.primary_end is not None
    actual, size = header["RequiredDumpSpace"], dump.source.size
    span = header.span_of("RequiredDumpSpace")
    if dump.type == TRIAGE:
        passed = actual == size if own(case) else actual >= size
        expected: tuple[str, ...] = (f"{size:#x}" if own(case) else f"{size:#x} or more",)
    else:
        accepted = [dump.pages.end if dump.type in PAGED else dump.primary_end]
        if not own(case):
            accepted += [0x1000 * (dump.pages.total + 2), 0x1000 * dump.pages.total, size]
        passed = actual in accepted
        expected = tuple(dict.fromkeys(f"{value:#x}" for value in accepted))
    yield (
        ok("header, RequiredDumpSpace") if passed else bad("header, RequiredDumpSpace", expected, f"{actual:#x}", span)
    )


@kernel_rule(
    "KHDR-COMMENT-001",
    "Comment ends inside its field, or was never stored",
    Level.MUST,
    spec("2.2, 6.1 A13 [S 73/73 all fill]", Grade.OBSERVED),
    needs=("header",),
)
def comment_ends(case: KernelCase) -> Checks:
    """Windows leaves all 128 bytes fill, so a reader must bound it; a comment that was stored has its NUL."""
    header = header_of(case.dump)
    if b"\0" in header.raw("Comment") or is_fill(header, "Comment"):
        yield ok("header, Comment")
    else:
        yield bad("header, Comment", ("a NUL", "all fill"), "neither", header.span_of("Comment"))


@kernel_rule(
    "KHDR-TIME-001",
    "SystemTime and SystemUpTime are times",
    Level.SHOULD,
    spec("2.2, 6.1 A14 [S 72/72]", Grade.OBSERVED),
    needs=("header",),
)
def plausible_times(case: KernelCase) -> Checks:
    """Not negative, and the machine has not been up for longer than time has been counted."""
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
    spec("2.2, 6.1 A15 [S 72/72]", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def padding(case: KernelCase) -> Checks:
    """The gaps between fields. What stands in them otherwise belongs to a field that is written at the wrong place. The
    one behind the memory map belongs to a 43rd run, where there is one.
    """
    header = header_of(case.dump)
    names = [name for name in structure(header.type).fields if name.startswith("_padding")]
    if case.dump.type == 1 and len(case.dump.runs) > 42:
        names.remove("_padding344")
    yield from blank_fields(header, "header", names)


@kernel_rule(
    "KHDR-ATTRIBUTES-001",
    "Attributes do not say that the pages are encrypted",
    Level.MUST,
    spec("2.2, 6.1 A15 [S 72/72]", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def attributes(case: KernelCase) -> Checks:
    """Bit 8 makes readers look for a secure header that is not there. A dump of one's own stores a value, because fill
    reads as filtered, live and encrypted at once; a small dump may keep the fill, as most of Windows' do. Bits above 9
    are Windows' own.
    """
    dump, header = case.dump, header_of(case.dump)
    value, span = header["Attributes"], header.span_of("Attributes")
    if value == _FILL and (not own(case) or dump.type == TRIAGE):
        yield ok("header, Attributes")
        return
    never = _ENCRYPTED | (_RESERVED_ATTRIBUTES | 0x200 if own(case) and value not in _SEEN else 0)
    if value & never:
        yield bad("header, Attributes", f"none of the bits {never:#x}", f"{value:#x}", span)
    else:
        yield ok("header, Attributes")


_SEEN: Final = (0x21008, 0x21808)
"""What build 26100 stores in its small dumps (spec kernel-mode 2.2)."""
