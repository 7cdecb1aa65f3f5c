"""Programs that ask for more than their limits: each meets what Windows would give, or its run ends with a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dumptruth.emu.images.build import compile_program
from dumptruth.emu.limits import LimitReached, Limits
from dumptruth.emu.process.outcome import Crashed, Deadlock, Exited, Outcome
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.start import start_process
from dumptruth.emu.process.winnt import Status

from ...marks import needs_compiler
from .guest_programs import HEAD

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def started(folder: Path, text: str, limits: Limits) -> Process:
    source = folder / "program.c"
    source.write_text(HEAD + text, encoding="utf-8", newline="\n")
    return start_process(compile_program(source, folder), limits=limits)


def ended(folder: Path, text: str, limits: Limits) -> tuple[Outcome, tuple[str, ...]]:
    process = started(folder, text, limits)
    return process.run(), process.meter.notes()


ENDLESS = {
    "loop": ("volatile int n = 0; for (;;) n++;", Limits(blocks=50_000), "it runs at program.exe+0x1"),
    "services": ("for (;;) SwitchToThread();", Limits(services=300), "the last system call is NtYieldExecution"),
    "sleep": ("for (;;) Sleep(1000);", Limits(guest_seconds=20), "the last system call is NtDelayExecution"),
    "sleepless": ("for (;;) Sleep(1);", Limits(services=300), "the last system call is NtDelayExecution"),
    "polling": (
        "HANDLE e = CreateEventW(0, 0, 0, 0); for (;;) WaitForSingleObject(e, 500);",
        Limits(guest_seconds=20),
        "the last system call is NtWaitForSingleObject",
    ),
    "work between services": (
        "volatile int n = 0; for (;;) { for (int i = 0; i < 400; i++) n++; SwitchToThread(); }",
        Limits(blocks=50_000),
        "it runs at ",
    ),
    "ignored refusals": ("for (;;) CreateEventW(0, 0, 0, 0);", Limits(services=300), "NtCreateEvent"),
    "code that changes itself": (
        "unsigned char *p = VirtualAlloc(0, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);"
        "p[0] = 0xB8; p[5] = 0xC3;"
        "for (unsigned i = 0;; i++) { *(volatile unsigned *)(p + 1) = i; ((int (*)(void))p)(); }",
        Limits(blocks=20_000),
        "it runs at ",
    ),
    "one long string instruction": (
        'static char a[65536]; for (;;) __asm__ volatile("rep stosb" : : "D"(a), "c"(65536LL), "a"(0) : "memory");',
        Limits(blocks=500_000),
        "it runs at program.exe+0x1",
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_program_that_never_ends_uses_up_a_limit(tmp_path: Path, name: str) -> None:
    body, limits, doing = ENDLESS[name]
    process = started(tmp_path, f"void mainCRTStartup(void) {{ {body} }}", limits)
    with pytest.raises(LimitReached) as end:
        process.run()
    assert str(end.value).startswith("program.exe: used up the limit of ")
    assert doing in str(end.value)
    assert str(end.value).endswith(f"; --limit {end.value.limit}=N changes it")
    assert getattr(limits, end.value.limit.replace("-", "_")) < getattr(Limits(), end.value.limit.replace("-", "_"))


def test_processor_time_ends_a_run_that_no_other_limit_ends(tmp_path: Path) -> None:
    body = "volatile int n = 0; for (;;) n++;"
    process = started(tmp_path, f"void mainCRTStartup(void) {{ {body} }}", Limits(host_seconds=1, blocks=1 << 60))
    with pytest.raises(LimitReached) as end:
        process.run()
    assert end.value.limit == "host-seconds"


def test_a_program_that_waits_for_ever_is_a_deadlock_at_once(tmp_path: Path) -> None:
    for wait in ("Sleep(INFINITE)", "WaitForSingleObject(CreateEventW(0, 0, 0, 0), INFINITE)"):
        outcome, _ = ended(tmp_path, f"void mainCRTStartup(void) {{ {wait}; }}", Limits(services=30))
        assert isinstance(outcome, Deadlock)


def test_endless_recursion_overflows_the_stack_and_endless_exceptions_end_at_the_first(tmp_path: Path) -> None:
    deep = "static int f(int n) { volatile char b[4096]; b[0] = (char)n; return f(n + 1) + b[0]; }"
    outcome, _ = ended(tmp_path, deep + "void mainCRTStartup(void) { f(0); }", Limits())
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == Status.STACK_OVERFLOW
    handler = """
        static LONG WINAPI again(EXCEPTION_POINTERS *p) { (void)p; return *(volatile LONG *)8; }
        void mainCRTStartup(void) { SetUnhandledExceptionFilter(again); *(volatile int *)8 = 1; }
    """
    outcome, _ = ended(tmp_path, handler, Limits())
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == Status.ACCESS_VIOLATION


REFUSED = {
    "handles": (
        """
        int n = 0; HANDLE h[200];
        while (n < 200 && (h[n] = CreateEventW(0, 0, 0, 0)) != NULL) n++;
        CHECK(n < 64 && n > 40 && GetLastError() == ERROR_NO_SYSTEM_RESOURCES);
        CHECK(CreateThread(0, 0, (void *)1, 0, 0, 0) == NULL && GetLastError() == ERROR_NO_SYSTEM_RESOURCES);
        CHECK(CreateFileMappingW(INVALID_HANDLE_VALUE, 0, PAGE_READWRITE, 0, 4096, L"mine") == NULL);
        CHECK(CreateFileW(L"new", GENERIC_WRITE, 0, 0, CREATE_NEW, 0, 0) == INVALID_HANDLE_VALUE);
        CHECK(CloseHandle(h[3]));
        HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, 0, PAGE_READWRITE, 0, 4096, L"mine");
        CHECK(section != NULL && GetLastError() == ERROR_SUCCESS && CloseHandle(section));
        CHECK(CreateFileW(L"new", GENERIC_READ, 0, 0, OPEN_EXISTING, 0, 0) == INVALID_HANDLE_VALUE);
        CHECK(CreateEventW(0, 0, 0, 0) == h[3]);
        """,
        Limits(handles=64),
        "4 requests were refused with STATUS_INSUFFICIENT_RESOURCES",
    ),
    "threads": (
        """
        int n = 0; HANDLE h;
        while ((h = CreateThread(0, 0, (void *)ExitThread, 0, CREATE_SUSPENDED, 0)) != NULL) n++;
        CHECK(n == 4 && GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
        """,
        Limits(threads=5),
        "1 request was refused with STATUS_NO_MEMORY",
    ),
    "memory": (
        """
        int n = 0; char *p;
        while ((p = VirtualAlloc(0, 1 << 20, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)) != NULL) p[n++] = 1;
        CHECK(n > 4 && n < 8 && GetLastError() == ERROR_COMMITMENT_LIMIT);
        CHECK(HeapAlloc(GetProcessHeap(), 0, 2 << 20) == NULL);
        """,
        Limits(memory=8 << 20),
        "the largest for",
    ),
    "regions": (
        """
        int n = 0; char *p, *last = NULL;
        while ((p = VirtualAlloc(0, 4096, MEM_RESERVE, PAGE_READWRITE)) != NULL) { last = p; n++; }
        CHECK(n > 200 && n < 300 && GetLastError() == ERROR_NO_SYSTEM_RESOURCES);
        CHECK(VirtualFree(last, 0, MEM_RELEASE));
        CHECK(VirtualAlloc(0, 4096, MEM_RESERVE, PAGE_READWRITE) == last);
        """,
        Limits(regions=300),
        "1 request was refused with STATUS_INSUFFICIENT_RESOURCES",
    ),
    "disk": (
        """
        static char block[4096]; DWORD done, n = 0; WCHAR name[] = L"file-aa"; HANDLE h;
        h = CreateFileW(name, GENERIC_WRITE, 0, 0, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE, 0);
        while (WriteFile(h, block, sizeof block, &done, 0)) n++;
        CHECK(n == 24 && GetLastError() == ERROR_DISK_FULL);
        CHECK(CloseHandle(h));
        for (n = 0; n < 200; n++) {
            name[5] = (WCHAR)(L'a' + n / 20), name[6] = (WCHAR)(L'a' + n % 20);
            if (CreateFileW(name, GENERIC_WRITE, 0, 0, CREATE_NEW, 0, 0) == INVALID_HANDLE_VALUE) break;
        }
        CHECK(n > 80 && n < 100 && GetLastError() == ERROR_DISK_FULL);
        """,
        Limits(disk=100_000),
        "2 requests were refused with STATUS_DISK_FULL, the largest for 4,096",
    ),
    "names": (
        """
        static WCHAR name[250]; int n = 0;
        for (int i = 0; i < 249; i++) name[i] = L'x';
        for (; n < 100; n++) {
            name[0] = (WCHAR)(L'a' + n / 10), name[1] = (WCHAR)(L'0' + n % 10);
            if (!CreateEventW(0, 0, 0, name)) break;
        }
        CHECK(n > 30 && n < 36 && GetLastError() == ERROR_NO_SYSTEM_RESOURCES);
        """,
        Limits(names=20_000),
        "1 request was refused with STATUS_INSUFFICIENT_RESOURCES, for 5",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_program_can_handle_what_a_limit_refuses(tmp_path: Path, name: str) -> None:
    body, limits, told = REFUSED[name]
    text = f"int mainCRTStartup(void) {{ {body} return 0; }}"
    outcome, notes = ended(tmp_path, text, limits)
    assert isinstance(outcome, Exited)
    lines = (HEAD + text).splitlines()
    assert outcome.status == 0, lines[outcome.status - 1 : outcome.status]
    (note,) = notes
    assert note.startswith(f"program.exe: limit of {getattr(limits, name):,} ")
    assert told in note
    assert note.endswith(f"; --limit {name}=N changes it")


def test_output_is_cut_and_the_program_goes_on(tmp_path: Path) -> None:
    text = """
        static char block[1000];
        int mainCRTStartup(void)
        {
            DWORD done;
            for (int i = 0; i < 5; i++) {
                CHECK(WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), block, sizeof block, &done, 0) && done == 1000);
                OutputDebugStringA("twelve bytes");
            }
            return 0;
        }
    """
    process = started(tmp_path, text, Limits(console=2500, debug=50))
    assert process.run() == Exited(0)
    assert (len(process.console), bytes(process.debug_output)) == (2500, b"twelve bytes" * 4 + b"tw")
    assert process.meter.notes() == (
        "program.exe: limit of 2,500 bytes of console output: 2,500 more bytes were cut; --limit console=N changes it",
        "program.exe: limit of 50 bytes of debug output: 10 more bytes were cut; --limit debug=N changes it",
    )


def test_more_threads_than_one_area_of_tebs_holds_get_further_areas(tmp_path: Path) -> None:
    text = """
        int mainCRTStartup(void)
        {
            for (int i = 0; i < 299; i++)
                CHECK(CreateThread(0, 0x1000, (void *)1, 0, CREATE_SUSPENDED, 0) != NULL);
            CHECK(CreateThread(0, 0x1000, (void *)1, 0, CREATE_SUSPENDED, 0) == NULL);
            return *(volatile int *)0;
        }
    """
    process = started(tmp_path, text, Limits(threads=300))
    assert isinstance(process.run(), Crashed)
    tebs = {thread.teb for thread in process.scheduler.threads}
    assert len(tebs) == 300
    assert all(process.memory.u64(teb + 0x30) == teb for teb in tebs)


def test_limits_do_not_change_what_a_program_sees_that_stays_below_them(tmp_path: Path) -> None:
    body = "for (int i = 0; i < 50; i++) { Sleep(3); CreateEventW(0, 0, 0, 0); } *(volatile int *)0 = 1;"
    text = f"void mainCRTStartup(void) {{ {body} }}"
    ends = []
    for limits in (Limits(), Limits(host_seconds=30, guest_seconds=10, blocks=100_000, services=500, handles=200)):
        process = started(tmp_path, text, limits)
        outcome = process.run()
        assert isinstance(outcome, Crashed)
        ends.append((process.scheduler.now, outcome.context, process.cpu.time_stamp))
    assert ends[0] == ends[1]


INTERRUPTED = """
import _thread, os, sys, threading, time
from pathlib import Path
from dumptruth.emu.process.start import start_process

def interrupt():
    while True:  # Python drops one that comes while it deletes an object
        time.sleep(0.2)
        _thread.interrupt_main()

process = start_process(Path(sys.argv[1]))
try:
    threading.Thread(target=interrupt, daemon=True).start()
    process.run()
except KeyboardInterrupt:
    os._exit(77)
"""


def test_an_interrupt_ends_a_program_that_never_stops(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(f"{HEAD}void mainCRTStartup(void) {{ volatile int n = 0; for (;;) n++; }}", encoding="utf-8")
    program = compile_program(source, tmp_path)
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(program)], check=False, timeout=120)
    assert done.returncode == 77
