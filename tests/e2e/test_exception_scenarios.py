"""Programs that handle exceptions are dumped where a debugger would stop, and their dumps conform.

Each program's source says what happens before the exception that stops it. The dumps of both chances are judged
against the truth of that chance, with the replay.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.images.build import compile_program
from dumptruth.emu.process.outcome import Chance
from dumptruth.emu.scenarios.process import run_program
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.truth import store
from dumptruth.fixtures.replay.judging import judge, requested
from dumptruth.oracle import Outcome, Verdict, load_truth

from ..marks import needs_compiler

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]

HEAD = """
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <winternl.h>
#include <string.h>
static volatile int zero;
static void crash(int n) { *(volatile int *)(ULONG_PTR)n = 1; }
static int deep(int n) { volatile char room[3000]; room[n % 3000] = 1; return deep(n + 1) + room[3]; }
static LONG is(DWORD found, DWORD code) { return found == code; }
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
    "fast-fail": Program(
        "__try { __fastfail(3); } __except (EXCEPTION_EXECUTE_HANDLER) { }", (0xC0000409, (3,)), (0xC0000409, (3,))
    ),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One program that holds all of them, by its argument."""
    folder = tmp_path_factory.mktemp("exceptions")
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


def stopped(built: Path, name: str, chance: Chance) -> ProcessSnapshot:
    return run_program(built, [f"{list(PROGRAMS).index(name):02}"], chance=chance)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_exception_is_the_one_of_its_chance_and_every_dump_conforms(built: Path, tmp_path: Path, name: str) -> None:
    program = PROGRAMS[name]
    for chance, (code, information) in (("first", program.first), ("second", program.second)):
        snapshot = stopped(built, name, "first" if chance == "first" else "second")
        event = snapshot.exception
        assert event is not None
        assert event.code == code
        assert event.first_chance is (chance == "first" and name != "fast-fail")
        if code == 0xC00000FD:
            assert event.information[0] == 1
        else:
            assert event.information == information
        thread = next(thread for thread in snapshot.threads if thread.thread_id == event.thread_id)
        assert event.context["Rip"] == event.address == thread.context["Rip"]
        assert thread.context.registers == event.context.registers
        assert thread.stack_limit <= event.context["Rsp"] < thread.stack_base
        _conforms(snapshot, tmp_path / chance)


# Qualifier, profile. A full minidump is replayed; a USERDUMP holds the chance.
REQUESTS = ((1024, "modern"), (1025, "modern"), (1025, "legacy"))


def _conforms(snapshot: ProcessSnapshot, folder: Path) -> None:
    store.save(snapshot, folder / "truth", source="a program")
    truth = load_truth(folder / "truth")
    for number, (qualifier, profile) in enumerate(REQUESTS):
        dump = folder / f"{number}.dmp"
        DebugClient(snapshot, profile=profile).write(dump, qualifier)
        report = judge(dump, truth, requested(qualifier, profile=profile))
        assert report.outcome is Outcome.CONFORMANT, report.failing()
        verdicts = [result.verdict for result in report.results if result.rule == "XCUT-REPLAY-001"]
        if (qualifier, profile) == (1025, "modern"):
            assert verdicts == [Verdict.PASS]
