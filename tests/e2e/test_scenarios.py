"""Every scenario crashes as it declares, by guest code, the same way every time."""

from __future__ import annotations

import itertools
import struct
from functools import cache

import pytest
from dumptruth.emu.constants import (
    MEM_COMMIT,
    MEM_FREE,
    MEM_IMAGE,
    MEM_MAPPED,
    MEM_PRIVATE,
    MEM_RESERVE,
    PAGE_EXECUTE_READ,
    PAGE_GUARD,
    PAGE_NOACCESS,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
)
from dumptruth.emu.process.address_space import USER_END
from dumptruth.emu.scenarios.process import SCENARIOS, ScenarioError, run_scenario
from dumptruth.emu.snapshot.process import ProcessSnapshot, Thread

NAMES = [scenario.name for scenario in SCENARIOS]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
CRASHES = [name for name in NAMES if name != "deadlock"]
NTDLL = r"C:\Windows\System32\ntdll.dll"


@cache
def snapshot_of(name: str) -> ProcessSnapshot:
    return run_scenario(name)


def u64(snapshot: ProcessSnapshot, address: int) -> int:
    data = snapshot.read(address, 8)
    assert data is not None
    return int.from_bytes(data, "little")


def unicode_string(snapshot: ProcessSnapshot, address: int) -> str:
    header = snapshot.read(address, 16)
    assert header is not None
    length, _, buffer = struct.unpack("<HH4xQ", header)
    text = snapshot.read(buffer, length)
    assert text is not None
    return text.decode("utf-16-le")


def crashing_thread(snapshot: ProcessSnapshot) -> Thread:
    assert snapshot.exception is not None
    return next(t for t in snapshot.threads if t.thread_id == snapshot.exception.thread_id)


def test_the_scenarios_of_the_plan_are_there() -> None:
    assert NAMES == [
        "null-read", "null-write", "write-read-only", "execute-nx", "wild-call", "non-canonical", "divide-by-zero",
        "illegal-instruction", "breakpoint", "fast-fail", "stack-overflow", "guard-page", "heap-use-after-free",
        "raised-exception", "dll-after-unload", "secondary-thread", "deadlock", "every-stream",
    ]  # fmt: skip


def test_an_unknown_scenario_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ScenarioError, match="no scenario is called 'null-raed'; there are null-read, null-write"):
        run_scenario("null-raed")


@pytest.mark.parametrize("name", NAMES)
def test_the_event_is_the_declared_one(name: str) -> None:
    event, expected = snapshot_of(name).exception, BY_NAME[name].expected
    if expected is None:
        assert event is None
        return
    assert event is not None
    assert (event.code, event.address, event.information) == (expected.code, expected.address, expected.information)
    assert event.context["Rip"] == expected.address
    assert event.flags == (1 if name == "fast-fail" else 0)
    assert event.first_chance


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_give_equal_snapshots(name: str) -> None:
    assert run_scenario(name) == snapshot_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_snapshot_is_consistent_in_itself(name: str) -> None:
    snapshot = snapshot_of(name)
    assert snapshot.regions[0].base == 0
    assert snapshot.regions[-1].end == USER_END
    assert all(before.end == after.base for before, after in itertools.pairwise(snapshot.regions))
    readable = [
        (region.base, region.end)
        for region in snapshot.regions
        if region.state == MEM_COMMIT and not region.protect & (PAGE_GUARD | PAGE_NOACCESS)
    ]
    assert sum(end - start for start, end in readable) == sum(len(run.data) for run in snapshot.memory)
    assert all(snapshot.read(start, end - start) is not None for start, end in readable)
    assert all(before.end < after.start for before, after in itertools.pairwise(snapshot.memory))
    assert sum(len(run.data) for run in snapshot.memory) < 3 << 19
    peb = snapshot.process.peb
    assert u64(snapshot, peb + 0x10) == snapshot.modules[0].base
    for thread in snapshot.threads:
        assert u64(snapshot, thread.teb + 0x08) == thread.stack_base
        assert u64(snapshot, thread.teb + 0x10) == thread.stack_limit
        assert u64(snapshot, thread.teb + 0x30) == thread.teb
        assert u64(snapshot, thread.teb + 0x40) == snapshot.process.process_id
        assert u64(snapshot, thread.teb + 0x48) == thread.thread_id
        assert u64(snapshot, thread.teb + 0x60) == peb
        assert thread.stack_limit <= thread.context["Rsp"] < thread.stack_base
        assert thread.context.context_flags == 0x10001F
    for module in snapshot.modules:
        header = snapshot.read(module.base, 2)
        assert header == b"MZ"
        rows = [region for region in snapshot.regions if region.allocation_base == module.base]
        assert sum(row.size for row in rows) == module.size
        assert {row.type for row in rows} == {MEM_IMAGE}
        assert module.base % 0x10000 == 0


