"""The memory that each flag of user minidumps adds, on a process with data for each flag.

The expected ranges are written by hand from the addresses in the process, not computed by the planner.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import MinidumpType, StreamType
from dumptruth.emu.plan.ranges import intersect, merge, subtract
from dumptruth.emu.snapshot.process import FunctionEntry, FunctionTable, MemoryRun
from dumptruth.emu.synthetic.contexts import synthetic_context
from dumptruth.emu.synthetic.flag_process import PLACES
from dumptruth.emu.synthetic.process import Pages, synthetic_process

from .flag_ranges import (
    ARCHITECTURES,
    CODE_SEGMENTS,
    DATA,
    DATA_SEGMENTS,
    INDIRECT_MEMORY,
    MODULE_HEADERS,
    PRIVATE_READ_WRITE,
    PROCESS_THREAD_DATA,
    RDATA,
    SHARED,
    SHARED_USER_DATA,
    TARGETS,
    TEXT,
    added,
    beside,
    of,
    plan,
    ranges,
)


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
