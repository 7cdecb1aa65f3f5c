"""Token and handle tracing, by direct service calls and in the snapshot of a program."""

from __future__ import annotations

import struct
from functools import cache

import pytest
from dumptruth.emu.images.services import number_of
from dumptruth.emu.process.handle_trace import DEFAULT_SLOTS, HandleTrace, OperationType
from dumptruth.emu.process.handles import HandleTable
from dumptruth.emu.process.library import SYSTEM_IMAGES
from dumptruth.emu.process.objects import Event
from dumptruth.emu.process.outcome import Control
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.services import Call, ServiceTable
from dumptruth.emu.process.start import start_process
from dumptruth.emu.process.tokens import USER, sid, token_of
from dumptruth.emu.process.winnt import Status, StatusError
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.process import ProcessSnapshot

CURRENT_PROCESS = (1 << 64) - 1
BUFFER = 0x20000000000


@pytest.fixture
def process() -> Process:
    made = start_process(SYSTEM_IMAGES / "crash.exe", "crash.exe null-read")
    made.memory.space.allocate(BUFFER, 0x1000, 0x3000, 4)
    return made


def call(process: Process, name: str, *arguments: int) -> int | Control:
    found = ServiceTable().find(number_of(name))
    assert found is not None
    try:
        return found[1](Call(process, process.scheduler.threads[0], arguments))
    except StatusError as error:
        return error.status


def open_token(process: Process, access: int = 8) -> int:
    assert call(process, "NtOpenProcessToken", CURRENT_PROCESS, access, BUFFER) == Status.SUCCESS
    return process.memory.u64(BUFFER)


def ask(process: Process, handle: int, information_class: int, length: int = 0x800) -> bytes:
    at = BUFFER + 0x100
    status = call(process, "NtQueryInformationToken", handle, information_class, at, length, BUFFER + 8)
    assert status == Status.SUCCESS
    return process.memory.read(at, process.memory.u32(BUFFER + 8))


def test_the_token_names_user_groups_and_privileges(process: Process) -> None:
    handle = open_token(process)
    pointer, attributes = struct.unpack_from("<QI", ask(process, handle, 1))
    assert process.memory.read(pointer, len(sid(USER))) == sid(USER)
    assert attributes == 0
    groups = ask(process, handle, 2)
    count = struct.unpack_from("<I", groups)[0]
    found = {}
    for index in range(count):
        pointer, attributes = struct.unpack_from("<QI", groups, 8 + 16 * index)
        size = 8 + 4 * process.memory.read(pointer + 1, 1)[0]
        found[process.memory.read(pointer, size)] = attributes
    assert found[sid("S-1-1-0")] == 7
    assert found[sid("S-1-16-8192")] == 0x60
    assert struct.unpack_from("<IQI", ask(process, handle, 3)) == (5, 19, 0)
    assert ask(process, handle, 8) == struct.pack("<I", 1)
    statistics = ask(process, handle, 10)
    assert statistics == token_of(process.process_id, handle).statistics
    assert struct.unpack_from("<II", statistics, 40) == (count, 5)


def test_a_token_answers_within_its_buffer_and_rights(process: Process) -> None:
    handle = open_token(process)
    arguments = (BUFFER + 0x100, 8, BUFFER + 8)
    assert call(process, "NtQueryInformationToken", handle, 1, *arguments) == Status.BUFFER_TOO_SMALL
    assert process.memory.u32(BUFFER + 8) == 16 + len(sid(USER))
    assert call(process, "NtQueryInformationToken", handle, 29, *arguments) == Status.INVALID_INFO_CLASS
    without_query = open_token(process, access=2)
    assert call(process, "NtQueryInformationToken", without_query, 8, *arguments) == Status.ACCESS_DENIED
    assert call(process, "NtQueryInformationToken", 4, 8, *arguments) == Status.OBJECT_TYPE_MISMATCH
    assert call(process, "NtQueryInformationToken", 0x4000, 8, *arguments) == Status.INVALID_HANDLE


def test_handle_tracing_is_switched_on_and_off(process: Process) -> None:
    def trace(buffer: bytes, length: int | None = None) -> int | Control:
        process.memory.write(BUFFER, buffer.ljust(8, b"\0"))
        size = len(buffer) if length is None else length
        return call(process, "NtSetInformationProcess", CURRENT_PROCESS, 32, BUFFER, size)

    assert process.handle_trace is None
    assert trace(struct.pack("<I", 0)) == Status.SUCCESS
    assert process.handle_trace is not None
    assert trace(b"", 0) == Status.SUCCESS
    assert process.handle_trace is None
    assert trace(struct.pack("<II", 0, 4)) == Status.SUCCESS
    assert trace(struct.pack("<II", 0, 0x20001)) == Status.INVALID_PARAMETER
    assert trace(struct.pack("<I", 1)) == Status.INVALID_PARAMETER
    assert trace(bytes(12)) == Status.INFO_LENGTH_MISMATCH
    assert call(process, "NtSetInformationProcess", CURRENT_PROCESS, 0, BUFFER, 4) == Status.INVALID_INFO_CLASS


