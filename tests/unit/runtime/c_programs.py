"""C programs of tests: compiled once a module, run on the runtime system, judged by their console."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dumptruth.emu.images.programs import compile_program
from dumptruth.emu.process.library import RUNTIME_IMAGES
from dumptruth.emu.process.outcome import Outcome
from dumptruth.emu.process.start import start_process


def compiled(folder: Path, text: str, suffix: str = ".c") -> Path:
    """The .exe of a source text."""
    source = folder / f"program{suffix}"
    source.write_text(text, encoding="utf-8")
    return compile_program(source, folder)


def run(program: Path, *arguments: str) -> tuple[Outcome, list[str]]:
    """The end of a program, and the lines of its console."""
    process = start_process(
        program, subprocess.list2cmdline([program.name, *arguments]), system_directory=RUNTIME_IMAGES
    )
    outcome = process.run()
    return outcome, process.console.decode("latin-1").split("\r\n")[:-1]
