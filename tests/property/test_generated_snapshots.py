"""Writer and judge agree on generated processes and requests, and the same process gives the same dump.

A sample always runs; more with ``-m slow``. The cost of large targets is bounded in calls, not in time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from dumptruth.emu.constants import PAGE_READONLY, PAGE_READWRITE
from dumptruth.emu.process.tokens import token_of
from dumptruth.emu.request import Contract, Request, Session
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.forms import AMD64
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.minidump import dump_bytes
from dumptruth.fixtures.adapters.agreement import Agreed, StoppedProcess, agree
from dumptruth.fixtures.strategies import ARCHITECTURES, processes, requests
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = 1024
MORE_MEMORY = 0x8 | 0x10 | 0x80 | 0x100 | 0x1000 | 0x8000
LISTS = 0x400 | 0x800


def agree_twice(target: StoppedProcess, request: Request) -> None:
    found = agree(target, request)
    if isinstance(found, Agreed):
        assert dump_bytes(target.snapshot, request)[0] == found.data


@settings(max_examples=60, derandomize=True, database=None)
@given(
    processes().map(StoppedProcess.of),
    st.builds(
        lambda asked, contract, session: replace(asked, contract=contract, session=session),
        requests(),
        st.sampled_from((Contract.E15063, Contract.E29507)),
        st.sampled_from(tuple(Session)),
    ),
)
def test_writer_and_judge_agree_on_what_each_engine_does(target: StoppedProcess, asked: Request) -> None:
    """Also of targets that are dumps."""
    agree_twice(target, asked)


@settings(max_examples=60, derandomize=True, database=None)
@given(processes().map(StoppedProcess.of), requests())
def test_writer_and_judge_agree_on_any_process(target: StoppedProcess, asked: Request) -> None:
    agree_twice(target, asked)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@settings(max_examples=1000, derandomize=True, database=None)
@given(data=st.data())
def test_writer_and_judge_agree_on_a_thousand_processes(architecture: str, data: st.DataObject) -> None:
    agree_twice(data.draw(processes([architecture]).map(StoppedProcess.of)), data.draw(requests()))


def test_the_judge_accepts_both_forms_of_tokens_of_a_32_bit_target() -> None:
    """No document says which of the two forms is right, so the judge accepts both."""
    target = synthetic_process("x86")
    assert isinstance(
        agree(StoppedProcess.of(replace(target, tokens=(token_of(target.process.process_id, 0x60),))), Request(SMALL)),
        Agreed,
    )


def with_threads(count: int) -> ProcessSnapshot:
    return synthetic_process(threads=count, stack_committed=0x1000)


def with_modules(count: int) -> ProcessSnapshot:
    return synthetic_process(modules=count)


def with_regions(count: int) -> ProcessSnapshot:
    """The process plus one allocation whose pages alternate in protection."""
    base = AMD64.extra
    pages = [
        Pages(base + index * 0x1000, 0x1000, protect=(PAGE_READWRITE, PAGE_READONLY)[index % 2], allocation_base=base)
        for index in range(count)
    ]
    return synthetic_process(extra=pages)


def calls_of(work: Callable[[], object]) -> int:
    """Calls, returns and resumed generators of Python and C functions: a cost that does not depend on the machine."""
    count = 0

    def counted(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def cost(make: Callable[[int], ProcessSnapshot], count: int, flags: int) -> int:
    target = StoppedProcess.of(make(count))

    def work() -> None:
        assert isinstance(agree(target, Request(SMALL, flags)), Agreed)

    return calls_of(work)


@pytest.mark.parametrize(
    ("make", "count", "flags", "each"),
    [
        (with_threads, 500, 0, 20_000),  # 5,500 measured
        pytest.param(with_threads, 2_000, 0, 20_000, marks=pytest.mark.slow),
        (with_modules, 200, MORE_MEMORY | LISTS, 30_000),  # 7,300
        pytest.param(with_regions, 20_000, 0x400, 2_000, marks=pytest.mark.slow),  # the map of the address space
    ],
)
def test_the_calls_per_item_of_a_large_target_are_bounded(
    make: Callable[[int], ProcessSnapshot], count: int, flags: int, each: int
) -> None:
    assert cost(make, count, flags) <= count * each


@pytest.mark.slow
@pytest.mark.parametrize("flags", [0, MORE_MEMORY | LISTS, 0x1 | 0x20 | LISTS])
@pytest.mark.parametrize(("make", "count"), [(with_threads, 2_000), (with_modules, 200), (with_regions, 20_000)])
def test_the_calls_grow_in_proportion_to_the_target(
    make: Callable[[int], ProcessSnapshot], count: int, flags: int
) -> None:
    assert cost(make, count, flags) <= 5 * cost(make, count // 4, flags)
