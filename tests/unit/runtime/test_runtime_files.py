"""Files that a program writes, and DLLs that it loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.images.build import compile_dll

from ...marks import needs_compiler
from .guest_programs import passes

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def test_files_keep_written_data_and_failures_to_open_have_their_error(tmp_path: Path) -> None:
    process = passes(
        tmp_path,
        """
        int mainCRTStartup(void)
        {
            char text[64];
            DWORD count;
            CHECK(CreateFileW(L"absent.txt", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL) == INVALID_HANDLE_VALUE);
            CHECK(GetLastError() == ERROR_FILE_NOT_FOUND);
            HANDLE file = CreateFileA("one.txt", GENERIC_WRITE | GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                      NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
            CHECK(file != INVALID_HANDLE_VALUE && GetLastError() == 0);
            CHECK(WriteFile(file, "hello ", 6, &count, NULL) && count == 6);
            CHECK(WriteFile(file, "world", 5, &count, NULL) && count == 5);
            CHECK(ReadFile(file, text, sizeof text, &count, NULL) && count == 0);
            OVERLAPPED at = {.Offset = 6};
            CHECK(ReadFile(file, text, sizeof text, &count, &at) && count == 5 && memcmp(text, "world", 5) == 0);
            HANDLE again = CreateFileW(L".\\\\sub\\\\..\\\\one.txt", GENERIC_READ,
                                       FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
            CHECK(again != INVALID_HANDLE_VALUE && GetLastError() == ERROR_ALREADY_EXISTS);
            CHECK(ReadFile(again, text, sizeof text, &count, NULL) && count == 11);
            CHECK(memcmp(text, "hello world", 11) == 0 && CloseHandle(again) && CloseHandle(file));
            CHECK(CreateFileA("one.txt", GENERIC_READ, 0, NULL, CREATE_NEW, 0, NULL) == INVALID_HANDLE_VALUE);
            CHECK(GetLastError() == ERROR_FILE_EXISTS);
            HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
            CHECK(WriteFile(out, "to the console ", 15, &count, NULL) && count == 15);
            CHECK(WriteConsoleW(out, L"\\x00E9\\xD83D\\xDE00.", 4, &count, NULL) && count == 4);
            OutputDebugStringW(L"to the debugger");
            return 0;
        }
        """,
    )
    assert bytes(process.console).decode() == "to the console \u00e9\U0001f600."
    assert bytes(process.debug_output) == b"to the debugger"


def test_dlls_load_run_their_entry_points_and_unload(tmp_path: Path) -> None:
    (tmp_path / "own.c").write_text(
        """
        #include <windows.h>
        static volatile LONG counts[4];
        __declspec(dllexport) LONG *counts_of(void) { return (LONG *)counts; }
        BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
        {
            static HANDLE event;
            if (reason == DLL_PROCESS_ATTACH) event = OpenEventA(EVENT_MODIFY_STATE, FALSE, "detached");
            if (reason == DLL_PROCESS_DETACH) SetEvent(event);
            InterlockedIncrement(&counts[reason]);
            return TRUE;
        }
        """,
        encoding="utf-8",
    )
    (tmp_path / "refuses.c").write_text(
        "#include <windows.h>\nBOOL WINAPI DllMain(HINSTANCE i, DWORD r, LPVOID p) { return FALSE; }\n",
        encoding="utf-8",
    )
    for name in ("own.c", "refuses.c"):
        compile_dll(tmp_path / name, tmp_path)
    passes(
        tmp_path,
        """
        static DWORD WINAPI nothing(void *parameter) { return 0; }
        int mainCRTStartup(void)
        {
            WCHAR path[MAX_PATH];
            HANDLE detached = CreateEventW(NULL, TRUE, FALSE, L"detached");
            HMODULE own = LoadLibraryA("own"), same;
            CHECK(own != NULL && LoadLibraryW(L"OWN.DLL") == own && GetModuleHandleA("own") == own);
            LONG *(*counts_of)(void) = (void *)GetProcAddress(own, "counts_of");
            CHECK(counts_of && GetProcAddress(own, (LPCSTR)1) == (FARPROC)counts_of);
            CHECK(GetProcAddress(own, "Counts_of") == NULL && GetLastError() == ERROR_PROC_NOT_FOUND);
            LONG *counts = counts_of();
            CHECK(counts[DLL_PROCESS_ATTACH] == 1 && counts[DLL_THREAD_ATTACH] == 0);
            WaitForSingleObject(CreateThread(NULL, 0, nothing, NULL, 0, NULL), INFINITE);
            CHECK(counts[DLL_THREAD_ATTACH] == 1 && counts[DLL_THREAD_DETACH] == 1);
            CHECK(GetModuleFileNameW(own, path, MAX_PATH) && lstrcmpiW(path + lstrlenW(path) - 8, L"\\\\own.dll") == 0);
            CHECK(GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (LPCWSTR)counts_of, &same) && same == own);
            CHECK(FreeLibrary(own) && FreeLibrary(own) && WaitForSingleObject(detached, 0) == WAIT_TIMEOUT);
            CHECK(FreeLibrary(own) && WaitForSingleObject(detached, 0) == WAIT_OBJECT_0);
            CHECK(GetModuleHandleA("own") == NULL && GetLastError() == ERROR_MOD_NOT_FOUND);
            CHECK(LoadLibraryW(L"absent.dll") == NULL && GetLastError() == ERROR_MOD_NOT_FOUND);
            CHECK(LoadLibraryW(L"refuses.dll") == NULL && GetLastError() == ERROR_DLL_INIT_FAILED);
            CHECK(GetModuleHandleW(L"refuses") == NULL);
            HMODULE kernel32 = GetModuleHandleW(L"kernel32.dll");
            CHECK(GetProcAddress(kernel32, "Sleep") == (FARPROC)Sleep && FreeLibrary(kernel32));
            CHECK((FARPROC)RtlCaptureContext == GetProcAddress(GetModuleHandleA("ntdll"), "RtlCaptureContext"));
            CONTEXT context;
            RtlCaptureContext(&context);
            CHECK(context.Rsp <= (ULONG_PTR)&context && (context.ContextFlags & CONTEXT_FULL) == CONTEXT_FULL);
            PVOID base;
            CHECK(RtlPcToFileHeader((PVOID)context.Rip, &base) == GetModuleHandleW(NULL));
            DWORD64 image;
            PRUNTIME_FUNCTION here = RtlLookupFunctionEntry(context.Rip, &image, NULL);
            CHECK(here && image + here->BeginAddress == (ULONG_PTR)mainCRTStartup);
            CHECK(GetModuleHandleA("kernel32") == kernel32 && GetModuleHandleA(NULL) != kernel32);
            return 0;
        }
        """,
    )