@pytest.mark.parametrize("name", CRASHES)
def test_the_crashing_thread_has_the_context_of_the_exception(name: str) -> None:
    snapshot = snapshot_of(name)
    assert snapshot.exception is not None
    thread = crashing_thread(snapshot)
    assert thread.context.registers == snapshot.exception.context.registers
    assert thread.state == "running"
    assert snapshot.exception.context.context_flags == (0x10000F if name == "raised-exception" else 0x10001F)
    assert thread.name == ("crasher" if name == "secondary-thread" else "main")


@pytest.mark.parametrize("name", NAMES)
def test_the_loader_lists_in_guest_memory_are_the_module_list(name: str) -> None:
    snapshot = snapshot_of(name)
    ldr = u64(snapshot, snapshot.process.peb + 0x18)
    for head, offset in ((0x10, 0x00), (0x20, 0x10)):
        found, link = [], u64(snapshot, ldr + head)
        while link != ldr + head:
            entry = link - offset
            assert u64(snapshot, u64(snapshot, link + 8)) == link
            size = u64(snapshot, entry + 0x40) & 0xFFFFFFFF
            found.append((u64(snapshot, entry + 0x30), size, unicode_string(snapshot, entry + 0x48)))
            link = u64(snapshot, link)
        assert found == [(module.base, module.size, module.name) for module in snapshot.modules]


@pytest.mark.parametrize("name", NAMES)
def test_the_instruction_before_a_waiting_threads_rip_is_a_syscall_of_ntdll(name: str) -> None:
    snapshot = snapshot_of(name)
    ntdll = next(module for module in snapshot.modules if module.name == NTDLL)
    waiting = [thread for thread in snapshot.threads if thread.state == "waiting"]
    assert len(waiting) >= 4
    for thread in waiting:
        rip = thread.context["Rip"]
        assert ntdll.base <= rip < ntdll.base + ntdll.size
        assert snapshot.read(rip - 2, 3) == b"\x0f\x05\xc3"
        assert thread.context["Rcx"] == rip


