"""Static and dynamic thread-local storage, TLS callbacks, fiber-local storage."""

from __future__ import annotations

from pathlib import Path

from dumptruth.emu.images.build import compile_dll

from ...marks import needs_compiler
from .win32_programs import HEAD, output

pytestmark = needs_compiler

# What a C runtime's start-up objects hold: PE format, "The .tls Section".
TLS_SUPPORT = """
unsigned int _tls_index;
__attribute__((section(".tls"))) char _tls_start = 0;
__attribute__((section(".tls$ZZZ"))) char _tls_end = 0;
static void NTAPI on_tls(PVOID module, DWORD reason, PVOID reserved);
__attribute__((section(".CRT$XLA"), used)) PIMAGE_TLS_CALLBACK xl_a = 0;
__attribute__((section(".CRT$XLB"), used)) PIMAGE_TLS_CALLBACK xl_b = on_tls;
__attribute__((section(".CRT$XLZ"), used)) PIMAGE_TLS_CALLBACK xl_z = 0;
__attribute__((used)) const IMAGE_TLS_DIRECTORY _tls_used = {
    (ULONG_PTR)&_tls_start, (ULONG_PTR)&_tls_end, (ULONG_PTR)&_tls_index, (ULONG_PTR)(&xl_a + 1), 0, {0}};
"""

PROGRAM = (
    TLS_SUPPORT
    + """
static _Thread_local int own = 7;
static _Thread_local char zeros[5000];
static char notes[64];
static int noted;
static void NTAPI on_tls(PVOID module, DWORD reason, PVOID reserved)
{
    (void)reserved;
    CHECK(module == GetModuleHandleW(NULL));
    notes[noted++] = "DPTt"[reason];
    if (reason == DLL_THREAD_ATTACH)
        CHECK(own == 7 && zeros[4999] == 0);
}
static DWORD WINAPI worker(void *argument)
{
    CHECK(own == 7 && zeros[4999] == 0);
    own = (int)(ULONG_PTR)argument;
    zeros[4999] = 1;
    Sleep(10);
    return own;
}
int mainCRTStartup(void)
{
    CHECK(notes[0] == 'P' && noted == 1);
    own = 1;
    HANDLE threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = CreateThread(NULL, 0, worker, (void *)(ULONG_PTR)(i + 10), 0, NULL);
    WaitForMultipleObjects(3, threads, TRUE, INFINITE);
    for (int i = 0; i < 3; i++) {
        DWORD code;
        CHECK(GetExitCodeThread(threads[i], &code) && code == (DWORD)i + 10);
    }
    CHECK(own == 1 && zeros[4999] == 0);
    say(notes);
    return 0;
}
"""
)


def test_each_thread_has_its_own_copy_and_callbacks_are_told(tmp_path: Path) -> None:
    notes = output(tmp_path, PROGRAM)
    assert notes[0] == "P"
    assert sorted(notes[1:]) == sorted("TTTttt")


DLL = (
    TLS_SUPPORT
    + """
static _Thread_local int own = 40;
static void NTAPI on_tls(PVOID module, DWORD reason, PVOID reserved)
{
    (void)module, (void)reserved;
    say(reason == DLL_PROCESS_ATTACH ? "dll+ " : reason == DLL_PROCESS_DETACH ? "dll- " : "");
}
BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved)
{
    (void)module;
    if (reason == DLL_PROCESS_ATTACH)
        say(reserved != NULL ? "static " : own == 40 ? "dynamic " : "wrong ");
    return TRUE;
}
__declspec(dllexport) int bump(void) { return ++own; }
"""
)
LOADER = """
static int (*bump)(void);
static HANDLE go;
static DWORD WINAPI waiter(void *argument)
{
    (void)argument;
    WaitForSingleObject(go, INFINITE); /* this thread is older than the DLL */
    return bump() == 41 && bump() == 42;
}
int mainCRTStartup(void)
{
    DWORD code;
    go = CreateEventW(NULL, TRUE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, waiter, NULL, 0, NULL);
    Sleep(20);
    HMODULE dll = LoadLibraryA("tlsdll.dll");
    CHECK(dll != NULL);
    bump = (int (*)(void))GetProcAddress(dll, "bump");
    CHECK(bump() == 41);
    SetEvent(go);
    WaitForSingleObject(thread, INFINITE);
    CHECK(GetExitCodeThread(thread, &code) && code == 1);
    CHECK(bump() == 42);
    CHECK(FreeLibrary(dll));
    dll = LoadLibraryA("tlsdll.dll");
    bump = (int (*)(void))GetProcAddress(dll, "bump");
    CHECK(bump() == 41); /* a fresh copy */
    return 0;
}
"""


