"""Replaying a complete kernel dump raises the fault of its bug check again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.truth import store
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.fixtures.replay.judging import judge
from dumptruth.fixtures.replay.kernel import replay_fault
from dumptruth.fixtures.replay.kernel_fault import fault_state
from dumptruth.fixtures.replay.process import ReplayError
from dumptruth.fixtures.replay.replayer import replay_kernel_dump
from dumptruth.oracle import (
    ByteSource,
    KernelDump,
    Outcome,
    Replayed,
    Verdict,
    load_any_truth,
    load_request,
    read_kernel,
)

TRAP_FRAME, ERROR_CODE, FAULT_ADDRESS, RIP = 0x90, 0x160, 0xD0, 0x168  # KTHREAD.TrapFrame; KTRAP_FRAME
R15_BELOW_TRAP_FRAME = 0x10  # KEXCEPTION_FRAME.R15, 0x130 of 0x140


@dataclass(frozen=True)
class Met:
    """The expected vector, and which bug check parameters hold the instruction and Cr2, counted from 1."""

    vector: int
    instruction: int
    referenced: int | None = None
    coded: bool = True


FAULTS = {
    "bugcheck-d1": Met(14, 4, 1),
    "bugcheck-a": Met(14, 4, 1),
    "bugcheck-50": Met(14, 3, 1),
    "bugcheck-7e": Met(6, 2, coded=False),
    "bugcheck-7e-divide": Met(0, 2, coded=False),
    "bugcheck-7e-breakpoint": Met(3, 2, coded=False),
    "bugcheck-3b": Met(14, 2),
    "bugcheck-7f": Met(8, 4),
    "bugcheck-7f-overflow": Met(8, 4),
    "bugcheck-fc": Met(14, 1, 1),
    "second-processor": Met(14, 4, 1),
}
ASKED_FOR = ["bugcheck-e2", "bugcheck-ef", "user-crash", "live-dump"]


@cache
def machine(name: str) -> KernelSnapshot:
    return run_kernel_scenario(name)


@cache
def full(name: str) -> bytes:
    return kernel_dump_bytes(machine(name), Request(Qualifier.DEBUG_DUMP_FULL, profile=KernelProfile.PORTABLE))[0]


def opened(data: bytes) -> KernelDump:
    return read_kernel(ByteSource(data))


def number(dump: KernelDump, address: int) -> int:
    value = dump.integer(address, 8)
    assert value is not None
    return value


def trap_frame(name: str, dump: KernelDump) -> int:
    found = machine(name)
    return number(dump, found.processors[found.crashing_processor].current_thread + TRAP_FRAME)


def spoilt(name: str, address: int, data: bytes) -> Replayed:
    """The replay of a dump with ``data`` written at a virtual address."""
    dump = opened(full(name))
    at = dump.where(address)
    assert at
    assert full(name)[at : at + len(data)] != data
    return replay_kernel_dump(opened(full(name)[:at] + data + full(name)[at + len(data) :]))


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_behind_the_bug_check_is_met_again(name: str) -> None:
    expected, parameters, dump = FAULTS[name], machine(name).bug_check.parameters, opened(full(name))
    met = replay_kernel_dump(dump)
    assert met.error is None
    assert met.code == expected.vector
    assert met.address == parameters[expected.instruction - 1]
    frame = trap_frame(name, dump)
    assert met.address == number(dump, frame + RIP)
    if expected.coded:
        assert met.information[0] == number(dump, frame + ERROR_CODE)
    else:
        assert met.information == ()
    if expected.vector == 14:
        assert met.information[1] == number(dump, frame + FAULT_ADDRESS)
    if expected.referenced:
        assert met.information[1] == parameters[expected.referenced - 1]


@pytest.mark.parametrize("name", ASKED_FOR)
def test_a_bug_check_without_a_fault_is_not_replayed(name: str) -> None:
    assert "exception" in (replay_kernel_dump(opened(full(name))).error or "")


def test_a_hand_made_bug_check_without_a_fault_is_not_replayed(tmp_path: Path) -> None:
    made, request = synthetic_machine(), Request(Qualifier.DEBUG_DUMP_FULL, profile=KernelProfile.PORTABLE)
    assert made.bug_check.code == 0xD1
    (tmp_path / "a.dmp").write_bytes(kernel_dump_bytes(made, request)[0])
    store.save(made, tmp_path / "truth", source="a test", request=request, file="a.dmp")
    report = judge(tmp_path / "a.dmp", load_any_truth(tmp_path / "truth"), load_request(tmp_path / "truth"))
    assert report.outcome is Outcome.CONFORMANT
    verdicts = {result.rule: result.verdict for result in report.results}
    assert verdicts["KXCT-REPLAY-001"] is Verdict.NOT_APPLICABLE


def test_an_instruction_that_does_not_fault_does_not_replay() -> None:
    place = machine("bugcheck-d1").bug_check.parameters[3]
    assert "expected an exception" in (spoilt("bugcheck-d1", place, b"\x90").error or "")


def test_a_changed_register_moves_the_fault() -> None:
    dump = opened(full("bugcheck-50"))
    frame = trap_frame("bugcheck-50", dump)
    state = fault_state(dump)
    told = machine("bugcheck-50").bug_check.parameters[0]
    (register,) = (name for name, value in state.registers.items() if value == told)
    moved = replace(state, registers={**state.registers, register: told + 0x10})
    assert replay_fault(dump, moved).parameters == (number(dump, frame + ERROR_CODE), told + 0x10)


def test_a_fault_whose_handler_has_no_gate_is_a_double_fault() -> None:
    idt = dict(machine("bugcheck-d1").processors[0].special_registers)["Idtr.Base"]
    met = spoilt("bugcheck-d1", idt + 14 * 16, bytes(16))
    assert (met.code, met.address) == (8, machine("bugcheck-d1").bug_check.parameters[3])


def test_a_double_fault_without_a_gate_is_the_end() -> None:
    idt = dict(machine("bugcheck-7f").processors[0].special_registers)["Idtr.Base"]
    assert "vector 8" in (spoilt("bugcheck-7f", idt + 8 * 16, bytes(16)).error or "")


def test_missing_registers_are_not_invented() -> None:
    dump = opened(full("bugcheck-d1"))
    frame = trap_frame("bugcheck-d1", dump)
    assert fault_state(dump).registers["R15"] == number(dump, frame - R15_BELOW_TRAP_FRAME)
    assert "R12 to R15 are unknown" in (spoilt("bugcheck-d1", frame - 0x140 + 0xD0, bytes(8)).error or "")


def test_a_root_without_page_tables_cannot_be_run() -> None:
    data = full("bugcheck-d1")
    met = replay_kernel_dump(opened(data[:0x10] + (0x1000).to_bytes(8, "little") + data[0x18:]))
    assert met.code is None
    assert met.error


def test_a_kernel_dump_is_enough_to_replay_a_fault_of_the_kernel() -> None:
    request = Request(Qualifier.DEBUG_DUMP_DEFAULT, profile=KernelProfile.PORTABLE)
    met = replay_kernel_dump(opened(kernel_dump_bytes(machine("bugcheck-7e"), request)[0]))
    assert (met.code, met.error) == (6, None)


def test_a_small_dump_cannot_be_replayed() -> None:
    request = Request(Qualifier.DEBUG_DUMP_SMALL, profile=KernelProfile.PORTABLE)
    met = replay_kernel_dump(opened(kernel_dump_bytes(machine("bugcheck-7e"), request)[0]))
    assert (met.code, met.address) == (None, None)
    assert (met.error or "").startswith("KiProcessorBlock: ")


def test_a_state_of_ring_3_runs_in_ring_3() -> None:
    dump = opened(full("bugcheck-d1"))
    state = fault_state(dump)
    user = replace(state, registers={**state.registers, "SegCs": 0x33, "SegSs": 0x2B})
    met = replay_fault(dump, user)
    assert (met.code, met.parameters) == (14, (0x15, state.registers["Rip"]))  # present, user, fetch: a kernel page


def test_a_context_with_an_impossible_privilege_level_is_named() -> None:
    dump = opened(full("bugcheck-d1"))
    state = fault_state(dump)
    with pytest.raises(ReplayError, match="privilege level 1"):
        replay_fault(dump, replace(state, registers={**state.registers, "SegCs": 0x11}))
