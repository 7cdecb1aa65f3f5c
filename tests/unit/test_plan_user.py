"""The plan of a user-mode dump: its streams, its ranges, and their reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import FormatFlag, MinidumpType, StreamType
from dumptruth.emu.plan.flags import FLAG_ROWS
from dumptruth.emu.plan.ranges import subtract
from dumptruth.emu.plan.user import Plan, plan_user
from dumptruth.emu.request import Contract, DumpRefused, Request, Session
from dumptruth.emu.snapshot.process import MemoryRun, ProcessSnapshot
from dumptruth.emu.synthetic.process import Pages, amd64_context, synthetic_process

SMALL, DEFAULT = 1024, 1025
CRASHED = synthetic_process()

ALWAYS = {
    StreamType.ThreadListStream, StreamType.ModuleListStream, StreamType.SystemInfoStream, StreamType.MiscInfoStream,
    StreamType.SystemMemoryInfoStream, StreamType.ProcessVmCountersStream, StreamType.TokenStream,
}  # fmt: skip
SHARED_USER_DATA = (0x7FFE0000, 0x7FFE0AA0)


def streams(plan: Plan) -> set[int]:
    return {planned.type for planned in plan.streams}


def ranges(plan: Plan) -> list[tuple[int, int]]:
    """The ranges without the shared user data that every dump has, by address."""
    found = sorted((planned.start, planned.end) for planned in plan.ranges)
    assert SHARED_USER_DATA in found
    return [item for item in found if item != SHARED_USER_DATA]


def with_context(snapshot: ProcessSnapshot, index: int, **registers: int) -> ProcessSnapshot:
    """The snapshot with other registers in one thread, and in the exception if it is of that thread."""
    threads = list(snapshot.threads)
    old = threads[index].context
    context = amd64_context(**{**{"Rsp": old["Rsp"], "Rip": old["Rip"]}, **registers})
    threads[index] = replace(threads[index], context=context)
    event = snapshot.exception
    if event and event.thread_id == threads[index].thread_id:
        event = replace(event, context=context, address=context["Rip"])
    return replace(snapshot, threads=tuple(threads), exception=event)


def test_small_holds_exactly_the_streams_of_the_specification() -> None:
    plan = plan_user(CRASHED, Request(SMALL))
    assert streams(plan) == ALWAYS | {
        StreamType.MemoryListStream, StreamType.ExceptionStream, StreamType.ThreadNamesStream,
    }  # fmt: skip
    assert plan.flags == 0x40000


def test_absent_data_has_no_stream() -> None:
    bare = synthetic_process(thread_names=[], exception=False, unloaded=0)
    assert streams(plan_user(bare, Request(SMALL))) == ALWAYS | {StreamType.MemoryListStream}
    assert StreamType.UnloadedModuleListStream not in streams(plan_user(bare, Request(DEFAULT)))


def test_an_empty_name_is_a_name() -> None:
    plan = plan_user(synthetic_process(thread_names=[None, ""]), Request(SMALL))
    assert StreamType.ThreadNamesStream in streams(plan)


def test_default_is_the_minidump_of_dump_ma() -> None:
    plan = plan_user(CRASHED, Request(DEFAULT))
    assert plan.flags == 0x61826
    assert streams(plan) == ALWAYS | {
        StreamType.Memory64ListStream, StreamType.ExceptionStream, StreamType.ThreadNamesStream,
        StreamType.HandleDataStream, StreamType.UnloadedModuleListStream, StreamType.MemoryInfoListStream,
        StreamType.ThreadInfoListStream,
    }  # fmt: skip


def test_without_handles_the_header_keeps_the_bit_and_the_stream_is_missing() -> None:
    plan = plan_user(synthetic_process(handles=0), Request(DEFAULT))
    assert StreamType.HandleDataStream not in streams(plan)
    assert plan.flags & MinidumpType.MiniDumpWithHandleData


@pytest.mark.parametrize(
    ("flags", "header", "stream"),
    [(0x1, 0x20002, 9), (0x2, 0x4, 12), (0x4, 0x20, 14), (0x400, 0x800, 16), (0x800, 0x1000, 17)],
)
def test_each_flag_that_is_built_adds_its_bit_and_its_stream(flags: int, header: int, stream: int) -> None:
    plain = streams(plan_user(CRASHED, Request(SMALL)))
    plan = plan_user(CRASHED, Request(SMALL, flags))
    assert plan.flags == header | 0x40000
    assert stream in streams(plan) - plain
    assert plain - streams(plan) <= {StreamType.MemoryListStream}


def test_the_flag_table_is_the_one_of_the_specification() -> None:
    # typed from docs/format/format-flags.md#translation-to-header-flags
    expected = {
        0x1: 0x2, 0x2: 0x4, 0x4: 0x20, 0x8: 0x40, 0x10: 0x1, 0x20: 0x8, 0x40: 0x80, 0x80: 0x100, 0x100: 0x200,
        0x200: 0x400, 0x400: 0x800, 0x800: 0x1000, 0x1000: 0x2000, 0x2000: 0x4000, 0x4000: 0x8000, 0x8000: 0x80000,
        0x10000: 0x100000, 0x20000: 0x200000, 0x40000: 0x400000, 0x4000000: 0x2000000, 0x8000000: 0x20000,
        0x10000000: 0x800000,
    }  # fmt: skip
    assert {int(row.flag): int(row.minidump_type) for row in FLAG_ROWS} == expected


def test_default_takes_no_small_flag_but_the_top_bit_that_has_two_names() -> None:
    """docs/format/format-flags.md#accepted-format-flags"""
    with pytest.raises(DumpRefused, match="DATA_SEGMENTS"):
        plan_user(CRASHED, Request(DEFAULT, FormatFlag.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS))
    plan = plan_user(CRASHED, Request(DEFAULT, FormatFlag.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES))
    assert plan.flags == 0x61826
    assert [warning.partition(":")[0] for warning in plan.warnings] == ["no effect with DEBUG_DUMP_DEFAULT"]


