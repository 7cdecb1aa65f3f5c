"""The committed kernel-mode images: exports, data for loaders and debuggers, and that their sources build them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import lief
import pytest
from dumptruth.emu.images.build import ImageBuildError
from dumptruth.emu.images.kernel.build import FOLDER, KERNEL_IMAGES, KernelImage, build_kernel, compile_driver
from dumptruth.emu.images.kernel.codeview import drop_unnamed_nested_types

from ..marks import needs_compiler
from .pe_files import (
    check_sections_and_pdb,
    code,
    exports,
    function_entries,
    holds_md5_of,
    missing_imports,
    parse,
    paths_in,
)

# The least that the kernel must export for drivers.
REQUIRED = """
    KeBugCheckEx DbgPrint ExAllocatePool2 ExAllocatePoolWithTag ExFreePoolWithTag KfRaiseIrql KeLowerIrql
    KeGetCurrentIrql KeRegisterBugCheckReasonCallback MmGetPhysicalAddress PsGetCurrentProcess PsCreateSystemThread
    KeDelayExecutionThread
"""
NAMES = [image.name for image in KERNEL_IMAGES]
KERNEL = FOLDER / "ntoskrnl.exe"


def exported(name: str, export: str, size: int) -> bytes:
    return code(FOLDER / name, exports(FOLDER / name)[export], size)


def test_the_kernel_exports_what_the_issue_lists() -> None:
    assert sorted(set(REQUIRED.split()) - exports(KERNEL).keys()) == []


def test_the_kernel_exports_what_the_boot_contract_says() -> None:
    text = (FOLDER / "ntos_boot.h").read_text(encoding="utf-8")
    listed = text[text.index("where things are") : text.index("The results of the callbacks")]
    names = set(re.findall(r"\b(?:K[di]|Ke|Mm|Ps)[A-Z]\w+", listed))
    assert len(names) >= 15
    assert sorted(names - exports(KERNEL).keys()) == []


def test_every_import_is_exported_by_the_image_that_it_names() -> None:
    assert {name: missing for name in NAMES if (missing := missing_imports(FOLDER / name))} == {}
    assert [name for name in NAMES if not parse(FOLDER / name).imports] == ["app.exe"]


@pytest.mark.parametrize("image", KERNEL_IMAGES, ids=lambda image: image.name)
def test_each_image_has_what_loaders_and_debuggers_need(image: KernelImage) -> None:
    name, pdb_name = image.files
    check_sections_and_pdb(FOLDER / name)
    binary = parse(FOLDER / name)
    codeview = binary.codeview_pdb
    assert codeview is not None
    assert codeview.filename == pdb_name
    assert binary.optional_header.subsystem == lief.PE.OptionalHeader.SUBSYSTEM.NATIVE
    assert binary.optional_header.checksum
    assert (FOLDER / name).stat().st_size < 48_000


def test_the_kernel_has_the_names_that_tools_expect_and_a_kernel_address() -> None:
    kernel = next(image for image in KERNEL_IMAGES if image.name == "ntoskrnl.exe")
    assert kernel.files == ("ntoskrnl.exe", "ntkrnlmp.pdb")
    for name in NAMES:
        assert (parse(FOLDER / name).imagebase >> 47 == 0x1FFFF) == (name != "app.exe"), name


def test_crash_sites_are_the_instructions_that_their_names_say() -> None:
    expected = {
        "CrashReadSite": "8b01",  # mov eax, [rcx]
        "CrashWriteSite": "8901",  # mov [rcx], eax
        "CrashIllegalSite": "0f0b",  # ud2
        "CrashBreakpointSite": "cc",  # int3
        "CrashDivideSite": "41f7f0",  # div r8d
        "CrashStackSite": "51",  # push rcx
        "CrashOverflowSite": "e8f4ffffff",  # call CrashRecurse, 7 bytes before
    }
    assert exports(FOLDER / "crashdrv.sys").keys() - expected.keys() == {"CrashBugCheckSite"}
    for site, instruction in expected.items():
        assert exported("crashdrv.sys", site, len(instruction) // 2).hex() == instruction, site
    assert exported("app.exe", "AppCrashSite", 3).hex() == "488909"  # mov [rcx], rcx
    assert exported("ntoskrnl.exe", "ExpInterlockedPopEntrySListFault", 3).hex() == "498b09"  # mov rcx, [r9]


def test_the_debugger_data_block_is_plain_of_size_380_and_its_addresses_lie_in_the_kernel() -> None:
    kernel, table = parse(KERNEL), exports(KERNEL)
    block = exported("ntoskrnl.exe", "KdDebuggerDataBlock", 0x380)
    base, end = kernel.imagebase, kernel.imagebase + kernel.optional_header.sizeof_image
    assert struct.unpack_from("<4sI", block, 0x10) == (b"KDBG", 0x380)
    pointers = struct.unpack_from("<45Q", block, 0x48) + struct.unpack_from("<21Q", block, 0x1B0)
    values = {0x1000}  # MmPageSize
    assert all(base <= pointer < end for pointer in pointers if pointer and pointer not in values)
    named = {0x48: "PsLoadedModuleList", 0x50: "PsActiveProcessHead", 0x58: "PspCidTable", 0x88: "KiBugCheckData"} | {
        0xC0: "MmPfnDatabase",
        0x208: "NtBuildLab",
        0x218: "KiProcessorBlock",
        0x220: "MmUnloadedDrivers",
        0x270: "MmPhysicalMemoryBlock",
    }
    for offset, name in named.items():
        assert struct.unpack_from("<Q", block, offset)[0] == base + table[name], name
    assert struct.unpack_from("<Q", block, 0x18)[0] == base, "KernBase"
    sizes = [struct.unpack_from("<H", block, offset)[0] for offset in (0x2A8, 0x2B0, 0x2C0)]
    assert all(size and size % 8 == 0 for size in sizes), "a small dump stores EPROCESS, KPRCB and ETHREAD whole"
    assert table["KdVersionBlock"] >> 12 == table["KdDebuggerDataBlock"] >> 12, "searchers look within one page"


def test_functions_with_frames_can_be_unwound() -> None:
    """Every function entry of .pdata lies in code, in order, without overlap."""
    assert all(function_entries(FOLDER / name) for name in NAMES)


def test_no_built_file_holds_a_path_of_the_machine_that_built_it() -> None:
    files = [file for image in KERNEL_IMAGES for file in image.files]
    assert {name: paths for name in files if (paths := paths_in(FOLDER / name))} == {}


@pytest.mark.parametrize(
    ("source", "pdb"),
    [
        (source, image.files[1])
        for image in KERNEL_IMAGES
        for source in image.sources
        if ".c" in source and source != "kd_types.c"  # kd_types.c holds no code
    ],
)
def test_the_image_was_built_when_the_source_was_as_it_is(source: str, pdb: str) -> None:
    """The PDB holds the MD5 of every source with code."""
    assert holds_md5_of(FOLDER / pdb, FOLDER / source)


@needs_compiler
@pytest.mark.parametrize(
    "images",
    [KERNEL_IMAGES[1:], pytest.param(KERNEL_IMAGES, marks=pytest.mark.slow)],
    ids=["those of few sources", "all"],
)
def test_the_sources_build_the_committed_bytes_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: tuple[KernelImage, ...]
) -> None:
    work = tmp_path / "a folder with a long name"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    made = build_kernel(tmp_path / "built", images)
    assert [path.name for path in made] == [file for image in images for file in image.files]
    assert [path.name for path in made if path.read_bytes() != (FOLDER / path.name).read_bytes()] == []


# --- a user's driver -------------------------------------------------------------------------------------------------

PLAIN = """
#include <ntddk.h>
#include "mine.h"

