"""user32, advapi32, bcrypt, ws2_32 and winmm of the runtime system; missing imports."""

from __future__ import annotations

from pathlib import Path

from dumptruth.emu.process.library import RUNTIME_IMAGES, ImageLibrary
from dumptruth.emu.process.missing_imports import NAMED, MissingImport, describe
from dumptruth.emu.process.start import start_process

from ...marks import needs_compiler
from .win32_programs import output

LOAD = """
static HMODULE module;
#define FUNCTION(type, name, ...) ((type(WINAPI *)(__VA_ARGS__))GetProcAddress(module, #name))
"""


@needs_compiler
def test_a_message_box_writes_to_the_console_and_answers_its_default_button(tmp_path: Path) -> None:
    said = output(
        tmp_path,
        LOAD
        + r"""
int mainCRTStartup(void)
{
    module = LoadLibraryA("user32.dll");
    CHECK(module != NULL);
    CHECK(FUNCTION(int, MessageBoxA, HWND, LPCSTR, LPCSTR, UINT)(NULL, "caf\xE9", "Title", MB_OK) == IDOK);
    CHECK(FUNCTION(int, MessageBoxW, HWND, LPCWSTR, LPCWSTR, UINT)(NULL, L"\x20AC", NULL, MB_YESNO | 0x100) == IDNO);
    char text[100];
    int (*print)(LPSTR, LPCSTR, ...) = (int (*)(LPSTR, LPCSTR, ...))GetProcAddress(module, "wsprintfA");
    CHECK(print(text, "%5d|%-4u|%04x|%#X|%s|%.2s|%S|%c|%%|%I64d", -12, 7, 0xAB, 255, "abc", "xyz", L"wide", 'q',
                -5000000000LL) == 48);
    say(text);
    CHECK(FUNCTION(LPSTR, CharUpperA, LPSTR)((LPSTR)(ULONG_PTR)'b') == (LPSTR)(ULONG_PTR)'B');
    return 0;
}
""",
    )
    assert said == "[Title] café\r\n[Error] €\r\n  -12|7   |00ab|0XFF|abc|xy|wide|q|%|-5000000000"


@needs_compiler
def test_registry_network_and_processes_are_refused_and_random_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    program = (
        LOAD
        + r"""
int mainCRTStartup(void)
{
    HKEY key;
    char text[64];
    DWORD size = sizeof(text);
    unsigned long long value = 0, other = 0;
    module = LoadLibraryA("ADVAPI32");
    CHECK(FUNCTION(LONG, RegOpenKeyExA, HKEY, LPCSTR, DWORD, DWORD, PHKEY)(HKEY_CURRENT_USER, "Software", 0, 1, &key)
          == ERROR_FILE_NOT_FOUND);
    CHECK(FUNCTION(BOOL, GetUserNameA, LPSTR, LPDWORD)(text, &size) && size == 10 && strcmp(text, "dumptruth") == 0);
    CHECK(FUNCTION(BOOLEAN, SystemFunction036, PVOID, ULONG)(&value, 8) && value != 0);
    CHECK(FUNCTION(BOOLEAN, SystemFunction036, PVOID, ULONG)(&other, 8) && value != other);
    say_number(value);
    module = LoadLibraryA("bcrypt.dll");
    CHECK(FUNCTION(LONG, BCryptGenRandom, PVOID, PUCHAR, ULONG, ULONG)(NULL, (PUCHAR)&value, 8, 2) == 0);
    module = LoadLibraryA("ws2_32.dll");
    CHECK(FUNCTION(int, WSAStartup, WORD, PVOID)(0x202, NULL) == 10091);
    CHECK(FUNCTION(ULONG_PTR, socket, int, int, int)(2, 1, 6) == ~(ULONG_PTR)0);
    CHECK(FUNCTION(int, WSAGetLastError)() == 10093);
    module = LoadLibraryA("winmm.dll");
    CHECK(FUNCTION(DWORD, timeGetTime)() == GetTickCount());
    STARTUPINFOA startup = {sizeof(startup)};
    PROCESS_INFORMATION process;
    CHECK(!CreateProcessA("C:\\dumptruth\\program.exe", NULL, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &process));
    CHECK(GetLastError() == ERROR_ACCESS_DENIED);
    CHECK(!CreatePipe(&startup.hStdInput, &startup.hStdOutput, NULL, 0) && GetLastError() == ERROR_NOT_SUPPORTED);
    return 0;
}
"""
    )
    first = output(tmp_path, program)
    process = start_process(tmp_path / "program.exe", system_directory=RUNTIME_IMAGES)
    process.run()
    assert process.console.decode() == first


def test_a_missing_import_that_is_called_names_every_missing_import_and_no_more_than_a_line_holds() -> None:
    missing = [MissingImport("a.exe", f"KERNEL32.dll!F{number}") for number in range(NAMED + 5)]
    missing.append(MissingImport("a.exe", "omega.dll!g", dll_found=False))
    assert str(missing[-1]) == "a.exe imports omega.dll!g, but there is no omega.dll"
    line = describe(missing, missing[3])
    assert line.startswith("a.exe imports KERNEL32.dll!F3, which no image exports; missing as well: KERNEL32.dll!F0, ")
    assert line.endswith(f"KERNEL32.dll!F{NAMED} and 5 more")
    assert describe(missing[:1], missing[0]) == "a.exe imports KERNEL32.dll!F0, which no image exports"


def test_no_system_dll_shadows_a_dll_of_the_program(tmp_path: Path) -> None:
    library = ImageLibrary((tmp_path,), RUNTIME_IMAGES)
    (tmp_path / "WinMM.dll").write_bytes((RUNTIME_IMAGES / "winmm.dll").read_bytes())
    for name, path in (("winmm", r"C:\dumptruth\WinMM.dll"), ("user32.dll", r"C:\Windows\System32\user32.dll")):
        found = library.find(name)
        assert found is not None
        assert found.path == path
    assert library.find("nosuch.dll") is None
