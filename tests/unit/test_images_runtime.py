"""The code of kernel32 and ntdll, run: each program ends with status 0, or with the line of the check that failed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from dumptruth.emu.images.build import compile_dll, compile_program
from dumptruth.emu.process.outcome import Crashed, Exited, Outcome
from dumptruth.emu.process.process import Process

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="compiling needs the extra `images`"
)

HEAD = """
#include <windows.h>
#include <winternl.h>
#include <string.h>
#define CHECK(condition) do { if (!(condition)) ExitProcess(__LINE__); } while (0)
NTSYSAPI VOID NTAPI RtlRaiseStatus(NTSTATUS status);
"""


def run(folder: Path, text: str, arguments: str = "") -> tuple[Process, Outcome]:
    source = folder / "program.c"
    source.write_text(HEAD + text, encoding="utf-8", newline="\n")
    program = compile_program(source, folder)
    process = Process(program, f"program.exe{arguments}")
    return process, process.run()


def passes(folder: Path, text: str, arguments: str = "") -> Process:
    process, outcome = run(folder, text, arguments)
    assert isinstance(outcome, Exited), outcome
    lines = (HEAD + text).splitlines()
    assert outcome.status == 0, f"exit status {outcome.status:#x}: " + (
        lines[outcome.status - 1] if 0 < outcome.status <= len(lines) else "no line"
    )
    return process


def test_the_heap_keeps_contents_sizes_and_alignment_through_random_work(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        static struct { unsigned char *block; SIZE_T size; unsigned char seed; } slots[64];
        static unsigned state = 12345;
        static unsigned next(unsigned limit) { state = state * 1664525 + 1013904223; return (state >> 8) % limit; }
        static void check(int i)
        {
            CHECK(((ULONG_PTR)slots[i].block & 15) == 0);
            CHECK(HeapSize(GetProcessHeap(), 0, slots[i].block) == slots[i].size);
            for (SIZE_T n = 0; n < slots[i].size; n += 37)
                CHECK(slots[i].block[n] == (unsigned char)(slots[i].seed + n));
        }
        static void fill(int i, SIZE_T from)
        {
            for (SIZE_T n = (from + 36) / 37 * 37; n < slots[i].size; n += 37)
                slots[i].block[n] = (unsigned char)(slots[i].seed + n);
        }
        int mainCRTStartup(void)
        {
            HANDLE heap = GetProcessHeap();
            for (int step = 0; step < 700; step++) {
                int i = (int)next(64);
                SIZE_T size = next(10) == 0 ? 60000 + next(20000) : next(10) < 3 ? next(16) : next(3000);
                if (slots[i].block == NULL) {
                    slots[i].block = HeapAlloc(heap, HEAP_ZERO_MEMORY, size);
                    CHECK(slots[i].block != NULL);
                    for (SIZE_T n = 0; n < size; n += 29)
                        CHECK(slots[i].block[n] == 0);
                    slots[i].size = size;
                    slots[i].seed = (unsigned char)next(256);
                    fill(i, 0);
                } else if (next(3) == 0) {
                    SIZE_T old = slots[i].size;
                    check(i);
                    slots[i].block = HeapReAlloc(heap, 0, slots[i].block, size);
                    CHECK(slots[i].block != NULL);
                    slots[i].size = size;
                    fill(i, old);
                    check(i);
                } else {
                    check(i);
                    CHECK(HeapFree(heap, 0, slots[i].block));
                    slots[i].block = NULL;
                }
                CHECK(HeapValidate(heap, 0, NULL));
            }
            for (int i = 0; i < 64; i++)
                if (slots[i].block != NULL) {
                    check(i);
                    HeapFree(heap, 0, slots[i].block);
                }
            /* all merged again: one block of nearly the first segment's small room still fits below 64 KiB */
            char *one = HeapAlloc(heap, 0, 65000), *two = HeapAlloc(heap, 0, 65000);
            CHECK(one && two && (one + 65000 <= two || two + 65000 <= one));
            char *big = HeapAlloc(heap, 0, 3 << 20); /* larger than a segment */
            CHECK(big != NULL);
            big[0] = big[(3 << 20) - 1] = 1;
            CHECK(HeapSize(heap, 0, big) == 3 << 20);
            MEMORY_BASIC_INFORMATION information;
            CHECK(VirtualQuery(big, &information, sizeof information) && information.State == MEM_COMMIT);
            HeapFree(heap, 0, big);
            CHECK(VirtualQuery(big, &information, sizeof information) && information.State == MEM_RESERVE);
            HANDLE limited = HeapCreate(0, 0, 0x20000);
            CHECK(limited && HeapAlloc(limited, 0, 1000) && HeapAlloc(limited, 0, 0x30000) == NULL);
            HANDLE heaps[4];
            CHECK(GetProcessHeaps(4, heaps) == 2 && heaps[0] == heap && heaps[1] == limited);
            CHECK(HeapDestroy(limited) && GetProcessHeaps(4, heaps) == 1);
            CHECK(VirtualQuery(limited, &information, sizeof information) && information.State == MEM_FREE);
            return 0;
        }
        """,
    )