static VOID Unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }

NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    char big[20000];
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    RtlZeroMemory(big, sizeof big);
    KeLowerIrql(irql);
    DbgPrint("%wZ %p %d\\n", path, ExAllocatePool2(POOL_FLAG_NON_PAGED, MINE, 'enim'), KeGetCurrentIrql());
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


@needs_compiler
def test_a_plain_driver_links_against_the_kernel_alone_and_can_be_loaded_anywhere(tmp_path: Path) -> None:
    sources = tmp_path / "my sources"
    sources.mkdir()
    write(sources, "mine.h", "#define MINE 7\n")
    made = compile_driver(write(sources, "plain.c", PLAIN), tmp_path / "out")
    assert sorted(path.name for path in made.parent.iterdir()) == ["plain.pdb", "plain.sys"]
    driver = lief.PE.parse(str(made))
    assert isinstance(driver, lief.PE.Binary)
    assert [str(imported.name) for imported in driver.imports] == ["ntoskrnl.exe"]
    assert driver.relocations
    names = {str(entry.name) for imported in driver.imports for entry in imported.entries}
    assert {"KfRaiseIrql", "KeLowerIrql", "KeGetCurrentIrql"} <= names, "no inline use of CR8"
    again = compile_driver(sources / "plain.c", tmp_path / "again")
    assert again.read_bytes() == made.read_bytes()


