"""Judges the extended processor state of the contexts, and its description in MiscInfo, against truth and request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ...case import Case
from ...decode import Record
from ...entitlement.flags import Format, effective
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import ContextFact
from ...readers.xstate import COMPACTED, FIRST_COMPONENT, XStateFact, read_xstate
from ...rule import Checks, bad, ok, rule
from ..asserts import of_a_dump, one_of, same, same_bytes
from .contexts import decodes, known_contexts

if TYPE_CHECKING:
    from ...truth.context import ThreadContextTruth, XStateTruth

_INFO_SIZE: Final = 528
_CET_U: Final = 1 << 11
"""winnt.h XSTATE_MASK_CET_U (docs/format/minidump-contexts.md#extended-state-chunk)."""


def _configuration(case: Case) -> XStateTruth | None:
    """What the target saves with XSAVE; None if the request does not ask for it."""
    asked = case.request is not None and effective(case.request) & Format.ADD_AVX_XSTATE_CONTEXT
    return case.truth.system.xstate if case.truth is not None and asked else None


def _applies(case: Case) -> bool:
    return decodes(case) and _configuration(case) is not None


def _features(configuration: XStateTruth) -> dict[int, tuple[int, int]]:
    return {number: (item.offset, item.size) for number, item in enumerate(configuration.features) if item.size}


def _extended(case: Case) -> Iterator[tuple[str, ContextFact, ThreadContextTruth, XStateFact]]:
    for subject, fact, truth in known_contexts(case):
        state = read_xstate(case.dump.source, fact)
        if state is not None:
            yield subject, fact, truth, state


@rule(
    "TRUE-XSTATE-001",
    "Every thread's context has its extended state if AVX state was requested",
    Level.MUST,
    Source("docs/format/minidump-contents.md#streams-by-flag", Grade.OBSERVED),
    Source("docs/format/minidump-contexts.md#extended-state-of-the-exception", Grade.WITNESSED, versions=("29507",)),
    needs=("contexts",),
    applies=_applies,
)
def extended_contexts(case: Case) -> Checks:
    """In the contexts of threads, CONTEXT_EX and an XSAVE area follow the record. Without them the upper halves of the
    vector registers are lost, and floating-point arguments with them. Engine 29507 stores the exception's context
    plain; another writer may extend it. If their target is a dump of amd64, the engines lose the state.
    """
    contract = "documented" if case.request is None else case.request.contract
    exception = None if case.dump.exception is None else case.dump.exception.context
    for subject, fact, _ in known_contexts(case):
        plain = not len(fact.extension)
        if fact is exception and contract == "e29507":
            expected = f"{fact.record.structure.size} bytes, without extended state"
            yield ok(subject) if plain else bad(subject, expected, f"{len(fact.span)}", fact.extension)
        elif read_xstate(case.dump.source, fact) is not None or (plain and (fact is exception or of_a_dump(case))):
            yield ok(subject)
        else:
            actual = f"{len(fact.extension)} bytes after the record"
            yield bad(subject, "CONTEXT_EX and a chunk of extended state", actual, fact.span, fault=Fault.MISSING)


@rule(
    "TRUE-XSTATE-002",
    "Every component of the extended state has the target's bytes",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-state-chunk", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#extended-state-components", Grade.DOCUMENTED),
    needs=("contexts",),
    applies=_applies,
)
def components(case: Case) -> Checks:
    """A component in its initial state is absent or zero. Standard and compacted format are both legal; the header of
    the chunk tells which. A compacted area has room only for the components that the target saves, and for the state of
    the shadow stack. One real area had room for that state though it was not enabled.
    """
    configuration = _configuration(case)
    assert configuration is not None
    features = _features(configuration)
    room = configuration.enabled_features | COMPACTED | _CET_U | ((1 << FIRST_COMPONENT) - 1)
    for subject, _, truth, state in _extended(case):
        surplus = state.header["CompactionMask"] & ~room
        if surplus:
            where = state.header.span_of("CompactionMask")
            yield bad(f"{subject}, CompactionMask", f"only bits of {room:#x}", f"also {surplus:#x}", where)
        if truth.xstate is None:
            continue
        held = truth.components
        for number in range(FIRST_COMPONENT, 63):
            present = state.present >> number & 1
            if not present and not any(held.get(number, b"")):
                continue
            what, span = f"{subject}, component {number}", state.place(number, features)
            expected = held.get(number, bytes(features.get(number, (0, 0))[1]))
            if number not in features and span is not None:
                case.dump.dont_care(span, f"component {number}: the truth does not have it")
            elif not present:
                mask = state.header.span_of("Mask")
                yield bad(
                    what, "its bit in Mask, because its state is not the initial one", "none", mask, fault=Fault.MISSING
                )
            elif span is None:
                yield bad(what, f"{len(expected)} bytes of the chunk", "none", state.chunk, fault=Fault.MISSING)
            else:
                actual = case.dump.source.read(span.start, len(span))
                yield from same_bytes(what, expected, actual, span)


