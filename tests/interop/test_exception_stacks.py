"""Public stack walkers find the call stack of a program that handles exceptions, at both chances.

The stack of a handler leads through the dispatcher of ntdll to the code that raised the exception. Programs and
engine: as for test_stack_walkers.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.process.library import RUNTIME_IMAGES
from dumptruth.emu.process.outcome import CHANCES
from dumptruth.emu.scenarios.process import run_program
from dumptruth.fixtures.adapters.facts import ReaderMissingError

from ..exception_cases import PROGRAMS, argument, build
from ..marks import needs_compiler

stacks: Any = pytest.importorskip("dumptruth.fixtures.adapters.stacks")
pytestmark = needs_compiler
# The stacks that lead through a dispatcher or an unwind always run; the others look like any stack.
THROUGH_THE_DISPATCHER = ("filter-crashes", "finally-crashes", "raised-in-a-handler")
NAMES = [pytest.param(name, marks=() if name in THROUGH_THE_DISPATCHER else pytest.mark.slow) for name in PROGRAMS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program, and its images where the walkers look for them."""
    made = tmp_path_factory.mktemp("stacks")
    images = made / stacks.IMAGES
    images.mkdir()
    build(made)
    for file in (*made.iterdir(), *RUNTIME_IMAGES.iterdir()):
        if file.suffix in (".exe", ".dll", ".pdb"):
            for target in {made, images} - {file.parent}:
                shutil.copy(file, target)
    return made


@pytest.mark.parametrize("walker", ["engine", "lldb"])
@pytest.mark.parametrize("name", NAMES)
def test_a_walker_finds_the_whole_stack(walker: str, name: str, folder: Path, tmp_path: Path) -> None:
    run: Any = run_program
    for chance in CHANCES:
        snapshot = run(folder / "exceptions.exe", [argument(name)], chance=chance, stacks=True)
        for qualifier in (1024, 1025):
            dump = tmp_path / f"{chance}-{qualifier}.dmp"
            DebugClient(snapshot).write(dump, qualifier)
            try:
                walked = stacks.walk(walker, dump, folder)
            except ReaderMissingError as missing:
                pytest.skip(str(missing))
            for stack in snapshot.stacks:
                found = walked[stack.thread_id]
                assert [f.instruction_pointer for f in found] == [f.instruction_pointer for f in stack.frames]
                for frame, expected in zip(found, stack.frames, strict=True):
                    assert frame.stack_pointer in (None, expected.stack_pointer)
