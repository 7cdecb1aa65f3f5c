"""Programs that crash in the engine's hands: they are compiled here, and their state becomes a truth.

The truth is the engine's own full dump of the same stop. Clocks, counters and a few pages go on while a program stands
still: for each dump the truth has them as they are in that dump.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from dumptruth.emu.snapshot.process import MemoryRun, ProcessSnapshot, Thread
from dumptruth.emu.truth.store import truth_document
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import run_until_crash, write
from dumptruth.fixtures.adapters.full_dump_target import snapshot_of
from dumptruth.oracle import ProcessTruth, read
from dumptruth.oracle.readers.facts import Dump
from dumptruth.oracle.truth.load import parse_truth

TARGETS: Final = Path(__file__).with_name("targets")
PROGRAMS: Final = ("tiny.c", "protections.c", "objects.c", "deep.c", "thrown.cpp", "wild.c")
HAS_COMPILER: Final = importlib.util.find_spec("ziglang") is not None
SMALL: Final = 1024
FULL: Final = 0x08000C07
"""Format flags: all memory, handles, unloaded modules, memory info, thread info; unreadable memory is left out."""
EXTENDED: Final = 0x20000
"""Format flag: the extended state of the processor."""
_WITHOUT_LIBRARY: Final = ("-nostdlib", "-Wl,-e,start")
_PAGE: Final = 0x1000
_SHARED_USER_DATA: Final = 0x7FFE0000
_MOST_DIFFERENT: Final = 32
"""Pages that may differ between two full dumps of one stop."""
_TEB: Final = 0x2000
_ALLOCATION: Final = 0x10000


def compiled(source: str, folder: Path) -> Path:
    """The program of ``source``, compiled for 64-bit Windows with the C library of the ``ziglang`` wheel."""
    program = folder / Path(source).with_suffix(".exe")
    if not program.exists():
        compiler = "c++" if source.endswith(".cpp") else "cc"
        options = _WITHOUT_LIBRARY if source == "tiny.c" else ()
        command = [sys.executable, "-m", "ziglang", compiler, "-target", "x86_64-windows-gnu", "-O1", *options]
        subprocess.run([*command, str(TARGETS / source), "-o", str(program)], check=True, capture_output=True)
    return program


class Stop:
    """A program that stands still at its crash. The harness holds it until its session ends."""

    def __init__(self, harness: Harness, program: Path) -> None:
        run_until_crash(harness, program)
        first, self.snapshot = (self._full(harness, program.with_suffix(f".{number}.dmp")) for number in (1, 2))
        different = set(_different(first, self.snapshot))
        assert len(different) <= _MOST_DIFFERENT
        self.moving = [(page, page + _PAGE) for page in sorted({_SHARED_USER_DATA, *different})]
        """Ranges of memory that change while the program stands still."""
        if sys.platform != "win32":
            self.moving += _of_wine(self.snapshot)

    @staticmethod
    def _full(harness: Harness, path: Path) -> ProcessSnapshot:
        written = write(harness, path, SMALL, FULL | EXTENDED)
        assert written.succeeded, written.said
        snapshot = snapshot_of(path)
        path.unlink()
        return snapshot

    def truth_at(self, path: Path) -> ProcessTruth:
        """The truth for the dump ``path``, which the engine wrote later."""
        with read(path) as contents:
            assert isinstance(contents.facts, Dump)
            snapshot = self._at(contents.facts)
        return parse_truth(truth_document(snapshot, path.name), b"".join(bytes_of(run) for run in snapshot.memory))

    def _at(self, dump: Dump) -> ProcessSnapshot:
        """The state of the program when ``dump`` was written: what may have moved is taken from it, and goes on."""
        now, misc, counters = self.snapshot, dump.misc_info, dump.vm_counters
        assert dump.header is not None
        assert misc is not None
        assert counters is not None
        times = {name: misc[f"Process{name}"] * 10_000_000 for name in ("UserTime", "KernelTime")}
        process = now.process
        assert times["UserTime"] >= process.user_time
        assert times["KernelTime"] >= process.kernel_time
        return replace(
            now,
            time=_later(now.time, dump.header["TimeDateStamp"] * 10_000_000 + 116_444_736_000_000_000),
            process=replace(
                process,
                user_time=times["UserTime"],
                kernel_time=times["KernelTime"],
                vm=replace(
                    process.vm,
                    page_fault_count=_later(process.vm.page_fault_count, counters["PageFaultCount"]),
                    # Wine takes both from Linux, which counts pages in batches: a peak may go back a little.
                    peak_working_set_size=counters["PeakWorkingSetSize"],
                    working_set_size=counters["WorkingSetSize"],
                ),
            ),
            threads=tuple(self._threads(dump)),
            memory=tuple(self._memory(dump)),
        )

    def _threads(self, dump: Dump) -> Iterator[Thread]:
        infos = {info["ThreadId"]: info for info in dump.thread_infos}
        for thread in self.snapshot.threads:
            info = infos.get(thread.thread_id)
            if info is None:
                yield thread
                continue
            yield replace(
                thread,
                kernel_time=_later(thread.kernel_time, info["KernelTime"]),
                user_time=_later(thread.user_time, info["UserTime"]),
            )

    def _memory(self, dump: Dump) -> Iterator[MemoryRun]:
        """The memory of the snapshot, with the dump's bytes in the pages that move."""
        pieces = dump.pieces()
        for run in self.snapshot.memory:
            moved = [(max(start, run.start), min(end, run.end)) for start, end in self.moving]
            data = bytearray(bytes_of(run)) if any(low < high for low, high in moved) else None
            for first, last in moved:
                for start, end, offset in pieces:
                    low, high = max(start, first), min(end, last)
                    if data is not None and low < high:
                        data[low - run.start : high - run.start] = dump.source.read(offset + low - start, high - low)
            yield run if data is None else MemoryRun(run.start, bytes(data))


def _of_wine(snapshot: ProcessSnapshot) -> Iterator[tuple[int, int]]:
    """Memory of Wine itself: the rest of a TEB's 64 KiB, and the allocation that begins where a stack ends.

    docs/format/engine.md#artefacts-of-wine
    """
    for thread in snapshot.threads:
        yield thread.teb + _TEB, thread.teb + _ALLOCATION
        yield from (
            (region.base, region.end) for region in snapshot.regions if region.allocation_base == thread.stack_base
        )


def bytes_of(run: MemoryRun) -> bytes:
    """The bytes of a run. A truth from a dump has no sparse ones."""
    assert isinstance(run.data, bytes)
    return run.data


def _later(before: int, after: int) -> int:
    """A value that does not go back."""
    assert before <= after
    return after


def _different(first: ProcessSnapshot, second: ProcessSnapshot) -> Iterator[int]:
    """The addresses of the pages whose bytes differ."""
    held = {run.start: run.data for run in first.memory}
    assert held.keys() == {run.start for run in second.memory}
    for run in second.memory:
        if held[run.start] != run.data:
            for at in range(0, len(run.data), _PAGE):
                if held[run.start][at : at + _PAGE] != run.data[at : at + _PAGE]:
                    yield run.start + at
