"""Hand-made dumps of x86 and arm64 targets: registers at the offsets of winnt.h, stacks at their start."""

from __future__ import annotations

import copy
from dataclasses import replace
from struct import pack
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Report, Verdict, check
from dumptruth.oracle.truth.context import CONTEXT_REGISTERS
from dumptruth.oracle.truth.load import parse_truth

from .hand_minidump import HandMade, More, dump, request
from .hand_target import MEMORY, TRUTH

FLOAT_SAVE, VECTORS = bytes(range(112)), bytes(range(256)) * 2
FXSAVE = bytes(range(255, -1, -1)) * 2
X86_CPU = b"GenuineIntel" + pack("<III", 0x6F8, 0x1234, 0)
MACHINES = {"x86": (0, X86_CPU, 4, 0x1003F), "arm64": (12, pack("<QQQ", 0x123456789, 0x55, 0), 0, 0x40001F)}


def context(architecture: str, flags: int, old: dict[str, Any]) -> dict[str, Any]:
    ip, sp = ("Eip", "Esp") if architecture == "x86" else ("Pc", "Sp")
    registers = {name: hex(0x1000 + index) for index, name in enumerate(CONTEXT_REGISTERS[architecture])}
    registers |= {ip: old["registers"]["Rip"], sp: old["registers"]["Rsp"]}
    areas: dict[str, Any] = {"fxsave": FXSAVE.hex(), "float_save": FLOAT_SAVE.hex()}
    if architecture == "arm64":
        areas = {"fxsave": None, "v": VECTORS.hex()}
    return {"context_flags": flags, "registers": registers, **areas}


def made(architecture: str, flags: int | None = None) -> Any:
    number, cpu, below, all_parts = MACHINES[architecture]
    truth = copy.deepcopy(TRUTH)
    truth["system"]["architecture"] = architecture
    if architecture == "x86":
        truth["system"]["processor_features"] = None
        words = {"version_information": 0x6F8, "feature_information": 0x1234, "amd_extended_cpu_features": 0}
        truth["system"]["x86_cpu"] = {"vendor_id": "GenuineIntel", **words}
    for owner in (*truth["threads"], truth["exception"]):
        owner["context"] = context(architecture, flags or all_parts, owner["context"])
    more = More(machine=(number, cpu), below=below)
    if architecture == "arm64":
        # 0x200 bytes around each of the instruction pointers 0x401040, 0x401200 and 0x401300
        more = replace(more, windows=((0x400E40, 0x401500),))
    layout = dump(truth, 0, None, more)
    parsed = parse_truth(truth, MEMORY)
    return HandMade(bytes(layout.data), layout.at, parsed, request(1024, 0, None))


def judge(case: Any, data: bytes | None = None) -> Report:
    return check(ByteSource(case.data if data is None else data), case.truth, case.request, strict=True)


def failing(report: Report) -> set[str]:
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


@pytest.mark.parametrize("architecture", list(MACHINES))
def test_a_dump_of_another_machine_made_by_hand_is_conformant(architecture: str) -> None:
    case = made(architecture)
    report = judge(case)
    assert [(result.rule, result.findings) for result in report.results if result.verdict is Verdict.FAIL] == []
    assert report.unclaimed == 0
    assert failing(check(ByteSource(case.data), strict=True)) == set()


# Offsets of winnt.h CONTEXT. x86: Dr0, FloatSave, SegGs, Edi, Ebp, Eip, EFlags, SegSs, ExtendedRegisters. arm64: Cpsr,
# X0, X28, Fp, Lr, Pc, V, Fpcr, Fpsr, Bcr[7], Bvr[7], Wcr[1], Wvr[1].
X86 = {0x04: 2, 0x18: 2, 0x1C: 3, 0x8B: 3, 0x8C: 2, 0x9C: 2, 0xB4: 2, 0xB8: 2, 0xC0: 2, 0xC8: 2, 0xCC: 3, 0x2CB: 3}
ARM64 = {
    **{0x04: 2, 0x08: 2, 0xE8: 2, 0xF0: 2, 0xF8: 2, 0x108: 2, 0x110: 3, 0x30F: 3, 0x310: 2, 0x314: 2},
    **{0x318 + 28: 2, 0x338 + 56: 2, 0x378 + 4: 2, 0x380 + 8: 2},
}


