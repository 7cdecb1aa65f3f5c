"""Judges the contents of a small kernel dump against truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import KernelCase
from ...decode import Record, structure
from ...entitlement.kernel_writers import E15063, writers_of
from ...memory.page import PAGE_SIZE
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import TriageFacts
from ...rule import Checks, bad, kernel_rule, ok, own
from ...truth.kernel import DriverTruth, KernelTruth
from ..asserts import one_of, same, same_bytes, zero
from .asserts import blank_area, header_of, truth_of
from .writer import copy_of_a_small_dump, triage_of

_FIELDS: Final = {"A": 0xCFF, "B": 0xDFF}
_USER_SELECTORS: Final = ("GdtR3Code", "GdtR3Data", "Gdt64R3CmCode", "Gdt64R3CmTeb")
_OPTIONS: Final = {"A": 0xFFFF_FFFF, "B": 0x41}
_UNUSED: Final = ("BStoreOffset", "SizeOfBStore", "LimitOfBStore", "DataPageAddress", "DataPageOffset", "DataPageSize")


def own_small(case: KernelCase) -> bool:
    """A 64-bit small dump with truth."""
    return own(case) and case.dump.bits == 64 and case.dump.triage is not None


@kernel_rule(
    "KTRI-LAYOUT-001",
    "The small dump has one layout throughout, and one that its writer has",
    Level.MUST,
    Source("docs/format/kernel-small-layouts.md#who-writes-which-layout", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small-layouts.md#how-to-tell-a-from-b", Grade.OBSERVED),
    needs=("triage",),
    applies=own_small,
)
def layout(case: KernelCase) -> Checks:
    """The layout follows the writer, not the build of the target. The engines write layout A, Windows A or B. The
    layouts differ in the place of the unloaded drivers, in TriageOptions and in MiniDumpFields.
    """
    triage, header = triage_of(case), header_of(case.dump)
    accepted = sorted({layout for writer in writers_of(case.request) for layout in writer.layouts})
    wanted = triage.layout if triage.layout in accepted else accepted[0]
    if triage.layout in accepted:
        yield ok("layout")
    else:
        where = triage.header.span_of("UnloadedDriversOffset")
        yield bad("layout", tuple(f"layout {name}" for name in accepted), f"layout {triage.layout}", where)
    fixed = {
        "ServicePackBuild": 0,
        "ContextOffset": 0x348,
        "ExceptionOffset": 0xF00,
        "BrokenDriverOffset": 0,
        "TriageOptions": _OPTIONS[wanted],
        **dict.fromkeys(_UNUSED, 0),
    }
    yield from same(triage.header, "triage header", fixed)
    yield from same(header, "header", {"MiniDumpFields": _FIELDS[wanted]})


def _block(triage: TriageFacts, name: str) -> Span | None:
    return triage.blocks.get(name)


def _saved(case: KernelCase) -> Iterator[tuple[str, int, int]]:
    """Yield (block, address in the target, size) of the structures that a small dump copies whole."""
    truth, triage = truth_of(case), triage_of(case)
    sizes = truth.debugger_data
    crashed = truth.crashed
    if sizes is None:
        return
    yield "prcb", crashed.kprcb, sizes["SizePrcb"]
    yield "thread", crashed.current_thread, sizes["SizeEThread"]
    process = truth.read(crashed.current_thread + sizes["OffsetKThreadApcProcess"], 8)
    if process is not None:
        yield "process", int.from_bytes(process, "little"), sizes["SizeEProcess"]
    yield "stack", triage.header["TopOfStack"], triage.header["SizeOfCallStack"]
    saved = min(triage.header["DebuggerDataSize"], sizes["Header.Size"])
    yield "debugger data", truth.symbols.kd_debugger_data_block, saved


@kernel_rule(
    "KTRI-SAVED-001",
    "KPRCB, EPROCESS, ETHREAD, stack and debugger data are the target's bytes",
    Level.MUST,
    Source("docs/format/kernel-small.md#what-a-small-dump-must-hold", Grade.DOCUMENTED),
    Source("docs/format/kernel-small.md#kprcb-eprocess-and-ethread", Grade.OBSERVED),
    Source("docs/format/kernel-small.md#debugger-data-part", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("triage", "triage.blocks"),
    applies=own_small,
)
def saved_blocks(case: KernelCase) -> Checks:
    """The blocks belong to the processor that crashed, to its current thread, and to the process that the thread was
    attached to. Zeros follow the target's debugger data, if the engine's structure is larger. Engine 15063 may change
    four selectors in it.
    """
    truth, triage = truth_of(case), triage_of(case)
    for name, address, size in _saved(case):
        span = _block(triage, name)
        if span is None:
            yield bad(name, f"{size:#x} bytes from {address:#x}", "no block", triage.header.span, fault=Fault.MISSING)
            continue
        held = truth.read(address, size)
        if held is None:
            where = triage.header.span_of("TopOfStack")
            yield bad(name, "an address that is mapped in the target", f"{address:#x}", where, span)
            continue
        data = case.dump.source.read(span.start, len(span))
        if name == "debugger data":
            held = held.ljust(len(span), b"\0")
            marked = _with_privilege(held)
            if E15063 in writers_of(case.request) and data == marked:
                held = marked
        yield from same_bytes(name, held, data, span)


def _with_privilege(debugger_data: bytes) -> bytes:
    """The block as engine 15063 saves it: privilege level 3 is in the selectors of user code and data.

    docs/format/kernel-debugger-data.md#segment-selectors
    """
    made = bytearray(debugger_data)
    for name in _USER_SELECTORS:
        at = structure("KDDEBUGGER_DATA64").fields[name].offset
        if at < len(made):  # older structures end before the selectors
            made[at] |= 3
    return bytes(made)


@kernel_rule(
    "KTRI-STACK-003",
    "The saved stack ends at the stack's base",
    Level.MUST,
    Source("docs/format/kernel-small.md#length-of-the-call-stack", Grade.OBSERVED),
    needs=("triage", "triage.blocks"),
    applies=own_small,
)
def stack_extent(case: KernelCase) -> Checks:
    """The saved stack begins at the stack pointer and ends at StackBase of the thread. If the processor ran on another
    stack, it ends at that stack's base, after at most 0x2000 bytes.
    """
    truth, header = truth_of(case), triage_of(case).header
    crashed = truth.crashed
    threads = (thread for process in truth.processes for thread in process.threads)
    thread = next((thread for thread in threads if thread.thread == crashed.current_thread), None)
    sp = crashed.context.sp
    on_own = thread is not None and thread.stack_limit <= sp < thread.stack_base
    base = thread.stack_base if thread is not None and on_own else crashed.stack_base
    room = base - sp
    accepted = (room,) if on_own else (min(room, 0x2000),)
    yield from same(header, "triage header", {"TopOfStack": sp})
    yield from one_of(header, "triage header", "SizeOfCallStack", accepted)


@kernel_rule(
    "KTRI-DRIVERS-004",
    "The driver list is the target's list of loaded modules",
    Level.MUST,
    Source("docs/format/kernel-small.md#what-a-small-dump-must-hold", Grade.DOCUMENTED),
    Source("docs/format/kernel-small.md#contents-of-driver-entries", Grade.OBSERVED),
    needs=("triage", "triage.drivers", "triage.strings"),
    applies=own_small,
)
def drivers(case: KernelCase) -> Checks:
    """Each entry has base, size, checksum, time stamp and name, in the order of the modules. The name is the full path
    in layout A, the base name in layout B and in an engine's copy of a small dump.
    """
    triage, held = triage_of(case), truth_of(case).drivers
    where = triage.header.span_of("DriverCount")
    yield from same(triage.header, "triage header", {"DriverCount": len(held)})
    for record, driver in zip(triage.drivers, held, strict=False):
        expected = {
            "DllBase": driver.base,
            "SizeOfImage": driver.size,
            "CheckSum": driver.checksum,
            "TimeDateStamp": driver.time_date_stamp,
        }
        yield from same(record, record.path, expected)
        string = triage.strings.get(record["DriverNameOffset"])
        short = triage.layout == "B" or copy_of_a_small_dump(case)
        name = driver.base_name if short else driver.full_name
        if string is not None and string.text == name:
            yield ok(f"{record.path}, name")
        else:
            actual = "none" if string is None else repr(string.text)
            span = where if string is None else Span(string.offset, string.offset + 4 + 2 * string.length)
            yield bad(f"{record.path}, name", repr(name), actual, span)


@kernel_rule(
    "KTRI-POOL-003",
    "Padding in the string pool is zero",
    Level.MUST,
    Source("docs/format/kernel-small.md#string-pool", Grade.OBSERVED),
    needs=("triage", "triage.strings"),
    applies=own_small,
)
def pool_padding(case: KernelCase) -> Checks:
    """Zeros pad each record of the string pool after its NUL to a multiple of 8."""
    for string in triage_of(case).strings.values():
        start = string.offset + 4 + 2 * string.length + 2
        rest = Span(start, -(-start // 8) * 8)
        yield from blank_area(case.dump, f"name {string.text!r}, padding", rest, only_zero=True)


_LIVE: Final = (
    *("InLoadOrderLinks.Flink", "InLoadOrderLinks.Blink", "ExceptionTable", "ExceptionTableSize", "_padding1C"),
    *("GpValue", "NonPagedDebugInfo", "EntryPoint", "_padding44", "FullDllName.Length", "FullDllName.MaximumLength"),
    *("_padding4C", "FullDllName.Buffer", "BaseDllName.Length", "BaseDllName.MaximumLength", "_padding5C"),
    *("BaseDllName.Buffer", "Flags", "LoadCount", "SignatureLevel", "SectionPointer"),
)


@kernel_rule(
    "KTRI-DRIVERS-005",
    "Other bytes of a driver entry are zero in layout A, the target's in layout B",
    Level.MUST,
    Source("docs/format/kernel-small-layouts.md#driver-entries-by-layout", Grade.OBSERVED),
    needs=("triage", "triage.drivers"),
    applies=own_small,
)
def driver_rest(case: KernelCase) -> Checks:
    """Layout A fills only four fields. Layout B copies the whole entry, with links and buffer addresses. Padding and
    the upper half of the time stamp are zero.
    """
    triage, truth = triage_of(case), truth_of(case)
    for record, driver in zip(triage.drivers, truth.drivers, strict=False):
        yield from zero(record, record.path, ("_padding04", "_padding84"), "padding")
        live = _live(truth, driver) if triage.layout == "B" else None
        if live is None:
            yield from zero(record, record.path, (*_LIVE, "_padding7C"), "layout A fills four fields")
            continue
        for name in _LIVE:
            span = record.span_of(name)
            yield from same_bytes(f"{record.path}, {name}", live.raw(name), record.raw(name), span)
        if record.raw("_padding7C") not in (bytes(4), live.raw("CoverageSectionSize")):
            span = record.span_of("_padding7C")
            yield bad(f"{record.path}, after CheckSum", "zero", record.raw("_padding7C").hex(), span)


def _live(truth: KernelTruth, driver: DriverTruth) -> Record | None:
    return truth.structure("KLDR_DATA_TABLE_ENTRY64", driver.entry)


@kernel_rule(
    "KTRI-UNLOADED-002",
    "The unloaded drivers are the target's",
    Level.MUST,
    Source("docs/format/kernel-small.md#what-a-small-dump-must-hold", Grade.DOCUMENTED),
    Source("docs/format/kernel-small.md#unloaded-drivers", Grade.OBSERVED),
    needs=("triage", "triage.unloaded"),
    applies=own_small,
)
def unloaded(case: KernelCase) -> Checks:
    """Each unloaded driver has its range and the first 12 characters of its name. The list may be in either order.
    Name.Buffer is 0 in layout A and the live address in layout B. An engine's copy of a small dump has none.
    """
    triage, truth = triage_of(case), truth_of(case)
    held = () if copy_of_a_small_dump(case) else truth.unloaded_drivers
    if triage.unloaded_count != len(held):
        where = triage.header.span_of("UnloadedDriversOffset")
        yield bad("unloaded drivers", f"{len(held)}", f"{triage.unloaded_count}", where)
        return
    yield ok("unloaded drivers")
    found = [entry["StartAddress"] for entry in triage.unloaded]
    order = held if found == [driver.start for driver in held] else tuple(reversed(held))
    for entry, driver in zip(triage.unloaded, order, strict=True):
        units = driver.name.encode("utf-16-le", "surrogatepass")[:24]
        yield from same(entry, entry.path, {"StartAddress": driver.start, "EndAddress": driver.end})
        yield from same(entry, entry.path, {"Name.Length": len(units)})
        yield from zero(entry, entry.path, ("_padding04",), "padding")
        span, raw = entry.span_of("DriverName"), bytes(entry.raw("DriverName"))
        end = span.start + len(units)
        yield from same_bytes(f"{entry.path}, DriverName", units, raw[: len(units)], Span(span.start, end))
        behind, rest = raw[len(units) :], Span(end, span.end)
        yield from same_bytes(f"{entry.path}, behind DriverName", bytes(len(behind)), behind, rest)
        if not len(units) <= entry["Name.MaximumLength"] <= 24:
            where = entry.span_of("Name.MaximumLength")
            actual = f"{entry['Name.MaximumLength']}"
            yield bad(f"{entry.path}, MaximumLength", f"{len(units)} to 24", actual, where)
        buffer = entry["Name.Buffer"]
        live = truth.read(buffer, len(units)) if buffer and units else None
        if not buffer or (triage.layout == "B" and live == units):
            yield ok(f"{entry.path}, Buffer")
        else:
            expected = "0, or the address of the name" if triage.layout == "B" else "0"
            yield bad(f"{entry.path}, Buffer", expected, f"{buffer:#x}", entry.span_of("Name.Buffer"))


@kernel_rule(
    "KTRI-MM-001",
    "The memory manager counts have version, size and values of the layout",
    Level.MUST,
    Source("docs/format/kernel-small.md#memory-manager-counts", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#memory-manager-counts", Grade.OBSERVED),
    needs=("triage", "triage.blocks"),
    applies=own_small,
)
def memory_information(case: KernelCase) -> Checks:
    """Version is 1, Size is 0x50, and the next four fields are 0. Windows stores no counts in layout A; the engines
    store the target's. In layout B two counts are 0x100000000; the truth does not hold the others.
    """
    triage = triage_of(case)
    if triage.mm is None:
        yield bad("MM storage", "a block", "none", triage.header.span_of("MmOffset"), fault=Fault.MISSING)
        return
    yield from same(triage.mm, "MM storage", {"Version": 1, "Size": structure("DUMP_MM_STORAGE64").size})
    words = ("MmSpecialPoolTag", "MiTriageActionTaken", "MmVerifyDriverLevel", "KernelVerifier")
    yield from zero(triage.mm, "MM storage", words, "no verifier is on")
    counters = list(triage.mm.structure.fields)[6:]
    if triage.layout == "A":
        for name, accepted in _counts(case).items():
            yield from one_of(triage.mm, "MM storage", name, accepted)
        return
    for name in ("MmMaximumNonPagedPool", "PagedPoolMaximum"):
        yield from one_of(triage.mm, "MM storage", name, (0x1_0000_0000,))
        counters.remove(name)
    for name in counters:
        case.dump.dont_care(triage.mm.span_of(name), f"{name}: a count that the truth does not hold")


_COUNTED: Final = {
    "MmMaximumNonPagedPool": ("MmMaximumNonPagedPoolInBytes", PAGE_SIZE),
    "MmAllocatedNonPagedPool": ("MmAllocatedNonPagedPool", 1),
    "PagedPoolMaximum": ("MmSizeOfPagedPoolInBytes", PAGE_SIZE),
    "PagedPoolAllocated": None,
    "CommittedPages": ("MmTotalCommittedPages", 1),
    "CommittedPagesPeak": ("MmPeakCommitment", 1),
    "CommitLimitMaximum": ("MmTotalCommitLimitMaximum", 1),
}
"""The debugger data's pointer behind each count, and the unit that makes pages of it. None: always 0
(docs/format/kernel-small.md#memory-manager-counts)."""


def _counts(case: KernelCase) -> dict[str, tuple[int, ...]]:
    """The values that each count may have in layout A."""
    truth, writers = truth_of(case), writers_of(case.request)
    pointers = truth.debugger_data
    found: dict[str, tuple[int, ...]] = {}
    for name, place in _COUNTED.items():
        address = 0 if pointers is None or place is None else pointers[place[0]]
        raw = truth.read(address, 8) if address else None
        unit = 1 if place is None else place[1]
        copied = 0 if raw is None else int.from_bytes(raw, "little") // unit
        accepted = (copied if writer.engine else 0 for writer in writers)
        found[name] = tuple(dict.fromkeys(accepted))
    return found
