"""Against truth and request: the extended processor state behind the contexts, and what MiscInfo says of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import Case
from ...decode import Record
from ...entitlement.flags import Format, effective
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import ContextFact
from ...readers.xstate import COMPACTED, FIRST_COMPONENT, XStateFact, read_xstate
from ...rule import Checks, bad, ok, rule
from ...truth.context import ThreadContextTruth, XStateTruth
from ..asserts import TRUTH, one_of, same, same_bytes
from .contexts import decodes, known_contexts

_ASKED: Final = Source("learn.microsoft.com .dump /y: AVX register states; spec user-mode 2.4, 3.11", Grade.OBSERVED)
_LAYOUT: Final = Source("Intel SDM volume 1, 13.4; spec user-mode 3.11", Grade.DOCUMENTED)
_INFO_SIZE: Final = 528
_CET_U: Final = 1 << 11
"""winnt.h XSTATE_MASK_CET_U: spec user-mode 3.11, the Microsoft sample."""


def _configuration(case: Case) -> XStateTruth | None:
    """What the target saves with XSAVE, where the request asks for it."""
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
    "Every context has its extended state where AVX state was asked for",
    Level.MUST,
    _ASKED,
    needs=("contexts",),
    applies=_applies,
)
def extended_contexts(case: Case) -> Checks:
    """The threads' and the exception's alike: CONTEXT_EX and an XSAVE area follow the record. Without it the upper
    halves of the vector registers, and with them floating-point arguments, are lost.
    """
    for subject, fact, _ in known_contexts(case):
        if read_xstate(case.dump.source, fact) is not None:
            yield ok(subject)
        else:
            actual = f"{len(fact.extension)} bytes behind the record"
            yield bad(subject, "CONTEXT_EX and a chunk of extended state", actual, fact.span, fault=Fault.MISSING)


@rule(
    "TRUE-XSTATE-002",
    "Every component of the extended state is the target's",
    Level.MUST,
    _LAYOUT,
    TRUTH,
    needs=("contexts",),
    applies=_applies,
)
def components(case: Case) -> Checks:
    """A component in its initial state is left out or zero. Standard and compacted format are both legal: the header of
    the chunk tells which. A compacted area has room only for what the target saves, and for the shadow stack's state,
    for which a real one had room though it was not enabled.
    """
    configuration = _configuration(case)
    assert configuration is not None
    features = _features(configuration)
    room = configuration.enabled_features | COMPACTED | _CET_U | ((1 << FIRST_COMPONENT) - 1)
    for subject, _, truth, state in _extended(case):
        surplus = state.header["CompactionMask"] & ~room
        if surplus:
            where = state.header.span_of("CompactionMask")
            yield bad(f"{subject}, CompactionMask", f"bits of {room:#x}", f"{surplus:#x} besides", where)
        if truth.xstate is None:
            continue
        held = truth.components
        for number in range(FIRST_COMPONENT, 63):
            present = state.present >> number & 1
            if not present and not any(held.get(number, b"")):
                continue
            what, span = f"{subject}, component {number}", state.place(number, features)
            expected = held.get(number, bytes(features.get(number, (0, 0))[1]))
            if not present:
                mask = state.header.span_of("Mask")
                yield bad(what, "a bit in Mask: it is not in its initial state", "none", mask, fault=Fault.MISSING)
            elif span is None:
                yield bad(what, f"{len(expected)} bytes of the chunk", "none", state.chunk, fault=Fault.MISSING)
            else:
                actual = case.dump.source.read(span.start, len(span))
                yield from same_bytes(what, expected, actual, span)


@rule(
    "TRUE-XSTATE-003",
    "XStateData describes the target's extended state",
    Level.MUST,
    Source("minidumpapiset.h XSTATE_CONFIG_FEATURE_MSC_INFO; spec user-mode 3.10, 3.11", Grade.DOCUMENTED),
    TRUTH,
    needs=("misc_info",),
    applies=_applies,
)
def xstate_data(case: Case) -> Checks:
    """SizeOfInfo 528, the enabled components, and for each its offset in an area of standard format and its size.
    EnabledFeatures may have bit 63, for compacted contexts; whether a chunk is compacted its own header says.
    Components that are not enabled have neither offset nor size.
    """
    configuration, record = _configuration(case), case.dump.misc_info
    assert configuration is not None
    assert record is not None
    subject = "MiscInfo"
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
    "What extended state does not use of a context is zero",
    Level.MUST,
    Source("spec user-mode 3.11: the bytes around the chunk are slack", Grade.INFERRED),
    needs=("contexts",),
    applies=_applies,
)
def slack(case: Case) -> Checks:
    """Alignment in front of the chunk, slack behind it, and in it the room of components in their initial state: bytes
    left over there are some other memory of the writer's.
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
