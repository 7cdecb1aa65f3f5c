"""The memory that a minidump of a hand-made target must, may and must not hold, by docs/format."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.oracle.entitlement.duty import Duty
from dumptruth.oracle.entitlement.flags import Format, stack, stack_of
from dumptruth.oracle.entitlement.indirect import windows, windows_in_doubt
from dumptruth.oracle.entitlement.survival import survival_of
from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.entitlement.writers import writings
from dumptruth.oracle.truth.objects import FunctionEntryTruth, FunctionTableTruth
from dumptruth.oracle.truth.process import ProcessTruth, RunTruth, UnreadableTruth

from .granted import NEW, OLD, by, duties, spans
from .small_target import CODE, DEFAULT, HEAP, SECTIONS, SMALL, STACK, having, request, target, thread


def test_the_stack_goes_from_sp_to_its_base_and_is_whole_when_sp_is_elsewhere() -> None:
    assert stack(0x130, 0x100, 0x200) == (0x130, 0x200)
    assert stack(0x100, 0x100, 0x200) == (0x100, 0x200)
    assert stack(0x1FF, 0x100, 0x200) == (0x1FF, 0x200)
    assert stack(0x200, 0x100, 0x200) == (0x100, 0x200)
    assert stack(0xFF, 0x100, 0x200) == (0x100, 0x200)
    # x86: one word below ESP. ESP at the base is inside, ESP at the limit is not.
    assert stack(0x130, 0x100, 0x200, 4) == (0x12C, 0x200)
    assert stack(0x200, 0x100, 0x200, 4) == (0x1FC, 0x200)
    assert stack(0x204, 0x100, 0x200, 4) == (0x100, 0x200)
    assert stack(0x103, 0x100, 0x200, 4) == (0x100, 0x200)
    assert stack(0, 0x100, 0x200, 4) == (0x100, 0x200)


@pytest.mark.parametrize(("architecture", "below"), [("amd64", 0), ("arm64", 0), ("x86", 4)])
def test_only_the_stacks_of_x86_begin_below_the_stack_pointer(architecture: str, below: int) -> None:
    truth = target()
    truth = replace(truth, system=replace(truth.system, architecture=architecture))
    assert stack_of(truth, truth.threads[0]) == (STACK + 0x3F00 - below, STACK + 0x4000)


def test_a_small_dump_is_entitled_to_stacks_and_windows_to_the_byte() -> None:
    entitled = Entitlement(target(exception=CODE + 0x1400), request())
    sp, base = STACK + 0x3F00, STACK + 0x4000
    every = "E29507, E15063, dbghelp 6.12, the reference page"
    assert entitled.byte(sp) == (Duty.MUST, f"{every}: stacks")
    assert entitled.byte(sp - 17) == (Duty.NEVER, "no clause")
    assert entitled.byte(base - 1) == (Duty.MUST, f"{every}: stacks")
    assert entitled.byte(base) == (Duty.NEVER, "no clause")
    assert [entitled.byte(CODE + at)[0] for at in (0xFBF, 0xFC0, 0x10BF, 0x10C0)] == ["never", "must", "must", "never"]
    assert entitled.byte(CODE + 0x1400 - 0x80) == (Duty.MUST, f"{every}: exception window")
    assert entitled.byte(CODE + 0x1400 + 0x80)[0] is Duty.NEVER
    assert entitled.byte(HEAP)[0] is Duty.NEVER


def test_windows_of_arm64_have_four_times_the_size() -> None:
    truth = target()
    arm = having(truth, system=replace(truth.system, architecture="arm64"))
    assert spans(arm, request(), "instruction windows") == [(CODE + 0xE40, CODE + 0x1240)]


def test_a_window_is_clipped_to_what_can_be_read_even_if_its_middle_cannot() -> None:
    cut = target(threads=(thread(8, CODE - 0x10, 0),), exception=CODE + 0x2FF0)
    assert spans(cut, request(), "instruction windows") == [(CODE, CODE + 0x70)]
    assert spans(cut, request(), "exception window") == [(CODE + 0x2F70, CODE + 0x3000)]
    behind = target(exception=CODE + 0x3040)
    for contract in (NEW, OLD, "documented"):
        assert spans(behind, by(contract), "exception window") == [(CODE + 0x2FC0, CODE + 0x3000)]
    assert spans(target(exception=0), by(NEW), "exception window") == []
    assert spans(target(threads=(thread(8, 0x10, 0),)), request(), "instruction windows") == []
    assert spans(target(threads=(thread(8, (1 << 64) - 1, 0),)), request(), "instruction windows") == []


def test_a_window_of_a_dump_lies_in_one_captured_range_or_is_dropped() -> None:
    """The regions of the image touch at CODE + 0x1000: a window across the border is in two captured ranges."""
    truth = target(threads=(thread(8, CODE + 0x1040, 0), thread(9, CODE + 0x1200, 0)))
    tebs = having(truth, threads=tuple(replace(each, teb=HEAP) for each in truth.threads))
    assert spans(tebs, by(NEW, session="dump"), "instruction windows") == [(CODE + 0x1180, CODE + 0x1280)]
    for contract in (NEW, OLD, "documented"):
        assert duties(tebs, by(contract, session="dump"), CODE + 0x1040, CODE + 0x1200) == ["never", "must"]
    word = having(target(words={STACK + 0x3F00: HEAP + 0x2FF00}), threads=tebs.threads[:1])
    word = having(word, threads=(replace(thread(8, CODE, STACK + 0x3F00), teb=HEAP),))
    for contract in (NEW, OLD):
        assert spans(word, by(contract, Format.INDIRECT_MEMORY, "dump"), "indirect memory") == []
        assert spans(word, by(contract, Format.INDIRECT_MEMORY), "indirect memory") == [
            (HEAP + 0x2FE00, HEAP + 0x30000)
        ]


@pytest.mark.parametrize(
    ("architecture", "held", "new", "old"),
    [
        ("amd64", 0, "never", "never"),
        ("amd64", 0x5F, "never", "never"),
        ("amd64", 0x60, "never", "must"),
        ("amd64", 0x800, "never", "must"),
        ("amd64", 0x801, "may", "must"),
        ("amd64", 0x2000, "must", "must"),
        ("arm64", 0x800, "never", "must"),
        ("x86", 0, "never", "never"),
        ("x86", 0x2F, "may", "never"),
        ("x86", 0x30, "may", "must"),
        ("x86", 0x800, "must", "must"),
    ],
)
def test_the_stack_of_a_dump_needs_a_part_of_the_teb(architecture: str, held: int, new: str, old: str) -> None:
    """The heap ends behind ``held`` bytes of the TEB."""
    truth = target(threads=(replace(thread(8, CODE + 0x40, STACK + 0x3F00), teb=HEAP + 0x30000 - held),))
    truth = having(truth, system=replace(truth.system, architecture=architecture))
    assert duties(truth, by(NEW), STACK + 0x3FFF) == ["must"]
    assert duties(truth, by(NEW, session="dump"), STACK + 0x3FFF) == [new]
    assert duties(truth, by(OLD, session="dump"), STACK + 0x3FFF) == [old]


def test_where_address_and_pointer_of_an_exception_differ_an_engine_takes_the_address() -> None:
    at, pointer = CODE + 0x1400, CODE + 0x1800
    truth = target(exception=pointer)
    assert truth.exception is not None
    truth = having(truth, exception=replace(truth.exception, address=at))
    assert duties(truth, by(NEW), at, pointer) == ["must", "never"]
    assert duties(truth, by(OLD), at, pointer) == ["must", "never"]
    assert duties(truth, request(), at, pointer) == ["may", "may"]
    assert truth.exception is not None
    nowhere = having(truth, exception=replace(truth.exception, address=0))
    assert duties(nowhere, by(NEW), pointer) == ["never"]


def with_shared_page(truth: ProcessTruth) -> ProcessTruth:
    return having(truth, memory=(*truth.memory[:2], RunTruth(0x7FFE0000, 0x1000, 0), *truth.memory[2:]))


def test_shared_user_data_is_what_the_contract_names() -> None:
    truth = with_shared_page(target())
    last = 0x7FFE0000 + 0xA9F
    assert duties(truth, by(NEW), last, last + 1) == ["must", "never"]
    assert duties(truth, by(OLD), 0x7FFE0000) == ["never"]
    assert duties(truth, request(), 0x7FFE0000, last, last + 1) == ["may", "may", "never"]
    assert Entitlement(truth, request()).byte(last) == (Duty.MAY, "E29507: shared user data")


def test_a_dump_without_shared_user_data_may_give_the_next_range() -> None:
    """The engine's own error; the truth does not say whether the source had a list of regions."""
    truth = target()
    assert duties(truth, by(NEW, session="dump"), CODE, CODE + 0xA9F, CODE + 0xAA0) == ["may", "may", "never"]
    assert duties(truth, by(NEW), CODE) == duties(truth, by(OLD, session="dump"), CODE) == ["never"]


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
    assert entitled.byte(HEAP)[0] is Duty.MUST
    assert entitled.grant("stacks") is None


