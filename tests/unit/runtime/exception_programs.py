"""Compiles C programs that handle exceptions, and runs them on the runtime system.

``said(text)`` of the program adds a word to its debug output. ``CHECK`` ends it with the line number.
"""

from __future__ import annotations

from pathlib import Path

from dumptruth.emu.images.build import compile_program
from dumptruth.emu.process.library import RUNTIME_IMAGES
from dumptruth.emu.process.outcome import Chance, Crashed, Exited, Outcome
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.start import start_process

HEAD = """
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <winternl.h>
#include <string.h>
#define CHECK(condition) do { if (!(condition)) ExitProcess(__LINE__); } while (0)
static void said(const char *text) { OutputDebugStringA(text); OutputDebugStringA(" "); }
static volatile int zero;
static volatile int *volatile null;
static DWORD code_of(PEXCEPTION_POINTERS pointers) { return pointers->ExceptionRecord->ExceptionCode; }
static LONG is(DWORD found, DWORD code) { return found == code; } /* a filter */
"""

ACCESS_VIOLATION, DIVIDE_BY_ZERO, STACK_OVERFLOW = 0xC0000005, 0xC0000094, 0xC00000FD


def run(folder: Path, text: str, chance: Chance = "second") -> tuple[Process, Outcome]:
    source = folder / "program.c"
    source.write_text(HEAD + text, encoding="utf-8", newline="\n")
    process = start_process(compile_program(source, folder), system_directory=RUNTIME_IMAGES, chance=chance)
    return process, process.run()


def passes(folder: Path, text: str) -> str:
    """Run a program that must exit with status 0. Returns its debug output."""
    process, outcome = run(folder, text)
    assert isinstance(outcome, Exited), outcome
    lines = (HEAD + text).splitlines()
    assert outcome.status == 0, f"exit status {outcome.status:#x}: " + (
        lines[outcome.status - 1] if 0 < outcome.status <= len(lines) else "no line"
    )
    return process.debug_output.decode().strip()


def crashes(folder: Path, text: str, chance: Chance = "second") -> tuple[str, Crashed]:
    """Run a program that must be stopped by an exception. Returns its debug output and the end."""
    process, outcome = run(folder, text, chance)
    assert isinstance(outcome, Crashed), outcome
    return process.debug_output.decode().strip(), outcome