def test_a_dll_loaded_later_has_copies_in_threads_that_run_already(tmp_path: Path) -> None:
    source = tmp_path / "tlsdll.c"
    source.write_text(HEAD + DLL, encoding="utf-8", newline="\n")
    compile_dll(source, tmp_path)
    said = output(tmp_path, LOADER)
    assert said == "dll+ dynamic dll- dll+ dynamic dll- "


def test_tls_has_1088_slots_and_a_freed_slot_is_empty_in_every_thread(tmp_path: Path) -> None:
    output(
        tmp_path,
        """
static DWORD slots[1088], count;
static HANDLE filled, freed;
static DWORD WINAPI worker(void *argument)
{
    (void)argument;
    CHECK(TlsGetValue(slots[0]) == NULL && TlsGetValue(slots[900]) == NULL);
    TlsSetValue(slots[0], (void *)5);
    TlsSetValue(slots[900], (void *)6);
    SetEvent(filled);
    WaitForSingleObject(freed, INFINITE);
    CHECK(TlsGetValue(slots[0]) == NULL && TlsGetValue(slots[900]) == NULL);
    return 0;
}
int mainCRTStartup(void)
{
    for (DWORD slot; (slot = TlsAlloc()) != TLS_OUT_OF_INDEXES && count < 1088;)
        slots[count++] = slot;
    CHECK(GetLastError() == ERROR_NO_MORE_ITEMS);
    CHECK(count == 1088);
    for (DWORD i = 0; i < count; i++)
        CHECK(TlsSetValue(slots[i], (void *)(ULONG_PTR)(i + 1)));
    for (DWORD i = 0; i < count; i++)
        CHECK(TlsGetValue(slots[i]) == (void *)(ULONG_PTR)(i + 1));
    filled = CreateEventW(NULL, TRUE, FALSE, NULL);
    freed = CreateEventW(NULL, TRUE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, worker, NULL, 0, NULL);
    WaitForSingleObject(filled, INFINITE);
    CHECK(TlsFree(slots[0]) && TlsFree(slots[900]) && !TlsFree(slots[900]));
    CHECK(!TlsSetValue(1088, NULL) && GetLastError() == ERROR_INVALID_PARAMETER);
    SetEvent(freed);
    WaitForSingleObject(thread, INFINITE);
    return 0;
}
""",
    )


def test_fls_callbacks_run_when_a_thread_ends_and_when_the_slot_is_freed(tmp_path: Path) -> None:
    said = output(
        tmp_path,
        """
static DWORD slot;
static void WINAPI gone(void *value) { say_number((ULONG_PTR)value); }
static DWORD WINAPI worker(void *argument)
{
    CHECK(FlsGetValue(slot) == NULL);
    FlsSetValue(slot, argument);
    return 0;
}
int mainCRTStartup(void)
{
    slot = FlsAlloc(gone);
    FlsSetValue(slot, (void *)1);
    HANDLE thread = CreateThread(NULL, 0, worker, (void *)2, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    CHECK(FlsFree(slot) && !FlsFree(slot));
    slot = FlsAlloc(gone);
    CHECK(FlsGetValue(slot) == NULL);
    FlsSetValue(slot, (void *)3);
    return 0;
}
""",
    )
    assert said == "2\n1\n3\n"


def test_a_suspended_thread_shows_its_registers_and_takes_others(tmp_path: Path) -> None:
    output(
        tmp_path,
        """
static volatile LONG running, sent;
static DWORD WINAPI spin(void *argument)
{
    (void)argument;
    for (running = 1;; running++)
        ;
}
static void elsewhere(void)
{
    sent = 1;
    ExitThread(77);
}
int mainCRTStartup(void)
{
    DWORD code;
    CONTEXT context = {.ContextFlags = CONTEXT_FULL};
    HANDLE thread = CreateThread(NULL, 0, spin, NULL, 0, NULL);
    while (running == 0)
        Sleep(1);
    CHECK(SuspendThread(thread) == 0 && GetThreadContext(thread, &context));
    CHECK(context.Rip >= (DWORD64)spin && context.Rip < (DWORD64)spin + 0x80 && context.SegCs == 0x33);
    context.ContextFlags = CONTEXT_CONTROL;
    context.Rip = (DWORD64)elsewhere;
    context.Rsp = (context.Rsp & ~15ULL) - 0x28;
    CHECK(SetThreadContext(thread, &context) && ResumeThread(thread) == 1);
    CHECK(WaitForSingleObject(thread, INFINITE) == WAIT_OBJECT_0 && sent == 1);
    CHECK(GetExitCodeThread(thread, &code) && code == 77);
    CHECK(!GetThreadContext(thread, &context));
    return 0;
}
""",
    )