def test_an_unreadable_page_takes_its_region_with_it() -> None:
    torn = target(unreadable=(UnreadableTruth(HEAP + 0x15000, 0x1000),))
    places = [HEAP + at for at in (0, 0x14FFF, 0x15000, 0x16000)]
    full, scan = Format.FULL_MEMORY, Format.SCAN_PARTIAL_PAGES
    ignore = full | Format.IGNORE_INACCESSIBLE_MEM
    assert duties(torn, by(NEW, full), *places) == duties(torn, by(NEW, ignore), *places) == ["never"] * 4
    assert duties(torn, by(NEW, full | scan), *places) == ["must", "must", "never", "never"]
    assert duties(torn, by(OLD, ignore), *places) == ["may", "may", "never", "may"]
    assert duties(torn, request(SMALL, ignore), *places) == ["may", "may", "never", "may"]
    assert duties(torn, request(SMALL, ignore), STACK + 0x2000) == ["must"]


def test_the_readable_part_of_a_stack_stays_whatever_is_ignored() -> None:
    hole = (UnreadableTruth(STACK + 0x3000, 0x1000),)
    truth = target(threads=(thread(8, CODE + 0x1040, STACK + 0x2100),), unreadable=hole)
    for flags in (0, Format.IGNORE_INACCESSIBLE_MEM, Format.NO_IGNORE_INACCESSIBLE_MEM, Format.SCAN_PARTIAL_PAGES):
        assert duties(truth, by(NEW, flags), STACK + 0x2100, STACK + 0x2FFF, STACK + 0x3000) == [
            "must",
            "must",
            "never",
        ]


