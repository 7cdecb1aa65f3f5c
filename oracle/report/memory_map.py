"""Maps the target's memory: which ranges the dump holds, lacks, holds without being allowed, or holds with wrong bytes.

Addresses are physical for a kernel dump with pages, and virtual for every other dump. A report lists only the first few
findings of a rule; the map shows all of the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Final, NamedTuple

from ..budget import Budget, Work
from ..entitlement import user
from ..entitlement.duty import Duty
from ..entitlement.flags import active_filter
from ..entitlement.kernel import entitlement_of, kind_of
from ..entitlement.kernel import refusal as kernel_refusal
from ..entitlement.refusal import refusal as user_refusal
from ..memory.intervals import inside
from ..memory.page import PAGE_SIZE
from ..memory.page_compare import differing_pages, nonzero_pages
from ..model import Fault, Finding
from ..readers.facts import Dump
from ..readers.kernel_dump import KernelDump
from ..readers.reading import Reading
from ..readers.userdump_facts import UserDump
from ..truth.load import KernelTruth, ProcessTruth, RequestTruth, Truth
from .memory_model import Landmark, MemoryMap, MemoryRegion, State

MAX_LANDMARKS: Final = 10_000
"""Modules, threads and other names that the map has at most."""
_MAX_NAME: Final = 1024
"""Characters of a name that are kept. Thousands of modules of a hostile file share a name of megabytes."""


def memory_map(
    dump: Reading,
    truth: Truth | None = None,
    request: RequestTruth | None = None,
    findings: Iterable[Finding] = (),
) -> MemoryMap:
    """The map of ``dump``. It is judged if truth and request are given and the request makes a dump of that kind.

    ``findings`` are those of the same dump. Memory that a finding names is marked as missing or forbidden, because some
    rules require more than the clauses of the entitlement. A dump without readable memory gives a map without regions.
    """
    found = _map(dump, truth, request)
    noted = _noted(findings, found)
    return replace(found, regions=tuple(_overlaid(found.regions, noted))) if noted else found


def _noted(findings: Iterable[Finding], found: MemoryMap) -> list[_Layer]:
    """Memory that a finding calls missing or forbidden, sorted and without overlaps."""
    noted: list[tuple[int, int, State]] = []
    for finding in findings:
        if finding.fault is Fault.MISSING:
            noted += [(part.start, part.end, State.MISSING) for part in finding.memory]
        elif finding.fault is Fault.FORBIDDEN:
            noted += [(*part, State.FORBIDDEN) for span in finding.spans for part in found.at_span(span)]
    layer: list[_Layer] = []
    top = 0
    for start, end, state in sorted(noted):
        if end > max(start, top):
            layer.append(_Layer(max(start, top), end, state))
            top = end
    return layer


def _overlaid(regions: Sequence[MemoryRegion], noted: list[_Layer]) -> Iterator[MemoryRegion]:
    layer = [_Layer(region.start, region.end, region) for region in regions]

    def cut() -> Iterator[MemoryRegion]:
        for start, end, (held, noting) in _cut([layer, noted]):
            if held is None:
                continue
            region = held.value
            assert isinstance(region, MemoryRegion)
            state = region.state
            # "Missing" applies to memory that is not captured, "forbidden" to memory that is.
            if noting is not None and isinstance(noting.value, State) and noting.value.there == state.there:
                state = state if state.faulty else noting.value
            offset = None if region.offset is None else region.offset + start - region.start
            yield MemoryRegion(start, end, state, region.why, offset)

    return _joined(cut())


def _map(dump: Reading, truth: Truth | None, request: RequestTruth | None) -> MemoryMap:
    machine = truth if truth is not None and truth.mode == "kernel" else None
    process = truth if truth is not None and truth.mode == "user" else None
    if isinstance(dump, KernelDump) and dump.paged:
        return _physical(dump, machine, request)
    if not isinstance(dump, Dump | KernelDump | UserDump):
        return MemoryMap("virtual", (), (), False)
    pieces, landmarks = dump.pieces(), tuple(sorted(islice(_landmarks(dump), MAX_LANDMARKS)))
    if truth is None:
        return MemoryMap("virtual", tuple([_held(*piece) for piece in pieces]), landmarks, False)
    held = [_Layer(*piece) for piece in pieces]
    if process is not None and isinstance(dump, UserDump):
        return MemoryMap("virtual", tuple(_all(dump, process, held)), landmarks, True)
    if process is not None and request is not None and isinstance(dump, Dump) and not user_refusal(process, request):
        return MemoryMap("virtual", tuple(_judged(dump, process, request, held)), landmarks, True)
    if isinstance(dump, KernelDump) and machine is not None:
        regions = _compared(dump, machine, held)
    else:
        regions = (_held(*piece) for piece in pieces)
    return MemoryMap("virtual", tuple(regions), landmarks, False)


class _Layer(NamedTuple):
    """A range of memory and one property of it. The ranges of a list are sorted and disjoint."""

    start: int
    end: int
    value: object


def _cut(layers: Sequence[Sequence[_Layer]]) -> Iterator[tuple[int, int, list[_Layer | None]]]:
    """Cut the address space where a range of any layer begins or ends.

    Yields each piece with the range of every layer that covers it, or None. Pieces that no layer covers are left out.
    """
    edges = sorted({edge for layer in layers for item in layer for edge in (item.start, item.end)})
    at = [0] * len(layers)
    for start, end in pairwise(edges):
        found: list[_Layer | None] = []
        for index, layer in enumerate(layers):
            while at[index] < len(layer) and layer[at[index]].end <= start:
                at[index] += 1
            covers = at[index] < len(layer) and layer[at[index]].start <= start
            found.append(layer[at[index]] if covers else None)
        if any(item is not None for item in found):
            yield start, end, found


def _joined(regions: Iterable[MemoryRegion]) -> Iterator[MemoryRegion]:
    """Adjacent regions with the same state and clause, merged if their bytes are adjacent in the file too."""
    last: MemoryRegion | None = None
    for region in regions:
        if (
            last is not None
            and (last.end, last.state, last.why) == (region.start, region.state, region.why)
            and (None if last.offset is None else last.offset + last.size) == region.offset
        ):
            last = MemoryRegion(last.start, region.end, last.state, last.why, last.offset)
            continue
        if last is not None:
            yield last
        last = region
    if last is not None:
        yield last


def _state(duty: Duty, there: bool, wrong: bool) -> State:
    if not there:
        return State.MISSING if duty is Duty.MUST else State.ABSENT
    if duty is Duty.NEVER:
        return State.FORBIDDEN
    if wrong:
        return State.WRONG
    return State.REQUIRED if duty is Duty.MUST else State.ALLOWED


_UNREADABLE: Final = "not readable in the target"


# -- user mode ---------------------------------------------------------------------------------------------------------


def _judged(dump: Dump, truth: ProcessTruth, request: RequestTruth, held: list[_Layer]) -> Iterator[MemoryRegion]:
    entitlement = user.entitlement_of(truth, request)
    # Filters change bytes, so the bytes are not compared.
    wrong_pages = [] if active_filter(request) else _wrong(dump, truth, held)
    readable = [_Layer(run.start, run.end, None) for run in truth.memory]
    grants = [[_Layer(start, end, None) for start, end in grant.union] for grant in entitlement.grants]
    layers = [held, readable, wrong_pages, *grants]

    def regions() -> Iterator[MemoryRegion]:
        for start, end, (there, target, wrong, *granted) in _cut(layers):
            found = [grant for grant, item in zip(entitlement.grants, granted, strict=True) if item is not None]
            duty, why = Duty.NEVER, "no clause includes it" if target is not None else _UNREADABLE
            for wanted in (Duty.MUST, Duty.MAY):
                names = dict.fromkeys(grant.reason for grant in found if grant.duty is wanted)
                if names:
                    duty, why = wanted, ", ".join(names)
                    break
            offset = None if there is None else _offset(there, start)
            yield MemoryRegion(start, end, _state(duty, offset is not None, wrong is not None), why, offset)

    return _joined(regions())


def _offset(there: _Layer, start: int) -> int:
    assert isinstance(there.value, int)
    return there.value + start - there.start


def _all(dump: UserDump, truth: ProcessTruth, held: list[_Layer]) -> Iterator[MemoryRegion]:
    """The regions of a legacy full user dump, which must hold exactly the readable memory."""
    layers = [held, [_Layer(run.start, run.end, None) for run in truth.memory], _wrong(dump, truth, held)]

    def regions() -> Iterator[MemoryRegion]:
        for start, end, (there, target, wrong) in _cut(layers):
            duty, why = (Duty.NEVER, _UNREADABLE) if target is None else (Duty.MUST, "readable memory")
            offset = None if there is None else _offset(there, start)
            yield MemoryRegion(start, end, _state(duty, offset is not None, wrong is not None), why, offset)

    return _joined(regions())


def _wrong(dump: Dump | UserDump, truth: ProcessTruth, held: list[_Layer]) -> list[_Layer]:
    """The captured parts of pages whose bytes differ from the target's."""
    found = []
    for item in held:
        for address, size, there in truth.readable_runs(item.start, item.end):
            offset = _offset(item, address)
            # The part before the first page boundary is compared alone, so that the rest is compared in whole pages.
            head = min(-address % PAGE_SIZE, size)
            for at, length in ((0, head), (head, size - head)):
                for index in differing_pages(dump.source, offset + at, truth.contents, there + at, length):
                    start = address + at + index * PAGE_SIZE
                    found.append(_Layer(start, min(start + PAGE_SIZE, address + at + length), None))
    return found


