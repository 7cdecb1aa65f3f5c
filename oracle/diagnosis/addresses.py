"""Finds that all addresses of one kind in a minidump differ from the target's by one amount, as with a wrong base."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..case import Case
from ..decode import Record, enumeration
from ..model import Shift, Span
from ..readers.facts import Dump
from .proposal import Proposal, amount_text, by_amount, field_edit, listed, without_overlap

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth

_SAMPLES: Final = 8
"""Captured ranges whose bytes are looked for in the target."""
_SAMPLE: Final = 48
"""Bytes that are looked for."""
_DISTINCT: Final = 6
"""Different values that they need."""
_RANGES: Final = 64
"""Captured ranges that are compared with regions of the same size."""
_IMAGE: Final = enumeration("MEM_TYPE")["MEM_IMAGE"]
_WINDOW: Final = 1 << 24
"""Bytes of the target that are searched at once."""
_PLACES: Final = 8
"""Places in the target that a sample may have."""


@dataclass(frozen=True, slots=True)
class _Kind:
    label: str
    fields: tuple[tuple[Span, int], ...]
    """Each address: the bytes that hold it, and its value."""
    amounts: tuple[int, ...]
    """By how much all of them may be too high."""


def shifted_addresses(case: Case) -> Iterator[Proposal]:
    """Kinds of addresses that are off: first all that share an amount, then each alone."""
    kinds = _alone(case.dump) if case.truth is None else _kinds(case.dump, case.truth)
    yield from by_amount(((kind, kind.amounts) for kind in kinds), _proposal)


def _proposal(kinds: Sequence[_Kind], amount: int) -> Proposal:
    fields = [field for kind in kinds for field in kind.fields]
    span, value = fields[0]
    return Proposal(
        f"the addresses of all {listed(kind.label for kind in kinds)}",
        f"{value - amount:#x} as the first of {len(fields)}",
        f"{value:#x}: all are {amount_text(amount)} ({abs(amount):#x}) too {'high' if amount > 0 else 'low'}",
        Shift(amount),
        (span,),
        without_overlap(field_edit(span, value - amount) for span, value in fields),
    )


def _kinds(dump: Dump, truth: ProcessTruth) -> Iterator[_Kind]:
    threads = [thread.record for thread in dump.threads]
    ids = {thread.thread_id: thread for thread in truth.threads}
    known = [(record, ids[record["ThreadId"]]) for record in threads if record["ThreadId"] in ids]
    modules = [module.record for module in dump.modules]
    yield _by_order("modules", modules, "BaseOfImage", (module.base for module in truth.modules))
    unloaded = [module.record for module in dump.unloaded_modules]
    yield _by_order("unloaded modules", unloaded, "BaseOfImage", (module.base for module in truth.unloaded_modules))
    yield _by_order("memory regions", dump.memory_infos, "BaseAddress", (region.base for region in truth.regions))
    yield _one("TEBs", [record for record, _ in known], "Teb", {r["Teb"] - thread.teb for r, thread in known})
    infos = [record for record in dump.thread_infos if record["ThreadId"] in ids]
    starts = {record["StartAddress"] - ids[record["ThreadId"]].start_address for record in infos}
    yield _one("start addresses", infos, "StartAddress", starts)
    if dump.exception is not None and truth.exception is not None:
        name = "ExceptionRecord.ExceptionAddress"
        yield _one("exceptions", [dump.exception.record], name, {dump.exception.record[name] - truth.exception.address})
    yield _memory(dump, truth)
    stacks = [record for record, _ in known if record["Stack.Memory.DataSize"]]
    ends = {
        record["Stack.StartOfMemoryRange"] + record["Stack.Memory.DataSize"] - thread.stack_base
        for record, thread in known
        if record["Stack.Memory.DataSize"]
    }
    yield _one("stacks", stacks, "Stack.StartOfMemoryRange", ends)


def _alone(dump: Dump) -> Iterator[_Kind]:
    """What the streams of a dump without truth say of the same places."""
    images = {record["AllocationBase"] for record in dump.memory_infos if record["Type"] == _IMAGE}
    yield _by_order("modules", [module.record for module in dump.modules], "BaseOfImage", images)
    offsets = {item.offset: item.start for item in dump.memory}
    found = {
        offsets[thread.stack_rva] - thread.stack_start
        for thread in dump.threads
        if thread.stack_size and thread.stack_rva in offsets
    }
    if not found:
        sizes: dict[int, list[int]] = defaultdict(list)
        for record in dump.memory_infos:
            sizes[record["RegionSize"]].append(record["BaseAddress"])
        looked = [item for item in dump.memory if 0 < len(sizes[item.size]) <= _PLACES][:_RANGES]
        votes = Counter(item.start - base for item in looked for base in sizes[item.size])
        found = {amount for amount, count in votes.most_common(1) if 2 * count > len(looked)}
    yield _one("captured memory", [item.record for item in dump.memory], "StartOfMemoryRange", found)


def _fields(records: Iterable[Record], name: str) -> tuple[tuple[Span, int], ...]:
    return tuple((record.span_of(name), record[name]) for record in records)


def _one(label: str, records: Sequence[Record], name: str, amounts: set[int]) -> _Kind:
    """The kind, off by the one amount that all of its addresses agree on."""
    agreed = tuple(amounts - {0}) if len(amounts) == 1 else ()
    return _Kind(label, _fields(records, name), agreed)


def _by_order(label: str, records: Sequence[Record], name: str, held: Iterable[int]) -> _Kind:
    """The kind, if its addresses are the target's in ascending order, all off by one amount."""
    mine, theirs = sorted(record[name] for record in records), sorted(held)
    amounts = {one - other for one, other in zip(mine, theirs, strict=True)} if len(mine) == len(theirs) else set()
    return _one(label, records, name, amounts)


def _memory(dump: Dump, truth: ProcessTruth) -> _Kind:
    """Captured memory: its bytes are looked for in the whole target, unless most of them are where the dump says."""
    votes: Counter[int] = Counter()
    samples = right = 0
    for item in dump.memory:
        sample = dump.source.read(item.offset, min(item.size, _SAMPLE))
        if len(sample) < _SAMPLE or len(set(sample)) < _DISTINCT:
            continue
        samples += 1
        if bytes(truth.read(item.start, len(sample)) or b"") == sample:
            right += 1
        else:
            votes.update({item.start - address for address in _places(truth, sample)})
        if samples == _SAMPLES or 2 * right > _SAMPLES:
            break
    agreed = tuple(amount for amount, count in votes.most_common(2) if amount and 2 * count > samples)
    return _Kind("captured memory", _fields([item.record for item in dump.memory], "StartOfMemoryRange"), agreed)


def _places(truth: ProcessTruth, sample: bytes) -> list[int]:
    """The addresses of the target that hold the bytes; none if there are too many."""
    found: list[int] = []
    for run in truth.memory:
        for low in range(0, run.end - run.start, _WINDOW):
            part = truth.contents.read(run.offset + low, min(_WINDOW + len(sample) - 1, run.end - run.start - low))
            at = part.find(sample)
            while at >= 0:
                found.append(run.start + low + at)
                if len(found) > _PLACES:
                    return []
                at = part.find(sample, at + 1)
    return found
