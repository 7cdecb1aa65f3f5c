"""Dumps of x86 and arm64 processes, read back by the offsets of docs/format/minidump-contexts.md#x86-layout."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_DEFAULT, DEBUG_DUMP_SMALL, FormatFlag, StreamType
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import Context, ProcessSnapshot, Thread
from dumptruth.emu.snapshot.processor_state import ARM64_REGISTERS, AVX_STATE, X86_REGISTERS
from dumptruth.emu.synthetic.process import synthetic_process, synthetic_system
from dumptruth.emu.writer.contexts import context_size
from dumptruth.emu.writer.layout import LayoutError
from dumptruth.emu.writer.minidump import dump_bytes

S = StreamType
AVX = FormatFlag.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT

X86 = Context(
    registers=tuple((name, 0x1000_0000 + index) for index, name in enumerate(X86_REGISTERS)),
    fxsave=bytes(index % 251 for index in range(512)),
    context_flags=0x1003F,
    float_save=bytes(0x80 + index % 100 for index in range(112)),
)
ARM64 = Context(
    registers=tuple((name, 0x4000_0000 + index) for index, name in enumerate(ARM64_REGISTERS)),
    fxsave=b"",
    context_flags=0x400007,
    v=bytes(index % 253 for index in range(512)),
)


def stream(data: bytes, kind: int) -> bytes:
    count, at = struct.unpack_from("<II", data, 8)
    entries = {entry[0]: entry for entry in struct.iter_unpack("<III", data[at : at + 12 * count])}
    _, size, rva = entries[kind]
    return data[rva : rva + size]


def with_context(target: ProcessSnapshot, context: Context) -> ProcessSnapshot:
    """The snapshot with other registers in the first thread and the exception, and the same stack pointer."""
    old = target.threads[0].context
    pointer = {"Esp", "Sp"}
    registers = tuple((name, old[name] if name in pointer else value) for name, value in context.registers)
    context = replace(context, registers=registers)
    assert target.exception is not None
    return replace(
        target,
        threads=(replace(target.threads[0], context=context), *target.threads[1:]),
        exception=replace(target.exception, context=context),
    )


def first_context(data: bytes) -> bytes:
    size, rva = struct.unpack_from("<II", stream(data, S.ThreadListStream), 4 + 40)
    return data[rva : rva + size]


def stack_of(data: bytes, index: int) -> tuple[int, int, int]:
    """(start, size, rva)."""
    found: tuple[int, int, int] = struct.unpack_from("<QII", stream(data, S.ThreadListStream), 4 + 48 * index + 24)
    return found


def dump(target: ProcessSnapshot, flags: int = 0) -> bytes:
    return dump_bytes(target, Request(DEBUG_DUMP_SMALL, flags))[0]


def test_an_x86_context_has_716_bytes_with_every_register_in_its_place() -> None:
    data = first_context(dump(with_context(synthetic_process("x86"), X86)))
    assert len(data) == 716
    at = {
        "Dr0": 0x04, "Dr1": 0x08, "Dr2": 0x0C, "Dr3": 0x10, "Dr6": 0x14, "Dr7": 0x18, "SegGs": 0x8C, "SegFs": 0x90,
        "SegEs": 0x94, "SegDs": 0x98, "Edi": 0x9C, "Esi": 0xA0, "Ebx": 0xA4, "Edx": 0xA8, "Ecx": 0xAC, "Eax": 0xB0,
        "Ebp": 0xB4, "Eip": 0xB8, "SegCs": 0xBC, "EFlags": 0xC0, "SegSs": 0xC8,
    }  # fmt: skip
    assert int.from_bytes(data[:4], "little") == 0x1003F
    for name, offset in at.items():
        assert int.from_bytes(data[offset : offset + 4], "little") == X86[name], name
    assert data[0x1C:0x8C] == X86.float_save
    assert data[0xCC:0x2CC] == X86.fxsave


def test_an_arm64_context_has_912_bytes_with_every_register_in_its_place() -> None:
    data = first_context(dump(with_context(synthetic_process("arm64"), ARM64)))
    assert len(data) == 912
    at = {"Cpsr": (4, 4), **{f"X{n}": (8 + 8 * n, 8) for n in range(29)}}
    at |= {"Fp": (0xF0, 8), "Lr": (0xF8, 8), "Pc": (0x108, 8), "Fpcr": (0x310, 4), "Fpsr": (0x314, 4)}
    at |= {f"Bcr{n}": (0x318 + 4 * n, 4) for n in range(8)} | {f"Bvr{n}": (0x338 + 8 * n, 8) for n in range(8)}
    at |= {"Wcr0": (0x378, 4), "Wcr1": (0x37C, 4), "Wvr0": (0x380, 8), "Wvr1": (0x388, 8)}
    assert set(at) | {"Sp"} == set(ARM64_REGISTERS)
    assert int.from_bytes(data[:4], "little") == 0x400007
    for name, (offset, size) in at.items():
        assert int.from_bytes(data[offset : offset + size], "little") == ARM64[name], name
    assert data[0x110:0x310] == ARM64.v


def test_system_info_of_x86_says_what_cpuid_says() -> None:
    target = synthetic_process("x86")
    info = stream(dump(target), S.SystemInfoStream)
    assert struct.unpack_from("<H", info) == (0,)
    cpu = target.system.x86_cpu
    assert cpu is not None
    assert info[0x20:0x2C] == b"GenuineIntel"
    numbers = (cpu.version_information, cpu.feature_information, cpu.amd_extended_cpu_features)
    assert struct.unpack_from("<III", info, 0x2C) == numbers == (0x506E3, 0xBFEBFBFF, 0)


def test_system_info_of_arm64_holds_processor_features() -> None:
    target = synthetic_process("arm64")
    info = stream(dump(target), S.SystemInfoStream)
    assert struct.unpack_from("<H", info) == (12,)
    assert struct.unpack_from("<QQ", info, 0x20) == target.system.processor_features
    assert info[0x30:0x38] == bytes(8)


def test_an_x86_stack_starts_four_bytes_below_esp() -> None:
    target = synthetic_process("x86", threads=3)
    data = dump(target)
    for index, thread in enumerate(target.threads):
        start, size, rva = stack_of(data, index)
        assert (start, start + size) == (thread.context["Esp"] - 4, thread.stack_base)
        assert data[rva : rva + size] == target.read(start, size)


def test_an_arm64_stack_starts_at_sp() -> None:
    target = synthetic_process("arm64")
    start, size, _ = stack_of(dump(target), 0)
    assert (start, start + size) == (target.threads[0].context["Sp"], target.threads[0].stack_base)


def test_an_x86_stack_is_never_below_its_limit() -> None:
    target = synthetic_process("x86", threads=1, stack_used=0x3000, stack_committed=0x3000)
    thread: Thread = target.threads[0]
    assert thread.context["Esp"] == thread.stack_limit
    assert stack_of(dump(target), 0)[0] == thread.stack_limit


@pytest.mark.parametrize("architecture", ["x86", "arm64"])
def test_instruction_windows_are_taken_around_the_architectures_own_pointer(architecture: str) -> None:
    target = synthetic_process(architecture)
    plan = dump_bytes(target, Request(DEBUG_DUMP_SMALL))[1].plan
    for thread in target.threads:
        pointer = thread.context["Eip" if architecture == "x86" else "Pc"]
        assert any(planned.start <= pointer - 0x80 and pointer + 0x80 <= planned.end for planned in plan.ranges)


@pytest.mark.parametrize("architecture", ["x86", "arm64"])
def test_a_dump_of_all_memory_covers_the_whole_address_space(architecture: str) -> None:
    target = synthetic_process(architecture)
    data, result = dump_bytes(target, Request(DEBUG_DUMP_DEFAULT))
    assert sum(planned.size for planned in result.plan.ranges) == sum(len(run.data) for run in target.memory)
    info = stream(data, S.MemoryInfoListStream)
    last, size = struct.unpack_from("<QxxxxxxxxxxxxxxxxQ", info, len(info) - 48)
    assert last + size == target.system.maximum_user_mode_address + 1


def test_the_process_blocks_of_x86_have_the_offsets_of_32_bit_structures() -> None:
    target = synthetic_process("x86")
    thread = target.threads[0]

    def pointer(address: int) -> int:
        raw = target.read(address, 4)
        assert raw is not None
        return int.from_bytes(raw, "little")

    assert pointer(thread.teb + 0x04) == thread.stack_base
    assert pointer(thread.teb + 0x08) == thread.stack_limit
    assert pointer(thread.teb + 0x18) == thread.teb
    assert (pointer(thread.teb + 0x20), pointer(thread.teb + 0x24)) == (target.process.process_id, thread.thread_id)
    assert pointer(thread.teb + 0x30) == target.process.peb
    assert pointer(target.process.peb + 0x08) == target.modules[0].base
    parameters = pointer(target.process.peb + 0x10)
    length, buffer = pointer(parameters + 0x40) & 0xFFFF, pointer(parameters + 0x44)
    assert target.read(buffer, length) == target.process.command_line.encode("utf-16-le")
    assert pointer(parameters + 0x290) == 4


@pytest.mark.parametrize(("architecture", "magic", "machine"), [("x86", 0x10B, 0x14C), ("arm64", 0x20B, 0xAA64)])
def test_images_carry_their_machine(architecture: str, magic: int, machine: int) -> None:
    for module in synthetic_process(architecture).modules:
        target = synthetic_process(architecture)
        headers = target.read(module.base, 0x400)
        assert headers is not None
        at = struct.unpack_from("<I", headers, 0x3C)[0]
        assert struct.unpack_from("<4sH", headers, at) == (b"PE\0\0", machine)
        optional = at + 24
        assert struct.unpack_from("<H", headers, optional) == (magic,)
        base = struct.unpack_from("<Q" if magic == 0x20B else "<I", headers, optional + (24 if magic == 0x20B else 28))
        assert base == (module.base,)
        assert struct.unpack_from("<I", headers, optional + 56) == (module.size,)
        sections = optional + struct.unpack_from("<H", headers, at + 20)[0]
        assert headers[sections : sections + 8] == b".text\0\0\0"


def test_an_x86_context_with_extended_state() -> None:
    target = synthetic_process("x86", system=synthetic_system("x86", xstate=AVX_STATE))
    ymm = bytes(range(256))
    thread = replace(target.threads[0], context=replace(target.threads[0].context, xstate=((2, ymm),)))
    data = first_context(dump(replace(target, threads=(thread, *target.threads[1:])), AVX))
    assert len(data) == context_size("x86", AVX_STATE) == 768 + 64 + 256
    assert int.from_bytes(data[:4], "little") == 0x1007F
    assert struct.unpack_from("<iIiIiI", data, 716) == (-716, 1088, -716, 716, 52, 320)
    assert struct.unpack_from("<Q", data, 768) == (4,)
    assert data[832:] == ymm


def test_extended_state_of_arm64_is_not_known_to_the_format() -> None:
    target = synthetic_process("arm64", system=synthetic_system("arm64", xstate=AVX_STATE))
    data, result = dump_bytes(target, Request(DEBUG_DUMP_SMALL, AVX))
    assert len(first_context(data)) == 912
    assert any("no extended processor state" in warning for warning in result.warnings)


def test_an_arm64_context_lacks_no_register() -> None:
    with pytest.raises(LayoutError, match="expected the registers of arm64"):
        dump(with_context(synthetic_process("arm64"), replace(ARM64, registers=ARM64.registers[:-1])))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (replace(X86, float_save=bytes(108)), "FLOATING_SAVE_AREA of 108 bytes, expected 112"),
        (replace(X86, fxsave=b""), "FXSAVE image of 0 bytes, expected 512"),
        (replace(X86, registers=(*X86.registers, ("Rip", 0))), "unknown .*Rip"),
    ],
)
def test_a_context_of_another_make_is_refused(broken: Context, why: str) -> None:
    with pytest.raises(LayoutError, match=why):
        dump(with_context(synthetic_process("x86"), broken))


def test_an_x86_system_without_cpuid_is_refused() -> None:
    system = replace(synthetic_system("x86"), x86_cpu=None)
    with pytest.raises(LayoutError, match="x86_cpu with a vendor_id"):
        dump(synthetic_process("x86", system=system))