def _landmarks(dump: Reading) -> Iterator[Landmark]:
    if isinstance(dump, Dump):
        for module in dump.modules:
            name = "a module" if module.name is None else module.name.text[-_MAX_NAME:].rpartition("\\")[2]
            yield Landmark(module.base, module.end, name)
        for thread in dump.threads:
            if thread.stack_size:
                yield Landmark(thread.stack_start, thread.stack_end, f"stack of thread {thread.id:#x}")
            if thread.record["Teb"]:
                yield Landmark(thread.record["Teb"], thread.record["Teb"] + 1, f"TEB of thread {thread.id:#x}")
        yield Landmark(0x7FFE0000, 0x7FFE1000, "KUSER_SHARED_DATA")  # ntddk.h: its fixed user-mode address
    elif isinstance(dump, UserDump):
        for crashed in dump.modules:
            name = crashed.text[-_MAX_NAME:].decode("latin-1").rpartition("\\")[2]
            yield Landmark(crashed.base, crashed.end, name or "a module")
    elif isinstance(dump, KernelDump) and dump.triage is not None and dump.header is not None:
        for driver, record in enumerate(dump.modules):
            string = dump.triage.strings.get(record.record["DriverNameOffset"])
            yield Landmark(record.base, record.end, f"driver {driver}" if string is None else string.text[:_MAX_NAME])
        for name, address in (
            ("stack", dump.triage.header["TopOfStack"]),
            ("debugger data", dump.header["KdDebuggerDataBlock"]),
        ):
            if name in dump.triage.blocks:
                yield Landmark(address, address + len(dump.triage.blocks[name]), name)


