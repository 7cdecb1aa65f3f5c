"""The committed images: exports, imports, data for debuggers, and that their sources build the same bytes."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import lief
import pytest
from dumptruth.emu.images import build as image_builder
from dumptruth.emu.images.build import IMAGES, RUNTIME, Image, build
from dumptruth.emu.images.services import FOLDER, exported_services, services
from dumptruth.emu.process.winnt import Status

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

# The least that kernel32 must export.
REQUIRED_OF_KERNEL32 = """
    VirtualAlloc VirtualFree VirtualProtect VirtualQuery GetProcessHeap HeapAlloc HeapFree CreateThread ExitThread
    ExitProcess Sleep GetCurrentProcessId GetCurrentThreadId GetCurrentThread SetThreadDescription CreateFileW WriteFile
    GetStdHandle CreateEventW SetEvent CreateMutexW CloseHandle WaitForSingleObject LoadLibraryW FreeLibrary
    GetProcAddress GetModuleHandleW RaiseException DebugBreak GetLastError SetLastError OutputDebugStringA
    GetCommandLineW
"""
NAMES = [image.name for image in IMAGES]
NTDLL = FOLDER / "ntdll.dll"


def test_kernel32_exports_what_the_issue_lists() -> None:
    assert sorted(set(REQUIRED_OF_KERNEL32.split()) - exports(FOLDER / "kernel32.dll").keys()) == []


def test_service_numbers_and_names_are_unique_and_below_the_limit() -> None:
    table = services()
    assert len({s.number for s in table}) == len({s.name for s in table}) == len(table)
    assert all(0 < s.number < 0x1000 and 0 <= s.arguments <= 11 for s in table)


@pytest.mark.parametrize("runtime", [False, True])
def test_every_service_has_a_stub_with_its_number_and_no_stub_has_another(runtime: bool) -> None:
    ntdll = RUNTIME / "ntdll.dll" if runtime else NTDLL
    table = exports(ntdll)
    rows = exported_services(runtime=runtime)
    for service in rows:
        stub = b"\x4c\x8b\xd1\xb8" + struct.pack("<I", service.number) + b"\x0f\x05\xc3"
        assert code(ntdll, table[service.name], 11) == stub, service.name  # mov r10, rcx; mov eax, number; syscall; ret
    text = bytes(next(s for s in parse(ntdll).sections if s.name == ".text").content)
    assert text.count(b"\x0f\x05\xc3") == len(rows)


def test_every_import_is_exported_by_the_image_that_it_names() -> None:
    assert {name: missing for name in NAMES if (missing := missing_imports(FOLDER / name))} == {}


def test_only_ntdll_imports_nothing_and_only_it_holds_system_calls() -> None:
    assert [name for name in NAMES if not parse(FOLDER / name).imports] == ["ntdll.dll"]
    for name in NAMES[1:]:
        text = bytes(next(s for s in parse(FOLDER / name).sections if s.name == ".text").content)
        assert b"\x0f\x05\xc3" not in text, name


def checksum_of(data: bytes) -> int:
    """ImageHlp's CheckSumMappedFile: the 16-bit words added with end-around carry, without the field, plus the size."""
    (headers,) = struct.unpack_from("<I", data, 0x3C)
    field = headers + 24 + 64
    zeroed = data[:field] + bytes(4) + data[field + 4 :]
    total: int = sum(word for (word,) in struct.iter_unpack("<H", zeroed + bytes(len(zeroed) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(data)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_what_loaders_and_debuggers_need(name: str) -> None:
    check_sections_and_pdb(FOLDER / name)
    image = parse(FOLDER / name)
    data = next(s for s in image.sections if s.name == ".data")
    assert data.size > 0, "initialized data"
    assert any(bytes(data.content)), "initialized data that is not all zero"
    codeview = image.codeview_pdb
    assert codeview is not None
    assert codeview.filename == Path(name).with_suffix(".pdb").name
    assert image.header.machine == lief.PE.Header.MACHINE_TYPES.AMD64
    assert image.optional_header.checksum == checksum_of((FOLDER / name).read_bytes())
    characteristics = image.optional_header.dll_characteristics_lists
    assert lief.PE.OptionalHeader.DLL_CHARACTERISTICS.DYNAMIC_BASE in characteristics
    assert lief.PE.OptionalHeader.DLL_CHARACTERISTICS.NX_COMPAT in characteristics
    assert len((FOLDER / name).read_bytes()) < 40_000


def test_version_resources_are_where_a_module_should_have_one() -> None:
    found = {}
    for name in NAMES:
        image = parse(FOLDER / name)
        manager = image.resources_manager
        if isinstance(manager, lief.PE.ResourcesManager):
            info = manager.version[0].file_info
            found[name] = (info.file_version_ms, info.file_version_ls)
    system = (10 << 16, 26100 << 16 | 1)
    assert found == {"ntdll.dll": system, "kernel32.dll": system, "alpha.dll": (1 << 16 | 2, 3 << 16 | 4)}


def test_crash_sites_are_the_instructions_that_their_names_say() -> None:
    program, alpha, kernel32 = (FOLDER / name for name in ("crash.exe", "alpha.dll", "kernel32.dll"))
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
    table = exports(program)
    assert {name: code(program, table[name], len(expected[name]) // 2).hex() for name in table} == expected
    assert code(alpha, exports(alpha)["alpha_write_site"], 3).hex() == "895120"
    call = code(kernel32, exports(kernel32)["RaiseException_return"] - 6, 2)
    assert call.hex() == "ff15", "an indirect CALL of 6 bytes ends at RaiseException_return"
    assert code(NTDLL, exports(NTDLL)["DbgBreakPoint"], 2).hex() == "ccc3"


def test_functions_with_frames_can_be_unwound() -> None:
    """The function entries of .pdata lie in .text, in order, without overlap, and cover the entry point."""
    rows = {name: function_entries(FOLDER / name) for name in NAMES}
    entry = parse(FOLDER / "crash.exe").optional_header.addressof_entrypoint
    assert any(begin == entry for begin, _, _ in rows["crash.exe"])


def test_no_built_file_holds_a_path_of_the_machine_that_built_it() -> None:
    files = [file for image in IMAGES for file in image.files]
    assert {name: paths for name in files if (paths := paths_in(FOLDER / name))} == {}


def test_every_failure_of_a_service_has_a_win32_error() -> None:
    """The table of the runtime system's RtlNtStatusToDosError against the statuses that the process model answers."""
    listed = re.findall(r"\{STATUS_(\w+), ", (RUNTIME / "ntdll_status.c").read_text(encoding="utf-8"))
    assert len(listed) == len(set(listed))
    exceptions = ("FLOAT_", "INTEGER_", "ILLEGAL_", "ASSERTION_", "STACK_", "PRIVILEGED_")  # raised, never returned
    failures = {status.name for status in Status if status >> 30 == 3 and not status.name.startswith(exceptions)}
    assert sorted(failures - set(listed)) == []


@pytest.mark.parametrize(
    ("source", "pdb"), [(source, image.files[1]) for image in IMAGES for source in image.sources if ".c" in source]
)
def test_the_image_was_built_when_the_source_was_as_it_is(source: str, pdb: str) -> None:
    """The PDB holds the MD5 of every source."""
    assert holds_md5_of(FOLDER / pdb, FOLDER / source)


@needs_compiler
@pytest.mark.parametrize(
    "images", [IMAGES[2:], pytest.param(IMAGES, marks=pytest.mark.slow)], ids=["those of few sources", "all"]
)
def test_the_sources_build_the_committed_bytes_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: tuple[Image, ...]
) -> None:
    """The folder has another name and length than that of the committed files."""
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
    made = [FOLDER / name for name in names]
    monkeypatch.setattr(image_builder, "build", lambda *_, runtime=False: [] if runtime else made)
    monkeypatch.setattr(image_builder, "build_kernel", lambda *_: [])  # has another test
    assert image_builder.main(["--check"]) == 0
    for name in names:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    (tmp_path / "beta.dll").write_bytes(b"MZ")
    (tmp_path / "alpha.pdb").unlink()
    monkeypatch.setattr(image_builder, "FOLDER", tmp_path)
    assert image_builder.main(["--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["alpha.pdb", "beta.dll"]


@pytest.mark.parametrize("name", ["ntdll.dll", "kernel32.dll", "ucrtbase.dll", "msvcrt.dll"])
def test_the_functions_of_the_runtime_system_have_unwind_data(name: str) -> None:
    """Without it an exception or a longjmp cannot pass through their frames."""
    image = parse(RUNTIME / name)
    table = image.data_directory(lief.PE.DataDirectory.TYPES.EXCEPTION_TABLE)
    assert table is not None
    assert table.size // 12 > 50
