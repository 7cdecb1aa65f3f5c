"""Looks for faults of the engine in the dumps that it wrote, beside the dump that was its target.

An answer says whether the fault is there and what was seen, so that a person can judge it. It works on files alone:
the tests also give it dumps with a planted fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from dumptruth.oracle import read
from dumptruth.oracle.memory.page_set import PageSet
from dumptruth.oracle.memory.walk import mapped
from dumptruth.oracle.readers.facts import Dump
from dumptruth.oracle.readers.kernel_dump import KernelDump

KUSER_SHARED_DATA: Final = 0x7FFE0000
FLTSAVE, MISPLACED, FLTSAVE_SIZE = 0x100, 0x200, 0x200
"""Offsets of FltSave in CONTEXT, and where the engine puts it; its size in bytes."""
WALKS: Final = 10e-6
"""Seconds a page from which time depends on the address space. The engine with the fault took 200e-6."""


class Answer(NamedTuple):
    fault: bool | None
    """Whether the fault is there. None: the engine refused the request."""
    seen: str


def entry_511(source: Path, copy: Path) -> Answer:
    """``source`` has all pages. The copy lacks those below an entry 511, and no other page of the kernel half.

    Page tables do not count: the self-map leads to some of them in another way.
    """
    with read(source) as whole, read(copy) as part:
        assert isinstance(whole.facts, KernelDump)
        assert isinstance(part.facts, KernelDump)
        assert whole.facts.header is not None
        root = (whole.facts.header["DirectoryTableBase"],)
        every = mapped(whole.facts, root, kernel=True)
        others = PageSet(mapped(whole.facts, root, kernel=True, last_entries=False).leaves)
        below = PageSet(every.leaves) - others - PageSet((table, table + 1) for table in every.tables)
        ram, held = (PageSet((at, at + n) for at, n, _ in dump.pages.runs()) for dump in (whole.facts, part.facts))
    below, others = below & ram, others & ram
    return Answer(
        bool(below) and not below & held and not others - held,
        f"{below.total} pages lie below an entry 511, the copy has {(below & held).total} of them; "
        f"{others.total} other pages are mapped, the copy has {(others & held).total}",
    )


def misplaced_fltsave(source: Path, copy: Path) -> Answer:
    """The bytes of FltSave in the source's context stand 0x100 too high in the copy's."""
    due = _context(source)[FLTSAVE:][:FLTSAVE_SIZE]
    assert any(due)
    context = _context(copy)
    places = [at for at in (FLTSAVE, MISPLACED) if context[at : at + FLTSAVE_SIZE] == due]
    where = " and ".join(f"CONTEXT + {at:#x}" for at in places) or "neither place"
    return Answer(places == [MISPLACED], f"the target's FltSave is at CONTEXT + {FLTSAVE:#x}, in the copy at {where}")


def _context(path: Path) -> bytes:
    with read(path) as contents:
        assert isinstance(contents.facts, KernelDump)
        assert contents.facts.context is not None
        span = contents.facts.context.span
        return contents.facts.source.read(span.start, len(span))


def foreign_kuser(source: Path, copy: Path) -> Answer:
    """The source lacks KUSER_SHARED_DATA. The copy has bytes there: those of the source's next range above."""
    above, due = next(range_ for range_ in _ranges(source) if range_[0] + len(range_[1]) > KUSER_SHARED_DATA)
    assert above > KUSER_SHARED_DATA
    found = next((data for start, data in _ranges(copy) if start == KUSER_SHARED_DATA), None)
    if found is None:
        return Answer(False, f"the target lacks {KUSER_SHARED_DATA:#x}, and so does the copy")
    foreign = bool(found) and found[: len(due)] == due[: len(found)]
    whose = f"those of {above:#x}" if foreign else f"not those of {above:#x}"
    return Answer(
        foreign, f"the target lacks {KUSER_SHARED_DATA:#x}; the copy has {len(found):#x} bytes there, {whose}"
    )


def _ranges(path: Path) -> list[tuple[int, bytes]]:
    with read(path) as contents:
        assert isinstance(contents.facts, Dump)
        source = contents.facts.source
        return [(start, source.read(offset, end - start)) for start, end, offset in contents.facts.pieces()]


def walk(times: Mapping[int, float]) -> Answer:
    """``times`` are seconds by the number of pages up to the last range. Each further page takes its time."""
    steps = [(times[more] - times[fewer]) / (more - fewer) for fewer, more in pairwise(sorted(times))]
    told = ", ".join(f"{pages} pages {seconds:.3f} s" for pages, seconds in sorted(times.items()))
    return Answer(min(steps) >= WALKS, f"{told}: at least {min(steps) * 1e6:.1f} us for each further page")
