"""Code pages, text and time, against Python's codecs and calendar; messages; the console."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.images.build import compile_program
from dumptruth.emu.process.library import RUNTIME_IMAGES
from dumptruth.emu.process.outcome import Exited
from dumptruth.emu.process.start import start_process
from hypothesis import given, settings
from hypothesis import strategies as st

from ...marks import needs_compiler
from .win32_programs import HEAD, output

pytestmark = needs_compiler

# Reads conversions from its command line: the way, then the data in hexadecimal, for each; writes results.
CONVERT = """
static unsigned char data[8192], out[32768];
static char line[65536];
static int digit(WCHAR c) { return c <= '9' ? c - '0' : c - 'a' + 10; }
int mainCRTStartup(void)
{
    WCHAR *at = wcschr(GetCommandLineW(), ' ');
    while (at != NULL) {
        WCHAR way = at[1];
        UINT page = way == 'u' || way == 'U' ? CP_UTF8 : way == 'o' || way == 'O' ? CP_OEMCP : CP_ACP;
        int size = 0, made;
        for (at += 2; *at && *at != ' '; at += 2)
            data[size++] = (unsigned char)(digit(at[0]) << 4 | digit(at[1]));
        at = *at ? at : NULL;
        if (way >= 'a') {
            made = MultiByteToWideChar(page, 0, (char *)data, size, NULL, 0);
            CHECK(MultiByteToWideChar(page, 0, (char *)data, size, (WCHAR *)out, made) == made);
            made *= 2;
        } else {
            made = WideCharToMultiByte(page, 0, (WCHAR *)data, size / 2, NULL, 0, NULL, NULL);
            CHECK(WideCharToMultiByte(page, 0, (WCHAR *)data, size / 2, (char *)out, made, NULL, NULL) == made);
        }
        for (int i = 0; i < made; i++) {
            line[2 * i] = "0123456789abcdef"[out[i] >> 4];
            line[2 * i + 1] = "0123456789abcdef"[out[i] & 15];
        }
        line[2 * made] = 10;
        line[2 * made + 1] = 0;
        say(line);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convert")
    source = folder / "convert.c"
    source.write_text(HEAD + CONVERT, encoding="utf-8", newline="\n")
    return compile_program(source, folder)


def converted(program: Path, work: list[tuple[str, bytes]]) -> list[bytes]:
    line = " ".join(["convert.exe", *(way + data.hex() for way, data in work)])
    process = start_process(program, line, system_directory=RUNTIME_IMAGES)
    outcome = process.run()
    assert outcome == Exited(0), outcome
    return [bytes.fromhex(text) for text in process.console.decode().splitlines()]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(min_size=1, max_size=60), st.text(min_size=1, max_size=20).map(lambda t: t.encode())),
        min_size=1,
        max_size=20,
    )
)
def test_utf8_becomes_utf16_as_the_unicode_standard_says(converter: Path, texts: list[bytes]) -> None:
    expected = [text.decode("utf-8", "replace").encode("utf-16-le") for text in texts]
    assert converted(converter, [("u", text) for text in texts]) == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=30), min_size=1, max_size=20))
