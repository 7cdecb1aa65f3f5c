"""Compiles and runs C programs that end with status 0, or with the line number of the failed check."""

from __future__ import annotations

from pathlib import Path

from dumptruth.emu.images.build import compile_program
from dumptruth.emu.process.outcome import Exited, Outcome
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.start import start_process

HEAD = """
#define WIN32_LEAN_AND_MEAN
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
    process = start_process(program, f"program.exe{arguments}")
    return process, process.run()


def passes(folder: Path, text: str, arguments: str = "") -> Process:
    process, outcome = run(folder, text, arguments)
    assert isinstance(outcome, Exited), outcome
    lines = (HEAD + text).splitlines()
    assert outcome.status == 0, f"exit status {outcome.status:#x}: " + (
        lines[outcome.status - 1] if 0 < outcome.status <= len(lines) else "no line"
    )
    return process
