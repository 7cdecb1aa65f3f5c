"""Programs end by a crash, exit or deadlock, or with one line of error."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from dumptruth.emu.image import ImageError, load_image
from dumptruth.emu.limits import Limits
from dumptruth.emu.process.library import SYSTEM_IMAGES, ImageLibrary
from dumptruth.emu.process.loader import preferred_place
from dumptruth.emu.process.outcome import Crashed, Exited, RunError
from dumptruth.emu.process.start import start_process
from dumptruth.emu.scenarios.process import ExitedNormally, run_program

CRASH = SYSTEM_IMAGES / "crash.exe"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with the crashing program and its DLLs."""
    for name in ("crash.exe", "alpha.dll", "beta.dll"):
        shutil.copy(SYSTEM_IMAGES / name, tmp_path / name)
    return tmp_path


def replaced(path: Path, old: bytes, new: bytes) -> None:
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def patched(path: Path, offset_from_pe: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", data, 0x3C)[0] + offset_from_pe
    data[at : at + len(value)] = value
    path.write_bytes(data)


def test_a_program_of_the_user_s_runs_from_its_own_folder(folder: Path) -> None:
    snapshot = run_program(folder / "crash.exe", ["null-write"])
    assert snapshot.exception is not None
    assert snapshot.process.command_line == "crash.exe null-write"
    assert str(folder) not in repr(snapshot)
    assert snapshot == run_program(CRASH, ["null-write"])


def test_dlls_come_from_further_folders_too(folder: Path, tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in ("alpha.dll", "beta.dll"):
        (folder / name).rename(libraries / name.upper())
    snapshot = run_program(folder / "crash.exe", ["null-read"], dlls=[libraries])
    assert [module.name for module in snapshot.modules][-1] == r"C:\dumptruth\ALPHA.DLL"
    assert [module.name for module in snapshot.unloaded_modules] == ["BETA.DLL"]


def test_a_program_that_exits_gives_its_status_and_no_snapshot(folder: Path) -> None:
    with pytest.raises(ExitedNormally) as caught:
        run_program(folder / "crash.exe", ["no-such-scenario"])
    assert str(caught.value) == "crash.exe: exited with code 2 (0x2) and did not crash: nothing to dump"
    assert caught.value.status == 2
    assert b"must be a scenario's name" in caught.value.output


def test_a_call_of_an_unresolved_import_ends_the_run(folder: Path) -> None:
    replaced(folder / "crash.exe", b"OutputDebugStringA\0", b"OutputDebugStringQ\0")
    with pytest.raises(RunError) as caught:
        run_program(folder / "crash.exe", ["null-read"])
    assert str(caught.value) == "crash.exe imports kernel32.dll!OutputDebugStringQ, which no image exports"


def test_an_import_that_is_missing_but_never_called_does_no_harm(folder: Path) -> None:
    replaced(folder / "crash.exe", b"RaiseException\0", b"RaiseExceptioQ\0")
    assert run_program(folder / "crash.exe", ["null-read"]).exception is not None
    with pytest.raises(RunError, match=r"kernel32\.dll!RaiseExceptioQ"):
        run_program(folder / "crash.exe", ["raised-exception"])


def test_an_import_from_a_missing_dll_is_a_missing_import(folder: Path) -> None:
    replaced(folder / "crash.exe", b"alpha.dll\0", b"omega.dll\0")
    with pytest.raises(RunError, match=r"^crash.exe imports omega\.dll!alpha_\w+, but there is no omega\.dll; missing"):
        run_program(folder / "crash.exe", ["null-read"])


def test_a_program_that_never_ends_is_stopped(folder: Path) -> None:
    process = start_process(folder / "crash.exe", "crash.exe null-read", limits=Limits(blocks=3000))
    with pytest.raises(RunError, match=r"^crash.exe: used up the limit of 3,000 basic blocks of code; "):
        process.run()


@pytest.mark.parametrize(
    ("name", "offset", "value", "message"),
    [
        ("crash.exe", 4, b"\x4c\x01", "crash.exe: wrong machine: the image is for x86, expected amd64"),
        ("alpha.dll", 4, b"\x64\xaa", "alpha.dll: wrong machine: the image is for arm64, expected amd64"),
    ],
)
def test_an_image_of_another_machine_is_refused(
    folder: Path, name: str, offset: int, value: bytes, message: str
) -> None:
    patched(folder / name, offset, value)
    with pytest.raises(ImageError) as caught:
        run_program(folder / "crash.exe", ["null-read"])
    assert str(caught.value) == message


def test_a_dll_a_text_file_and_a_missing_file_are_refused(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"^alpha.dll: is a DLL, expected a program$"):
        run_program(folder / "alpha.dll")
    (folder / "notes.exe").write_text("hello", encoding="utf-8")
    with pytest.raises(ImageError, match=r"^notes.exe: not a PE file"):
        run_program(folder / "notes.exe")
    with pytest.raises(FileNotFoundError):
        run_program(folder / "none.exe")


def test_a_program_without_dynamic_base_lies_at_its_preferred_base(folder: Path) -> None:
    characteristics = load_image(CRASH).dll_characteristics & ~0x40
    patched(folder / "crash.exe", 24 + 70, struct.pack("<H", characteristics))
    snapshot = run_program(folder / "crash.exe", ["null-read"])
    assert snapshot.modules[0].base == 0x140000000
    assert snapshot.exception is not None
    assert snapshot.exception.address == 0x140000000 + load_image(CRASH).export_rva("crash_read_site")


def test_two_dlls_with_the_same_preferred_base_are_both_loaded(folder: Path) -> None:
    process = start_process(folder / "crash.exe", "crash.exe null-read")
    beta = load_image(folder / "beta.dll")
    place = preferred_place(beta)
    process.memory.space.allocate(place, 0x1000, 0x2000, 4)
    assert isinstance(process.run(), Crashed)
    assert process.loader.unloaded[0][0] > place


def test_every_import_slot_holds_the_address_of_the_export_or_of_what_it_forwards_to() -> None:
    process = start_process(CRASH, "crash.exe null-read")
    modules = {module.name.lower(): module for module in process.loader.modules}
    assert list(modules) == ["crash.exe", "ntdll.dll", "kernel32.dll", "alpha.dll"]
    forwarded = set()
    for module in modules.values():
        for slot in module.image.imports:
            target, name = modules[slot.dll.lower()], slot.name
            export = target.image.export(name)
            if export is not None and export.forwarder is not None:
                forwarded.add(name)
                dll, _, name = export.forwarder.partition(".")
                target = modules[f"{dll}.dll"]
            assert name is not None
            assert process.memory.u64(module.base + slot.iat_rva) == target.base + target.image.export_rva(name)
    assert "RtlAddFunctionTable" in forwarded


def test_init_routines_are_called_dependencies_first() -> None:
    process = start_process(CRASH, "crash.exe null-read")
    names = []
    while module := process.loader.next_init_routine():
        names.append(module.name)
    assert names == ["ntdll.dll", "kernel32.dll", "alpha.dll"]


def test_known_dlls_come_from_the_system_directory_only(folder: Path) -> None:
    (folder / "kernel32.dll").write_bytes(b"not an image")
    library = ImageLibrary((folder,))
    found = library.find("KERNEL32")
    assert found is not None
    assert found.path == r"C:\Windows\System32\kernel32.dll"
    assert library.find(r"C:\dumptruth\beta.dll") is not None
    assert library.find(r"C:\Windows\System32\beta.dll") is None
    assert library.find("beta.") is None  # a trailing dot: no extension is added


COMPILED = r"""
#include <windows.h>

static HANDLE event, mutex, semaphore;
static volatile LONG order, finished[8];

static void number(const char *what, unsigned long value)
{
    char line[64];
    DWORD n = 0, digits = 0;
    char text[16];
    while (what[n]) { line[n] = what[n]; n++; }
    line[n++] = ' ';
    do text[digits++] = "0123456789abcdef"[value & 15]; while (value >>= 4);
    while (digits) line[n++] = text[--digits];
    line[n++] = '\n';
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, n, &n, NULL);
}

static DWORD WINAPI sleeper(void *time)
{
    Sleep((DWORD)(ULONG_PTR)time);
    finished[InterlockedIncrement(&order)] = (LONG)(ULONG_PTR)time;
    return 7;
}

static DWORD WINAPI abandons(void *unused) { return WaitForSingleObject(mutex, INFINITE); }

static DWORD WINAPI takes(void *n)
{
    WaitForSingleObject(semaphore, INFINITE);
    WaitForSingleObject(event, INFINITE);
    return (DWORD)(ULONG_PTR)n;
}

static int deep(int n)
{
    volatile char frame[2000];
    frame[0] = (char)n;
    return n ? deep(n - 1) + frame[0] : 0;
}

void mainCRTStartup(void)
{
    HANDLE t[4];
    DWORD value;
    for (int i = 0; i < 3; i++)
        t[i] = CreateThread(NULL, 0, sleeper, (void *)(ULONG_PTR)(0x300 - 0x100 * i), 0, NULL);
    number("all", WaitForMultipleObjects(3, t, TRUE, INFINITE));
    for (int i = 1; i <= 3; i++) number("finished", finished[i]);
    GetExitCodeThread(t[0], &value);
    number("exit code", value);
    mutex = CreateMutexW(NULL, FALSE, L"m");
    t[0] = CreateThread(NULL, 0, abandons, NULL, 0, NULL);
    WaitForSingleObject(t[0], INFINITE);
    number("abandoned", WaitForSingleObject(mutex, 1000));
    number("again", WaitForSingleObject(mutex, 0));
    number("released", ReleaseMutex(mutex) + ReleaseMutex(mutex) + ReleaseMutex(mutex));
    number("error", GetLastError());
    semaphore = CreateSemaphoreW(NULL, 0, 4, NULL);
    event = CreateEventW(NULL, TRUE, FALSE, L"Local\\e");
    HANDLE same = CreateEventW(NULL, TRUE, FALSE, L"e");
    number("error", GetLastError());
    for (int i = 0; i < 4; i++)
        t[i] = CreateThread(NULL, 0, takes, (void *)(ULONG_PTR)i, CREATE_SUSPENDED, NULL);
    number("timeout", WaitForSingleObject(t[0], 50));
    for (int i = 0; i < 4; i++) ResumeThread(t[i]);
    ReleaseSemaphore(semaphore, 2, NULL);
    SetEvent(same);
    number("any", WaitForMultipleObjects(4, t, FALSE, INFINITE));
    ReleaseSemaphore(semaphore, 2, NULL);
    number("all", WaitForMultipleObjects(4, t, TRUE, 5000));
    DWORD before = GetTickCount();
    Sleep(1000);
    number("slept", GetTickCount() - before >= 984 && GetTickCount() - before <= 1016);
    number("deep", deep(100) != 0);
    number("bad pointer", WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), (void *)0x1234, 5, &value, NULL));
    number("error", GetLastError());
    ExitProcess(42);
}
"""


def test_a_compiled_program_s_threads_waits_and_timeouts_behave(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="the extra `images` is not installed")
    from dumptruth.emu.images.build import compile_program  # noqa: PLC0415

    source = tmp_path / "threads.c"
    source.write_text(COMPILED, encoding="utf-8")
    process = start_process(compile_program(source, tmp_path))
    assert process.run() == Exited(42)
    assert process.console.decode().splitlines() == [
        "all 0", "finished 100", "finished 200", "finished 300", "exit code 7", "abandoned 80", "again 0", "released 2",
        "error 120", "error b7", "timeout 102", "any 0", "all 0", "slept 1", "deep 1", "bad pointer 0", "error 3e6",
    ]  # fmt: skip
