"""Compiles C programs and runs them on the runtime system: exit status 0, or the line number of the failed check."""

from __future__ import annotations

from pathlib import Path

from dumptruth.emu.images.build import compile_program
from dumptruth.emu.limits import DEFAULTS, Limits
from dumptruth.emu.process.library import RUNTIME_IMAGES
from dumptruth.emu.process.outcome import Exited, Outcome
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.start import start_process

HEAD = """
#define _WIN32_WINNT 0x0a00
#include <windows.h>
#include <winternl.h>
#include <string.h>
#define CHECK(condition) do { if (!(condition)) ExitProcess(__LINE__); } while (0)
static void say(const char *text)
{
    DWORD n;
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text, (DWORD)strlen(text), &n, NULL);
}
static void say_number(unsigned long long value)
{
    char digits[24];
    int at = sizeof(digits) - 1;
    digits[at] = 0;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    say(digits + at);
    say("\\n");
}
"""


def run(
    folder: Path, text: str, arguments: str = "", *, limits: Limits = DEFAULTS, dlls: tuple[Path, ...] = ()
) -> tuple[Process, Outcome]:
    """The process and its outcome."""
    source = folder / "program.c"
    source.write_text(HEAD + text, encoding="utf-8", newline="\n")
    program = compile_program(source, folder)
    process = start_process(
        program, f"program.exe{arguments}", system_directory=RUNTIME_IMAGES, limits=limits, dll_directories=dlls
    )
    return process, process.run()


def output(
    folder: Path, text: str, arguments: str = "", *, limits: Limits = DEFAULTS, dlls: tuple[Path, ...] = ()
) -> str:
    """The console output of a program that exits with status 0."""
    process, outcome = run(folder, text, arguments, limits=limits, dlls=dlls)
    assert isinstance(outcome, Exited), outcome
    lines = (HEAD + text).splitlines()
    assert outcome.status == 0, f"exit status {outcome.status:#x}: " + (
        lines[outcome.status - 1] if 0 < outcome.status <= len(lines) else "no line"
    )
    return process.console.decode("utf-8")