# -- kernel mode -------------------------------------------------------------------------------------------------------


def _physical(dump: KernelDump, truth: KernelTruth | None, request: RequestTruth | None) -> MemoryMap:
    work = Budget(dump.source.size, 0)
    most = work.left(Work.RANGES)  # a bitmap of a megabyte may name four million runs
    runs = list(islice(dump.pages.runs(), most + 1))
    if len(runs) > most:
        work.leave("runs of pages on the map", work.limit(Work.RANGES), most, None)
        del runs[most:]
    landmarks = []
    if dump.header is not None and dump.architecture is not None:
        root = dump.header["DirectoryTableBase"] // PAGE_SIZE * PAGE_SIZE
        landmarks.append(Landmark(root, root + PAGE_SIZE, "root page table"))
    kind = None if request is None else kind_of(request.qualifier_value)
    if truth is None or request is None or kind is None or kernel_refusal(truth, request) is not None:
        return MemoryMap("physical", tuple(_joined(_listed(dump, runs))), tuple(landmarks), False, work.unjudged)
    listed = list(_listed(dump, runs))
    held = [_Layer(region.start, region.end, region.offset) for region in listed if region.offset is not None]
    cut = [_Layer(region.start, region.end, None) for region in listed if region.offset is None]
    clauses = entitlement_of(truth, kind, request.contract).decided()
    duties = [
        [_Layer(low * PAGE_SIZE, high * PAGE_SIZE, None) for low, high in clause.pages.runs] for clause in clauses
    ]

    def regions() -> Iterator[MemoryRegion]:
        for start, end, (there, _, wrong, *granted) in _cut([held, cut, _wrong_pages(dump, truth, held), *duties]):
            clause = next((clause for clause, item in zip(clauses, granted, strict=True) if item is not None), None)
            offset = None if there is None else _offset(there, start)
            duty, why = (Duty.NEVER, "not memory of the machine") if clause is None else (clause.duty, clause.name)
            yield MemoryRegion(start, end, _state(duty, offset is not None, wrong is not None), why, offset)

    return MemoryMap("physical", tuple(_joined(regions())), tuple(landmarks), True, work.unjudged)


