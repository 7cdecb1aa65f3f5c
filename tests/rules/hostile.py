"""Checks for hostile files: the judge gives a report that renders, in little time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from dumptruth.fixtures.mutants.hand_pristine import HandPristine
from dumptruth.oracle import ByteSource, KernelTruth, Outcome, ProcessTruth, Report, RequestTruth, Verdict, check
from dumptruth.oracle.decode import structure
from dumptruth.oracle.model import DontCare
from dumptruth.oracle.report.text import render

EXTREMES = (
    *(0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFD, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF),
    *(1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
EVERY = pytest.param(1, marks=pytest.mark.slow)
"""The step that selects every value; only tests with the mark ``slow`` use it."""


def extremes(width: int, number: int, step: int) -> tuple[int, ...]:
    """One in ``step`` of the extreme values that fit into ``width`` bytes; ``number`` shifts the selection."""
    fitting = [value for value in EXTREMES if value < 1 << 8 * width]
    return tuple(fitting[number % min(step, len(fitting)) :: step])


def extreme_patches(records: Mapping[str, str], step: int) -> Iterator[tuple[str, int, bytes]]:
    """(piece, offset in it, new bytes) for every integer of ``records``, a map of pieces to structures."""
    fields = [(piece, field) for piece, name in records.items() for field in structure(name).fields.values()]
    for number, (piece, field) in enumerate(fields):
        if field.kind != "bytes" and field.count == 1:
            for value in extremes(field.width, number, step):
                yield piece, field.offset, value.to_bytes(field.width, "little")


def judged(
    data: bytes,
    truth: ProcessTruth | KernelTruth | None = None,
    asked: RequestTruth | None = None,
    *,
    strict: bool = True,
    name: str = "x.dmp",
) -> Report:
    """The report. Its outcome must not be an internal error."""
    start = time.process_time()
    report = check(ByteSource(data, name), truth, asked, strict=strict)
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    assert render(report)
    assert 0 <= report.unclaimed <= len(data)
    assert time.process_time() - start < 10  # takes hundredths of a second; an endless loop does not end
    return report


def judged_by_hand(
    data: bytes, made: HandPristine | None = None, *, strict: bool = True, name: str = "x.dmp"
) -> Report:
    """The report on changed bytes of a dump made by hand, against its truth and request if ``made`` is given."""
    truth, asked = (made.truth, made.asked) if made else (None, None)
    return judged(data, truth, asked, strict=strict, name=name)


def offsets_in(dont_cares: Iterable[DontCare]) -> set[int]:
    return {at for item in dont_cares for at in range(item.span.start, item.span.end)}


def failing(report: Report) -> set[str]:
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


def unnoticed(made: HandPristine, offsets: Iterable[int]) -> set[int]:
    """The offsets whose inverted byte leaves the file conformant."""
    found, data = set(), bytearray(made.data)
    for offset in offsets:
        data[offset] ^= 0xFF
        report = check(ByteSource(bytes(data)), made.truth, made.asked)
        data[offset] ^= 0xFF
        assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
        if report.outcome is Outcome.CONFORMANT:
            found.add(offset)
    return found


def peak(folder: Path) -> int:
    """Peak memory in bytes of a child process that judges every file of a folder; not on Windows.

    On Linux ru_maxrss survives fork and exec, so the peak is read from /proc.
    """
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom dumptruth.oracle import ByteSource, check\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n    check(ByteSource.open(path))\n"
        "status = Path('/proc/self/status')\n"
        "peak = [line.split()[1] for line in status.read_text().splitlines() if line.startswith('VmHWM')] "
        "if status.exists() else []\n"
        "print(int(peak[0]) * 1024 if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout)
