"""Other projects' readers open the writer's minidumps and report the facts and bytes of the target.

The tests compare with the snapshot, and use neither the writer's plan nor the oracle. Each reader runs in another
process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.process import PAGE_SIZE, ProcessSnapshot
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.fixtures.adapters import READERS
from dumptruth.fixtures.adapters.facts import Facts, PageFact, ReaderFailedError, digest
from dumptruth.fixtures.adapters.known import USER, Verdict

SYNTHETIC = "synthetic"
TARGETS = (SYNTHETIC, "null-read", "raised-exception", "secondary-thread", "dll-after-unload", "deadlock")
KINDS = {"small": Qualifier.DEBUG_DUMP_SMALL, "default": Qualifier.DEBUG_DUMP_DEFAULT}
# Full memory, handles, unloaded modules, memory info, thread info; full memory ignores unreadable memory. The engine
# adds token data to each dump. docs/format/format-flags.md#translation-to-header-flags
FLAGS = {"small": 0x40000, "default": 0x61826}
USER_SHARED_DATA = (0x7FFE0000, 0x7FFE0AA0)
"""docs/format/minidump-captured-memory.md#shared-user-data-page"""


@dataclass(frozen=True, eq=False)
class Dumped:
    snapshot: ProcessSnapshot
    path: Path


Says = Callable[[str, Dumped], Facts]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dumps")


@cache
def _snapshot(target: str) -> ProcessSnapshot:
    return synthetic_process() if target == SYNTHETIC else run_scenario(target)


@cache
def _dumped(folder: Path, target: str, kind: str) -> Dumped:
    snapshot, path = _snapshot(target), folder / f"{target}-{kind}.dmp"
    assert DebugClient(snapshot, start_directory=folder).WriteDumpFile(str(path), KINDS[kind]) == 0
    return Dumped(snapshot, path)


@pytest.fixture(scope="module")
def says(ask_one: Callable[[str, Path], Facts | ReaderFailedError]) -> Says:
    """The facts that a reader reports of a dump, cached."""

    @cache
    def said(reader: str, dumped: Dumped) -> Facts:
        answer = ask_one(reader, dumped.path)
        assert isinstance(answer, Facts), answer
        return answer

    return said


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of half-open ranges: sorted ranges that do not touch."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _entitled(snapshot: ProcessSnapshot, kind: str) -> list[tuple[int, int]]:
    """The ranges of a dump of this kind: docs/format/minidump-captured-memory.md#ranges-of-every-minidump."""
    if kind == "default":
        return [(run.start, run.end) for run in snapshot.memory]
    code = [thread.context["Rip"] for thread in snapshot.threads]
    stacks = [(thread.context["Rsp"], thread.stack_base) for thread in snapshot.threads]
    stacks = [
        (sp if thread.stack_limit <= sp < thread.stack_base else thread.stack_limit, base)
        for thread, (sp, base) in zip(snapshot.threads, stacks, strict=True)
    ]
    if snapshot.exception is not None:
        code.append(snapshot.exception.address)
    windows = [(max(address - 0x80, 0), address + 0x80) for address in code if address < 1 << 47]
    ranges = (*stacks, *windows, USER_SHARED_DATA)
    return _merged(part for start, end in ranges for part in snapshot.readable(start, end))


def _held(pages: Iterable[PageFact]) -> list[tuple[int, int]]:
    return _merged((page.start, page.start + page.size) for page in pages)


cases = pytest.mark.parametrize(
    ("reader", "target", "kind"),
    [(reader, target, kind) for reader in READERS for target in TARGETS for kind in KINDS],
)


@cases
def test_a_reader_agrees_on_architecture_threads_modules_and_exception(
    says: Says, folder: Path, *, reader: str, target: str, kind: str
) -> None:
    dumped = _dumped(folder, target, kind)
    said, truth = says(reader, dumped), dumped.snapshot
    if USER[reader][kind] is Verdict.HEADER:
        assert said.flags == FLAGS[kind]
        assert said.stream_count
        return
    assert said.architecture == truth.system.architecture
    assert sorted(
        (thread.thread_id, thread.instruction_pointer, thread.stack_pointer, thread.teb)
        for thread in said.threads or ()
    ) == sorted(
        (thread.thread_id, thread.context["Rip"], thread.context["Rsp"], thread.teb) for thread in truth.threads
    )
    assert sorted((module.base, module.size, module.name) for module in said.modules or ()) == sorted(
        (module.base, module.size, module.name) for module in truth.modules
    )
    if truth.exception is None:
        assert said.exception is None
    else:
        assert said.exception is not None
        assert said.exception.thread_id == truth.exception.thread_id
        if reader != "udmp-parser":  # it reports the thread, and not the record
            assert (said.exception.code, said.exception.address) == (truth.exception.code, truth.exception.address)


@cases
def test_a_reader_finds_exactly_the_memory_that_the_target_held(
    says: Says, folder: Path, *, reader: str, target: str, kind: str
) -> None:
    dumped = _dumped(folder, target, kind)
    said, truth = says(reader, dumped), dumped.snapshot
    verdict = USER[reader][kind]
    if verdict is Verdict.HEADER or (verdict is Verdict.PARTLY and not said.memory):
        return  # what the reader leaves out is a known fault
    assert said.memory is not None
    wrong = [page for page in said.memory if page.digest != digest(truth.read(page.start, page.size) or b"")]
    assert wrong == []
    assert len({page.start for page in said.memory}) == len(said.memory)
    assert sum(page.size for page in said.memory) == sum(end - start for start, end in _held(said.memory))
    assert _held(said.memory) == _entitled(truth, kind)
    if kind == "default":
        assert {page.size for page in said.memory} == {PAGE_SIZE}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", TARGETS)
def test_readers_count_the_same_streams(says: Says, folder: Path, target: str, kind: str) -> None:
    dumped = _dumped(folder, target, kind)
    counts = {
        reader: said.stream_count for reader in READERS if (said := says(reader, dumped)).stream_count is not None
    }
    assert len(counts) >= 2
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize("target", [target for target in TARGETS if target != SYNTHETIC])
def test_a_reader_finds_the_process_parameters_through_the_peb_of_a_full_dump(
    says: Says, folder: Path, target: str
) -> None:
    dumped = _dumped(folder, target, "default")
    assert says("minidump", dumped).extra == {
        "image_base": hex(dumped.snapshot.modules[0].base),
        "command_line": dumped.snapshot.process.command_line,
    }