def test_utf16_becomes_utf8_with_a_replacement_for_each_half_pair(converter: Path, texts: list[list[int]]) -> None:
    raw = [b"".join(unit.to_bytes(2, "little") for unit in text) for text in texts]
    expected = [data.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass") for data in raw]
    expected = [
        "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text.decode("utf-8", "surrogatepass")).encode()
        for text in expected
    ]
    assert converted(converter, [("U", data) for data in raw]) == expected


@pytest.mark.parametrize(("way", "codec"), [("a", "cp1252"), ("o", "cp437")])
def test_every_byte_of_the_ansi_and_oem_code_pages_maps_there_and_back(converter: Path, way: str, codec: str) -> None:
    every = bytes(range(1, 256))
    text = "".join(bytes([byte]).decode(codec, "ignore") or chr(byte) for byte in every)
    wide, narrow = converted(converter, [(way, every), (way.upper(), text.encode("utf-16-le"))])
    assert wide.decode("utf-16-le") == text
    assert narrow == every


def test_conversions_refuse_what_the_reference_pages_refuse(tmp_path: Path) -> None:
    output(
        tmp_path,
        r"""
int mainCRTStartup(void)
{
    WCHAR wide[8];
    char narrow[8];
    BOOL used;
    CHECK(MultiByteToWideChar(CP_UTF8, 0, "abc", -1, NULL, 0) == 4);
    CHECK(MultiByteToWideChar(CP_UTF8, 0, "abc", 0, wide, 8) == 0 && GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(MultiByteToWideChar(CP_UTF8, 0, "abc", 3, wide, 2) == 0 && GetLastError() == ERROR_INSUFFICIENT_BUFFER);
    CHECK(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, "\xC0\x80", 2, wide, 8) == 0);
    CHECK(GetLastError() == ERROR_NO_UNICODE_TRANSLATION);
    CHECK(MultiByteToWideChar(CP_UTF8, MB_PRECOMPOSED, "a", 1, wide, 8) == 0 && GetLastError() == ERROR_INVALID_FLAGS);
    CHECK(MultiByteToWideChar(12345, 0, "a", 1, wide, 8) == 0 && GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, L"\xD800", 1, narrow, 8, NULL, NULL) == 0);
    CHECK(GetLastError() == ERROR_NO_UNICODE_TRANSLATION);
    CHECK(WideCharToMultiByte(CP_UTF8, 0, L"a", 1, narrow, 8, "x", NULL) == 0);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(WideCharToMultiByte(CP_ACP, 0, L"\x20AC\x3B1", 2, narrow, 8, "#", &used) == 2 && used);
    CHECK((unsigned char)narrow[0] == 0x80 && narrow[1] == '#');
    CHECK(GetACP() == 1252 && GetOEMCP() == 437 && IsValidCodePage(65001) && !IsValidCodePage(932));
    CHECK(CompareStringOrdinal(L"abc", -1, L"ABD", -1, TRUE) == CSTR_LESS_THAN);
    CHECK(CompareStringW(LOCALE_INVARIANT, 0, L"a", -1, L"B", -1) == CSTR_LESS_THAN);
    CHECK(CompareStringW(LOCALE_INVARIANT, 0, L"a", -1, L"A", -1) == CSTR_LESS_THAN);
    CHECK(CompareStringW(LOCALE_INVARIANT, NORM_IGNORECASE, L"a", -1, L"A", -1) == CSTR_EQUAL);
    CHECK(LCMapStringW(LOCALE_INVARIANT, LCMAP_UPPERCASE, L"a\xE9z", 3, wide, 8) == 3 && wide[1] == 0xC9);
    return 0;
}
""",
    )


def test_calendar_time_zone_and_messages(tmp_path: Path) -> None:
    said = output(
        tmp_path,
        r"""
int mainCRTStartup(void)
{
    SYSTEMTIME time = {2024, 2, 0, 29, 23, 59, 58, 999}, back;
    FILETIME file, local;
    CHECK(SystemTimeToFileTime(&time, &file) && FileTimeToSystemTime(&file, &back));
    CHECK(back.wDay == 29 && back.wMonth == 2 && back.wMilliseconds == 999 && back.wDayOfWeek == 4);
    say_number(((unsigned long long)file.dwHighDateTime << 32) | file.dwLowDateTime);
    time.wYear = 2023;
    CHECK(!SystemTimeToFileTime(&time, &file) && GetLastError() == ERROR_INVALID_PARAMETER);
    GetSystemTime(&time);
    GetLocalTime(&back);
    CHECK((time.wHour + 1) % 24 == back.wHour);
    TIME_ZONE_INFORMATION zone;
    CHECK(GetTimeZoneInformation(&zone) == TIME_ZONE_ID_STANDARD && zone.Bias == -60);
    GetSystemTimeAsFileTime(&file);
    CHECK(FileTimeToLocalFileTime(&file, &local) && LocalFileTimeToFileTime(&local, &local));
    CHECK(CompareFileTime(&file, &local) == 0);
    WORD date, clock;
    time = (SYSTEMTIME){2020, 5, 0, 17, 13, 46, 30, 0};
    CHECK(SystemTimeToFileTime(&time, &file) && FileTimeToDosDateTime(&file, &date, &clock));
    CHECK(date == (40 << 9 | 5 << 5 | 17) && clock == (13 << 11 | 46 << 5 | 15));
    char text[200];
    CHECK(FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM, NULL, 2, 0, text, 200, NULL) == 44);
    say(text);
    CHECK(FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM, NULL, 123456, 0, text, 200, NULL) == 0);
    CHECK(GetLastError() == ERROR_MR_MID_NOT_FOUND);
    DWORD_PTR arguments[] = {(DWORD_PTR)"name", (DWORD_PTR)-5};
    CHECK(FormatMessageA(FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_ARGUMENT_ARRAY, "%1=%2!d!%n%%", 0, 0, text, 200,
                         (va_list *)arguments) == 10);
    say(text);
    char *made;
    DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_ALLOCATE_BUFFER;
    CHECK(FormatMessageA(flags, NULL, 5, 0, (char *)&made, 0, NULL));
    say(made);
    LocalFree(made);
    DWORD mode;
    HANDLE console = GetStdHandle(STD_OUTPUT_HANDLE);
    CHECK(GetFileType(console) == FILE_TYPE_CHAR && GetConsoleMode(console, &mode) && SetConsoleMode(console, mode));
    CHECK(WriteConsoleW(console, L"\x20AC\n", 2, &mode, NULL) && mode == 2);
    return 0;
}
""",
    )
    assert said == (
        "133537247989990000\nThe system cannot find the file specified.\r\nname=-5\r\n%Access is denied.\r\n€\n"
    )