@pytest.mark.parametrize(
    ("architecture", "offset", "rule"),
    [
        *(("x86", offset, f"TRUE-CONTEXT-00{rule}") for offset, rule in X86.items()),
        *(("arm64", offset, f"TRUE-CONTEXT-00{rule}") for offset, rule in ARM64.items()),
        ("x86", 0, "TRUE-CONTEXT-001"),
        ("arm64", 0, "TRUE-CONTEXT-001"),
    ],
)
def test_a_changed_register_is_noticed(architecture: str, offset: int, rule: str) -> None:
    case = made(architecture)
    data = bytearray(case.data)
    data[case.at["context 1"] + offset] ^= 0x21
    assert failing(judge(case, bytes(data))) == {rule}


def test_the_stacks_of_x86_begin_one_word_below_the_stack_pointer() -> None:
    case = made("x86")
    thread, entry = case.at["stream 3"] + 4, case.at["stream 5"] + 4
    data = bytearray(case.data)
    for place in (thread + 0x18, entry):
        data[place : place + 8] = pack("<Q", 0x13F00)
    for place in (thread + 0x20, entry + 8):
        data[place : place + 4] = pack("<I", 0x100)
    for place in (thread + 0x24, entry + 12):
        data[place : place + 4] = pack("<I", int.from_bytes(data[place : place + 4], "little") + 4)
    assert {"TRUE-THREAD-003", "PAGE-REQUIRED-001"} <= failing(judge(case, bytes(data)))


def test_x86_dumps_hold_the_cpuid_of_the_processor() -> None:
    case = made("x86")
    for offset in (0x20, 0x2B, 0x2C, 0x30):
        data = bytearray(case.data)
        data[case.at["stream 7"] + offset] ^= 1
        assert failing(judge(case, bytes(data))) == {"TRUE-SYSTEM-001"}


@pytest.mark.parametrize(("vendor", "rules"), [("GenuineIntel", set()), ("AuthenticAMD", {"TRUE-SYSTEM-001"})])
def test_the_extended_features_of_x86_count_on_processors_of_amd_only(vendor: str, rules: set[str]) -> None:
    case = made("x86")
    cpu = case.truth.system.x86_cpu
    assert cpu is not None
    system = replace(case.truth.system, x86_cpu=replace(cpu, vendor_id=vendor))
    data = bytearray(case.data)
    at = case.at["stream 7"]
    data[at + 0x20 : at + 0x2C] = vendor.encode("ascii")
    data[at + 0x34] ^= 1
    found = failing(judge(replace(case, truth=replace(case.truth, system=system)), bytes(data)))
    assert found & {"TRUE-SYSTEM-001"} == rules


@pytest.mark.parametrize(
    ("architecture", "flags", "unnamed"),
    [("x86", 0x10007, ((0x04, 0x8C), (0xCC, 0x2CC))), ("arm64", 0x400003, ((0x110, 0x390),))],
)
def test_registers_of_parts_that_are_not_named_may_be_zero(
    architecture: str, flags: int, unnamed: tuple[tuple[int, int], ...]
) -> None:
    case = made(architecture, flags)
    assert failing(judge(case)) == set()
    data, at = bytearray(case.data), case.at["context 1"]
    for start, end in unnamed:
        data[at + start : at + end] = bytes(end - start)
    assert failing(judge(case, bytes(data))) == set()
    data[at + unnamed[0][0]] = 1
    assert len(failing(judge(case, bytes(data)))) == 1