def test_segments_are_chosen_by_their_characteristics() -> None:
    """READ and WRITE and data; CNT_CODE. The first section of the image is code, the second data, the third neither."""
    truth = target()
    assert spans(truth, request(SMALL, Format.DATA_SEGMENTS), "data segments") == [(CODE + 0x2000, CODE + 0x2045)]
    assert spans(truth, request(SMALL, Format.CODE_SEGMENTS), "code segments") == [(CODE + 0x1000, CODE + 0x1123)]
    assert duties(truth, request(SMALL, Format.CODE_SEGMENTS), CODE + 0x2100, CODE + 0x2000) == ["never", "never"]

    def as_section(characteristics: int) -> ProcessTruth:
        section = replace(SECTIONS[1], characteristics=characteristics)
        return having(truth, modules=(replace(truth.modules[0], sections=(section,)),))

    for bits, data, code in (
        (0xE0000040, True, False),  # executable data
        (0xC0000080, True, False),  # uninitialized data
        (0x80000040, False, False),  # not readable
        (0xC0000000, False, False),  # no data
        (0xE0000060, True, True),
        (0x60000000, False, False),  # executable, but no code
    ):
        found = spans(as_section(bits), request(SMALL, Format.DATA_SEGMENTS | Format.CODE_SEGMENTS), "data segments")
        assert bool(found) is data, hex(bits)
        found = spans(as_section(bits), request(SMALL, Format.DATA_SEGMENTS | Format.CODE_SEGMENTS), "code segments")
        assert bool(found) is code, hex(bits)


def test_an_unreadable_page_ends_a_section() -> None:
    truth = target(unreadable=(UnreadableTruth(CODE + 0x1000, 0x1000),))
    section = replace(SECTIONS[1], virtual_address=0x800, virtual_size=0x2000)
    truth = having(truth, modules=(replace(truth.modules[0], sections=(section,)),))
    assert spans(truth, request(SMALL, Format.DATA_SEGMENTS), "data segments") == [(CODE + 0x800, CODE + 0x1000)]


def with_headers() -> ProcessTruth:
    """e_lfanew 0x80, SizeOfHeaders 0x200; directories: 0 export, 4 security, 6 debug with one entry."""
    words = {
        CODE + 0x3C: 0x80, CODE + 0x80: 0x4550, CODE + 0x98: 0x20B, CODE + 0x98 + 60: 0x200,
        CODE + 0x98 + 0x6C: 7,
        CODE + 0x98 + 0x70: 0x28_0000_2200,
        CODE + 0x98 + 0x70 + 4 * 8: 0x30_0000_2300,
        CODE + 0x98 + 0x70 + 6 * 8: 0x1C_0000_2400,
        CODE + 0x2400 + 16: 0x2500_0000_0020,
    }  # fmt: skip
    words[CODE + 0x2400 + 16] = 0x2500 << 32 | 0x20
    return target(words=words)


