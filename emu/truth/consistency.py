"""Checks that the parts of a process's truth agree (docs/truth-format.md#truthjson-mode-user)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import attrgetter

from ..constants import MEM_COMMIT, MEM_FREE, MEM_RESERVE, PAGE_NOACCESS, readable_protection
from ..snapshot.pending import sample_of
from ..snapshot.process import (
    PAGE_SIZE,
    POINTER_SIZE,
    Context,
    FunctionTable,
    ProcessSnapshot,
    Region,
    SystemInformation,
    Token,
    XstateConfiguration,
)
from ..snapshot.processor_state import REGISTERS
from .members import BadValue, excerpt, expect_members
from .stacks import check_thread_stacks

_COMPACTION = 1 << 63
"""winnt.h XSTATE_COMPACTION_ENABLE_MASK: the bit names a format, not a component."""
_EXTENDED_AREA = 576
"""Where an XSAVE area has its extended components: after 512 bytes of FXSAVE and the 64 bytes of the header."""
_AREAS = {"amd64": {"fxsave"}, "x86": {"fxsave", "float_save"}, "arm64": {"v"}}


def check_process(snapshot: ProcessSnapshot, index: Sequence[tuple[int, int, int]], image_files: Iterable[int]) -> None:
    """Raise BadValue, with its place, if parts of the snapshot contradict each other.

    ``index`` has start, size and offset of each run of memory.
    """
    _check_regions(snapshot)
    _check_memory(snapshot, index)
    _check_contexts(snapshot)
    _check_processor(snapshot.system)
    _check_function_tables(snapshot.function_tables, snapshot.system.architecture)
    _check_tokens(snapshot.tokens)
    check_thread_stacks(snapshot.stacks, {thread.thread_id for thread in snapshot.threads})
    check_distinct("threads", "thread_id", (thread.thread_id for thread in snapshot.threads))
    check_distinct("modules", "base", (module.base for module in snapshot.modules))
    check_images(image_files, {module.base for module in snapshot.modules}, "module")
    for number, thread in enumerate(snapshot.threads):
        if thread.stack_limit > thread.stack_base:
            raise BadValue("at most stack_base", hex(thread.stack_limit), "threads", number, "stack_limit")
    for number, (before, handle) in enumerate(pairwise(snapshot.handles), 1):
        if handle.value <= before.value:
            raise BadValue(f"more than {before.value}, the value before", str(handle.value), "handles", number, "value")


def check_offset(number: int, offset: int, end: int) -> None:
    """Raise BadValue unless a run of memory starts in memory.bin where the run before ends."""
    if offset != end:
        raise BadValue(f"{end:#x}, the end of the run before", hex(offset), "memory", number, "offset")


def check_distinct(array: str, member: str, values: Iterable[int]) -> None:
    """Raise BadValue if a value occurs twice."""
    seen: set[int] = set()
    for number, value in enumerate(values):
        if value in seen:
            raise BadValue("a value of its own", f"{value:#x} again", array, number, member)
        seen.add(value)


def check_images(bases: Iterable[int], images: set[int], kind: str) -> None:
    """Raise BadValue unless each base is that of an image, and occurs once."""
    seen: set[int] = set()
    for number, base in enumerate(bases):
        if base not in images or base in seen:
            expected = f"the base of a {kind}" if base not in images else "each base once"
            raise BadValue(expected, hex(base), "image_files", number)
        seen.add(base)


def _check_regions(snapshot: ProcessSnapshot) -> None:
    end = 0
    for number, region in enumerate(snapshot.regions):
        if region.base != end:
            raise BadValue(f"{end:#x}, the end of the region before", hex(region.base), "regions", number, "base")
        if region.size % PAGE_SIZE or not region.size:
            raise BadValue("whole pages", hex(region.size), "regions", number, "size")
        if region.state == MEM_FREE:
            if (region.protect, region.type, region.allocation_base, region.allocation_protect) != (
                PAGE_NOACCESS,
                0,
                0,
                0,
            ):
                raise BadValue("a free region with protect 1 and 0 in all else", "other values", "regions", number)
        elif region.state == MEM_RESERVE and region.protect:
            raise BadValue("0 in a reserved region", hex(region.protect), "regions", number, "protect")
        elif not region.type:
            raise BadValue("private, mapped or image memory", "0", "regions", number, "type")
        end += region.size
    top = snapshot.system.maximum_user_mode_address + 1
    if end != top:
        raise BadValue(f"regions up to {top:#x}, maximum_user_mode_address + 1", f"an end at {end:#x}", "regions")


def _check_memory(snapshot: ProcessSnapshot, index: Sequence[tuple[int, int, int]]) -> None:
    """The runs of memory are exactly the pages that a debugger can read."""
    allowed = list(_allowed(snapshot.regions))
    _check_pages(allowed, "unreadable", [(start, start + size) for start, size in snapshot.unreadable])
    runs = [(start, start + size) for start, size, _ in index]
    due = list(_between(allowed, snapshot.unreadable)) if snapshot.unreadable else allowed
    if runs != due:
        _check_pages(allowed, "memory", runs)
    filled = 0
    for number, (start, size, offset) in enumerate(index):
        check_offset(number, offset, filled)
        if number >= len(due) or due[number] != runs[number]:
            expected = f"{due[number][0]:#x} to {due[number][1]:#x}" if number < len(due) else "no more readable pages"
            raise BadValue(expected, f"{start:#x} to {start + size:#x}", "memory", number)
        filled += size
    if len(due) > len(index):
        start, end = due[len(index)]
        raise BadValue(f"a run for the readable pages {start:#x} to {end:#x}", "none", "memory")


def _allowed(regions: Sequence[Region]) -> Iterator[tuple[int, int]]:
    """Yield where the protection allows to read, as (start, end). Regions that touch are one."""
    kinds = {(region.state, region.protect) for region in regions}
    readable = {kind for kind in kinds if kind[0] == MEM_COMMIT and readable_protection(kind[1])}
    for allows, together in groupby(regions, lambda region: (region.state, region.protect) in readable):
        if allows:
            first = last = next(together)
            for last in together:  # noqa: B007 - the last one is used
                pass
            yield first.base, last.end


def _check_pages(allowed: Sequence[tuple[int, int]], member: str, runs: Sequence[tuple[int, int]]) -> None:
    """The runs are sorted, apart, and each is in one of ``allowed``."""
    around = iter(allowed)
    low = high = before = -1
    for number, (start, end) in enumerate(runs):
        found = f"{start:#x}, {end - start:#x} bytes"
        if start % PAGE_SIZE or end % PAGE_SIZE or end == start or start <= before:
            raise BadValue("runs of whole pages, sorted, none empty or adjacent", found, member, number)
        before = end
        while high <= start:
            low, high = next(around, (1 << 65, 1 << 65))
        if start < low or end > high:
            raise BadValue("pages whose protection allows a read", found, member, number)


def _between(allowed: Sequence[tuple[int, int]], holes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of ``allowed`` outside of the holes. Each hole, as (start, size), is in one of ``allowed``."""
    cuts = iter(holes)
    hole, size = next(cuts, (1 << 65, 0))
    for low, high in allowed:
        start = low
        while hole < high:
            if start < hole:
                yield start, hole
            start = hole + size
            hole, size = next(cuts, (1 << 65, 0))
        if start < high:
            yield start, high


