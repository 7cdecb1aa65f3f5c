"""The memory that each flag of user minidumps adds, on a process with data for each flag.

The expected ranges are written by hand from the addresses in the process, not computed by the planner.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import FormatFlag, MinidumpType, StreamType
from dumptruth.emu.plan.ranges import Range, intersect, merge, subtract
from dumptruth.emu.plan.user import Plan, plan_user
from dumptruth.emu.request import DumpRefused, Request
from dumptruth.emu.snapshot.process import FunctionEntry, FunctionTable, MemoryRun, ProcessSnapshot
from dumptruth.emu.synthetic.contexts import synthetic_context
from dumptruth.emu.synthetic.flag_process import PLACES, flag_target
from dumptruth.emu.synthetic.process import Pages, address_space, synthetic_process

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
IGNORE = FormatFlag.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM
NO_IGNORE = FormatFlag.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM
SCAN = FormatFlag.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES

TEXT, DATA, PDATA, XDATA, SHARED = 0x1000, 0x4000, 0x6000, 0x7000, 0x8000  # RVAs of the images' sections


def plan(target: ProcessSnapshot, flags: int = 0) -> Plan:
    return plan_user(target, Request(SMALL, flags))


def ranges(made: Plan) -> list[Range]:
    return [(planned.start, planned.end) for planned in made.ranges]


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
    stacks = [
        (at.stack_base(0) - 0x400 - below, at.stack_base(0)),
        (at.stack_limit(1) + (0 if below else 3), at.stack_base(1)),  # x86: clamped, four bytes below is the guard page
        (at.stack_base(3) - 0x80 - below, at.stack_base(3)),
    ]
    if below:
        stacks.append((at.stack_base(2) - 4, at.stack_base(2)))
    windows = [
        *of(at.program, (TEXT + 0x280, 0x100)),
        *of(at.library, (TEXT - 0x40, 0x200)),  # two that touch; one begins in the headers' page
        (at.generated, at.generated + 0xA0),
    ]
    unwind = of(at.generated, (0x800, 10), (0x840, 4)) if architecture == "amd64" else []
    made = plan(TARGETS[architecture])
    assert ranges(made) == sorted([*stacks, *windows, *unwind])
    assert [stack.listed for stack in made.stacks] == [True, True, bool(below), True]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_indirect_memory_is_a_window_around_each_stack_word_outside_the_images(architecture: str) -> None:
    at = PLACES[4 if architecture == "x86" else 8]
    stack = at.stack_base(0) - 0x400
    expected = [
        *of(at.heap, (0x704, 0x400)),  # of any alignment
        *of(at.torn, (0x4EF0, 0x110), (0x6000, 0x310)),  # clipped at the page that cannot be read
        *of(at.heap, (0x3EF8, 0x108)),  # and at the guard page
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
    assert made.flags == MinidumpType.MiniDumpWithIndirectlyReferencedMemory


def test_a_word_below_the_stack_pointer_extends_the_range_of_the_stack_but_not_its_descriptor() -> None:
    at = PLACES[8]
    made = plan(TARGETS["amd64"], INDIRECT_MEMORY)
    assert (at.stack_base(0) - 0x510, at.stack_base(0)) in ranges(made)
    assert (made.stacks[0].start, made.stacks[0].end) == (at.stack_base(0) - 0x400, at.stack_base(0))
    assert [stack.listed for stack in made.stacks] == [False, True, False, False]
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
def test_data_segments_are_the_writable_sections_not_rounded(architecture: str) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    expected = [part for base in (at.program, at.library) for part in of(base, (DATA, 0x1405), (SHARED, 4))]
    assert added(target, DATA_SEGMENTS) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_code_segments_are_code_function_tables_and_unwind_data(architecture: str) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    expected = [
        part for base in (at.program, at.library) for part in of(base, (TEXT, 0x1F03), (PDATA, 0x18C), (XDATA, 0x44))
    ]
    assert added(target, CODE_SEGMENTS) == beside(target, expected)
    assert intersect(ranges(plan(target, CODE_SEGMENTS)), expected) == merge(expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_module_headers_are_size_of_headers_bytes_of_each_image(architecture: str) -> None:
    at, target = PLACES[4 if architecture == "x86" else 8], TARGETS[architecture]
    expected = [part for base in (at.program, at.library) for part in of(base, (0, 0x400))]
    assert added(target, MODULE_HEADERS) == expected


@pytest.mark.parametrize(("architecture", "size"), [("amd64", 0x108), ("x86", 0xF8)])
def test_nt_headers_behind_size_of_headers_are_there_too(architecture: str, size: int) -> None:
    target = TARGETS[architecture]
    few = tuple(replace(module, size_of_headers=0) for module in target.modules)
    expected = [part for module in few for part in of(module.base, (0, 0x40), (0x80, size))]
    assert added(replace(target, modules=few), MODULE_HEADERS) == expected


def test_an_image_with_unreadable_headers_gives_only_its_declared_sizes() -> None:
    target = TARGETS["amd64"]
    base = target.modules[0].base
    memory = tuple(
        MemoryRun(run.start, b"ZM" + bytes(run.data)[2:]) if run.start == base else run for run in target.memory
    )
    odd = replace(target, memory=memory, modules=(replace(target.modules[0], size_of_headers=0x50),))
    assert added(odd, MODULE_HEADERS) == of(base, (0, 0x50))


@pytest.mark.parametrize(
    ("architecture", "peb", "parameters", "tebs", "slots"),
    [
        ("amd64", 0x7C8, 0x440, 0x8000, (0x2000, 0x7F90)),
        ("arm64", 0x7C8, 0x440, 0x8000, (0x2000, 0x7F90)),
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
        *(part for index in range(3) for part in of(at.tls_vector + 0x40 * index, (0, 2 * pointer))),
        *of(at.slots, (0, slots[0]), (0x2000, slots[1])),
        *of(at.heap, (0x3F00, 0x100)),  # FLS data, clipped
    ]
    assert added(target, PROCESS_THREAD_DATA) == merge(expected)


@pytest.mark.parametrize(
    ("build", "peb", "parameters", "fls"),
    [(14393, 0x7A0, 0x410, 0x410), (16299, 0x7B0, 0x410, 0x410), (19042, 0x7C8, 0x440, 0x7F90)],
)
def test_structures_have_the_sizes_of_their_build(build: int, peb: int, parameters: int, fls: int) -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    memory = tuple(_without_strings(run, at.parameters) for run in target.memory)
    old = replace(target, system=replace(target.system, build_number=build), memory=memory)
    found = added(old, PROCESS_THREAD_DATA)
    assert found[0] == (at.peb, at.peb + peb)
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
    ]
    assert added(target, PRIVATE_READ_WRITE) == beside(target, expected)


def test_without_indirect_memory_a_stack_stays_a_range_of_its_own() -> None:
    at = PLACES[8]
    made = plan(TARGETS["amd64"], PRIVATE_READ_WRITE)
    stack = at.stack_base(0) - 0x400
    assert {(at.stack_limit(0), stack), (stack, at.stack_base(0))} <= set(ranges(made))
    assert [stack.listed for stack in made.stacks] == [True, True, False, True]
    both = plan(TARGETS["amd64"], PRIVATE_READ_WRITE | INDIRECT_MEMORY)
    assert (at.stack_limit(0), at.stack_base(0)) in ranges(both)
    assert [stack.listed for stack in both.stacks] == [False, False, False, False]


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


@pytest.mark.parametrize("flags", [FULL_MEMORY, FULL_MEMORY | SCAN, FULL_MEMORY | NO_IGNORE | IGNORE])
def test_full_memory_fails_when_a_page_cannot_be_read_and_that_is_not_ignored(flags: int) -> None:
    with pytest.raises(DumpRefused, match=r"memory 0x70000200[05]000\.\.0x7000020[01][64]000 cannot be read") as caught:
        plan(TARGETS["amd64"], flags)
    assert caught.value.hresult == 0x8007012B


def test_ignoring_inaccessible_memory_loses_the_read_block_and_scanning_it_only_the_page() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    lost = subtract(readable(target), ranges(plan(target, FULL_MEMORY | IGNORE)))
    assert lost == [
        *of(at.torn, (0, 0x5000), (0x6000, 0xA000)),  # the first of its two blocks
        *of(at.mapped, (0, 0x1000), (0x2000, 0x3000)),
    ]
    scanned = ranges(plan(target, FULL_MEMORY | IGNORE | SCAN))
    assert merge(scanned) == readable(target)


@pytest.mark.parametrize(
    ("base", "hole", "lost"),
    [
        (0x1_0000, 0x5000, (0x0000, 0x10000)),
        (0x1_0000, 0x1F000, (0x10000, 0x20000)),
        (0x1_3000, 0x5000, (0x0000, 0xD000)),  # the boundary of the address space comes first
        (0x1_3000, 0xE000, (0xD000, 0x10000)),  # then that of the region
        (0x1_3000, 0x2F000, (0x2D000, 0x2F000)),  # the region's end; the page itself is not readable
    ],
)
def test_a_read_block_ends_where_either_count_says(base: int, hole: int, lost: Range) -> None:
    start = 0x300_0000_0000 + base
    pages = [
        Pages(start, hole, allocation_base=start),
        Pages(start + hole, 0x1000, allocation_base=start, unreadable=True),
        *([Pages(start + hole + 0x1000, 0x2F000 - hole, allocation_base=start)] if hole < 0x2F000 else []),
    ]
    target = synthetic_process(threads=0, modules=0, exception=False, extra=pages)
    for flag in (FULL_MEMORY, PRIVATE_READ_WRITE):
        captured = ranges(plan(target, flag | IGNORE))
        missing = subtract([(start, start + 0x30000)], captured)
        assert missing == [(start + lost[0], start + max(lost[1], hole + 0x1000))]


def test_a_lost_read_block_keeps_the_ranges_of_stacks_and_windows() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    stack = at.stack_base(0)
    regions, memory, unreadable = address_space(
        [Pages(stack - 0x2000, 0x1000, allocation_base=stack - 0x10000, unreadable=True),
         Pages(stack - 0x1000, 0x1000, allocation_base=stack - 0x10000)]
    )  # fmt: skip
    one = replace(
        target, threads=target.threads[:1], modules=(), exception=None, function_tables=(), regions=regions,
        memory=memory, unreadable=unreadable,
    )  # fmt: skip
    made = plan(one, FULL_MEMORY | IGNORE)
    assert ranges(made) == [(stack - 0x400, stack)]
    assert (made.stacks[0].start, made.stacks[0].end) == (stack - 0x400, stack)
    assert merge(ranges(plan(one, FULL_MEMORY | IGNORE | SCAN))) == [(stack - 0x1000, stack)]


@pytest.mark.parametrize(
    "flags", [0, DATA_SEGMENTS, CODE_SEGMENTS, MODULE_HEADERS, PROCESS_THREAD_DATA, INDIRECT_MEMORY]
)
def test_unreadable_memory_is_fatal_only_where_the_flags_need_it(flags: int) -> None:
    target = TARGETS["amd64"]
    assert ranges(plan(target, flags | NO_IGNORE)) == ranges(plan(target, flags))
    with pytest.raises(DumpRefused, match="PRIVATE_READ_WRITE_MEMORY") as caught:
        plan(target, flags | NO_IGNORE | PRIVATE_READ_WRITE)
    assert caught.value.hresult == 0x8007012B


@pytest.mark.parametrize(("flag", "rva"), [(DATA_SEGMENTS, DATA), (CODE_SEGMENTS, TEXT), (MODULE_HEADERS, 0)])
def test_a_page_of_an_image_that_cannot_be_read_is_left_out_or_fatal(flag: int, rva: int) -> None:
    target = TARGETS["amd64"]
    page = target.modules[0].base + rva
    torn = replace(target, memory=_punched(target, page), unreadable=((page, 0x1000),))
    assert not intersect(ranges(plan(torn, flag)), [(page, page + 0x1000)])
    with pytest.raises(DumpRefused, match="image at 0x700010000000"):
        plan(torn, flag | NO_IGNORE)


def _punched(target: ProcessSnapshot, page: int) -> tuple[MemoryRun, ...]:
    """The memory with one page missing."""
    left = []
    for run in target.memory:
        for start, end in subtract([(run.start, run.end)], [(page, page + 0x1000)]):
            left.append(MemoryRun(start, bytes(run.data)[start - run.start : end - run.start]))
    return tuple(left)


@pytest.mark.parametrize("flag", [FULL_MEMORY, INDIRECT_MEMORY, PROCESS_THREAD_DATA, PRIVATE_READ_WRITE])
def test_no_optional_data_cancels_what_it_names_and_the_header_keeps_the_bits(flag: int) -> None:
    target = TARGETS["amd64"]
    made = plan(target, flag | NO_OPTIONAL_DATA)
    assert ranges(made) == ranges(plan(target))
    assert made.flags == plan(READABLE["amd64"], flag).flags | MinidumpType.MiniDumpWithoutOptionalData
    assert made.has(StreamType.MemoryListStream)
    assert not made.full_memory


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
    assert made.flags.bit_count() == 1


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
