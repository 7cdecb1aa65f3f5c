"""What every hostile file gets from the judge: an answer that can be shown, in little time and memory."""

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
from dumptruth.oracle.report.text import render

EXTREMES = (
    *(0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFD, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF),
    *(1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
EVERY = pytest.param(1, marks=pytest.mark.slow)
"""A step: all of them."""


def extremes(width: int, number: int, step: int) -> tuple[int, ...]:
    """Extreme values that fit into ``width`` bytes: one in ``step``, another one for another ``number`` of a field."""
    fitting = [value for value in EXTREMES if value < 1 << 8 * width]
    return tuple(fitting[number % min(step, len(fitting)) :: step])


def extreme_patches(records: Mapping[str, str], step: int) -> Iterator[tuple[str, int, bytes]]:
    """(piece, offset in it, new bytes) for every integer of ``records``, which are pieces and their structures."""
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
    """The report, which is a verdict and no error."""
    start = time.process_time()
    report = check(ByteSource(data, name), truth, asked, strict=strict)
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    assert render(report)
    assert 0 <= report.unclaimed <= len(data)
    assert time.process_time() - start < 10  # hundredths of one; a loop without a bound takes for ever
    return report


def failing(report: Report) -> set[str]:
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


def unnoticed(made: HandPristine, offsets: Iterable[int]) -> set[int]:
    """Those bytes that may be turned over and the file stays conformant."""
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
    """Bytes of memory that a child needs to judge every file of a folder; not on Windows.

    Linux hands ru_maxrss on across fork and exec, so there the peak is read from /proc, which starts anew.
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