def _check_contexts(snapshot: ProcessSnapshot) -> None:
    event = snapshot.exception
    if event is not None and all(thread.thread_id != event.thread_id for thread in snapshot.threads):
        raise BadValue("a thread of the process", str(event.thread_id), "exception", "thread_id")
    if snapshot.system.xstate is not None:
        _check_xstate(snapshot.system.xstate)
    samples = {id(sample): sample for sample in map(sample_of, map(attrgetter("context"), snapshot.threads))}
    for number, thread in enumerate(snapshot.threads):
        sample = samples.pop(id(sample_of(thread.context)), None)
        if sample is None:
            continue  # of the shape of another one
        try:
            _check_context(sample, snapshot.system)
        except BadValue as bad:
            raise bad.inside("threads", number, "context") from None
    try:
        if event is not None:
            _check_context(event.context, snapshot.system)
    except BadValue as bad:
        raise bad.inside("exception", "context") from None


def check_registers(context: Context, architecture: str) -> dict[str, int]:
    """Return the registers. Raise BadValue unless they are those of the architecture."""
    registers = dict(context.registers)
    try:
        expect_members(registers, REGISTERS[architecture])
    except BadValue as bad:
        raise bad.inside("registers") from None
    return registers


def _check_context(context: Context, system: SystemInformation) -> None:
    registers = check_registers(context, system.architecture)
    if POINTER_SIZE[system.architecture] == 4:
        for name, value in registers.items():
            if value >> 32:
                raise BadValue("at most 32 bits", hex(value), "registers", name)
    for area in ("fxsave", "float_save", "v"):
        due = area in _AREAS[system.architecture]
        if bool(getattr(context, area)) != due:
            found = "null" if due else "bytes"
            raise BadValue(f"{'bytes' if due else 'null'} on {system.architecture}", found, area)
    sizes = [feature.size for feature in system.xstate.features] if system.xstate is not None else []
    for component, data in context.xstate or ():
        if component >= len(sizes) or not sizes[component]:
            raise BadValue("a component that system.xstate enables", str(component), "xstate", str(component))
        if len(data) != sizes[component]:
            raise BadValue(f"{sizes[component]} bytes", str(len(data)), "xstate", str(component))


