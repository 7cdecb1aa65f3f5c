"""Judges RequiredDumpSpace, and tells from it which engine a small dump is by."""

from __future__ import annotations

from ...case import KernelCase
from ...entitlement.kernel_writers import KernelWriter, engine_of, writers_of
from ...model import Grade, Level, Source
from ...readers.kernel_dump import BITMAPS, PAGED, TRIAGE, TriageFacts
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import of_a_dump
from .asserts import header_of

_UNSET_OPTIONS = 0xFFFF_FFFF
"""TriageOptions in layout A (docs/format/kernel-small.md#triageoptions)."""
_FIRST_REAL = 9600
"""The oldest build of which a real small dump was measured (docs/format/kernel-small-real.md#sizes-by-group)."""


def is_measured(case: KernelCase) -> bool:
    """Whether the exact layout of this small dump is known: with truth, or for 64-bit targets from build 9600 on.

    docs/format/kernel-small-layouts.md#older-and-32-bit-small-dumps
    """
    return own(case) or (case.dump.bits == 64 and case.dump.build >= _FIRST_REAL)


def triage_of(case: KernelCase) -> TriageFacts:
    """The parts of a small dump."""
    assert case.dump.triage is not None
    return case.dump.triage


def may_be_by_the_engine(case: KernelCase) -> bool:
    """Whether the file may be a small dump of the vendor's engine: layout A, and TriageOptions not set.

    Windows leaves the field in the same state (docs/format/kernel-small-layouts.md#how-to-tell-a-from-b). So this rules
    other writers out, and does not prove the engine.
    """
    triage = case.dump.triage
    return triage is not None and triage.layout == "A" and triage.header["TriageOptions"] == _UNSET_OPTIONS


@kernel_rule(
    "KHDR-SPACE-001",
    "RequiredDumpSpace fits the size of the dump",
    Level.MUST,
    Source("docs/format/kernel-header-fields.md#requireddumpspace", Grade.WITNESSED, versions=("15063", "29507")),
    Source(
        "docs/format/kernel-small-layouts.md#requireddumpspace-of-a-small-dump",
        Grade.WITNESSED,
        versions=("15063", "29507"),
    ),
    needs=("header",),
    foreign_level=Level.SHOULD,
    applies=lambda case: case.dump.primary_end is not None,
)
def required_space(case: KernelCase) -> Checks:
    """The engine looks for secondary data of types 2, 5 and 6 before RequiredDumpSpace, and finds no page if it is 0.
    So a dump with pages stores the length of the file. Nobody reads the field of the other types: there third parties
    store sizes of the pages alone. A small dump stores an upper bound; each engine has its own formula.
    """
    dump, header = case.dump, header_of(case.dump)
    actual, size = header["RequiredDumpSpace"], dump.source.size
    span = header.span_of("RequiredDumpSpace")
    engine = engine_of(case.request)
    exact = _exact_spaces(case, engine)
    at_least = None if exact and own(case) else size
    if dump.type not in (TRIAGE, *BITMAPS) and not own(case):
        at_least = None
    passed = actual in exact or (at_least is not None and actual >= at_least)
    expected = tuple(dict.fromkeys(f"{value:#x}" for value in exact))
    if at_least is not None:
        expected = (*expected, f"{at_least:#x} or more")
    yield (
        ok("header, RequiredDumpSpace") if passed else bad("header, RequiredDumpSpace", expected, f"{actual:#x}", span)
    )


def _exact_spaces(case: KernelCase, engine: KernelWriter | None) -> list[int]:
    """The exact values that a dump may hold; none if only a lower bound is known."""
    dump, size = case.dump, case.dump.source.size
    assert dump.primary_end is not None
    if dump.type == TRIAGE:
        if engine is not None:
            return [space_of_a_small_dump(case, engine)]
        return [size] if dump.triage is not None and dump.triage.layout == "B" else []
    if dump.type in BITMAPS and not own(case):
        return []
    exact = [size]
    if dump.type not in BITMAPS and engine is None:
        exact.append(dump.pages.end if dump.type in PAGED else dump.primary_end)
        if not own(case):
            exact += [0x1000 * (dump.pages.total + 2), 0x1000 * dump.pages.total]
    return exact


def space_of_a_small_dump(case: KernelCase, engine: KernelWriter) -> int:
    """RequiredDumpSpace by the formula of ``engine``.

    docs/format/kernel-small-layouts.md#requireddumpspace-of-a-small-dump
    """
    dump, reserved, sizes = case.dump, engine.processor, case.dump.debugger_data
    assert dump.primary_end is not None
    if reserved is None or sizes is None:
        return dump.source.size
    each = reserved.fixed + sizes["SizePrcb"] + (sizes["SizeEThread"] if reserved.thread else 0)
    return 0x40000 + header_of(dump)["NumberProcessors"] * each + dump.source.size - dump.primary_end


def engine_that_wrote(case: KernelCase) -> KernelWriter | None:
    """The engine that a small dump is by; None if it is by another writer.

    Its DebuggerDataSize and its RequiredDumpSpace together show it.
    """
    header, stored = triage_of(case).header, header_of(case.dump)["RequiredDumpSpace"]
    for writer in writers_of(case.request):
        space = space_of_a_small_dump(case, writer) if writer.engine else None
        if header["DebuggerDataSize"] == writer.debugger_data_size and space == stored:
            return writer
    return None


def copy_of_a_small_dump(case: KernelCase) -> bool:
    """Whether an engine made this small dump of another small dump.

    It then finds base names only, no unloaded drivers, and not all memory
    (docs/format/kernel-small-layouts.md#data-blocks-of-the-engine). No name has a backslash.
    """
    if not of_a_dump(case) or triage_of(case).layout != "A":
        return False
    names = triage_of(case).strings.values()
    return engine_that_wrote(case) is not None and not any("\\" in name.text for name in names)