def test_secondary_files_without_a_cab_are_ignored_with_a_warning() -> None:
    plan = plan_user(CRASHED, Request(SMALL, FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_FILES))
    assert plan.flags == 0x40000
    assert len(plan.warnings) == 1


def test_small_memory_is_stacks_and_instruction_windows_each_with_its_reason() -> None:
    plan = plan_user(CRASHED, Request(SMALL))
    one, two = CRASHED.threads
    assert ranges(plan) == [
        (one.context["Rsp"], one.stack_base),
        (two.context["Rsp"], two.stack_base),
        (one.context["Rip"] - 0x80, one.context["Rip"] + 0x80),
        (two.context["Rip"] - 0x80, two.context["Rip"] + 0x80),
    ]
    assert [stack.listed for stack in plan.stacks] == [True, True]
    assert {planned.reasons for planned in plan.ranges} >= {
        ("instruction window of thread 0x1238", "window of the exception"), ("shared user data",),
    }  # fmt: skip


def test_the_exception_has_a_window_around_its_address_and_none_around_its_context() -> None:
    assert CRASHED.exception is not None
    rip, address = CRASHED.modules[1].base + 0x2000, CRASHED.modules[1].base + 0x1800
    context = amd64_context(Rip=rip)
    for place, there in ((address, True), (0, False)):
        elsewhere = replace(CRASHED.exception, context=context, address=place)
        found = ranges(plan_user(replace(CRASHED, exception=elsewhere), Request(SMALL)))
        assert ((address - 0x80, address + 0x80) in found) is there
        assert (rip - 0x80, rip + 0x80) not in found


@pytest.mark.parametrize(("gap", "bridged"), [(0, True), (16, True), (17, False)])
def test_a_gap_of_at_most_16_bytes_is_captured_too(gap: int, bridged: bool) -> None:
    base = CRASHED.modules[0].base + 0x1000
    made = with_context(with_context(CRASHED, 0, Rip=base + 0x400), 1, Rip=base + 0x500 + gap)
    assert CRASHED.exception is not None
    made = replace(made, exception=replace(CRASHED.exception, address=0))
    found = ranges(plan_user(made, Request(SMALL)))
    assert ((base + 0x380, base + 0x580 + gap) in found) is bridged
    assert len(found) == (3 if bridged else 4)


def test_windows_that_overlap_or_touch_are_one_range() -> None:
    base = CRASHED.modules[0].base + 0x1000
    made = with_context(with_context(CRASHED, 0, Rip=base + 0x400), 1, Rip=base + 0x500)
    assert (base + 0x380, base + 0x580) in ranges(plan_user(made, Request(SMALL)))


@pytest.mark.parametrize(
    ("rip", "expected"),
    [
        (0x1000, [(0x1000, 0x1080)]),  # the page below cannot be read
        (0x3000 - 1, [(0x3000 - 0x81, 0x3000)]),  # nor the one above
        (0x0, []),
        (0x1000 - 0x80, []),  # the window ends where the page starts
        (0x1000 - 0x7F, [(0x1000, 0x1001)]),
        (0x3000 + 0x7F, [(0x2FFF, 0x3000)]),
    ],
)
def test_a_window_is_cut_down_to_what_can_be_read(rip: int, expected: list[tuple[int, int]]) -> None:
    base = 0x300_0000_0000
    made = synthetic_process(threads=1, extra=[Pages(base + 0x1000, 0x2000)])
    plan = plan_user(with_context(made, 0, Rip=base + rip), Request(SMALL))
    assert [(low - base, high - base) for low, high in ranges(plan)[1:]] == expected