@pytest.mark.parametrize("what", ["HeapFree(h, 0, b)", "HeapFree(h, 0, b + 16)"])
def test_a_damaged_heap_ends_in_the_exception_that_windows_raises(tmp_path: Path, what: str) -> None:
    _, outcome = run(
        tmp_path,
        "int mainCRTStartup(void) { HANDLE h = GetProcessHeap(); char *b = HeapAlloc(h, 8, 64); "
        + ("HeapFree(h, 0, b); " if "16" not in what else "")
        + f"{what}; return 0; }}",
    )
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == 0xC0000374
    assert len(outcome.record.information) == 1


def test_threads_share_locks_events_semaphores_and_thread_local_storage(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        static CRITICAL_SECTION section;
        static SRWLOCK lock = SRWLOCK_INIT;
        static CONDITION_VARIABLE changed = CONDITION_VARIABLE_INIT;
        static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
        static HANDLE semaphore, mutex;
        static DWORD slot;
        static unsigned plain, locked, initialized, done;
        static BOOL CALLBACK initialize(PINIT_ONCE o, PVOID parameter, PVOID *context)
        {
            initialized++;
            Sleep(2);
            *context = (PVOID)0x1230;
            return TRUE;
        }
        static DWORD WINAPI work(void *parameter)
        {
            PVOID context;
            CHECK(TlsGetValue(slot) == NULL && TlsSetValue(slot, parameter));
            CHECK(InitOnceExecuteOnce(&once, initialize, NULL, &context) && context == (PVOID)0x1230);
            for (int i = 0; i < 400; i++) {
                EnterCriticalSection(&section);
                EnterCriticalSection(&section);
                unsigned seen = plain;
                for (volatile int spin = 0; spin < 20; spin++)
                    ;
                plain = seen + 1;
                LeaveCriticalSection(&section);
                LeaveCriticalSection(&section);
                AcquireSRWLockExclusive(&lock);
                locked++;
                ReleaseSRWLockExclusive(&lock);
            }
            CHECK(WaitForSingleObject(mutex, INFINITE) == WAIT_OBJECT_0 && ReleaseMutex(mutex));
            CHECK(ReleaseSemaphore(semaphore, 1, NULL));
            CHECK(TlsGetValue(slot) == parameter);
            AcquireSRWLockExclusive(&lock);
            done++;
            ReleaseSRWLockExclusive(&lock);
            WakeConditionVariable(&changed);
            return (DWORD)(ULONG_PTR)parameter;
        }
        int mainCRTStartup(void)
        {
            HANDLE threads[4];
            DWORD code, id;
            InitializeCriticalSection(&section);
            slot = TlsAlloc();
            CHECK(slot != TLS_OUT_OF_INDEXES);
            semaphore = CreateSemaphoreA(NULL, 0, 10, NULL);
            mutex = CreateMutexA(NULL, TRUE, "Local\\\\m");
            CHECK(semaphore && mutex && GetLastError() == 0);
            HANDLE same = CreateMutexW(NULL, FALSE, L"m");
            CHECK(same && GetLastError() == ERROR_ALREADY_EXISTS && CloseHandle(same));
            for (ULONG_PTR i = 0; i < 4; i++) {
                threads[i] = CreateThread(NULL, 0, work, (void *)(i + 10), 0, &id);
                CHECK(threads[i] && GetThreadId(threads[i]) == id && id != GetCurrentThreadId());
            }
            CHECK(WaitForMultipleObjects(4, threads, FALSE, 20) == WAIT_TIMEOUT);
            CHECK(GetExitCodeThread(threads[0], &code) && code == STILL_ACTIVE);
            CHECK(ReleaseMutex(mutex));
            AcquireSRWLockExclusive(&lock);
            while (done != 4)
                CHECK(SleepConditionVariableSRW(&changed, &lock, 60000, 0));
            ReleaseSRWLockExclusive(&lock);
            CHECK(WaitForMultipleObjects(4, threads, TRUE, INFINITE) == WAIT_OBJECT_0);
            for (int i = 0; i < 4; i++) {
                CHECK(GetExitCodeThread(threads[i], &code) && code == (DWORD)i + 10);
                CHECK(WaitForSingleObject(semaphore, 0) == WAIT_OBJECT_0);
            }
            CHECK(WaitForSingleObject(semaphore, 0) == WAIT_TIMEOUT);
            CHECK(plain == 1600 && locked == 1600 && initialized == 1);
            CHECK(!ReleaseMutex(mutex) && GetLastError() == ERROR_NOT_OWNER);
            CHECK(TryAcquireSRWLockShared(&lock) && TryAcquireSRWLockShared(&lock));
            CHECK(lock.Ptr == (PVOID)0x21 && !TryAcquireSRWLockExclusive(&lock));
            ReleaseSRWLockShared(&lock);
            ReleaseSRWLockShared(&lock);
            CHECK(lock.Ptr == NULL && TlsFree(slot) && !TlsFree(slot));
            CHECK(TryEnterCriticalSection(&section));
            LeaveCriticalSection(&section);
            CHECK(section.LockCount == -1 && section.RecursionCount == 0 && section.OwningThread == NULL);
            DeleteCriticalSection(&section);
            PWSTR name;
            CHECK(SUCCEEDED(SetThreadDescription(GetCurrentThread(), L"a name")));
            CHECK(SUCCEEDED(GetThreadDescription(GetCurrentThread(), &name)) && lstrcmpW(name, L"a name") == 0);
            LocalFree(name);
            CHECK(SetThreadPriority(threads[0], 2) || GetLastError() != 0);
            HANDLE copy;
            CHECK(DuplicateHandle(GetCurrentProcess(), semaphore, GetCurrentProcess(), &copy, 0, FALSE, 2));
            CHECK(copy != semaphore && CloseHandle(semaphore) && ReleaseSemaphore(copy, 1, NULL));
            CHECK(!CloseHandle(semaphore) && GetLastError() == ERROR_INVALID_HANDLE);
            return 0;
        }
        """,
    )


def test_files_keep_what_is_written_and_say_why_they_do_not_open(tmp_path: Path) -> None:
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


def test_memory_services_do_what_their_pages_say(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        int mainCRTStartup(void)
        {
            MEMORY_BASIC_INFORMATION m;
            DWORD old;
            SIZE_T n;
            char *base = VirtualAlloc(NULL, 0x5000, MEM_RESERVE, PAGE_READWRITE);
            CHECK(base && ((ULONG_PTR)base & 0xFFFF) == 0);
            CHECK(VirtualAlloc(base + 0x1000, 0x2000, MEM_COMMIT, PAGE_READWRITE) == base + 0x1000);
            base[0x1000] = 'x';
            CHECK(VirtualProtect(base + 0x2000, 1, PAGE_READONLY, &old) && old == PAGE_READWRITE);
            CHECK(VirtualQuery(base + 0x2004, &m, sizeof m) == sizeof m && m.BaseAddress == base + 0x2000);
            CHECK(m.AllocationBase == base && m.RegionSize == 0x1000 && m.Protect == PAGE_READONLY);
            CHECK(VirtualQuery(base + 0x3000, &m, sizeof m) && m.State == MEM_RESERVE && m.RegionSize == 0x2000);
            CHECK(!VirtualProtect(base, 1, PAGE_READONLY, &old) && GetLastError() == ERROR_INVALID_ADDRESS);
            CHECK(VirtualAlloc(base, 0x1000, MEM_RESERVE, PAGE_READWRITE) == NULL);
            CHECK(GetLastError() == ERROR_INVALID_ADDRESS);
            char copy[4] = {0};
            CHECK(ReadProcessMemory(GetCurrentProcess(), base + 0x1000, copy, 1, &n) && copy[0] == 'x' && n == 1);
            CHECK(!ReadProcessMemory(GetCurrentProcess(), base, copy, 1, &n));
            CHECK(!VirtualFree(base, 1, MEM_RELEASE) && GetLastError() == ERROR_INVALID_PARAMETER);
            CHECK(VirtualFree(base + 0x1000, 0x1000, MEM_DECOMMIT) && VirtualFree(base, 0, MEM_RELEASE));
            CHECK(VirtualQuery(base, &m, sizeof m) && m.State == MEM_FREE);
            HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 0x3000, "s");
            char *one = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
            char *two = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0x1000);
            CHECK(section && one && two && one != two);
            one[5] = 77;
            CHECK(two[5] == 77 && VirtualQuery(one, &m, sizeof m) && m.Type == MEM_MAPPED && m.RegionSize == 0x3000);
            CHECK(UnmapViewOfFile(one) && two[5] == 77 && UnmapViewOfFile(two) && CloseHandle(section));
            volatile char frame[50000];
            for (int i = 0; i < 50000; i += 4096)
                frame[i] = 1;
            return 0;
        }
        """,
    )


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