def _compared(dump: KernelDump, truth: KernelTruth, held: list[_Layer]) -> Iterator[MemoryRegion]:
    """The regions of a small dump. Only their bytes are judged: no address alone is required or forbidden."""
    wrong = []
    for item in held:
        for start in range(item.start, item.end, PAGE_SIZE):
            end = min(start + PAGE_SIZE, item.end)
            if truth.read(start, end - start) != dump.source.read(_offset(item, start), end - start):
                wrong.append(_Layer(start, end, None))
    for start, end, (there, bad) in _cut([held, wrong]):
        if there is not None:
            yield MemoryRegion(start, end, State.PRESENT if bad is None else State.WRONG, "", _offset(there, start))


def _held(start: int, end: int, offset: int) -> MemoryRegion:
    """Captured memory that is not judged."""
    return MemoryRegion(start, end, State.PRESENT, "", offset)


def _listed(dump: KernelDump, runs: Iterable[tuple[int, int, int]]) -> Iterator[MemoryRegion]:
    """The pages of ``runs`` as regions that are not judged; those past the end of the file are missing."""
    for base, count, offset in runs:
        start, end = base * PAGE_SIZE, (base + count) * PAGE_SIZE
        stop = start + min(count, max(dump.source.size - offset, 0) // PAGE_SIZE) * PAGE_SIZE
        if start < stop:
            yield _held(start, stop, offset)
        if stop < end:
            yield MemoryRegion(stop, end, State.MISSING, "listed, but the file ends before it", None)


def _wrong_pages(dump: KernelDump, truth: KernelTruth, held: list[_Layer]) -> list[_Layer]:
    """The captured pages whose bytes differ from the machine's. Unreadable pages may hold any bytes."""
    readable = (truth.ram | truth.added) - truth.unreadable
    found = []
    for item in held:
        for first, last in inside(readable.runs, item.start // PAGE_SIZE, item.end // PAGE_SIZE):
            for pfn, pages, there in truth.pieces(first, last - first):
                at = _offset(item, pfn * PAGE_SIZE)
                pages_at = (
                    nonzero_pages(dump.source, at, pages)
                    if there is None
                    else differing_pages(dump.source, at, truth.contents, there, pages * PAGE_SIZE)
                )
                found += [_Layer((pfn + index) * PAGE_SIZE, (pfn + index + 1) * PAGE_SIZE, None) for index in pages_at]
    return sorted(found)