def test_the_state_before_the_crash_is_rich() -> None:
    snapshot = snapshot_of("null-read")
    assert [thread.name for thread in snapshot.threads] == [
        "main", "waits for event", "waits for mutex", None, "sleeps", "computes", "walks alpha",
    ]  # fmt: skip
    assert {thread.state for thread in snapshot.threads} == {"running", "waiting", "ready"}
    assert [thread.suspend_count for thread in snapshot.threads] == [1] * 7
    assert all(thread.user_time > 0 for thread in snapshot.threads)
    assert [module.name for module in snapshot.modules] == [
        r"C:\dumptruth\crash.exe", NTDLL, r"C:\Windows\System32\kernel32.dll", r"C:\dumptruth\alpha.dll",
    ]  # fmt: skip
    assert [module.name for module in snapshot.unloaded_modules] == ["beta.dll"]
    assert snapshot.modules[0].version_info is None
    assert all(module.version_info is not None for module in snapshot.modules[1:])
    assert all(module.code_view and module.code_view.record[:4] == b"RSDS" for module in snapshot.modules)
    kinds = {(region.state, region.protect, region.type) for region in snapshot.regions}
    assert kinds >= {
        (MEM_FREE, PAGE_NOACCESS, 0),
        (MEM_RESERVE, 0, MEM_PRIVATE),
        (MEM_COMMIT, PAGE_READWRITE, MEM_PRIVATE),
        (MEM_COMMIT, PAGE_READONLY, MEM_PRIVATE),
        (MEM_COMMIT, PAGE_EXECUTE_READ, MEM_PRIVATE),
        (MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD, MEM_PRIVATE),
        (MEM_COMMIT, PAGE_READWRITE, MEM_MAPPED),
        (MEM_COMMIT, PAGE_EXECUTE_READ, MEM_IMAGE),
        (MEM_COMMIT, PAGE_READONLY, MEM_IMAGE),
        (MEM_COMMIT, PAGE_READWRITE, MEM_IMAGE),
        (MEM_COMMIT, PAGE_WRITECOPY, MEM_IMAGE),
    }
    handles = {(handle.type_name, handle.object_name) for handle in snapshot.handles}
    assert handles >= {
        ("File", r"\Device\HarddiskVolume3\dumptruth\crash.log"),
        ("Event", r"\Sessions\1\BaseNamedObjects\dumptruth.go"),
        ("Event", None),
        ("Mutant", r"\Sessions\1\BaseNamedObjects\dumptruth.mutex"),
        ("Section", r"\Sessions\1\BaseNamedObjects\dumptruth.section"),
        ("Thread", None),
        ("Directory", r"\KnownDlls"),
    }
    assert [handle.value for handle in snapshot.handles] == sorted(handle.value for handle in snapshot.handles)


def test_a_guard_page_that_was_hit_is_no_longer_guarded() -> None:
    row = snapshot_of("guard-page").region_at(0x20000020000)
    other = snapshot_of("null-read").region_at(0x20000020000)
    assert row is not None
    assert other is not None
    assert (row.protect, row.allocation_protect) == (PAGE_READWRITE, PAGE_READWRITE | PAGE_GUARD)
    assert other.protect == PAGE_READWRITE | PAGE_GUARD


def test_an_overflown_stack_is_committed_but_for_its_lowest_page() -> None:
    snapshot = snapshot_of("stack-overflow")
    thread = crashing_thread(snapshot)
    rows = [row for row in snapshot.regions if row.allocation_base == thread.stack_base - 0x100000]
    assert [(row.size, row.state, row.protect) for row in rows] == [
        (0x1000, MEM_RESERVE, 0),
        (0xFF000, MEM_COMMIT, PAGE_READWRITE),
    ]
    assert thread.stack_limit == thread.stack_base - 0xFF000


def test_freed_heap_pages_are_reserved_again() -> None:
    snapshot = snapshot_of("heap-use-after-free")
    assert snapshot.exception is not None
    row = snapshot.region_at(snapshot.exception.information[1])
    assert row is not None
    assert (row.state, row.protect, row.type) == (MEM_RESERVE, 0, MEM_PRIVATE)


def test_in_a_deadlock_every_thread_waits() -> None:
    snapshot = snapshot_of("deadlock")
    assert {thread.state for thread in snapshot.threads} == {"waiting"}
    assert {"left", "right"} <= {thread.name for thread in snapshot.threads}


def test_processor_values_agree_with_the_processor_that_ran_the_program() -> None:
    system = snapshot_of("null-read").system
    assert (system.processor_level, system.processor_revision) == (6, 0x2A01)  # Sandy Bridge, as CPUID says
    shared = snapshot_of("null-read").read(0x7FFE0274, 64)
    assert shared is not None
    words = system.processor_features
    assert words is not None
    assert [bool(byte) for byte in shared] == [bool(words[n // 64] >> n % 64 & 1) for n in range(64)]