@needs_compiler
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#include <ntddk.h>\nint other;\n", r"^bad\.c does not define DriverEntry, the entry point of a driver$"),
        ("#include <ntddk.h>\nint DriverEntry(void) { return nothing; }\n", "undeclared identifier 'nothing'"),
        ("int NoSuchRoutine(void);\nint DriverEntry(void) { return NoSuchRoutine(); }\n", "NoSuchRoutine"),
    ],
)
def test_the_fault_of_a_driver_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ImageBuildError, match=message):
        compile_driver(write(tmp_path, "bad.c", text), tmp_path / "out")
    with pytest.raises(ImageBuildError, match=r"^no such C file: none\.c$"):
        compile_driver(tmp_path / "none.c", tmp_path / "out")


# --- type records -----------------------------------------------------------------------------------------------------


def coff_object(*records: bytes) -> bytes:
    """A COFF object with one section `.debug$T` that ends 8 bytes before the file does."""
    section = b"\x04\0\0\0" + b"".join(struct.pack("<H", len(record)) + record for record in records)
    header = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 0, 0)
    header += struct.pack("<8sIIIIIIHHI", b".debug$T", 0, 0, len(section), 60, 0, 0, 0, 0, 0)
    return header + section + b"the rest"


MEMBER = struct.pack("<HHIH", 0x150D, 3, 0x74, 0) + b"u\0"
UNNAMED = struct.pack("<HHI", 0x1510, 0, 0x1000) + b"\0\xf3\xf2\xf1"
NAMED = struct.pack("<HHI", 0x1510, 0, 0x1000) + b"In\0\xf1"


def structure(count: int, options: int, fields: int) -> bytes:
    return struct.pack("<HHHIIIH", 0x1505, count, options, fields, 0, 0, 8) + b"_S\0"


def test_unnamed_nested_types_leave_a_field_list_and_its_structure_counts_one_less_each() -> None:
    lists = [struct.pack("<H", 0x1203) + MEMBER + tail for tail in (UNNAMED * 2, NAMED, b"")]
    structures = [structure(3, 0x210, 0x1000), structure(2, 0x210, 0x1001), structure(1, 0x200, 0x1002)]
    before = coff_object(*lists, *structures)
    after = drop_unnamed_nested_types(before)
    wanted = coff_object(struct.pack("<H", 0x1203) + MEMBER, *lists[1:], structure(1, 0x200, 0x1000), *structures[1:])
    assert after[:36] == wanted[:36] == before[:36]
    size = struct.unpack_from("<I", after, 36)[0]
    assert size == len(before) - 24 - 60 - len(b"the rest")
    assert after[60 : 60 + size] == wanted[60 : 60 + size]
    assert after[-8:] == b"the rest"
    assert len(after) == len(before)


def test_a_type_section_of_another_kind_is_refused() -> None:
    data = bytearray(coff_object())
    data[60] = 2
    with pytest.raises(ValueError, match="expected the signature CV_SIGNATURE_C13"):
        drop_unnamed_nested_types(bytes(data))


def test_the_pdb_of_the_kernel_holds_no_unnamed_nested_type() -> None:
    """volatility3's converter stops at such a type."""
    pdb = (FOLDER / "ntkrnlmp.pdb").read_bytes()
    assert not re.findall(rb"\x10\x15\0\0.{4}\0\xf3\xf2\xf1", pdb, re.DOTALL)
    assert b"_EPROCESS\0" in pdb