def test_a_raised_exception_carries_the_registers_of_its_caller(tmp_path: Path) -> None:
    process, outcome = run(
        tmp_path,
        """
        int mainCRTStartup(void)
        {
            static const ULONG_PTR arguments[20] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
            register ULONG_PTR mark __asm__("r14") = 0x1122334455667788;
            __asm__ volatile("" : "+r"(mark));
            RaiseException(0xE0000001, 0xFFFFFFFF, 20, arguments);
            __asm__ volatile("" : "+r"(mark));
            return 0;
        }
        """,
    )
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == 0xE0000001
    assert outcome.record.flags & 1
    assert outcome.record.information == tuple(range(1, 16))
    kernel32 = process.loader.find("kernel32.dll")
    assert kernel32 is not None
    assert outcome.record.address == kernel32.base + kernel32.image.export_rva("RaiseException_return")
    assert outcome.context["Rip"] == outcome.record.address
    assert outcome.context["R14"] == 0x1122334455667788
    assert process.memory.read(outcome.context["Rip"] - 6, 2) == b"\xff\x15"


def test_function_tables_of_generated_code_are_listed_searched_and_deleted(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        PLIST_ENTRY NTAPI RtlGetFunctionTableListHead(VOID);
        static RUNTIME_FUNCTION sorted[] = {{0x10, 0x20, 0x100}, {0x30, 0x48, 0x110}};
        static RUNTIME_FUNCTION mixed[] = {{0x90, 0xA0, 0x100}, {0x60, 0x70, 0x120}, {0x70, 0x80, 0x130}};
        static DWORD64 word(void *entry, int offset) { return *(DWORD64 *)((char *)entry + offset); }
        int mainCRTStartup(void)
        {
            PLIST_ENTRY head = RtlGetFunctionTableListHead();
            CHECK(head->Flink == head && head->Blink == head);
            char *code = VirtualAlloc(NULL, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
            DWORD64 base = (DWORD64)code, found = 1;
            CHECK(RtlLookupFunctionEntry(base + 0x10, &found, NULL) == NULL);
            CHECK(!RtlAddFunctionTable(sorted, 0, base) && head->Flink == head);
            CHECK(RtlAddFunctionTable(sorted, 2, base) && RtlAddFunctionTable(mixed, 3, base));
            PLIST_ENTRY first = head->Flink, second = first->Flink;
            CHECK(second->Flink == head && head->Blink == second && second->Blink == first && first->Blink == head);
            CHECK(word(first, 0x10) == (DWORD64)sorted && word(first, 0x30) == base && word(first, 0x18) != 0);
            CHECK(word(first, 0x20) == base + 0x10 && word(first, 0x28) == base + 0x48);
            CHECK(word(first, 0x50) == 2ull << 32 && word(second, 0x50) == (3ull << 32 | 1));
            CHECK(word(second, 0x20) == base + 0x60 && word(second, 0x28) == base + 0xA0);
            for (int offset = 0x38; offset < 0x88; offset += 8)
                CHECK(offset == 0x50 || word(second, offset) == 0);
            CHECK(RtlLookupFunctionEntry(base + 0x47, &found, NULL) == &sorted[1] && found == base);
            CHECK(RtlLookupFunctionEntry(base + 0x6F, &found, NULL) == &mixed[1]);
            CHECK(RtlLookupFunctionEntry(base + 0x80, &found, NULL) == NULL);
            CHECK(RtlLookupFunctionEntry(base + 0x28, &found, NULL) == NULL);
            CHECK(RtlDeleteFunctionTable(sorted) && !RtlDeleteFunctionTable(sorted));
            CHECK(head->Flink == second && second->Blink == head);
            CHECK(RtlLookupFunctionEntry(base + 0x10, &found, NULL) == NULL);
            CHECK(RtlDeleteFunctionTable(mixed) && head->Flink == head && head->Blink == head);
            return 0;
        }
        """,
    )