def _check_xstate(xstate: XstateConfiguration) -> None:
    enabled = xstate.enabled_features & ~_COMPACTION
    if len(xstate.features) != enabled.bit_length():
        expected = f"{enabled.bit_length()} elements, up to the highest enabled component"
        raise BadValue(expected, str(len(xstate.features)), "system", "xstate", "features")
    for number, feature in enumerate(xstate.features):
        found = f"offset {feature.offset}, size {feature.size}"
        place = ("system", "xstate", "features", number)
        if enabled >> number & 1 and not feature.size:
            raise BadValue("a size", found, *place)
        if not enabled >> number & 1 and (feature.size or feature.offset):
            raise BadValue("offset 0 and size 0: it is not enabled", found, *place)
        if number >= 2 and feature.size and feature.offset < _EXTENDED_AREA:
            raise BadValue(f"at least {_EXTENDED_AREA}", str(feature.offset), *place, "offset")


def _check_processor(system: SystemInformation) -> None:
    x86 = system.architecture == "x86"
    for name, due in (("processor_features", not x86), ("x86_cpu", x86)):
        if (getattr(system, name) is not None) != due:
            found = "null" if due else "a value"
            raise BadValue(f"{'a value' if due else 'null'} on {system.architecture}", found, "system", name)
    vendor = system.x86_cpu.vendor_id if system.x86_cpu is not None else "GenuineIntel"
    if len(vendor) != 12 or not vendor.isascii():
        raise BadValue("12 ASCII characters", f"{len(vendor)} characters", "system", "x86_cpu", "vendor_id")


def _check_function_tables(tables: Sequence[FunctionTable], architecture: str) -> None:
    if tables and architecture != "amd64":
        raise BadValue(f"none on {architecture}", str(len(tables)), "function_tables")
    for number, table in enumerate(tables):
        if table.minimum_address > table.maximum_address:
            expected = f"at least minimum_address, {table.minimum_address:#x}"
            raise BadValue(expected, hex(table.maximum_address), "function_tables", number, "maximum_address")
        size = len(tables[max(number - 1, 0)].native)
        if len(table.native) != size:
            expected = f"{size} bytes, as in all tables"
            raise BadValue(expected, str(len(table.native)), "function_tables", number, "native")


def _check_tokens(tokens: Sequence[Token]) -> None:
    for number, token in enumerate(tokens):
        _check_sid(token.user.sid, "tokens", number, "user", "sid")
        for at, group in enumerate(token.groups):
            _check_sid(group.sid, "tokens", number, "groups", at, "sid")


def _check_sid(sid: bytes, *place: str | int) -> None:
    """winnt.h SID: Revision, SubAuthorityCount, IdentifierAuthority[6], the sub-authorities."""
    if len(sid) < 8 or (sid[0], len(sid)) != (1, 8 + 4 * sid[1]) or sid[1] > 15:
        found = excerpt(sid.hex()) if sid else "no bytes"
        raise BadValue("a SID of revision 1 with at most 15 sub-authorities", found, *place)