def test_a_handle_table_records_its_operations() -> None:
    table = HandleTable()
    told: list[tuple[OperationType, int]] = []
    first = table.insert(Event(), 0)
    table.on_operation = lambda kind, handle: told.append((kind, handle))
    second = table.insert(Event(), 0)
    table.close(first)
    for wrong in (first, 0x7FFC):
        with pytest.raises(StatusError):
            table.entry(wrong)
    assert told == [
        (OperationType.OPEN, second), (OperationType.CLOSE, first),
        (OperationType.BAD_REFERENCE, first), (OperationType.BAD_REFERENCE, 0x7FFC),
    ]  # fmt: skip


def test_a_trace_keeps_the_newest_operations_and_counts_them_all() -> None:
    trace = HandleTrace(3)
    for handle in range(5):
        trace.record(OperationType.OPEN, handle, 8, (1, 2))
    assert [(operation.handle, operation.index) for operation in trace] == [(2, 2), (3, 3), (4, 4)]
    assert DEFAULT_SLOTS == 0x1000


# --- the snapshot of the program every-stream


@cache
def every_stream() -> ProcessSnapshot:
    return run_scenario("every-stream")


def place(snapshot: ProcessSnapshot, address: int) -> str:
    """The image at an address."""
    for module in snapshot.modules:
        if module.base <= address < module.base + module.size:
            return module.name.rpartition("\\")[2]
    return "none"


def test_a_traced_operation_has_the_return_addresses_of_its_calls() -> None:
    snapshot = every_stream()
    operations = snapshot.handle_operations
    assert [(operation.operation_type, operation.index) for operation in operations] == [(1, 0), (2, 1), (3, 2), (1, 3)]
    assert len({operation.handle for operation in operations[:3]}) == 1
    for operation in operations[:3]:
        places = [place(snapshot, address) for address in operation.return_addresses]
        assert places == ["ntdll.dll", "kernel32.dll", "crash.exe", "crash.exe", "ntdll.dll"]
        for address in operation.return_addresses[1:]:  # CALL rel32, CALL [rip + disp32] or CALL r/m64 ends there
            before = snapshot.read(address - 6, 6)
            assert before is not None
            assert before[1] == 0xE8 or before[:2] == b"\xff\x15" or 0xFF in before[3:5]
    stub = snapshot.read(operations[0].return_addresses[0] - 2, 3)
    assert stub == b"\x0f\x05\xc3"  # syscall, ret
    assert {operation.thread_id for operation in operations} == {snapshot.threads[0].thread_id}


def test_the_token_that_the_program_opened_is_in_the_snapshot() -> None:
    snapshot = every_stream()
    (handle,) = [handle for handle in snapshot.handles if handle.type_name == "Token"]
    assert snapshot.tokens == (token_of(snapshot.process.process_id, handle.value),)


def test_the_function_tables_that_the_program_registered_are_in_the_snapshot_as_ntdll_keeps_them() -> None:
    snapshot = every_stream()
    generated = 0x20000050000
    first, second = snapshot.function_tables
    assert [(entry.begin_address, entry.end_address, entry.unwind_data) for entry in first.entries] == [
        (0x0, 0xB, 0x100), (0x40, 0x4E, 0x108)
    ]  # fmt: skip
    assert [(entry.begin_address, entry.unwind_data) for entry in second.entries] == [(0x80, 0x100)]
    assert {table.base_address for table in snapshot.function_tables} == {generated}
    assert (first.minimum_address, first.maximum_address) == (generated, generated + 0x4E)
    after, before, table = struct.unpack_from("<3Q", first.native)
    assert snapshot.read(after, 136) == second.native
    assert snapshot.read(struct.unpack_from("<Q", second.native, 8)[0], 136) == first.native
    assert struct.unpack_from("<Q", second.native)[0] == before
    assert place(snapshot, before) == "ntdll.dll"
    assert place(snapshot, table) == "crash.exe"
    assert first.native[0x58:] == bytes(0x88 - 0x58)


def test_threads_with_avx_enabled_have_their_state_and_the_others_the_initial_one() -> None:
    snapshot = every_stream()
    assert snapshot.system.xstate is not None
    used = {thread.name for thread in snapshot.threads if thread.context.xstate}
    assert used == {"main", "computes"}
    assert {thread.context.xstate for thread in snapshot.threads if thread.name not in used} == {()}
    states = [dict(thread.context.xstate or ())[2] for thread in snapshot.threads if thread.name in used]
    assert all(len(state) == 256 for state in states)
    assert states[0] != states[1]
    assert snapshot.exception is not None
    assert snapshot.exception.context.xstate == snapshot.threads[0].context.xstate
    features = snapshot.system.processor_features
    assert features is not None
    assert features[0] >> 39 & 1
    shared = snapshot.read(0x7FFE0000, 0x600)
    assert shared is not None
    assert struct.unpack_from("<QQI", shared, 0x3D8) == (7, 7, 832)
    assert struct.unpack_from("<6I", shared, 0x3F0) == (0, 160, 160, 256, 576, 256)


def test_a_program_without_tokens_tables_and_avx_has_none_in_its_snapshot() -> None:
    snapshot = run_scenario("null-read")
    assert snapshot.system.xstate is None
    assert {thread.context.xstate for thread in snapshot.threads} == {None}
    assert (snapshot.function_tables, snapshot.handle_operations, snapshot.tokens) == ((), (), ())
