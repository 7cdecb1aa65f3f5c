"""The memory that a minidump of a hand-made target must, may and must not hold, by docs/format."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.oracle.entitlement.clauses import Duty
from dumptruth.oracle.entitlement.flags import Format, stack, stack_of
from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.truth.objects import FunctionEntryTruth, FunctionTableTruth
from dumptruth.oracle.truth.process import ProcessTruth, RequestTruth, UnreadableTruth

from .small_target import CODE, DEFAULT, HEAP, SMALL, STACK, request, target, thread


def spans(truth: ProcessTruth, asked: RequestTruth, clause: str) -> list[tuple[int, int]]:
    grant = Entitlement(truth, asked).grant(clause)
    assert grant is not None
    return list(grant.union)


def test_the_stack_goes_from_sp_to_its_base_and_is_clamped_when_sp_is_elsewhere() -> None:
    assert stack(0x130, 0x100, 0x200) == (0x130, 0x200)
    assert stack(0x100, 0x100, 0x200) == (0x100, 0x200)
    assert stack(0x200, 0x100, 0x200) == (0x200, 0x200)
    assert stack(0xFF, 0x100, 0x200) == (0x100, 0x200)
    assert stack(0x201, 0x100, 0x200) == (0x100, 0x200)
    # x86: one word below ESP, but not below the limit of the stack
    assert stack(0x130, 0x100, 0x200, 4) == (0x12C, 0x200)
    assert stack(0x200, 0x100, 0x200, 4) == (0x1FC, 0x200)
    assert stack(0x100, 0x100, 0x200, 4) == (0x100, 0x200)
    assert stack(0xFF, 0x100, 0x200, 4) == (0x100, 0x200)


@pytest.mark.parametrize(("architecture", "below"), [("amd64", 0), ("arm64", 0), ("x86", 4)])
def test_only_the_stacks_of_x86_begin_below_the_stack_pointer(architecture: str, below: int) -> None:
    truth = target()
    truth = replace(truth, system=replace(truth.system, architecture=architecture))
    assert stack_of(truth, truth.threads[0]) == (STACK + 0x3F00 - below, STACK + 0x4000)


def test_a_small_dump_is_entitled_to_stacks_and_windows_to_the_byte() -> None:
    entitled = Entitlement(target(exception=CODE + 0x1400), request())
    sp, base = STACK + 0x3F00, STACK + 0x4000
    assert entitled.byte(sp) == (Duty.MUST, "stacks")
    assert entitled.byte(sp - 1) == (Duty.NEVER, "no clause")
    assert entitled.byte(base - 1) == (Duty.MUST, "stacks")
    assert entitled.byte(base) == (Duty.NEVER, "no clause")
    assert [entitled.byte(CODE + at)[0] for at in (0xFBF, 0xFC0, 0x10BF, 0x10C0)] == ["never", "must", "must", "never"]
    assert entitled.byte(CODE + 0x1400 - 0x80) == (Duty.MUST, "exception window")
    assert entitled.byte(CODE + 0x1400 + 0x80)[0] is Duty.NEVER
    assert entitled.byte(HEAP)[0] is Duty.NEVER


def test_windows_are_granted_only_where_they_can_be_read() -> None:
    """A partly readable window shrinks or is left out; no document says which. So the readable part may be there."""
    cut = target(threads=(thread(8, CODE + 0x10, 0),), exception=CODE + 0x2FF0)
    assert spans(cut, request(), "instruction windows") == spans(cut, request(), "exception window") == []
    assert spans(cut, request(), "cut instruction windows") == [(CODE, CODE + 0x90), (CODE + 0x2F70, CODE + 0x3000)]
    assert spans(target(threads=(thread(8, 0x10, 0),)), request(), "instruction windows") == []
    assert spans(target(threads=(thread(8, (1 << 64) - 1, 0),)), request(), "instruction windows") == []


def test_what_no_clause_grants_is_cut_out_of_a_range() -> None:
    entitled = Entitlement(target(), request())
    start, end = CODE + 0xF00, CODE + 0x1100
    assert list(entitled.ungranted(start, end)) == [(start, CODE + 0xFC0), (CODE + 0x10C0, end)]
    assert list(entitled.ungranted(CODE + 0xFC0, CODE + 0x10C0)) == []
    assert list(entitled.ungranted(HEAP, HEAP + 1)) == [(HEAP, HEAP + 1)]


def test_full_memory_grants_every_readable_page_and_no_other() -> None:
    truth = target()
    assert spans(truth, request(DEFAULT), "full memory") == [(run.start, run.end) for run in truth.memory]
    entitled = Entitlement(truth, request(DEFAULT))
    assert entitled.byte(STACK + 0x1000)[0] is Duty.NEVER
    assert entitled.byte(HEAP) == (Duty.MUST, "full memory")
    assert entitled.grant("stacks") is None


def test_an_ignored_unreadable_page_may_take_its_read_block_with_it() -> None:
    truth = target(unreadable=(UnreadableTruth(HEAP + 0x15000, 0x1000),))
    ignore = Format.FULL_MEMORY | Format.IGNORE_INACCESSIBLE_MEM
    lossy = Entitlement(truth, request(SMALL, ignore))
    assert [lossy.byte(HEAP + at)[0] for at in (0xFFFF, 0x10000, 0x15000, 0x1FFFF, 0x20000)] == [
        Duty.MUST,
        Duty.MAY,
        Duty.NEVER,
        Duty.MAY,
        Duty.MUST,
    ]
    exact = Entitlement(truth, request(SMALL, ignore | Format.SCAN_PARTIAL_PAGES))
    assert [exact.byte(HEAP + at)[0] for at in (0x10000, 0x15000, 0x1FFFF)] == [Duty.MUST, Duty.NEVER, Duty.MUST]


def test_segments_headers_and_private_pages_come_by_their_flags() -> None:
    truth = target(words={CODE + 0x3C: 0x80, CODE + 0x80: 0x4550, CODE + 0x98: 0x20B})
    assert spans(truth, request(SMALL, Format.DATA_SEGMENTS), "data segments") == [(CODE + 0x2000, CODE + 0x2045)]
    assert spans(truth, request(SMALL, Format.CODE_SEGMENTS), "code segments") == [(CODE + 0x1000, CODE + 0x1123)]
    assert spans(truth, request(SMALL, Format.MODULE_HEADERS), "module headers") == [
        (CODE, CODE + 0x40),
        (CODE + 0x80, CODE + 0x188),
    ]
    code = Entitlement(truth, request(SMALL, Format.CODE_SEGMENTS))
    assert code.byte(CODE + 0x2100) == (Duty.MAY, "read-only sections")
    assert code.byte(CODE + 0x2000)[0] is Duty.NEVER
    headers = Entitlement(truth, request(SMALL, Format.MODULE_HEADERS))
    assert [headers.byte(CODE + at)[0] for at in (0x188, 0x3FF, 0x400, 0x2100, 0x2000)] == [
        Duty.MAY,
        Duty.MAY,
        Duty.NEVER,
        Duty.MAY,
        Duty.NEVER,
    ]
    private = spans(truth, request(SMALL, Format.PRIVATE_READ_WRITE_MEMORY), "private read-write memory")
    assert private == [(STACK + 0x2000, STACK + 0x4000), (HEAP, HEAP + 0x30000)]
    assert Entitlement(truth, request()).grant("data segments") is None


def test_indirect_memory_is_a_window_around_each_word_that_points_at_memory_outside_images() -> None:
    words = {
        STACK + 0x3F00: HEAP + 0x1004,
        STACK + 0x3F08: HEAP + 0x10,
        STACK + 0x3F10: CODE + 8,
        STACK + 0x3F18: 0x999,
    }
    truth = target(words=words | {STACK + 0x3EF8: HEAP + 0x9000})
    assert spans(truth, request(SMALL, Format.INDIRECT_MEMORY), "indirect memory") == [
        (HEAP, HEAP + 0x310),
        (HEAP + 0xF04, HEAP + 0x1304),
    ]


def test_indirect_memory_of_a_32_bit_target_is_found_by_words_of_four_bytes() -> None:
    truth = target(words={STACK + 0x3F00: (HEAP + 0x1004) << 32 | 0x77})
    truth32 = replace(truth, system=replace(truth.system, architecture="x86"))
    object.__setattr__(truth32, "contents", truth.contents)
    asked = request(SMALL, Format.INDIRECT_MEMORY)
    assert spans(truth, asked, "indirect memory") == []
    assert spans(truth32, asked, "indirect memory") == [(HEAP + 0xF04, HEAP + 0x1304)]


def test_words_into_images_that_no_list_names_may_have_a_window() -> None:
    words = {STACK + 0x3F00: CODE + 0x1800}
    truth = target(words=words)
    unlisted = replace(truth, modules=())
    object.__setattr__(unlisted, "contents", truth.contents)
    asked = request(SMALL, Format.INDIRECT_MEMORY)
    assert Entitlement(truth, asked).byte(CODE + 0x1800)[0] is Duty.NEVER
    assert Entitlement(unlisted, asked).byte(CODE + 0x1800) == (Duty.MAY, "windows of unlisted images")


def test_gaps_below_24_bytes_may_be_bridged_where_windows_or_strings_are_captured() -> None:
    first, width = HEAP + 0x1000, 1024
    words = {STACK + 0x3F00: first, STACK + 0x3F08: first + width + 23, STACK + 0x3F10: first + 2 * width + 23 + 24}
    entitled = Entitlement(target(words=words), request(SMALL, Format.INDIRECT_MEMORY))
    gap = first + 768
    assert [entitled.byte(gap + at) for at in (0, 22)] == [(Duty.MAY, "bridged gaps")] * 2
    assert [entitled.byte(gap + width + 23 + at)[0] for at in (0, 23)] == [Duty.NEVER] * 2
    assert Entitlement(target(words=words), request()).grant("bridged gaps") is None


def test_a_stack_that_begins_or_ends_inside_a_hole_loses_its_block_when_losses_are_ignored() -> None:
    hole = (UnreadableTruth(STACK + 0x3000, 0x1000),)
    truth = target(threads=(thread(8, CODE + 0x1040, STACK + 0x2100),), unreadable=hole)
    ignore = request(SMALL, Format.IGNORE_INACCESSIBLE_MEM)
    entitled = Entitlement(truth, ignore)
    assert entitled.byte(STACK + 0x2100) == (Duty.MAY, "lost read blocks")
    assert entitled.byte(STACK + 0x3000)[0] is Duty.NEVER
    scan = Entitlement(truth, request(SMALL, Format.IGNORE_INACCESSIBLE_MEM | Format.SCAN_PARTIAL_PAGES))
    assert scan.byte(STACK + 0x2100) == (Duty.MUST, "stacks")
    assert scan.byte(STACK + 0x20FF)[0] is Duty.NEVER


def test_unwind_information_is_four_bytes_and_its_codes_and_comes_with_its_tables() -> None:
    """UNWIND_INFO: version and flags, size of prolog, count of codes, frame register, then two bytes per code."""
    tables = (FunctionTableTruth(HEAP, HEAP + 0x100, HEAP, b"", tuple(
        FunctionEntryTruth(0, 8, at) for at in (0x1000, 0x1100, 0x999000)
    )),)  # fmt: skip
    truth = target(words={HEAP + 0x1000: 0x030001, HEAP + 0x1100: 0x01})
    told = replace(truth, function_tables=tables)
    object.__setattr__(told, "contents", truth.contents)
    assert spans(told, request(), "unwind info") == [(HEAP + 0x1000, HEAP + 0x100A), (HEAP + 0x1100, HEAP + 0x1104)]
    entitled = Entitlement(told, request())
    assert list(entitled.ungranted(HEAP + 0x1000, HEAP + 0x100C)) == [(HEAP + 0x100A, HEAP + 0x100C)]
    assert list(entitled.ungranted(HEAP + 0x1100, HEAP + 0x1104, frozenset({"unwind info"}))) != []
    assert entitled.stream(13)[0] is Duty.MAY
    assert Entitlement(replace(truth, function_tables=()), request()).stream(13)[0] is Duty.NEVER


def test_private_memory_with_modifiers_or_that_runs_is_named_by_no_page() -> None:
    truth = target()
    regions = [replace(item, protect=0x404) if item.base == HEAP else item for item in truth.regions]
    modified = replace(truth, regions=tuple(regions))
    object.__setattr__(modified, "contents", truth.contents)
    entitled = Entitlement(modified, request(SMALL, Format.PRIVATE_READ_WRITE_MEMORY))
    assert entitled.byte(HEAP) == (Duty.MAY, "private writable memory")
    assert entitled.byte(STACK + 0x2000) == (Duty.MUST, "private read-write memory")


def test_process_and_thread_data_are_the_structures_and_what_they_point_to() -> None:
    """PEB at HEAP, the TEB at HEAP + 0x2000, process parameters at HEAP + 0x8000, a command line at HEAP + 0x9000."""
    words = {
        HEAP + 0x20: HEAP + 0x8000,
        HEAP + 0x8070: 0x0012_0010,
        HEAP + 0x8078: HEAP + 0x9000,
        HEAP + 0x8080: HEAP + 0xC000,
        HEAP + 0x2058: HEAP + 0x20000,
    }
    truth = target(words=words)
    truth = replace(
        truth,
        process=replace(truth.process, peb=HEAP),
        threads=tuple(replace(thread, teb=HEAP + 0x2000) for thread in truth.threads),
    )
    object.__setattr__(truth, "contents", target(words=words).contents)
    entitled = Entitlement(truth, request(SMALL, Format.PROCESS_THREAD_DATA))
    grant = entitled.grant("process and thread data")
    assert grant is not None
    assert grant.union == ((HEAP, HEAP + 0x7C8), (HEAP + 0x2000, HEAP + 0x3838))
    allowed = (0x7C8, 0xFFF, 0x3FFF, 0x8000, 0x843F, 0x9000, 0x900F, 0xC000, 0xDFFF, 0x20000)
    assert {entitled.byte(HEAP + at)[0] for at in allowed} == {Duty.MAY}
    assert {entitled.byte(HEAP + at)[0] for at in (0x1000, 0x4000, 0x8440, 0x9010, 0xE000)} == {Duty.NEVER}
    customary = entitled.grant("process parameters")
    assert customary is not None
    assert customary.union == ((HEAP + 0x8000, HEAP + 0x8440), (HEAP + 0x9000, HEAP + 0x9010))
