"""Programs that raise exceptions and handle some, each with the exceptions of both chances."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dumptruth.emu.images.build import compile_program

HEAD = """
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <winternl.h>
#include <string.h>
static volatile int zero;
static void crash(int n) { *(volatile int *)(ULONG_PTR)n = 1; }
static int deep(int n) { volatile char room[3000]; room[n % 3000] = 1; return deep(n + 1) + room[3]; }
static LONG is(DWORD found, DWORD code) { return found == code; }
static DWORD WINAPI idle(PVOID context) { return 0; }
/* A TLS callback that crashes on a new thread, if a case wants it. */
static volatile int armed;
static void NTAPI on_tls(PVOID module, DWORD reason, PVOID reserved)
{
    if (!armed || reason != DLL_THREAD_ATTACH)
        return;
    __try { crash(0x40); } __except (EXCEPTION_EXECUTE_HANDLER) { }
    crash(0x50);
}
static ULONG tls_index;
static char tls_data[8];
__attribute__((section(".CRT$XLA"), used)) PIMAGE_TLS_CALLBACK xl_a = 0;
__attribute__((section(".CRT$XLB"), used)) PIMAGE_TLS_CALLBACK xl_b = on_tls;
__attribute__((section(".CRT$XLZ"), used)) PIMAGE_TLS_CALLBACK xl_z = 0;
__attribute__((used)) const IMAGE_TLS_DIRECTORY _tls_used = {
    (ULONG_PTR)tls_data, (ULONG_PTR)(tls_data + 8), (ULONG_PTR)&tls_index, (ULONG_PTR)(&xl_a + 1), 0, {0}};
"""
ACCESS_VIOLATION = 0xC0000005


class Program(NamedTuple):
    source: str
    first: tuple[int, tuple[int, ...]]
    """Code and parameters of the first exception."""
    second: tuple[int, tuple[int, ...]]
    """Those of the exception that nobody handles."""


def written(address: int) -> tuple[int, tuple[int, ...]]:
    return ACCESS_VIOLATION, (1, address)


PROGRAMS = {
    "handled-and-gone-on": Program(
        "__try { crash(0x10); } __except (is(GetExceptionCode(), EXCEPTION_ACCESS_VIOLATION)) { } crash(0x20);",
        *(written(0x10), written(0x20)),
    ),
    "filter-declined": Program(
        "__try { crash(0x10); } __except (is(GetExceptionCode(), EXCEPTION_BREAKPOINT)) { }",
        *(written(0x10), written(0x10)),
    ),
    "handler-crashes": Program(
        "__try { crash(0x10); } __except (EXCEPTION_EXECUTE_HANDLER) { crash(0x20); }", written(0x10), written(0x20)
    ),
    "filter-crashes": Program(
        """
        __try { RaiseException(0xE0000001, 0, 0, NULL); }
        __except (GetExceptionCode() == 0xE0000001 ? 1 / zero : 0) { }
        """,
        *((0xE0000001, ()), (0xC0000094, ())),
    ),
    "nested": Program(
        """
        __try {
            __try { crash(0x10); } __except (EXCEPTION_EXECUTE_HANDLER) {
                __try { crash(0x20); } __except (EXCEPTION_EXECUTE_HANDLER) { }
            }
            crash(0x30);
        } __except (EXCEPTION_CONTINUE_SEARCH) { }
        """,
        *(written(0x10), written(0x30)),
    ),
    "finally-crashes": Program(
        """
        __try { __try { crash(0x10); } __finally { crash(0x20); } }
        __except (is(GetExceptionCode(), EXCEPTION_ACCESS_VIOLATION) && !zero++) { }
        """,
        *(written(0x10), written(0x20)),
    ),
    "handled-stack-overflow": Program(
        "__try { deep(0); } __except (is(GetExceptionCode(), EXCEPTION_STACK_OVERFLOW)) { } crash(0x20);",
        *((0xC00000FD, ()), written(0x20)),
    ),
    "stack-overflow": Program("deep(0);", (0xC00000FD, ()), (0xC00000FD, ())),
    "raised": Program(
        "__try { RaiseException(0xE0000001, 0, 2, (ULONG_PTR[]){7, 8}); } __except (EXCEPTION_CONTINUE_SEARCH) { }",
        *((0xE0000001, (7, 8)), (0xE0000001, (7, 8))),
    ),
    "raised-in-a-handler": Program(
        """
        __try { RaiseException(0xE0000001, 0, 0, NULL); }
        __except (EXCEPTION_EXECUTE_HANDLER) { RaiseException(0xE0000002, EXCEPTION_NONCONTINUABLE, 0, NULL); }
        """,
        *((0xE0000001, ()), (0xE0000002, ())),
    ),
    "vectored-handler": Program(
        """
        AddVectoredExceptionHandler(1, goes_on);
        RaiseException(0xE0000001, 0, 0, NULL);
        RaiseException(0xE0000002, 0, 0, NULL);
        """,
        *((0xE0000001, ()), (0xE0000002, ())),
    ),
    "breakpoint": Program("DebugBreak();", (0x80000003, (0,)), (0x80000003, (0,))),
    "tls-callback": Program(
        "armed = 1; WaitForSingleObject(CreateThread(NULL, 0, idle, NULL, 0, NULL), INFINITE);",
        *(written(0x40), written(0x50)),
    ),
    "fast-fail": Program(
        "__try { __fastfail(3); } __except (EXCEPTION_EXECUTE_HANDLER) { }", (0xC0000409, (3,)), (0xC0000409, (3,))
    ),
}


def build(folder: Path) -> Path:
    """One program that holds all of them, by its argument (`argument`)."""
    functions = "".join(
        f"static void case_{number}(void) {{ {program.source} }}\n" for number, program in enumerate(PROGRAMS.values())
    )
    cases = ", ".join(f"case_{number}" for number in range(len(PROGRAMS)))
    source = folder / "exceptions.c"
    source.write_text(
        f"""{HEAD}
        static LONG WINAPI goes_on(PEXCEPTION_POINTERS p)
        {{
            return p->ExceptionRecord->ExceptionCode == 0xE0000001 ? EXCEPTION_CONTINUE_EXECUTION : 0;
        }}
        {functions}
        int mainCRTStartup(void)
        {{
            static void (*const cases[])(void) = {{{cases}}};
            const char *last = strchr(GetCommandLineA(), ' ');
            cases[(last[1] - '0') * 10 + last[2] - '0']();
            return 0;
        }}
        """,
        encoding="utf-8",
    )
    return compile_program(source, folder)


def argument(name: str) -> str:
    """The argument with which the program runs the case."""
    return f"{list(PROGRAMS).index(name):02}"
