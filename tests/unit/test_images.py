"""The committed images: what they export and import, what debuggers need of them, and that their sources build them."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import struct
from functools import cache
from itertools import pairwise
from pathlib import Path

import lief
import pytest
from dumptruth.emu.images import build as image_builder
from dumptruth.emu.images.build import IMAGES, Image, build
from dumptruth.emu.images.services import FOLDER, services
from dumptruth.emu.process.winnt import Status

# Issue 2, "Images": what kernel32 exports at least.
REQUIRED_OF_KERNEL32 = """
    VirtualAlloc VirtualFree VirtualProtect VirtualQuery GetProcessHeap HeapAlloc HeapFree CreateThread ExitThread
    ExitProcess Sleep GetCurrentProcessId GetCurrentThreadId GetCurrentThread SetThreadDescription CreateFileW WriteFile
    GetStdHandle CreateEventW SetEvent CreateMutexW CloseHandle WaitForSingleObject LoadLibraryW FreeLibrary
    GetProcAddress GetModuleHandleW RaiseException DebugBreak GetLastError SetLastError OutputDebugStringA
    GetCommandLineW
"""
NAMES = [image.name for image in IMAGES]
needs_ziglang = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="rebuilding needs the extra `images`"
)


@cache  # LIEF's objects live no longer than their image
def parse(name: str) -> lief.PE.Binary:
    image = lief.PE.parse(str(FOLDER / name))
    assert isinstance(image, lief.PE.Binary)
    return image


def exports(name: str) -> dict[str, int]:
    """The export names of an image and their RVAs."""
    table = parse(name).get_export()
    assert isinstance(table, lief.PE.Export)
    return {str(entry.name): entry.address for entry in table.entries}


def section_of(image: lief.PE.Binary, rva: int) -> str:
    return next(str(s.name) for s in image.sections if s.virtual_address <= rva < s.virtual_address + s.virtual_size)


def test_kernel32_exports_what_the_issue_lists() -> None:
    assert sorted(set(REQUIRED_OF_KERNEL32.split()) - exports("kernel32.dll").keys()) == []


def test_service_numbers_and_names_are_unique_and_below_the_limit() -> None:
    table = services()
    assert len({s.number for s in table}) == len({s.name for s in table}) == len(table)
    assert all(0 < s.number < 0x1000 and 0 <= s.arguments <= 11 for s in table)


def test_every_service_has_a_stub_with_its_number_and_no_stub_has_another() -> None:
    image, table = parse("ntdll.dll"), exports("ntdll.dll")
    for service in services():
        code = bytes(image.get_content_from_virtual_address(image.imagebase + table[service.name], 11))
        # mov r10, rcx ; mov eax, number ; syscall ; ret
        assert code == b"\x4c\x8b\xd1\xb8" + struct.pack("<I", service.number) + b"\x0f\x05\xc3", service.name
    text = bytes(next(s for s in image.sections if s.name == ".text").content)
    assert text.count(b"\x0f\x05\xc3") == len(services())


def test_every_import_is_exported_by_the_image_that_it_names() -> None:
    for name in NAMES:
        for imported in parse(name).imports:
            missing = {str(entry.name) for entry in imported.entries} - exports(str(imported.name).lower()).keys()
            assert not missing, f"{name} imports {missing} of {imported.name}"


def test_only_ntdll_imports_nothing_and_only_it_holds_system_calls() -> None:
    assert [name for name in NAMES if not parse(name).imports] == ["ntdll.dll"]
    for name in NAMES[1:]:
        text = bytes(next(s for s in parse(name).sections if s.name == ".text").content)
        assert b"\x0f\x05\xc3" not in text, name


def checksum_of(data: bytes) -> int:
    """ImageHlp's CheckSumMappedFile: the 16-bit words added with end-around carry, without the field, plus the size."""
    (headers,) = struct.unpack_from("<I", data, 0x3C)
    field = headers + 24 + 64
    zeroed = data[:field] + bytes(4) + data[field + 4 :]
    total = sum(word for (word,) in struct.iter_unpack("<H", zeroed + bytes(len(zeroed) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(data)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_what_loaders_and_debuggers_need(name: str) -> None:
    image = parse(name)
    assert {str(s.name) for s in image.sections} >= {".text", ".rdata", ".data", ".pdata", ".reloc"}
    assert sum(len(list(block.entries)) for block in image.relocations) > 0
    data = next(s for s in image.sections if s.name == ".data")
    assert data.size > 0, "initialized data"
    assert any(bytes(data.content)), "initialized data that is not all zero"
    codeview = image.codeview_pdb
    assert codeview is not None
    assert codeview.filename == Path(name).with_suffix(".pdb").name
    pdb = (FOLDER / codeview.filename).read_bytes()
    assert pdb.startswith(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS")
    assert bytes(codeview.signature) in pdb, "the PDB carries the image's signature"
    assert image.header.machine == lief.PE.Header.MACHINE_TYPES.AMD64
    assert image.optional_header.checksum == checksum_of((FOLDER / name).read_bytes())
    characteristics = image.optional_header.dll_characteristics_lists
    assert lief.PE.OptionalHeader.DLL_CHARACTERISTICS.DYNAMIC_BASE in characteristics
    assert lief.PE.OptionalHeader.DLL_CHARACTERISTICS.NX_COMPAT in characteristics
    assert len((FOLDER / name).read_bytes()) < 40_000


def test_version_resources_are_where_a_module_should_have_one() -> None:
    found = {}
    for name in NAMES:
        image = parse(name)
        manager = image.resources_manager
        if isinstance(manager, lief.PE.ResourcesManager):
            info = manager.version[0].file_info
            found[name] = (info.file_version_ms, info.file_version_ls)
    system = (10 << 16, 26100 << 16 | 1)
    assert found == {"ntdll.dll": system, "kernel32.dll": system, "alpha.dll": (1 << 16 | 2, 3 << 16 | 4)}


def test_crash_sites_are_the_instructions_that_their_names_say() -> None:
    program, alpha, kernel32 = parse("crash.exe"), parse("alpha.dll"), parse("kernel32.dll")
    expected = {
        "crash_read_site": "8b4110",  # mov eax, [rcx + 0x10]
        "crash_write_site": "895118",  # mov [rcx + 0x18], edx
        "crash_call_site": "ffd1",  # call rcx
        "crash_divide_site": "41f7f0",  # div r8d
        "crash_illegal_site": "0f0b",  # ud2
        "crash_fast_fail_site": "cd29",  # int 29h
        "crash_overflow_site": "48890c24",  # mov [rsp], rcx
        "crash_secondary_site": "8b4130",  # mov eax, [rcx + 0x30]
    }
    table = exports("crash.exe")
    assert table.keys() == expected.keys()
    for name, code in expected.items():
        got = bytes(program.get_content_from_virtual_address(program.imagebase + table[name], len(code) // 2))
        assert got.hex() == code, name
    site = exports("alpha.dll")["alpha_write_site"]
    assert bytes(alpha.get_content_from_virtual_address(alpha.imagebase + site, 3)).hex() == "895120"
    after = exports("kernel32.dll")["RaiseException_return"]
    call = bytes(kernel32.get_content_from_virtual_address(kernel32.imagebase + after - 6, 2))
    assert call.hex() == "ff15", "an indirect CALL of 6 bytes ends at RaiseException_return"
    breakpoint_rva = exports("ntdll.dll")["DbgBreakPoint"]
    ntdll = parse("ntdll.dll")
    assert bytes(ntdll.get_content_from_virtual_address(ntdll.imagebase + breakpoint_rva, 2)).hex() == "ccc3"


def test_functions_with_frames_can_be_unwound() -> None:
    """Every function entry of .pdata lies in .text, in order, without overlap; C functions that call are covered."""
    for name in NAMES:
        image = parse(name)
        pdata = bytes(next(s for s in image.sections if s.name == ".pdata").content)
        rows = [row for row in struct.iter_unpack("<III", pdata[: len(pdata) // 12 * 12]) if row[0]]
        assert rows, name
        assert all(section_of(image, begin) == ".text" and begin < end for begin, end, _ in rows)
        assert all(a[1] <= b[0] for a, b in pairwise(rows))
        entry = image.optional_header.addressof_entrypoint
        if name == "crash.exe":
            assert any(begin == entry for begin, _, _ in rows)


def test_no_built_file_holds_a_path_of_the_machine_that_built_it() -> None:
    markers = ["site-packages", "/tmp", "\\tmp", "/work", "/root", "/home", "\\users\\", str(Path.home()), str(FOLDER)]
    for name in (file for image in IMAGES for file in image.files):
        data = (FOLDER / name).read_bytes()
        text = data.decode("latin-1").lower() + data.decode("utf-16-le", "replace").lower()
        assert [m for m in markers if len(m) > 3 and m.lower() in text] == [], name


def test_every_failure_of_a_service_has_a_win32_error() -> None:
    """The C table of RtlNtStatusToDosError against the statuses that the process model can answer."""
    listed = re.findall(r"\{STATUS_(\w+), ", (FOLDER / "ntdll_rtl.c").read_text(encoding="utf-8"))
    assert len(listed) == len(set(listed))
    exceptions = ("FLOAT_", "INTEGER_", "ILLEGAL_", "ASSERTION_", "STACK_", "PRIVILEGED_")  # raised, never returned
    failures = {status.name for status in Status if status >> 30 == 3 and not status.name.startswith(exceptions)}
    assert sorted(failures - set(listed)) == []


@pytest.mark.parametrize(
    ("source", "pdb"), [(source, image.files[1]) for image in IMAGES for source in image.sources if ".c" in source]
)
def test_the_image_was_built_when_the_source_was_as_it_is(source: str, pdb: str) -> None:
    """The debug information holds the MD5 of every source."""
    text = (FOLDER / source).read_text(encoding="utf-8")
    assert hashlib.md5(text.encode()).digest() in (FOLDER / pdb).read_bytes()


@needs_ziglang
@pytest.mark.parametrize(
    "images", [IMAGES[2:], pytest.param(IMAGES, marks=pytest.mark.slow)], ids=["those of few sources", "all"]
)
def test_the_sources_build_the_committed_bytes_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: tuple[Image, ...]
) -> None:
    """In a folder whose name is nothing like the one that the committed files were built in."""
    work = tmp_path / "a folder with a long name" / "and another"
    work.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(work))
    built = build("amd64", work / "built", images)
    assert [path.name for path in built] == [file for image in images for file in image.files]
    assert [path.name for path in built if path.read_bytes() != (FOLDER / path.name).read_bytes()] == []


def test_the_check_command_names_each_file_that_differs_or_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [file for image in IMAGES for file in image.files]
    monkeypatch.setattr(image_builder, "build", lambda *_: [FOLDER / name for name in names])
    monkeypatch.setattr(image_builder, "build_kernel", lambda *_: [])  # has a test of its own
    assert image_builder.main(["--check"]) == 0
    for name in names:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    (tmp_path / "beta.dll").write_bytes(b"MZ")
    (tmp_path / "alpha.pdb").unlink()
    monkeypatch.setattr(image_builder, "FOLDER", tmp_path)
    assert image_builder.main(["--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["alpha.pdb", "beta.dll"]