@pytest.mark.parametrize("rip", [0, 0x7F, 0xFFFFFFFFFFFFFFFF, 0xDEAD_BEEF_0000_0000, 0x8000_0000_0000])
def test_a_wild_instruction_pointer_has_no_window(rip: int) -> None:
    made = synthetic_process(threads=1)
    plan = plan_user(with_context(made, 0, Rip=rip), Request(SMALL))
    assert len(ranges(plan)) == 1


def test_a_window_inside_a_stack_adds_nothing() -> None:
    thread = CRASHED.threads[0]
    made = with_context(CRASHED, 0, Rip=thread.stack_base - 0x90)
    plan = plan_user(made, Request(SMALL))
    assert ranges(plan)[0] == (thread.context["Rsp"], thread.stack_base)
    assert plan.stacks[0].listed
    assert len(ranges(plan)) == 3
    stack = next(planned for planned in plan.ranges if planned.end == thread.stack_base)
    assert "window of the exception" in stack.reasons


def test_a_window_that_reaches_into_a_stack_is_merged_with_it_and_the_descriptor_has_no_range() -> None:
    thread = CRASHED.threads[0]
    rsp = thread.context["Rsp"]
    plan = plan_user(with_context(CRASHED, 0, Rip=rsp + 0x10), Request(SMALL))
    assert ranges(plan)[0] == (rsp - 0x70, thread.stack_base)
    assert (plan.stacks[0].start, plan.stacks[0].end, plan.stacks[0].listed) == (rsp, thread.stack_base, False)


@pytest.mark.parametrize("rsp", [0x10, 0xFFFF_8000_0000_0000, 0x7FFE0000, CRASHED.threads[0].stack_base])
def test_a_stack_pointer_outside_the_stack_gives_the_whole_committed_stack(rsp: int) -> None:
    thread = CRASHED.threads[0]
    plan = plan_user(with_context(CRASHED, 0, Rsp=rsp), Request(SMALL))
    assert (plan.stacks[0].start, plan.stacks[0].end) == (thread.stack_limit, thread.stack_base)


def test_threads_that_share_a_stack_share_its_range() -> None:
    one, two = CRASHED.threads
    shared = replace(two, stack_base=one.stack_base, stack_limit=one.stack_limit)
    same = with_context(replace(CRASHED, threads=(one, shared)), 1, Rsp=one.context["Rsp"])
    plan = plan_user(same, Request(SMALL))
    assert [stack.listed for stack in plan.stacks] == [True, True]
    lower = with_context(replace(CRASHED, threads=(one, shared)), 1, Rsp=one.context["Rsp"] - 0x40)
    plan = plan_user(lower, Request(SMALL))
    assert [stack.listed for stack in plan.stacks] == [False, True]
    assert ranges(plan)[0] == (one.context["Rsp"] - 0x40, one.stack_base)


def without(snapshot: ProcessSnapshot, *pages: tuple[int, int]) -> ProcessSnapshot:
    """The snapshot without the bytes of the ranges, which still are committed."""
    left = []
    for run in snapshot.memory:
        for start, end in subtract([(run.start, run.end)], pages):
            left.append(MemoryRun(start, bytes(run.data)[start - run.start : end - run.start]))
    return replace(snapshot, memory=tuple(left))


@pytest.mark.parametrize("contract", [Contract.DOCUMENTED, Contract.E29507])
def test_of_a_stack_that_cannot_be_read_the_rest_is_kept_and_the_descriptor_stays(contract: Contract) -> None:
    thread = CRASHED.threads[1]
    start, end = thread.stack_limit, thread.stack_base
    whole = with_context(CRASHED, 1, Rsp=start)
    for hole, left in (((start, end), []), ((start, end - 0x1000), [(end - 0x1000, end)])):
        plan = plan_user(without(whole, hole), Request(SMALL, contract=contract))
        assert [item for item in ranges(plan) if start <= item[0] < end] == left
        assert (plan.stacks[1].start, plan.stacks[1].end, plan.stacks[1].listed) == (start, end, False)


