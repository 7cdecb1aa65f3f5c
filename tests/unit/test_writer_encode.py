"""Structures are encoded with every field given and every range checked, in the sizes of the header files."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import pytest
from dumptruth.emu.synthetic.process import amd64_context
from dumptruth.emu.writer import context_structs, structs, system_structs
from dumptruth.emu.writer.contexts import add_context
from dumptruth.emu.writer.encode import add_string, add_struct, fields_of, utf16_array
from dumptruth.emu.writer.layout import Label, Layout, LayoutError, LayoutOverflow, Section
from dumptruth.emu.writer.sinks import BytesSink

SIZES = {  # typed from docs/format/minidump-container.md#sizes-of-header-and-records and the next section
    "MINIDUMP_HEADER": 32, "MINIDUMP_DIRECTORY": 12, "MINIDUMP_LOCATION_DESCRIPTOR": 8,
    "MINIDUMP_MEMORY_DESCRIPTOR": 16, "MINIDUMP_MEMORY_DESCRIPTOR64": 16, "MINIDUMP_STRING": 4,
    "MINIDUMP_SYSTEM_INFO": 56, "MINIDUMP_THREAD_LIST": 4, "MINIDUMP_THREAD": 48, "MINIDUMP_MODULE_LIST": 4,
    "MINIDUMP_MODULE": 108, "VS_FIXEDFILEINFO": 52, "MINIDUMP_EXCEPTION": 152, "MINIDUMP_EXCEPTION_STREAM": 168,
    "MINIDUMP_MEMORY_LIST": 4, "MINIDUMP_MEMORY64_LIST": 16, "MINIDUMP_MEMORY_INFO_LIST": 16,
    "MINIDUMP_MEMORY_INFO": 48, "MINIDUMP_HANDLE_DATA_STREAM": 16, "MINIDUMP_HANDLE_DESCRIPTOR_2": 40,
    "MINIDUMP_UNLOADED_MODULE_LIST": 12, "MINIDUMP_UNLOADED_MODULE": 24, "MINIDUMP_THREAD_INFO_LIST": 12,
    "MINIDUMP_THREAD_INFO": 64, "MINIDUMP_THREAD_NAME_LIST": 4, "MINIDUMP_THREAD_NAME": 12,
    "MINIDUMP_MISC_INFO_5": 1364, "TIME_ZONE_INFORMATION": 172, "XSTATE_CONFIG_FEATURE_MSC_INFO": 528,
    "MINIDUMP_SYSTEM_MEMORY_INFO_1": 492, "MINIDUMP_SYSTEM_BASIC_INFORMATION": 52,
    "MINIDUMP_SYSTEM_FILECACHE_INFORMATION": 60, "MINIDUMP_SYSTEM_BASIC_PERFORMANCE_INFORMATION": 32,
    "MINIDUMP_SYSTEM_PERFORMANCE_INFORMATION": 344, "MINIDUMP_PROCESS_VM_COUNTERS_2": 152, "CONTEXT": 1232,
    "CONTEXT_X86": 716, "CONTEXT_ARM64": 912, "CONTEXT_EX": 24, "XSAVE_AREA_HEADER": 64,
    "MINIDUMP_HANDLE_OPERATION_LIST": 16, "AVRF_HANDLE_OPERATION": 288, "MINIDUMP_FUNCTION_TABLE_STREAM": 24,
    "MINIDUMP_FUNCTION_TABLE_DESCRIPTOR": 32, "RUNTIME_FUNCTION": 12, "MINIDUMP_TOKEN_INFO_LIST": 16,
    "MINIDUMP_TOKEN_INFO_HEADER": 16, "TOKEN_ELEMENT_HEADER": 72,
}  # fmt: skip


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_a_structure_has_the_size_that_the_specification_gives(name: str, size: int) -> None:
    found = [getattr(module, name) for module in (structs, system_structs, context_structs) if hasattr(module, name)]
    assert {ctypes.sizeof(struct) for struct in found} == {size}


CONTEXT_OFFSETS = {  # typed from docs/format/minidump-contexts.md#amd64-layout
    "P1Home": 0x00, "ContextFlags": 0x30, "MxCsr": 0x34, "SegCs": 0x38, "SegSs": 0x42, "EFlags": 0x44, "Dr0": 0x48,
    "Dr6": 0x68, "Dr7": 0x70, "Rax": 0x78, "Rcx": 0x80, "Rdx": 0x88, "Rbx": 0x90, "Rsp": 0x98, "Rbp": 0xA0, "Rsi": 0xA8,
    "Rdi": 0xB0, "R8": 0xB8, "R9": 0xC0, "R10": 0xC8, "R11": 0xD0, "R12": 0xD8, "R13": 0xE0, "R14": 0xE8, "R15": 0xF0,
    "Rip": 0xF8, "FltSave": 0x100, "VectorRegister": 0x300, "VectorControl": 0x4A0, "DebugControl": 0x4A8,
    "LastBranchToRip": 0x4B0, "LastExceptionFromRip": 0x4C8,
}  # fmt: skip


@pytest.mark.parametrize(("name", "offset"), CONTEXT_OFFSETS.items())
def test_a_register_lies_where_winnt_puts_it(name: str, offset: int) -> None:
    assert fields_of(context_structs.CONTEXT)[name][0] == offset


def test_nested_fields_and_elements_have_names() -> None:
    fields = fields_of(structs.MINIDUMP_EXCEPTION_STREAM)
    assert fields["ExceptionRecord.ExceptionCode"] == (8, 4)
    assert fields["ExceptionRecord.ExceptionInformation[2]"] == (0x38, 8)
    assert fields["ThreadContext.Rva"] == (0xA4, 4)
    assert fields_of(structs.MINIDUMP_MODULE)["VersionInfo.dwFileDateLS"] == (0x48, 4)
    assert fields_of(system_structs.MINIDUMP_SYSTEM_INFO)["Cpu.OtherCpuInfo.ProcessorFeatures[1]"] == (0x28, 8)
    misc = fields_of(system_structs.MINIDUMP_MISC_INFO_5)
    assert misc["XStateData.Features[63].Size"] == (0x340 + 16 + 63 * 8 + 4, 4)


def emitted(section: Section) -> bytes:
    layout = Layout()
    layout.place(section)
    layout.freeze()
    sink = BytesSink()
    layout.emit(sink)
    return sink.getvalue()


@pytest.mark.parametrize(("value", "fits"), [(0xFFFFFFFF, True), (0x100000000, False), (-1, False)])
def test_a_number_that_does_not_fit_is_an_error_that_names_its_field(value: int, fits: bool) -> None:
    section = Section("S")
    values = {"StartOfMemoryRange": 1, "Memory": {"DataSize": value, "Rva": 0}}
    if fits:
        add_struct(section, "S", structs.MINIDUMP_MEMORY_DESCRIPTOR, values)
        assert emitted(section) == bytes.fromhex("0100000000000000 FFFFFFFF 00000000")
    else:
        with pytest.raises(LayoutOverflow, match=r"S\.Memory\.DataSize: "):
            add_struct(section, "S", structs.MINIDUMP_MEMORY_DESCRIPTOR, values)


def test_a_field_that_is_missing_or_unknown_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"missing \['Rva'\]"):
        add_struct(Section("S"), "S", structs.MINIDUMP_LOCATION_DESCRIPTOR, {"DataSize": 1})
    with pytest.raises(TypeError, match=r"unknown \['Size'\]"):
        add_struct(Section("S"), "S", structs.MINIDUMP_LOCATION_DESCRIPTOR, {"DataSize": 1, "Rva": 2, "Size": 3})


def test_signed_fields_are_signed_and_a_label_becomes_a_cite() -> None:
    section = Section("S")
    zone = dict.fromkeys((field[0] for field in system_structs.SYSTEMTIME._fields_), 0)
    add_struct(section, "S", system_structs.TIME_ZONE_INFORMATION, {
        "Bias": -60, "StandardName": bytes(64), "StandardDate": zone, "StandardBias": 0, "DaylightName": bytes(64),
        "DaylightDate": zone, "DaylightBias": section.length,
    })  # fmt: skip
    data = emitted(section)
    assert data[:4] == bytes.fromhex("C4 FF FF FF")
    assert data[-4:] == bytes.fromhex("AC 00 00 00")


def test_a_string_counts_bytes_without_its_nul_and_keeps_lone_surrogates() -> None:
    section = Section("S")
    start = add_string(section, "S", "a\ud800\U0001f600")
    assert isinstance(start, Label)
    assert emitted(section) == bytes.fromhex("08 00 00 00  61 00 00 D8 3D D8 00 DE  00 00")


def test_a_fixed_text_must_leave_room_for_its_nul() -> None:
    assert utf16_array("X", "abc", 4) == b"a\0b\0c\0\0\0"
    with pytest.raises(LayoutOverflow, match="X: "):
        utf16_array("X", "abcd", 4)


def test_a_context_that_lacks_a_register_or_its_fxsave_is_refused() -> None:
    context = amd64_context()
    short = replace(context, registers=context.registers[:-1])
    with pytest.raises(LayoutError, match="MxCsr"):
        add_context(Section("S"), "S", short, "amd64")
    with pytest.raises(LayoutError, match="FXSAVE image of 511 bytes"):
        add_context(Section("S"), "S", replace(context, fxsave=bytes(511)), "amd64")