def test_module_headers_are_headers_and_directories_of_live_images() -> None:
    headers, export, debug, record = (0x0, 0x280), (0x2200, 0x2228), (0x2400, 0x241C), (0x2500, 0x2520)

    def found(contract: str, session: str = "live") -> list[tuple[int, int]]:
        granted = spans(with_headers(), by(contract, Format.MODULE_HEADERS, session), "module headers")
        return [(start - CODE, end - CODE) for start, end in granted]

    assert found("documented") == [headers, export, debug]
    assert found(OLD) == found(NEW) == [headers, export, debug, record]
    assert found(NEW, "dump") == found(OLD, "dump") == []
    assert duties(with_headers(), by("documented", Format.MODULE_HEADERS), CODE + 0x2500, CODE + 0x2300) == [
        "may",
        "never",
    ]


def test_private_pages_are_chosen_by_the_writers_list_of_protections() -> None:
    truth = target()

    def private(protect: int, contract: str) -> str:
        regions = tuple(replace(item, protect=protect) if item.base == HEAP else item for item in truth.regions)
        (duty,) = duties(having(truth, regions=regions), by(contract, Format.PRIVATE_READ_WRITE_MEMORY), HEAP)
        return duty

    rows = {
        0x04: ("must", "must", "must"),
        0x02: ("never", "never", "never"),
        0x08: ("never", "must", "may"),
        0x10: ("must", "must", "may"),
        0x20: ("must", "must", "may"),
        0x40: ("must", "must", "may"),
        0x80: ("must", "never", "may"),
        0x204: ("may", "may", "may"),
        0x404: ("may", "may", "may"),
    }
    assert {bits: tuple(private(bits, each) for each in (OLD, NEW, "documented")) for bits in rows} == rows
    assert Entitlement(truth, request()).grant("private read-write memory") is None


def test_indirect_memory_is_a_window_around_each_word_that_points_outside_listed_images() -> None:
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


def test_a_word_that_cannot_be_read_still_gives_the_readable_part_of_its_window() -> None:
    truth = target(words={STACK + 0x3F00: HEAP - 0x10, STACK + 0x3F08: HEAP + 0x30050})
    assert spans(truth, request(SMALL, Format.INDIRECT_MEMORY), "indirect memory") == [
        (HEAP, HEAP + 0x2F0),
        (HEAP + 0x2FF50, HEAP + 0x30000),
    ]


def test_a_stack_pointer_that_is_not_aligned_gives_no_windows_by_engine_29507() -> None:
    truth = target(threads=(thread(8, CODE + 0x1040, STACK + 0x3F03),), words={STACK + 0x3F08: HEAP + 0x1000})
    flags = Format.INDIRECT_MEMORY
    assert duties(truth, by(NEW, flags), HEAP + 0x1000) == ["never"]
    assert duties(truth, by("documented", flags), HEAP + 0x1000) == ["may"]


def test_indirect_memory_of_a_32_bit_target_is_found_by_words_of_four_bytes() -> None:
    truth = target(words={STACK + 0x3F00: (HEAP + 0x1004) << 32 | 0x77})
    truth32 = having(truth, system=replace(truth.system, architecture="x86"))
    asked = request(SMALL, Format.INDIRECT_MEMORY)
    assert spans(truth, asked, "indirect memory") == []
    assert spans(truth32, asked, "indirect memory") == [(HEAP + 0xF04, HEAP + 0x1304)]


def test_words_into_images_that_no_list_names_have_a_window() -> None:
    truth = target(words={STACK + 0x3F00: CODE + 0x1800})
    asked = request(SMALL, Format.INDIRECT_MEMORY)
    assert duties(truth, asked, CODE + 0x1800) == ["never"]
    assert duties(having(truth, modules=()), asked, CODE + 0x1800) == ["must"]


def test_gaps_of_at_most_16_bytes_may_be_bridged_at_any_flags() -> None:
    pointers = CODE + 0x200, CODE + 0x200 + 256 + 16, CODE + 0x200 + 2 * 256 + 16 + 17
    threads = tuple(thread(number, pointer, 0) for number, pointer in enumerate(pointers, 8))
    entitled = Entitlement(target(threads=threads), request())
    gap = CODE + 0x280
    assert {entitled.byte(gap + at)[0] for at in range(16)} == {Duty.MAY}
    assert entitled.byte(gap)[1].endswith("bridged gaps")
    assert {entitled.byte(gap + 16 + 256 + at)[0] for at in range(17)} == {Duty.NEVER}


