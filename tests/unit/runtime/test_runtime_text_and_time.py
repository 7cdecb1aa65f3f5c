"""Text, times, environment and errors of kernel32."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...marks import needs_compiler
from .guest_programs import passes

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def test_text_time_environment_and_errors_follow_their_documents(tmp_path: Path) -> None:
    process = passes(
        tmp_path,
        """
        int mainCRTStartup(void)
        {
            WCHAR wide[64];
            char narrow[64];
            SYSTEMTIME t;
            SYSTEM_INFO info;
            static const char utf8[] = "a\\xC3\\xA9\\xE2\\x82\\xAC\\xF0\\x9F\\x98\\x80\\xFF";
            CHECK(MultiByteToWideChar(CP_UTF8, 0, utf8, -1, NULL, 0) == 7);
            CHECK(MultiByteToWideChar(CP_UTF8, 0, utf8, -1, wide, 64) == 7);
            CHECK(lstrcmpW(wide, L"a\\x00E9\\x20AC\\xD83D\\xDE00\\xFFFD") == 0);
            CHECK(WideCharToMultiByte(CP_UTF8, 0, wide, 5, narrow, 64, NULL, NULL) == 10);
            CHECK(memcmp(narrow, utf8, 10) == 0);
            CHECK(WideCharToMultiByte(CP_UTF8, 0, wide, 5, narrow, 9, NULL, NULL) == 0);
            CHECK(GetLastError() == ERROR_INSUFFICIENT_BUFFER);
            FILETIME leap;
            ULONGLONG ticks = 125963423990000000ULL; /* 2000-02-29 23:59:59 UTC */
            leap.dwLowDateTime = (DWORD)ticks;
            leap.dwHighDateTime = (DWORD)(ticks >> 32);
            CHECK(FileTimeToSystemTime(&leap, &t) && t.wYear == 2000 && t.wMonth == 2 && t.wDay == 29);
            CHECK(t.wHour == 23 && t.wMinute == 59 && t.wSecond == 59 && t.wDayOfWeek == 2);
            GetSystemTime(&t);
            CHECK(t.wYear > 2000 && t.wMonth >= 1 && t.wMonth <= 12);
            ULONGLONG before = GetTickCount64();
            Sleep(50);
            CHECK(GetTickCount64() - before >= 50 && GetTickCount64() - before < 200);
            CHECK(lstrcmpiA("Alpha", "aLPHA") == 0 && lstrcmpiW(L"a", L"b") < 0 && lstrlenA(NULL) == 0);
            CHECK(GetEnvironmentVariableW(L"systemroot", wide, 64) == 10 && lstrcmpiW(wide, L"C:\\\\Windows") == 0);
            CHECK(GetEnvironmentVariableW(L"SystemRoot", wide, 4) == 11);
            CHECK(GetEnvironmentVariableA("NoSuchName", narrow, 64) == 0 && GetLastError() == ERROR_ENVVAR_NOT_FOUND);
            CHECK(lstrcmpA(GetCommandLineA(), "program.exe one two") == 0);
            GetSystemInfo(&info);
            CHECK(info.dwPageSize == 4096 && info.dwNumberOfProcessors > 0 && info.dwAllocationGranularity == 65536);
            SetLastError(1234);
            CHECK(GetLastError() == 1234 && NtCurrentTeb() != NULL);
            CHECK(RtlNtStatusToDosError((NTSTATUS)0xC0000022) == ERROR_ACCESS_DENIED);
            CHECK(RtlNtStatusToDosError((NTSTATUS)0xC0FFEE00) == ERROR_MR_MID_NOT_FOUND);
            CHECK(GetCurrentDirectoryW(64, wide) != 0 && wide[1] == ':');
            OutputDebugStringA("done");
            return 0;
        }
        """,
        " one two",
    )
    assert bytes(process.debug_output) == b"done"
