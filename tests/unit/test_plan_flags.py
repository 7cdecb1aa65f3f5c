"""The memory that each flag of user minidumps adds, on a process with data for each flag.

The expected ranges are written by hand from the addresses in the process, not computed by the planner.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import FormatFlag, MinidumpType, StreamType
from dumptruth.emu.plan.ranges import Range, intersect, merge, subtract
from dumptruth.emu.plan.user import Plan, plan_user
from dumptruth.emu.request import Contract, DumpRefused, Request, Session
from dumptruth.emu.snapshot.process import FunctionEntry, FunctionTable, MemoryRun, ProcessSnapshot
from dumptruth.emu.synthetic.contexts import synthetic_context
from dumptruth.emu.synthetic.flag_process import PLACES, flag_target
from dumptruth.emu.synthetic.process import Pages, synthetic_process

SMALL = 1024
ARCHITECTURES = ("amd64", "x86", "arm64")
TARGETS = {architecture: flag_target(architecture) for architecture in ARCHITECTURES}
READABLE = {architecture: flag_target(architecture, unreadable=False) for architecture in ARCHITECTURES}

FULL_MEMORY = FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
INDIRECT_MEMORY = FormatFlag.DEBUG_FORMAT_USER_SMALL_INDIRECT_MEMORY
DATA_SEGMENTS = FormatFlag.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS
CODE_SEGMENTS = FormatFlag.DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS
MODULE_HEADERS = FormatFlag.DEBUG_FORMAT_USER_SMALL_MODULE_HEADERS
PROCESS_THREAD_DATA = FormatFlag.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA
PRIVATE_READ_WRITE = FormatFlag.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY
NO_OPTIONAL_DATA = FormatFlag.DEBUG_FORMAT_USER_SMALL_NO_OPTIONAL_DATA
FILTER_TRIAGE = FormatFlag.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE
IGNORE = FormatFlag.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM
NO_IGNORE = FormatFlag.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM
SCAN = FormatFlag.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES

TEXT, RDATA, DATA, SHARED = 0x1000, 0x3000, 0x4000, 0x8000  # RVAs of the images' sections
SHARED_USER_DATA = (0x7FFE0000, 0x7FFE0AA0)


def plan(target: ProcessSnapshot, flags: int = 0, contract: str = "documented", session: str = "live") -> Plan:
    request = Request(SMALL, flags, contract=Contract(contract), session=Session(session))
    return plan_user(target, request)


def ranges(made: Plan) -> list[Range]:
    """The ranges by address."""
    return sorted((planned.start, planned.end) for planned in made.ranges)


def added(target: ProcessSnapshot, flags: int) -> list[Range]:
    """The ranges that the flags add to a dump without flags."""
    return subtract(ranges(plan(target, flags)), ranges(plan(target)))


def beside(target: ProcessSnapshot, wanted: list[Range]) -> list[Range]:
    """The part of ``wanted`` that a dump without flags does not hold."""
    return subtract(wanted, ranges(plan(target)))


def readable(target: ProcessSnapshot) -> list[Range]:
    return [(run.start, run.end) for run in target.memory]


def of(start: int, *sizes: tuple[int, int]) -> list[Range]:
    """Ranges from offsets to ``start`` and sizes."""
    return [(start + offset, start + offset + size) for offset, size in sizes]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_dump_without_flags_is_stacks_windows_and_unwind_data(architecture: str) -> None:
    at = PLACES[4 if architecture == "x86" else 8]
    below = 4 if architecture == "x86" else 0
    around = 0x200 if architecture == "arm64" else 0x80
    stacks = [
        (at.stack_base(0) - 0x400 - below, at.stack_base(0)),
        (at.stack_limit(1) + (0 if below else 3), at.stack_base(1)),  # x86: four bytes below is the guard page
        (at.stack_base(2) - 4 if below else at.stack_limit(2), at.stack_base(2)),
        (at.stack_base(3) - 0x80 - below, at.stack_base(3)),
    ]
    windows = [
        *of(at.program, (TEXT + 0x300 - around, 2 * around)),
        *of(at.library, (TEXT + 0x40 - around, 0x100 + 2 * around)),  # two that touch or overlap
        (at.generated, at.generated + 0x20 + around),
        SHARED_USER_DATA,
    ]
    unwind = of(at.generated, (0x800, 10), (0x840, 4)) if architecture == "amd64" else []
    made = plan(TARGETS[architecture])
    assert ranges(made) == sorted([*stacks, *windows, *unwind])
    assert [stack.listed for stack in made.stacks] == [True, True, True, True]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_indirect_memory_is_a_window_around_each_stack_word_outside_the_images(architecture: str) -> None:
    at = PLACES[4 if architecture == "x86" else 8]
    stack = at.stack_base(0) - 0x400
    expected = [
        *of(at.heap, (0x704, 0x400)),  # of any alignment
        *of(at.torn, (0x4EF0, 0x110), (0x6000, 0x310)),  # clipped at the page that cannot be read
        *of(at.torn, (0x4F00, 0x100)),  # that page itself is pointed at
        *of(at.heap, (0x3EF8, 0x108)),  # and at the guard page, which is pointed at, too
        *of(at.teb(1), (-0xC0, 0x400)),
        *of(stack, (-0x110, 0x400)),
        *of(at.stack_limit(2), (0, 0x320)),
        *of(at.mapped, (0x2000, 0x310)),
        *of(at.executable, (0, 0x310)),
        *of(at.stranger, (0, 0x380)),
        (at.stack_base(3) - 0x140, at.stack_base(3)),
    ]
    target = TARGETS[architecture]
    made = plan(target, INDIRECT_MEMORY)
    assert added(target, INDIRECT_MEMORY) == beside(target, expected)
    assert ranges(made) == merge(ranges(made)), "adjacent ranges are merged, stacks too"


def test_a_word_below_the_stack_pointer_extends_the_range_of_the_stack_but_not_its_descriptor() -> None:
    at = PLACES[8]
    made = plan(TARGETS["amd64"], INDIRECT_MEMORY)
    assert (at.stack_base(0) - 0x510, at.stack_base(0)) in ranges(made)
    assert (made.stacks[0].start, made.stacks[0].end) == (at.stack_base(0) - 0x400, at.stack_base(0))
    assert [stack.listed for stack in made.stacks] == [False, True, True, False]
    reasons = next(planned.reasons for planned in made.ranges if planned.end == at.stack_base(0))
    assert reasons == ("stack of thread 0x1238", "INDIRECT_MEMORY: words on stacks point here")


def test_no_window_for_a_word_that_is_only_at_an_unaligned_place_or_below_the_stack_pointer() -> None:
    thread = synthetic_process(threads=1).threads[0]
    pointed = 0x300_0000_0000
    for offset, there in ((-8, False), (0, True), (4, False), (0x180 - 8, True), (0x180 - 12, False)):
        made = synthetic_process(threads=1, modules=0, extra=[Pages(pointed, 0x2000)])
        run = next(run for run in made.memory if run.end == thread.stack_base)
        data = bytearray(len(run.data))
        place = thread.context["Rsp"] + offset - run.start
        data[place : place + 8] = (pointed + 0x800).to_bytes(8, "little")
        memory = tuple(MemoryRun(run.start, bytes(data)) if old is run else old for old in made.memory)
        found = plan(replace(made, memory=memory), INDIRECT_MEMORY)
        assert ((pointed + 0x700, pointed + 0xB00) in ranges(found)) is there, offset


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_data_segments_are_the_sections_with_data_that_can_be_written_not_rounded(architecture: str) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    expected = [part for base in (at.program, at.library) for part in of(base, (DATA, 0x1405), (SHARED, 4))]
    assert added(target, DATA_SEGMENTS) == expected


@pytest.mark.parametrize(
    ("characteristics", "data", "code"),
    [
        (0xC0000040, True, False), (0xC0000080, True, False), (0xE0000040, True, False), (0xE0000060, True, True),
        (0xC0000020, False, True), (0x80000040, False, False), (0x40000040, False, False), (0x60000020, False, True),
        (0x60000040, False, False), (0xC0000000, False, False),
    ],
)  # fmt: skip
def test_the_characteristics_of_a_section_choose_it(characteristics: int, data: bool, code: bool) -> None:
    target = TARGETS["amd64"]
    module = target.modules[1]
    section = replace(module.sections[2], characteristics=characteristics)
    made = replace(target, modules=(target.modules[0], replace(module, sections=(section,))))
    place = (module.base + DATA, module.base + DATA + 0x1405)
    assert (place in ranges(plan(made, DATA_SEGMENTS))) is data
    assert (place in ranges(plan(made, CODE_SEGMENTS))) is code


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_code_segments_are_the_sections_with_code(architecture: str) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    expected = [part for base in (at.program, at.library) for part in of(base, (TEXT, 0x1F03))]
    assert added(target, CODE_SEGMENTS) == beside(target, expected)
    assert intersect(ranges(plan(target, CODE_SEGMENTS)), expected) == merge(expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("contract", ["e15063", "e29507"])
def test_module_headers_are_headers_directories_and_debug_data(architecture: str, contract: str) -> None:
    wide = architecture != "x86"
    target = TARGETS[architecture]
    plain, made = ranges(plan(target, 0, contract)), ranges(plan(target, MODULE_HEADERS, contract))
    expected = []
    for module in target.modules:
        assert module.code_view is not None
        debug = 28 + len(module.code_view.record)
        expected += of(module.base, (0, 0x80 + 0x400), (RDATA, debug), (RDATA + 0x400, 0x28 if wide else 0x18))
    assert subtract(made, plain) == subtract(expected, plain)


def test_an_image_without_headers_in_memory_has_no_module_headers() -> None:
    target = TARGETS["amd64"]
    base = target.modules[0].base
    memory = tuple(
        MemoryRun(run.start, b"ZM" + bytes(run.data)[2:]) if run.start == base else run for run in target.memory
    )
    odd = replace(target, memory=memory, modules=target.modules[:1])
    assert added(odd, MODULE_HEADERS) == []


@pytest.mark.parametrize(
    ("architecture", "peb", "parameters", "tebs", "slots"),
    [
        ("amd64", 0x7D0, 0x440, 0x8000, (0x2000, 0x7F90)),  # the strings begin in the 0x448 bytes of the parameters
        ("arm64", 0x7D0, 0x440, 0x8000, (0x2000, 0x7F90)),
        ("x86", 0x480, 0x2C0, 0x4000, (0x1000, 0x3FC8)),
    ],
)
def test_process_thread_data_has_the_measured_ranges(
    architecture: str, peb: int, parameters: int, tebs: int, slots: tuple[int, int]
) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    strings = sum(2 * len(text) + 2 for text in (
        "C:\\work\\", "C:\\work\\flags.exe", "flags.exe /all", "flags", "Winsta0\\Default",
    )) - 2  # fmt: skip
    pointer = at.pointer_size
    expected = [
        *of(at.peb, (0, peb), (0x1000, tebs)),
        *of(at.parameters, (0, parameters + strings)),  # NULs between strings are bridged
        *of(at.environment, (0, 0x1400)),  # 0x2000, but the readable memory ends before
        *(part for index in range(3) for part in of(at.tls_vector + 0x40 * index, (0, pointer))),
        *of(at.slots, (0, slots[0]), (0x2000, slots[1])),
        *of(at.heap, (0x3F00, 0x100)),  # FLS data, clipped
    ]
    assert added(target, PROCESS_THREAD_DATA) == merge(expected)


@pytest.mark.parametrize(
    ("contract", "peb", "parameters", "fls"),
    [("e15063", 0x7A0, 0x400, 0x410), ("e29507", 0x7D0, 0x448, 0x7F90), ("documented", 0x7D0, 0x448, 0x7F90)],
)
def test_structures_have_the_sizes_of_the_engine(contract: str, peb: int, parameters: int, fls: int) -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    memory = tuple(_without_strings(run, at.parameters) for run in target.memory)
    found = ranges(plan(replace(target, memory=memory), PROCESS_THREAD_DATA, contract))
    assert (at.peb, at.peb + peb) in found
    assert (at.parameters, at.parameters + parameters) in found
    assert (at.slots, at.slots + 0x2000 + fls) in found


def _without_strings(run: MemoryRun, parameters: int) -> MemoryRun:
    """The run with process parameters without strings."""
    if not run.start <= parameters < run.end:
        return run
    data = bytearray(bytes(run.data))
    at = parameters - run.start
    data[at + 0x38 : at + 0x80] = bytes(0x48)
    data[at + 0xB0 : at + 0xF0] = bytes(0x40)
    return MemoryRun(run.start, bytes(data))


def test_process_data_that_points_nowhere_is_left_out() -> None:
    target = synthetic_process(threads=0, modules=0, exception=False)
    nowhere = replace(target, process=replace(target.process, peb=0x5000))
    assert added(nowhere, PROCESS_THREAD_DATA) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_private_read_write_memory_is_exactly_the_readable_pages_of_that_kind(architecture: str) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    expected = [
        (at.peb, at.teb(4)),
        *((at.stack_limit(index), at.stack_base(index)) for index in range(4)),
        *of(at.heap, (0, 0x4000)),
        *of(at.slots, (0, 0xB000)),
        *of(at.torn, (0, 0x5000), (0x6000, 0xE000)),
        *of(at.executable, (0, 0x1000)),
        *of(at.generated, (0, 0x1000)),
    ]
    assert added(target, PRIVATE_READ_WRITE) == beside(target, expected)


@pytest.mark.parametrize(
    ("protect", "old", "new"),
    [
        (0x04, True, True), (0x02, False, False), (0x08, False, True), (0x10, True, True), (0x20, True, True),
        (0x40, True, True), (0x80, True, False), (0x204, True, True), (0x240, True, True), (0x202, False, False),
    ],
)  # fmt: skip
def test_protections_of_private_memory_differ_by_engine(protect: int, old: bool, new: bool) -> None:
    start = 0x300_0000_0000
    target = synthetic_process(threads=0, modules=0, exception=False, extra=[Pages(start, 0x1000, protect=protect)])
    for contract, there in (("e15063", old), ("e29507", new)):
        found = ranges(plan(target, PRIVATE_READ_WRITE, contract))
        assert ((start, start + 0x1000) in found) is there, contract


def test_a_stack_in_private_memory_is_part_of_its_region() -> None:
    at = PLACES[8]
    made = plan(TARGETS["amd64"], PRIVATE_READ_WRITE)
    assert (at.stack_limit(0), at.stack_base(0)) in ranges(made)
    assert [stack.listed for stack in made.stacks] == [False, False, True, False]  # the third is the whole region


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_memory_is_all_that_can_be_read_one_range_a_region(architecture: str) -> None:
    target = READABLE[architecture]
    made = plan(target, FULL_MEMORY)
    assert merge(ranges(made)) == readable(target)
    regions = {region.base: region.end for region in target.regions}
    assert all(regions[start] == end for start, end in ranges(made))
    assert made.full_memory
    everything = plan(target, FULL_MEMORY | 0x1 | 0x8 | 0x10 | 0x80 | 0x100 | 0x1000 | 0x8000)
    assert ranges(everything) == ranges(made), "nothing is left to add"


@pytest.mark.parametrize(
    ("flags", "contract"),
    [(FULL_MEMORY | NO_IGNORE, "e29507"), (FULL_MEMORY | NO_IGNORE | SCAN, "documented"), (FULL_MEMORY, "e15063")],
)
def test_full_memory_fails_when_a_page_cannot_be_read_and_that_is_not_ignored(flags: int, contract: str) -> None:
    with pytest.raises(DumpRefused, match=r"memory 0x700002000000\.\.0x700002014000 cannot be read") as caught:
        plan(TARGETS["amd64"], flags, contract)
    assert caught.value.hresult == 0x8007001E


@pytest.mark.parametrize("flags", [FULL_MEMORY, FULL_MEMORY | IGNORE])
def test_a_region_with_a_bad_page_is_dropped_whole_and_a_range_of_size_0_stays(flags: int) -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, flags)
    assert subtract(readable(target), ranges(made)) == [
        *of(at.torn, (0, 0x5000), (0x6000, 0xE000)),
        *of(at.mapped, (0, 0x1000), (0x2000, 0x3000)),
    ]
    assert [planned.start for planned in made.ranges if not planned.size] == [at.torn, at.mapped]


def test_scanning_keeps_the_head_of_a_region_and_the_range_of_size_0_follows() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, FULL_MEMORY | SCAN)
    assert subtract(readable(target), ranges(made)) == [
        *of(at.torn, (0x6000, 0xE000)),
        *of(at.mapped, (0x2000, 0x3000)),
    ]
    assert [planned.start for planned in made.ranges if not planned.size] == [at.torn + 0x5000, at.mapped + 0x1000]
    assert [planned.start for planned in made.ranges] == sorted(planned.start for planned in made.ranges)


@pytest.mark.parametrize(
    "flags", [0, DATA_SEGMENTS, CODE_SEGMENTS, MODULE_HEADERS, PROCESS_THREAD_DATA, INDIRECT_MEMORY, PRIVATE_READ_WRITE]
)
@pytest.mark.parametrize("more", [NO_IGNORE, IGNORE, SCAN])
def test_without_full_memory_flags_about_unreadable_memory_change_no_range(flags: int, more: int) -> None:
    target = TARGETS["amd64"]
    assert ranges(plan(target, flags | more)) == ranges(plan(target, flags))


@pytest.mark.parametrize(("flag", "rva"), [(DATA_SEGMENTS, DATA), (CODE_SEGMENTS, TEXT)])
def test_a_page_that_cannot_be_read_ends_its_section(flag: int, rva: int) -> None:
    target = TARGETS["amd64"]
    page = target.modules[1].base + rva + 0x1000
    torn = replace(target, memory=_punched(target, page), unreadable=((page, 0x1000),))
    around = [(page - 0x1000, page + 0x1000)]
    assert intersect(ranges(plan(torn, flag)), around) == [(page - 0x1000, page)]


def _punched(target: ProcessSnapshot, page: int) -> tuple[MemoryRun, ...]:
    """The memory with one page missing."""
    left = []
    for run in target.memory:
        for start, end in subtract([(run.start, run.end)], [(page, page + 0x1000)]):
            left.append(MemoryRun(start, bytes(run.data)[start - run.start : end - run.start]))
    return tuple(left)


@pytest.mark.parametrize("flag", [FULL_MEMORY, INDIRECT_MEMORY, PRIVATE_READ_WRITE])
def test_no_optional_data_cancels_memory_and_the_bits_in_the_header(flag: int) -> None:
    target = TARGETS["amd64"]
    made = plan(target, flag | NO_OPTIONAL_DATA)
    assert ranges(made) == ranges(plan(target))
    ignored = MinidumpType.MiniDumpIgnoreInaccessibleMemory if flag == FULL_MEMORY else 0
    assert made.flags == plan(target).flags | MinidumpType.MiniDumpWithoutOptionalData | ignored
    assert made.has(StreamType.MemoryListStream)
    assert not made.full_memory


def test_no_optional_data_leaves_peb_tebs_and_tls_vectors_of_process_thread_data() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, PROCESS_THREAD_DATA | NO_OPTIONAL_DATA)
    assert subtract(ranges(made), ranges(plan(target))) == merge(
        [*of(at.peb, (0, 0x7D0), (0x1000, 0x8000)), *of(at.tls_vector, (0, 8), (0x40, 8), (0x80, 8))]
    )
    assert made.flags == 0x40500


def test_filter_triage_leaves_peb_and_tebs_of_process_thread_data() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, PROCESS_THREAD_DATA | FILTER_TRIAGE)
    assert subtract(ranges(made), ranges(plan(target, FILTER_TRIAGE))) == of(at.peb, (0, 0x7D0), (0x1000, 0x8000))


def test_no_optional_data_leaves_segments_headers_and_streams() -> None:
    target = TARGETS["amd64"]
    flags = DATA_SEGMENTS | CODE_SEGMENTS | MODULE_HEADERS | 0x2 | 0x4 | 0x400 | 0x800
    made, plain = plan(target, flags | NO_OPTIONAL_DATA), plan(target, flags)
    assert ranges(made) == ranges(plain)
    assert made.streams == plain.streams


@pytest.mark.parametrize("flag", [0x2000, 0x4000, 0x40000, 0x4000000, 0x8000000, 0x10000000, 0x20000])
def test_flags_that_add_no_memory_add_none(flag: int) -> None:
    target = TARGETS["amd64"]
    made = plan(target, flag)
    assert ranges(made) == ranges(plan(target))
    assert made.streams == plan(target).streams
    assert (made.flags & ~MinidumpType.MiniDumpWithTokenInformation).bit_count() == 1


def test_a_trace_that_does_not_exist_is_not_dropped_silently() -> None:
    made = plan(TARGETS["amd64"], 0x40000)
    assert made.warnings == ("IPT_TRACE has no effect: the target has no processor trace",)
    assert not made.has(StreamType.IptTraceStream)


def test_every_range_says_why_it_is_there() -> None:
    made = plan(TARGETS["amd64"], 0x8 | 0x10 | 0x80 | 0x100 | 0x1000 | 0x8000)
    assert all(planned.reasons for planned in made.ranges)
    said = {reason.partition(":")[0] for planned in made.ranges for reason in planned.reasons}
    assert {"INDIRECT_MEMORY", "DATA_SEGMENTS", "PROCESS_THREAD_DATA", "PRIVATE_READ_WRITE_MEMORY", "CODE_SEGMENTS",
            "MODULE_HEADERS", "unwind data of a dynamic function table"} <= said  # fmt: skip


def test_a_chained_unwind_entry_has_the_entry_before_it_behind_an_even_number_of_codes() -> None:
    start = 0x300_0000_0000
    for first, codes, size in ((0x01, 3, 10), (0x21, 3, 4 + 8 + 12), (0x21, 0, 16), (0x19, 3, 10)):
        data = (bytes((first, 0, codes, 0)) + bytes(0xFFC))[:0x1000]
        target = synthetic_process(threads=0, modules=0, exception=False, extra=[Pages(start, 0x1000, data=data)])
        table = FunctionTable(start, start + 0x1000, start, bytes(136), (FunctionEntry(0, 4, 0),))
        assert (start, start + size) in ranges(plan(replace(target, function_tables=(table,))))


def test_an_unwind_entry_that_cannot_be_read_ends_its_table() -> None:
    target = TARGETS["amd64"]
    (table,) = target.function_tables
    lost = FunctionEntry(0, 4, 0x10_0000)
    broken = replace(table, entries=(table.entries[0], lost, table.entries[1]))
    found = ranges(plan(replace(target, function_tables=(broken, replace(table, entries=(lost,))))))
    generated = PLACES[8].generated
    assert (generated + 0x800, generated + 0x80A) in found
    assert not intersect(found, [(generated + 0x840, generated + 0x844)])


def test_unwind_data_that_cannot_be_read_are_left_out() -> None:
    target = TARGETS["amd64"]
    table = FunctionTable(0x1000, 0x2000, 0x1000, bytes(136), (FunctionEntry(0, 4, 0x100),))
    made = plan(replace(target, function_tables=(table,)))
    assert made.has(StreamType.FunctionTableStream)
    assert added(replace(target, function_tables=(table,)), 0) == []
    assert not any("unwind" in reason for planned in made.ranges for reason in planned.reasons)


@pytest.mark.parametrize("esp", [0x1000, 0x7000_0000])
def test_a_stack_pointer_of_x86_outside_the_bounds_gives_the_committed_stack(esp: int) -> None:
    target = TARGETS["x86"]
    thread = target.threads[0]
    context = synthetic_context("x86", stack_pointer=esp, instruction_pointer=0)
    made = plan(replace(target, threads=(replace(thread, context=context),), exception=None))
    assert (made.stacks[0].start, made.stacks[0].end) == (thread.stack_limit, thread.stack_base)