def tables(*places: int) -> tuple[FunctionTableTruth, ...]:
    entries = tuple(FunctionEntryTruth(0, 8, at) for at in places)
    return (FunctionTableTruth(HEAP, HEAP + 0x100, HEAP, b"", entries),)


def test_unwind_information_is_four_bytes_and_its_codes_and_comes_with_its_tables() -> None:
    """UNWIND_INFO: version and flags, size of prolog, count of codes, frame register, then two bytes per code."""
    truth = target(words={HEAP + 0x1000: 0x030001, HEAP + 0x1100: 0x01})
    told = having(truth, function_tables=tables(0x1000, 0x1100, 0x999000))
    assert spans(told, request(), "unwind info") == [(HEAP + 0x1000, HEAP + 0x100A), (HEAP + 0x1100, HEAP + 0x1104)]
    entitled = Entitlement(told, request())
    assert list(entitled.ungranted(HEAP + 0x1000, HEAP + 0x100C)) == [(HEAP + 0x100A, HEAP + 0x100C)]
    assert list(entitled.ungranted(HEAP + 0x1100, HEAP + 0x1104, frozenset({"unwind info"}))) != []
    assert entitled.stream(13)[0] is Duty.MAY
    assert Entitlement(replace(truth, function_tables=()), request()).stream(13)[0] is Duty.NEVER


def test_a_chained_entry_has_an_even_number_of_codes_and_twelve_bytes_more() -> None:
    """0x21: version 1, UNW_FLAG_CHAININFO."""
    truth = having(target(words={HEAP + 0x1000: 0x030021}), function_tables=tables(0x1000))
    assert spans(truth, request(), "unwind info") == [(HEAP + 0x1000, HEAP + 0x1000 + 4 + 8 + 12)]


def test_an_entry_that_cannot_be_read_ends_its_table() -> None:
    truth = having(target(words={HEAP + 0x1100: 0x01}), function_tables=tables(0x999000, 0x1100))
    assert spans(truth, request(), "unwind info") == []


def test_filter_triage_adds_the_words_that_keep_stack_words() -> None:
    """A stack word points at a word that points into the image; another one at a number."""
    words = {STACK + 0x3F00: HEAP + 0x100, HEAP + 0x100: CODE + 8, STACK + 0x3F08: HEAP + 0x200, HEAP + 0x200: 5}
    for contract in (OLD, NEW, "documented"):
        asked = by(contract, Format.FILTER_TRIAGE)
        assert spans(target(words=words), asked, "words that keep stack words") == [(HEAP + 0x100, HEAP + 0x108)]


@pytest.mark.parametrize(("word", "followed"), [(HEAP + 0x400, True), (CODE + 8, True), (0, False), (HEAP + 8, False)])
def test_indirect_memory_of_a_dump_stops_behind_a_thread_with_a_dropped_window(word: int, followed: bool) -> None:
    """Engine 15063. The first thread has only ``word``; the second thread's word has a whole window."""
    top = STACK + 0x4000
    threads = (thread(8, CODE + 0x1040, top - 8), replace(thread(12, CODE + 0x1040, top - 16), stack_base=top - 8))
    truth = target(threads=threads, words={top - 8: word, top - 16: HEAP + 0x1800})
    window = HEAP + 0x1800
    for contract, allowed in ((OLD, False), (NEW, True)):
        (writing,) = writings(truth, by(contract, Format.INDIRECT_MEMORY, "dump"))
        assert any(piece.start <= window < piece.end for piece in windows(writing)) is followed
        assert any(piece.start <= window < piece.end for piece in windows_in_doubt(writing)) is allowed


def test_a_stack_of_a_filter_begins_at_sp_until_the_filter_reaches_its_thread() -> None:
    """Engine 15063, SP below the stack's limit. StackBase counts. What 29507 does was not measured."""
    first, limit = thread(8, CODE + 0x1040, STACK + 0x3F00), STACK + 0x1000
    other = replace(thread(12, CODE + 0x1040, STACK + 0x800), stack_limit=limit, stack_base=STACK + 0x2000)
    truth = target(threads=(first, other))
    old, new = survival_of(truth, by(OLD)), survival_of(truth, by(NEW))
    assert [old.keeps(STACK + 0x800, index) for index in (0, 1)] == [True, False]
    assert [old.keeps(limit, index) for index in (0, 1)] == [True, True]
    assert [old.keeps(STACK + 0x4000, 0), new.keeps(STACK + 0x4000, 0)] == [True, None]
