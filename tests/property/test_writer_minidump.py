"""The dump of any process is deterministic and complete, and every byte is on the layout map.

The tests read the dumps with plain ``struct`` calls, not through the writer's layout map.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from itertools import pairwise
from typing import Any

import pytest
from dumptruth.emu.constants import MEM_RESERVE, PAGE_EXECUTE_READ, PAGE_GUARD, PAGE_NOACCESS, PAGE_READWRITE
from dumptruth.emu.plan.flags import FLAG_ROWS
from dumptruth.emu.plan.user import Plan
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import Handle, ProcessSnapshot, UnloadedModule
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.dump import WriteResult
from dumptruth.emu.writer.minidump import dump_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

EXTRA = 0x300_0000_0000
NAMES = st.text(max_size=40)
U32 = st.integers(0, 0xFFFFFFFF)


@st.composite
def extra_pages(draw: st.DrawFn) -> list[Pages]:
    """Allocations with all kinds of pages, some of them adjacent."""
    pages, at = [], EXTRA
    for _ in range(draw(st.integers(0, 4))):
        base = at
        for size, protect in draw(
            st.lists(
                st.tuples(
                    st.integers(1, 3),
                    st.sampled_from(
                        [PAGE_READWRITE, PAGE_EXECUTE_READ, PAGE_NOACCESS, PAGE_READWRITE | PAGE_GUARD, None]
                    ),
                ),
                max_size=4,
            )
        ):
            if protect is None:
                pages.append(Pages(at, size * 0x1000, MEM_RESERVE, PAGE_READWRITE, allocation_base=base))
            else:
                pages.append(
                    Pages(at, size * 0x1000, protect=protect, allocation_base=base, allocation_protect=PAGE_READWRITE)
                )
            at += size * 0x1000
        at = (at + 0xFFFF & ~0xFFFF) + draw(st.sampled_from([0, 0x10000, 0x1_0000_0000]))
    return pages


@st.composite
def processes(draw: st.DrawFn) -> ProcessSnapshot:
    threads = draw(st.integers(0, 6))
    committed = draw(st.integers(0, 4)) * 0x1000
    exception = threads > 0 and draw(st.booleans())
    return synthetic_process(
        threads=threads,
        thread_names=draw(st.lists(st.none() | NAMES, max_size=6)),
        modules=draw(st.integers(0, 5)),
        module_names=draw(st.lists(NAMES, max_size=5)),
        version_info=draw(st.booleans()),
        code_view=draw(st.booleans()),
        unloaded_modules=draw(
            st.lists(st.builds(UnloadedModule, st.integers(0, (1 << 64) - 1), U32, U32, U32, NAMES), max_size=4)
        ),
        handle_list=draw(st.lists(st.builds(Handle, U32, NAMES, st.none() | NAMES, U32, U32, U32, U32), max_size=4)),
        stack_committed=committed,
        stack_used=draw(st.integers(0, committed)),
        extra=draw(extra_pages()),
        exception=exception,
        exception_thread=draw(st.integers(0, threads - 1)) if exception else 0,
        exception_information=draw(st.lists(st.integers(0, (1 << 64) - 1), max_size=15)),
        exception_code=draw(U32),
        time=draw(st.integers(0, (1 << 63) - 1)),
    )


FLAGS = [row.flag for row in FLAG_ROWS]
FILTER_TRIAGE = 0x100000  # in the header
EXCLUSIVE = (0x10000 | 0x20000, 0x4000000 | 0x8000000)
"""Format flags that no writer takes together (docs/format/format-flags.md#combinations-that-are-refused)."""
COMMENTS = st.none() | st.text(st.characters(exclude_characters="\0"), max_size=30)
REQUESTS = st.builds(
    Request,
    st.just(1024),
    st.lists(st.sampled_from(FLAGS), max_size=6)
    .map(lambda bits: sum(set(bits)))
    .filter(lambda flags: not any(flags & pair == pair for pair in EXCLUSIVE)),
    COMMENTS,
) | st.builds(Request, st.just(1025), comment=COMMENTS)


def streams(dump: bytes) -> dict[int, tuple[int, int]]:
    count, rva = struct.unpack_from("<II", dump, 8)
    entries = list(struct.iter_unpack("<III", dump[rva : rva + 12 * count]))
    used = [entry for entry in entries if entry[0]]
    assert entries == used + [(0, 0, 0)] * (count - len(used))  # the unused ones are the last
    assert len({kind for kind, _, _ in used}) == len(used)
    return {kind: (at, size) for kind, size, at in used}


def memory_ranges(dump: bytes) -> list[tuple[int, int, int]]:
    """(address, size, file offset) of every range, from either list."""
    found = streams(dump)
    if 5 in found:
        at = found[5][0]
        (count,) = struct.unpack_from("<I", dump, at)
        return [struct.unpack_from("<QII", dump, at + 4 + 16 * index) for index in range(count)]
    at = found[9][0]
    count, offset = struct.unpack_from("<QQ", dump, at)
    ranges = []
    for index in range(count):
        start, size = struct.unpack_from("<QQ", dump, at + 16 + 16 * index)
        ranges.append((start, size, offset))
        offset += size
    return ranges


def check_map(dump: bytes, result: WriteResult[Plan]) -> None:
    """Every byte lies in exactly one entry and one section; each field in its entry.

    Nothing is padding but the place of the absent ThreadInfoList (docs/format/minidump-container.md#order-in-the-file),
    and 16 bytes of every dump with full memory.
    """
    for entries in (result.layout.entries, result.layout.sections):
        at = 0
        for entry in entries:
            assert entry.offset == at, entry.path
            at = entry.end
        assert at == len(dump)
    for entry in result.layout.entries:
        assert all(offset + size <= entry.size for offset, size in entry.fields.values()), entry.path
    padding = [(entry.path, entry.size) for entry in result.layout.matching("padding")]
    behind = [("Memory64Reserved", 16)] if 9 in streams(dump) else []
    assert padding == ([] if 17 in streams(dump) else [("ThreadInfoReserved", 12)]) + behind


def header_flags(dump: bytes) -> int:
    return int.from_bytes(dump[0x18:0x20], "little")


def check_memory(dump: bytes, snapshot: ProcessSnapshot) -> None:
    ranges = memory_ranges(dump)
    for start, size, offset in ranges:
        assert size > 0
        live, found = snapshot.read(start, size), dump[offset : offset + size]
        assert live is not None
        if header_flags(dump) & FILTER_TRIAGE:
            assert all(byte in (0xAA, alive) for byte, alive in zip(found, live, strict=True))
        else:
            assert found == live
    ordered = sorted((start, start + size) for start, size, _ in ranges)
    assert all(left[1] <= right[0] for left, right in pairwise(ordered))
    assert all(left[2] + left[1] == right[2] for left, right in pairwise(ranges))
    if 9 in streams(dump):
        at, size = streams(dump)[9]
        assert size == 16 + 16 * len(ranges)
        assert at + size + sum(size for _, size, _ in ranges) == len(dump)
        readable = {page for run in snapshot.memory for page in range(run.start, run.end, 0x1000)}
        assert {page for start, size, _ in ranges for page in range(start, start + size, 0x1000)} == readable
        assert {start for start, _, _ in ranges} <= {region.base for region in snapshot.regions}


def check_threads(dump: bytes, snapshot: ProcessSnapshot) -> None:
    at, size = streams(dump)[3]
    (count,) = struct.unpack_from("<I", dump, at)
    assert (count, size) == (len(snapshot.threads), 4 + 48 * count)
    entries = set(memory_ranges(dump))
    starts = sorted(entries)
    for index, thread in enumerate(snapshot.threads):
        fields = struct.unpack_from("<IIIIQQIIII", dump, at + 4 + 48 * index)
        assert (fields[0], fields[4]) == (thread.thread_id, thread.teb)
        start, length, rva, context_size, context_rva = fields[5:]
        assert start + length == thread.stack_base
        sp = thread.context["Rsp"]  # at StackBase it is outside (docs/format/minidump-threads.md#start-of-the-stack)
        assert (context_size, start) == (1232, sp if sp < thread.stack_base else thread.stack_limit)
        if length:  # docs/format/minidump-threads.md#stack-in-the-memory-list
            exact = {offset for low, size, offset in entries if (low, size) == (start, length)}
            assert {rva} == (exact if exact and 9 not in streams(dump) else {0})
            low, size, _ = starts[bisect_right(starts, (start, 1 << 64, 0)) - 1]
            assert low <= start
            assert start + length <= low + size
        else:
            assert rva == 0
        assert struct.unpack_from("<Q", dump, context_rva + 0x98)[0] == thread.context["Rsp"]
        assert struct.unpack_from("<Q", dump, context_rva + 0xF8)[0] == thread.context["Rip"]


@settings(max_examples=30)
@given(processes(), REQUESTS)
def test_any_process_gives_a_sound_dump_and_the_same_one_again(snapshot: ProcessSnapshot, request_: Request) -> None:
    dump, result = dump_bytes(snapshot, request_)
    assert len(dump) == result.size
    check_map(dump, result)
    check_memory(dump, snapshot)
    check_threads(dump, snapshot)
    again, second = dump_bytes(snapshot, request_)
    assert again == dump
    assert second.layout.entries == result.layout.entries


@settings(max_examples=30)
@given(processes(), REQUESTS)
def test_every_stream_has_its_exact_size_and_the_flags_agree(snapshot: ProcessSnapshot, request_: Request) -> None:
    dump, result = dump_bytes(snapshot, request_)
    found = streams(dump)
    (flags,) = struct.unpack_from("<Q", dump, 0x18)
    assert (9 in found, 16 in found, 17 in found, 19 in found) == tuple(
        bool(flags & bit) for bit in (0x2, 0x800, 0x1000, 0x40000)
    )
    assert (12 in found) == bool(flags & 0x4 and snapshot.handles)
    assert (11 in found) == (request_.comment is not None)
    assert (14 in found) == bool(flags & 0x20 and snapshot.unloaded_modules)
    assert (6 in found) == (snapshot.exception is not None)
    named = sum(thread.name is not None for thread in snapshot.threads)
    sizes: dict[int, int] = {
        3: 4 + 48 * len(snapshot.threads), 4: 4 + 108 * len(snapshot.modules), 6: 168, 7: 56,
        12: 16 + 40 * len(snapshot.handles), 14: 12 + 24 * len(snapshot.unloaded_modules), 15: 1364,
        16: 16 + 48 * len(snapshot.regions), 17: 12 + 64 * len(snapshot.threads), 19: 16, 21: 524, 22: 152,
        24: 4 + 12 * named,
        5: 4 + 16 * len(result.plan.ranges), 9: 16 + 16 * len(result.plan.ranges),
        11: len((request_.comment_text or "").encode("utf-16-le", "surrogatepass")) + 2,
    }  # fmt: skip
    assert {kind: size for kind, (_, size) in found.items()} == {kind: sizes[kind] for kind in found}
    assert [planned.type for planned in result.plan.streams] == list(found)


@settings(max_examples=20)
@given(processes())
def test_every_name_is_found_where_it_is_cited(snapshot: ProcessSnapshot) -> None:
    dump, _ = dump_bytes(snapshot, Request(1025))
    found = streams(dump)

    def text(rva: int) -> str:
        (length,) = struct.unpack_from("<I", dump, rva)
        assert dump[rva + 4 + length : rva + 6 + length] == b"\0\0"
        return dump[rva + 4 : rva + 4 + length].decode("utf-16-le", "surrogatepass")

    def rvas(kind: int, field: str, *, head: int, count: int) -> list[Any]:
        size, first = struct.calcsize(field), found[kind][0] + head
        return [struct.unpack_from(field, dump, first + size * index)[0] for index in range(count)]

    modules = rvas(4, "<20xI84x", head=4, count=len(snapshot.modules))
    assert [text(rva) for rva in modules] == [module.name for module in snapshot.modules]
    if snapshot.unloaded_modules:
        gone = rvas(14, "<20xI", head=12, count=len(snapshot.unloaded_modules))
        assert [text(rva) for rva in gone] == [module.name for module in snapshot.unloaded_modules]
    if snapshot.handles:
        types = rvas(12, "<8xI28x", head=16, count=len(snapshot.handles))
        assert [text(rva) for rva in types] == [handle.type_name for handle in snapshot.handles]
        objects = rvas(12, "<12xI24x", head=16, count=len(snapshot.handles))
        assert [text(rva) if rva else None for rva in objects] == [handle.object_name for handle in snapshot.handles]
    named = [thread.name for thread in snapshot.threads if thread.name is not None]
    if named:
        assert [text(rva) for rva in rvas(24, "<4xQ", head=4, count=len(named))] == named


@pytest.mark.parametrize("qualifier", [1024, pytest.param(1025, marks=pytest.mark.slow)])
def test_a_dump_of_two_thousand_threads_and_two_hundred_modules_is_sound(qualifier: int) -> None:
    snapshot = synthetic_process(threads=2000, modules=200, stack_committed=0x1000)
    dump, result = dump_bytes(snapshot, Request(qualifier))
    check_map(dump, result)
    check_memory(dump, snapshot)
    check_threads(dump, snapshot)