def test_engine_15063_fails_for_a_stack_that_cannot_be_read() -> None:
    thread = CRASHED.threads[1]
    start, end = thread.context["Rsp"], thread.stack_base
    whole = with_context(CRASHED, 1, Rsp=thread.stack_limit)
    for target, hole, hresult in (
        (CRASHED, (thread.stack_limit, end), 0x8007012B), (whole, (thread.stack_limit + 0x1000, end), 0x8007001E),
    ):  # fmt: skip
        with pytest.raises(DumpRefused, match="thread 0x123c: a part of its stack") as caught:
            plan_user(without(target, hole), Request(SMALL, contract=Contract.E15063))
        assert caught.value.hresult == hresult
    assert start < end


def test_full_memory_is_every_accessible_region_and_starts_where_regions_start() -> None:
    plan = plan_user(CRASHED, Request(SMALL, FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY))
    assert sum(planned.size for planned in plan.ranges) == sum(len(run.data) for run in CRASHED.memory)
    bases = {region.base for region in CRASHED.regions}
    assert all(planned.start in bases for planned in plan.ranges)
    assert not any(stack.listed for stack in plan.stacks)


@pytest.mark.parametrize(
    ("contract", "flags", "header"),
    [
        # docs/format/format-flags.md#bits-cancelled-by-full-memory and the sections after it
        ("e15063", 0xFF, 0x400A6), ("e15063", 0x201, 0x40400), ("e15063", 0x280, 0x40500),
        ("e15063", 0x10000, 0x100080),
        ("e15063", 0x10000000, 0x40000), ("e15063", 0x8000001, 0x60002), ("e15063", 0x1001, 0x42002),
        ("e29507", 0x1, 0x60002), ("e29507", 0xC07, 0x61826), ("e29507", 0x04000001, 0x2040002),
        ("e29507", 0x10000001, 0x860002), ("e29507", 0x201, 0x60400), ("e29507", 0x203, 0x60404),
        ("e29507", 0x280, 0x40500), ("e29507", 0x10001, 0x60002), ("e29507", 0x10000, 0x100080),
        ("e29507", 0x1001, 0x60002), ("e29507", 0x2001, 0x64002), ("e29507", 0x4001, 0x60002),
        ("e29507", 0x40000, 0x440000), ("e29507", 0x04000000, 0x2040000), ("e29507", 0x20000000, 0x40000),
        ("e29507", 0x30000000, 0x840000), ("e29507", 0x70000000, 0x840000), ("documented", 0x1, 0x60002),
    ],
)  # fmt: skip
def test_the_header_has_the_bits_of_the_engine(contract: str, flags: int, header: int) -> None:
    assert plan_user(CRASHED, Request(SMALL, flags, contract=Contract(contract))).flags == header


@pytest.mark.parametrize(
    ("contract", "flags"),
    [
        ("e29507", 0x0C000000),
        ("e29507", 0x30000 | 0x1),
        ("e15063", 0x30000),
        ("e15063", 0x40000),
        ("e15063", 0x4000000),
    ],
)
def test_flags_that_an_engine_refuses_are_refused(contract: str, flags: int) -> None:
    with pytest.raises(DumpRefused) as caught:
        plan_user(CRASHED, Request(SMALL, flags, contract=Contract(contract)))
    assert caught.value.hresult == 0x80070057


def test_engine_15063_writes_neither_thread_names_nor_shared_user_data() -> None:
    plan = plan_user(CRASHED, Request(SMALL, contract=Contract.E15063))
    assert StreamType.ThreadNamesStream not in streams(plan)
    assert not any(planned.start == SHARED_USER_DATA[0] for planned in plan.ranges)


def test_ranges_stand_in_the_order_of_the_hash() -> None:
    plan = plan_user(CRASHED, Request(SMALL))
    buckets = [((planned.start >> 11) % 919, planned.start) for planned in plan.ranges]
    assert buckets == sorted(buckets)
    assert [planned.start for planned in plan.ranges] != sorted(planned.start for planned in plan.ranges)


@pytest.mark.parametrize("contract", Contract)
@pytest.mark.parametrize("session", Session)
def test_an_unknown_architecture_is_refused_by_name(contract: Contract, session: Session) -> None:
    other = replace(CRASHED, system=replace(CRASHED.system, architecture="ia64"))
    with pytest.raises(DumpRefused, match="ia64"):
        plan_user(other, Request(SMALL, contract=contract, session=session))


@pytest.mark.parametrize(("comment", "there"), [(None, False), ("", True), ("x", True)])
def test_any_comment_has_a_stream_even_an_empty_one(comment: str | None, there: bool) -> None:
    plan = plan_user(CRASHED, Request(SMALL, 0, comment))
    assert (StreamType.CommentStreamW in streams(plan)) is there
    with pytest.raises(DumpRefused, match="NUL"):
        plan_user(CRASHED, Request(SMALL, 0, "a\0b"))
