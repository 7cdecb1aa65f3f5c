"""Judges the extended processor state after the contexts (docs/format/minidump-contexts.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import Case
from ...decode import structure
from ...model import Grade, Level, Source, Span
from ...readers.facts import ContextFact
from ...readers.xstate import COMPACTED, FIRST_COMPONENT, context_ex, features_of, read_xstate
from ...rule import Checks, bad, ok, rule

_XSTATE_DATA_SIZE: Final = 528
"""minidumpapiset.h sizeof(XSTATE_CONFIG_FEATURE_MSC_INFO)."""
_EXTENDED: Final = 576
_CONTEXT_EX: Final = structure("CONTEXT_EX").size


def _announced(case: Case) -> bool:
    misc = case.dump.misc_info
    return misc is not None and misc["XStateData.SizeOfInfo"] != 0


def _extended(case: Case) -> Iterator[tuple[str, ContextFact]]:
    """The contexts that are longer than their record, each with its subject.

    With truth: those that MiscInfo announces; TRUE-CONTEXT-005 judges the others. Without truth: those that are longer
    by a CONTEXT_EX or more.
    """
    if case.dump.architecture not in {"amd64", "x86"} or (case.truth is not None and not _announced(case)):
        return
    least = 1 if case.truth is not None else _CONTEXT_EX
    for thread in case.dump.threads:
        if thread.context is not None and thread.context.extended >= least:
            yield f"context of thread {thread.id:#x}", thread.context
    exception = case.dump.exception
    if exception is not None and exception.context is not None and exception.context.extended >= least:
        yield "context of the exception", exception.context


@rule(
    "MDMP-XSTATE-001",
    "CONTEXT_EX locates the record and the extended state",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-context-header", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("contexts",),
    foreign_level=Level.SHOULD,
)
def context_ex_chunks(case: Case) -> Checks:
    """The offsets count from CONTEXT_EX. Legacy is the record in front of it, XState a chunk inside the context, and
    All spans both. The place of the chunk varies with the alignment of the writer's buffer, so a reader cannot assume
    it.
    """
    for subject, context in _extended(case):
        ex = context_ex(case.dump.source, context)
        if ex is None:
            wanted = f"a CONTEXT_EX of 24 bytes after the record of {context.record.structure.size}"
            yield bad(subject, wanted, f"{len(context.extension)} bytes", context.extension)
            continue
        size = context.record.structure.size
        start, length = ex["XState.Offset"], ex["XState.Length"]
        fits = start >= 24 and length >= 64 and start + length <= len(context.extension)
        expected = {
            "All.Offset": -size,
            "Legacy.Offset": -size,
            "Legacy.Length": size,
            "All.Length": size + start + length,
        }
        wrong = [name for name, value in expected.items() if ex[name] != value]
        for name in wrong:
            yield bad(f"{subject}, {name}", str(expected[name]), str(ex[name]), ex.span_of(name))
        if not fits:
            room = f"64 to {len(context.extension) - 24} bytes inside the context, after CONTEXT_EX"
            span = Span(ex.span_of("XState.Offset").start, ex.span.end)
            yield bad(f"{subject}, XState", room, f"{length} bytes at {start}", span)
        elif not wrong:
            yield ok(subject)


@rule(
    "MDMP-XSTATE-002",
    "The XSAVE header is one that a processor accepts",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-state-chunk", Grade.DOCUMENTED),
    needs=("contexts",),
    foreign_level=Level.SHOULD,
)
def xsave_header(case: Case) -> Checks:
    """The reserved bytes are zero. In compacted format CompactionMask has bit 63 and every bit of Mask. In standard
    format it is 0. XRSTOR refuses other headers.
    """
    for subject, context in _extended(case):
        fact = read_xstate(case.dump.source, context)
        if fact is None:
            continue
        header, mask, compaction = fact.header, fact.header["Mask"], fact.header["CompactionMask"]
        if any(header.raw("Reserved2")):
            span = header.span_of("Reserved2")
            yield bad(f"{subject}, Reserved2", "zero", header.raw("Reserved2").hex(), span)
        elif (compaction and not compaction & COMPACTED) or (compaction and mask & ~compaction) or mask & COMPACTED:
            span = Span(header.span_of("Mask").start, header.span_of("CompactionMask").end)
            expected = "CompactionMask 0, or bit 63 and every bit of Mask"
            yield bad(f"{subject}, masks", expected, f"Mask {mask:#x}, CompactionMask {compaction:#x}", span)
        else:
            yield ok(subject)


@rule(
    "MDMP-XSTATE-003",
    "Every component of the extended state lies inside its chunk",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-state-chunk", Grade.OBSERVED),
    needs=("contexts", "misc_info"),
    applies=_announced,
    foreign_level=Level.SHOULD,
)
def components_inside(case: Case) -> Checks:
    """XStateData gives the place and the size of each component. A reader finds the upper halves of the YMM registers
    by them. A compacted chunk may hold components that XStateData does not name, such as the state of the shadow stack.
    """
    misc = case.dump.misc_info
    assert misc is not None
    features = features_of(misc)
    for subject, context in _extended(case):
        fact = read_xstate(case.dump.source, context)
        if fact is None:
            continue
        for component in range(FIRST_COMPONENT, 63):
            if not fact.present >> component & 1:
                continue
            if fact.place(component, features) is not None:
                yield ok(f"{subject}, component {component}")
            else:
                expected = f"a place by XStateData.Features inside the chunk of {len(fact.chunk)} bytes"
                yield bad(f"{subject}, component {component}", expected, "none", fact.chunk)


@rule(
    "MDMP-MISC-004",
    "XStateData is empty or describes each component that it enables",
    Level.MUST,
    Source("docs/format/minidump-system.md#extended-state-in-misc-info", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("misc_info",),
    applies=_announced,
    foreign_level=Level.SHOULD,
)
def xstate_data(case: Case) -> Checks:
    """XStateData has 528 bytes: the size of a context, the enabled components, and offset and size of each. If the size
    of a component is missing, a reader cannot find those after it in a compacted area.
    """
    misc = case.dump.misc_info
    assert misc is not None
    span = misc.span_of("XStateData.SizeOfInfo")
    if misc["XStateData.SizeOfInfo"] == _XSTATE_DATA_SIZE:
        yield ok("XStateData.SizeOfInfo")
    else:
        yield bad("XStateData.SizeOfInfo", str(_XSTATE_DATA_SIZE), str(misc["XStateData.SizeOfInfo"]), span)
    features, enabled = features_of(misc), misc["XStateData.EnabledFeatures"]
    table = misc.span_of("XStateData.Features")
    for component in range(FIRST_COMPONENT, 63):
        if not enabled >> component & 1:
            continue
        offset, size = features.get(component, (0, 0))
        where = Span(table.start + 8 * component, table.start + 8 * component + 8)
        if size and offset >= _EXTENDED:
            yield ok(f"XStateData.Features[{component}]")
        else:
            expected = f"a size, and an offset of {_EXTENDED} or more"
            yield bad(f"XStateData.Features[{component}]", expected, f"size {size}, offset {offset}", where)
