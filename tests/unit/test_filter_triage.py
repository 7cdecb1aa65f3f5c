"""Which words FILTER_TRIAGE keeps, as measured of engine 15063.

docs/format/minidump-filters.md#filter-triage-stack-words
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_SMALL
from dumptruth.emu.plan.user import Plan, plan_user
from dumptruth.emu.request import Contract, Request, Session
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.minidump import dump_bytes

from ..changed_process import with_bytes, with_registers

INDIRECT, PROCESS_DATA, PRIVATE, TRIAGE = 0x8, 0x80, 0x100, 0x10000
CODE = 0x8000
"""Offset of executable pages behind the form's free address. The second thread runs there, at CODE + 0x300."""
WINDOW = 0x80
REGISTERS = {"amd64": ("Rip", "Rsp", "Rbx", "Rsi"), "x86": ("Eip", "Esp", "Ebx", "Esi")}
both = pytest.mark.parametrize("architecture", REGISTERS)


def put(target: ProcessSnapshot, address: int, words: Sequence[int]) -> ProcessSnapshot:
    code = "I" if target.system.pointer_size == 4 else "Q"
    return with_bytes(target, address, struct.pack(f"<{len(words)}{code}", *words))


def stopped(architecture: str, threads: int = 2, instruction: int = CODE + 0x300) -> ProcessSnapshot:
    """A process with zeros on its stacks and in four pages at the form's free address."""
    free = FORMS[architecture].extra
    target = synthetic_process(
        architecture, threads=threads, extra=[Pages(free, 0x4000), Pages(free + CODE, 0x2000, protect=0x20)]
    )
    target = put(target, free, [0] * (0x4000 // target.system.pointer_size))
    for thread in target.threads:
        size = thread.stack_base - thread.context.stack_pointer
        target = put(target, thread.context.stack_pointer, [0] * (size // target.system.pointer_size))
    return with_registers(target, {REGISTERS[architecture][0]: free + instruction}, 1)


def on_stack(target: ProcessSnapshot, words: Sequence[int], index: int = 0) -> ProcessSnapshot:
    return put(target, target.threads[index].context.stack_pointer, words)


def planned(target: ProcessSnapshot, flags: int = TRIAGE, contract: Contract = Contract.E15063) -> Plan:
    return plan_user(target, Request(DEBUG_DUMP_SMALL, flags, contract=contract, session=Session.DUMP))


def kept(target: ProcessSnapshot, words: Sequence[int], flags: int = TRIAGE) -> list[bool]:
    """Whether each word survives on the first thread's stack."""
    target = on_stack(target, words)
    plan, size = planned(target, flags), target.system.pointer_size
    assert plan.triage is not None
    start = target.threads[0].context.stack_pointer
    held = target.read(start, size * len(words))
    assert held is not None
    filtered = bytes(plan.triage.apply(start, memoryview(held)))
    return [filtered[at : at + size] == held[at : at + size] for at in range(0, len(held), size)]


def ranges(plan: Plan) -> set[tuple[int, int]]:
    return {(each.start, each.size) for each in plan.ranges}


@both
def test_words_into_a_captured_window_survive_and_so_does_its_end(architecture: str) -> None:
    target = stopped(architecture)
    window = FORMS[architecture].extra + CODE + 0x300 - WINDOW
    assert kept(target, [window - 1, window, window + 0xFF, window + 0x100, window + 0x101]) == [
        False, True, True, True, False,
    ]  # fmt: skip


@both
def test_the_end_of_a_window_at_a_bucket_is_filled(architecture: str) -> None:
    target = stopped(architecture, instruction=CODE + 0x780)
    end = FORMS[architecture].extra + CODE + 0x800
    assert kept(target, [end - 1, end]) == [True, False]


@both
@pytest.mark.parametrize(("flags", "survives"), [(0, False), (PROCESS_DATA, True), (PRIVATE, True)])
def test_words_into_process_data_survive_if_it_is_captured(architecture: str, flags: int, survives: bool) -> None:
    target = stopped(architecture)
    words = [target.process.peb + 0x800, target.threads[1].teb + 0x900, 7]
    assert kept(target, words, TRIAGE | flags)[:2] == [survives, survives]
    assert kept(target, words, TRIAGE | flags)[2] == (flags == PRIVATE)  # the whole stack is in a region of its own


@both
def test_a_pointed_pointer_counts_the_stack_base_and_the_stack_from_its_pointer(architecture: str) -> None:
    target, free = stopped(architecture), FORMS[architecture].extra
    other = target.threads[1]
    stack = other.context.stack_pointer
    pointed = [other.stack_base, other.stack_base + 1, stack, stack - 1, other.stack_limit, 0]
    for index, value in enumerate(pointed):
        target = put(target, free + 0x40 * index, [value])
    words = [free + 0x40 * index for index in range(len(pointed))]
    assert kept(target, words) == [True, False, True, False, False, False]
    assert kept(target, [other.stack_base]) == [False]  # a word itself is sought in the captured ranges


def test_the_bytes_below_esp_count_for_threads_up_to_the_one_that_is_looked_at() -> None:
    target, free = stopped("x86", threads=3), FORMS["x86"].extra
    for index, thread in enumerate(target.threads):
        target = put(target, free + 0x40 * index, [thread.context.stack_pointer - 4])
    added = {(free + 0x40 * index, 4) for index in range(3)}
    words = [start for start, _ in sorted(added)]
    for index in range(3):
        found = ranges(planned(on_stack(target, words, index))) & added
        assert found == {(start, size) for start, size in added if start <= free + 0x40 * index}


@both
def test_registers_add_what_they_point_at_and_do_not_count_windows(architecture: str) -> None:
    target, form = stopped(architecture), FORMS[architecture]
    _, _, first, second = REGISTERS[architecture]
    size, free = target.system.pointer_size, form.extra
    target = put(target, free + 0x100, [target.modules[0].base])
    values = {first: free + 0x100, second: free + CODE + 0x300}
    plan = planned(with_registers(target, values, 1))
    assert (free + 0x100, size) in ranges(plan)
    assert plan.triage is not None
    assert plan.triage.register(1, values[first]) == values[first]
    assert plan.triage.register(1, values[second]) == plan.triage.fill
    assert plan.triage.register(1, target.threads[0].stack_base) == plan.triage.fill  # no register holds it


@both
def test_a_stack_is_filtered_outside_of_a_window_that_it_is_merged_with(architecture: str) -> None:
    target = stopped(architecture)
    size, stack = target.system.pointer_size, target.threads[0].context.stack_pointer
    target = put(target, stack, [7] * ((target.threads[0].stack_base - stack) // size))
    target = put(target, stack, [stack - 0x290])  # its window ends 0x70 bytes above the stack pointer
    plan = planned(target, TRIAGE | INDIRECT)
    assert plan.triage is not None
    data = target.read(stack, 0x100)
    assert data is not None
    filtered = bytes(plan.triage.apply(stack, memoryview(data)))
    raw = 0x70 + size
    assert filtered[:raw] == data[:raw]
    assert filtered[raw:] == b"\xaa" * (len(data) - raw)


@pytest.mark.parametrize(("contract", "fills"), [(Contract.E15063, False), (Contract.E29507, True)])
def test_eflags_of_x86_stay_as_the_engine_leaves_them(contract: Contract, fills: bool) -> None:
    target = stopped("x86")
    data = dump_bytes(target, Request(DEBUG_DUMP_SMALL, TRIAGE, contract=contract))[0]
    count, directory = struct.unpack_from("<II", data, 8)
    (threads,) = (
        at for kind, _, at in struct.iter_unpack("<III", data[directory : directory + 12 * count]) if kind == 3
    )
    (context,) = struct.unpack_from("<I", data, threads + 4 + 44)
    assert struct.unpack_from("<I", data, context + 0xC0) == (0xAAAAAAAA if fills else 0x246,)


@both
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_tebs_of_a_dump_are_ranges_of_their_own_but_the_first(architecture: str, threads: int) -> None:
    target = synthetic_process(architecture, threads=threads)
    form = FORMS[architecture]
    tebs = [(thread.teb, form.teb_size) for thread in target.threads]
    first = (form.peb, 0x1000 + form.teb_size)
    assert {first, *tebs[1:]} <= ranges(planned(target, TRIAGE | PROCESS_DATA))
    plain = ranges(planned(target, PROCESS_DATA))
    assert {(form.peb, 0x1000 + form.teb_size * max(threads - 1, 1)), *tebs[1:][-1:]} <= plain


@pytest.mark.parametrize(("contract", "threads"), [(Contract.E15063, 1), (Contract.E29507, 2)])
def test_windows_of_a_dump_come_from_the_stacks_that_the_engine_reads(contract: Contract, threads: int) -> None:
    target, free = stopped("amd64"), FORMS["amd64"].extra
    for index in range(2):
        target = on_stack(target, [0, free + 0x1000 * (index + 1)], index)
    windows = [(free + 0x1000 * (index + 1) - 0x100, 0x400) for index in range(2)]
    assert set(windows) & ranges(planned(target, INDIRECT, contract)) == set(windows[:threads])