@rule(
    "TRUE-XSTATE-003",
    "XStateData describes the target's extended state",
    Level.MUST,
    Source("docs/format/minidump-system.md#extended-state-in-misc-info", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#extended-state-description", Grade.DOCUMENTED),
    needs=("misc_info",),
    applies=_applies,
)
def xstate_data(case: Case) -> Checks:
    """SizeOfInfo is 528, or all is zero if the engine's target is a dump. EnabledFeatures names the components. Each
    has its size and its offset in an area of standard format. EnabledFeatures may have bit 63, for compacted contexts;
    the header of a chunk tells whether it is compacted. Components that are not enabled have neither offset nor size.
    """
    configuration, record = _configuration(case), case.dump.misc_info
    assert configuration is not None
    assert record is not None
    subject = "MiscInfo"
    names = [name for name in record.structure.fields if name.startswith("XStateData.")]
    if of_a_dump(case) and not any(any(record.raw(name)) for name in names):
        yield ok(f"{subject}, XStateData")
        return
    yield from same(record, subject, {"XStateData.SizeOfInfo": _INFO_SIZE})
    enabled = configuration.enabled_features & ~COMPACTED
    yield from one_of(record, subject, "XStateData.EnabledFeatures", (enabled, enabled | COMPACTED))
    yield from _table(record, configuration, bool(record["XStateData.EnabledFeatures"] & COMPACTED))


def _table(record: Record, configuration: XStateTruth, compacted: bool) -> Checks:
    values = record.array("XStateData.Features")
    span = record.span_of("XStateData.Features")
    packed = 576
    for number in range(len(values) // 2):
        known = number < len(configuration.features)
        feature = configuration.features[number] if known else None
        expected = (feature.offset, feature.size) if feature is not None else (0, 0)
        accepted = {expected}
        if compacted and feature is not None and feature.size and number >= FIRST_COMPONENT:
            accepted.add((packed, feature.size))
            packed += feature.size
        actual = (values[2 * number], values[2 * number + 1])
        what = f"MiscInfo, XStateData.Features[{number}]"
        if actual in accepted:
            yield ok(what)
        else:
            shown = tuple(f"offset {offset}, size {size}" for offset, size in sorted(accepted))
            where = Span(span.start + 8 * number, span.start + 8 * number + 8)
            yield bad(what, shown, f"offset {actual[0]}, size {actual[1]}", where)


@rule(
    "TRUE-XSTATE-004",
    "Unused bytes of an extended context are zero",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-context-header", Grade.INFERRED),
    needs=("contexts",),
    applies=_applies,
)
def slack(case: Case) -> Checks:
    """Unused are the alignment bytes before the chunk, the slack after it, and the room of components in their initial
    state. Bytes other than zero are left over from the writer's memory.
    """
    configuration = _configuration(case)
    assert configuration is not None
    features = _features(configuration)
    for subject, fact, _, state in _extended(case):
        used = [state.ex.span, state.header.span]
        for number in range(FIRST_COMPONENT, 63):
            place = state.place(number, features) if state.present >> number & 1 else None
            if place is not None:
                used.append(place)
        at, clean = fact.extension.start, True
        for span in [*sorted(used), Span(fact.extension.end, fact.extension.end)]:
            if at < span.start and any(case.dump.source.view(at, span.start - at)):
                clean = False
                raw = case.dump.source.read(at, min(span.start - at, 16)).hex()
                yield bad(f"{subject}, slack", "zeros", raw, Span(at, span.start), fault=Fault.FORBIDDEN)
            at = max(at, span.end)
        if clean:
            yield ok(f"{subject}, slack")
