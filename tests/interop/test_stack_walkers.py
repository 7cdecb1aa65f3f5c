"""Public stack walkers find the frames that docs/stacks.md says, and no others. Those not installed are skipped.

LLDB, Breakpad's minidump_stackwalk and rust-minidump's minidump-stackwalk are found in the search path, or named by
DUMPTRUTH_LLDB, DUMPTRUTH_BREAKPAD and DUMPTRUTH_RUST_MINIDUMP. The engine needs DUMPTRUTH_ENGINE (docs/witness.md).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.fixtures.adapters.facts import ReaderFailedError, ReaderMissingError
from dumptruth.fixtures.adapters.stacks import WALKERS, Stacks, walk
from dumptruth.fixtures.adapters.stacks.known import known
from dumptruth.fixtures.documents import stacks as stacks_document
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.recipe import load_recipes
from dumptruth.fixtures.vectors.symbols import FLAG, write_images
from dumptruth.fixtures.vectors.target import target_of

RECIPES = load_recipes()
VECTORS = [name for name, recipe in RECIPES.items() if FLAG in (recipe["flags"] or ())]
IMAGES = ("stacks.exe", "ntdll.dll", "kernel32.dll", "ntoskrnl.exe", "hal.dll", "crashdrv.sys", "gone.sys", "app.exe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("walked")
    write_images(made, IMAGES)
    return made


def truth_of(vector: str) -> tuple[dict[int, list[tuple[int, int]]], list[str | None]]:
    """The frames of each thread or processor as (instruction pointer, stack pointer); the functions of the first."""
    snapshot = target_of(RECIPES[vector]["target"]).snapshot
    assert snapshot is not None
    threads: dict[int, list[tuple[int, int]]] = {}
    functions: list[str | None] = []
    for stack in snapshot.stacks:
        name = stack.processor if hasattr(stack, "processor") else stack.thread_id
        if name is not None:
            functions = functions or [frame.function for frame in stack.frames]
            threads[name] = [(frame.instruction_pointer, frame.stack_pointer) for frame in stack.frames]
    return threads, functions


def right_frames(walked: Stacks, thread: int, expected: list[tuple[int, int]]) -> int:
    """How many frames are right, counted from the innermost; 0 if all are and there are others, too."""
    found = walked.get(thread, ())
    count = 0
    for frame, (instruction, stack) in zip(found, expected, strict=False):
        if frame.instruction_pointer != instruction or frame.stack_pointer not in (None, stack):
            break
        count += 1
    return 0 if count == len(expected) < len(found) else count


def test_the_frames_of_the_table_are_those_of_the_truth() -> None:
    for vector in VECTORS:
        _, functions = truth_of(vector)
        assert tuple(functions) == known().expected(vector), vector


@pytest.mark.parametrize("walker", WALKERS)
@pytest.mark.parametrize("vector", VECTORS)
def test_a_walker_finds_the_frames_of_the_table(walker: str, vector: str, folder: Path, tmp_path: Path) -> None:
    made = make(RECIPES[vector], RECIPES)
    assert made.data is not None
    dump = tmp_path / "walked.dmp"
    dump.write_bytes(made.data)
    limit = known().limit(walker, vector)
    try:
        walked = walk(walker, dump, folder)
    except ReaderMissingError as missing:
        pytest.skip(str(missing))
    except ReaderFailedError:
        assert limit is not None
        assert limit.right == 0
        return
    threads, _ = truth_of(vector)
    for number, (thread, expected) in enumerate(threads.items()):
        limited = limit is not None and (number == 0 or limit.every_thread)
        due = limit.right if limit is not None and limited else len(expected)
        assert right_frames(walked, thread, expected) == due, f"thread {thread:#x}"


def test_every_limit_is_of_a_vector() -> None:
    for limit in known().limits:
        assert any(known().limit(walker, vector) is limit for vector in VECTORS for walker in limit.walkers), limit


def test_the_page_is_current() -> None:
    assert stacks_document.DOCUMENT.read_text(encoding="utf-8") == stacks_document.document()
