"""A crash with 5 GiB of private memory and five pages that are not zero: dump and truth are sparse files. Judging,
comparing, mapping and replaying read only their data.

The tests count bytes and disk blocks.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag as Flag
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.plan.memory import RangePlan
from dumptruth.emu.plan.user import plan_user
from dumptruth.emu.request import Request
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.snapshot.sparse import SparseBytes
from dumptruth.emu.synthetic.sparse import with_private_region
from dumptruth.emu.truth import store
from dumptruth.emu.writer.minidump import Minidump
from dumptruth.emu.writer.sinks import FileSink
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.replay.judging import judge
from dumptruth.oracle import ByteSource, Fault, Outcome, Report, Span, Verdict, load_request, load_truth, read_minidump

GIB, PAGE = 1 << 30, 0x1000
BIG = 0x400_0000_0000
SIZE = 5 * GIB
STRETCHES = (0, 2 * GIB, 4 * GIB - PAGE, 4 * GIB, SIZE - PAGE)
"""Offsets of the pages that are not zero."""
REQUEST = Request(
    Qualifier.DEBUG_DUMP_SMALL,
    Flag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY | Flag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO,
)
FEW = 64 << 20
"""A bound in bytes: the rest of the process has less than 8 MiB."""
LEGACY = Request(Qualifier.DEBUG_DUMP_DEFAULT, profile="legacy")
FILTERS = Request(
    Qualifier.DEBUG_DUMP_SMALL,
    Flag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
    | Flag.DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY
    | Flag.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE,
)


@dataclass
class Counter:
    """Counts the bytes that are read from files."""

    read: int = 0
    longest: int = 0


@dataclass(frozen=True)
class Sparse:
    """The files of one request."""

    folder: Path
    target: ProcessSnapshot = field(repr=False)
    request: Request

    @property
    def dump(self) -> Path:
        return self.folder / "big.dmp"

    @property
    def truth(self) -> Path:
        return self.folder / "truth"

    def write(self) -> Sparse:
        self.folder.mkdir()
        client = DebugClient(self.target, start_directory=self.folder, profile=self.request.profile)
        client.write("big.dmp", self.request.qualifier, self.request.format_flags)
        store.save(self.target, self.truth, source="null-read", request=self.request, file="big.dmp")
        return self

    def judged(self) -> Report:
        return judge(self.dump, load_truth(self.truth), load_request(self.truth))

    def place_of(self, address: int) -> int:
        """The file offset of a byte of the target."""
        with ByteSource.open(self.dump) as source:
            pieces = read_minidump(source).pieces()
        start, _, offset = next(piece for piece in pieces if piece[0] <= address < piece[1])
        return offset + address - start


@pytest.fixture(scope="module")
def target() -> ProcessSnapshot:
    stretches = [(offset, struct.pack("<Q", BIG + offset) * (PAGE // 8)) for offset in STRETCHES]
    return with_private_region(run_scenario("null-read"), BIG, SparseBytes(SIZE, stretches))


@pytest.fixture(scope="module")
def holes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on a file system with holes that SEEK_DATA finds."""
    folder = tmp_path_factory.mktemp("sparse")
    with (folder / "probe").open("wb") as probe:
        probe.seek(1 << 24)
        probe.write(b"\0")
    with ByteSource.open(folder / "probe") as source:
        if sum(end - start for start, end in source.data(0, source.size)) > source.size // 2:
            pytest.skip("the system does not tell where files have holes: all of 5 GiB would be written and read")
    return folder


@pytest.fixture(scope="module")
def big(holes: Path, target: ProcessSnapshot) -> Sparse:
    return Sparse(holes / "full", target, REQUEST).write()


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts the bytes read from dumps and truths, which all go through ByteSource."""
    count, view = Counter(), ByteSource.view

    def counted(source: ByteSource, offset: int, length: int) -> memoryview:
        found = view(source, offset, length)
        count.read += len(found)
        count.longest = max(count.longest, len(found))
        return found

    monkeypatch.setattr(ByteSource, "view", counted)
    return count


@contextmanager
def flipped(path: Path, offset: int) -> Iterator[None]:
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 0xFF]))
    try:
        yield
    finally:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(old)


def failures(report: Report) -> dict[str, Verdict]:
    bad = (Verdict.FAIL, Verdict.ERROR, Verdict.BLOCKED)
    return {result.rule: result.verdict for result in report.results if result.verdict in bad}


def test_dump_and_truth_take_disk_blocks_for_touched_pages_only(big: Sparse) -> None:
    for file in (big.dump, big.truth / "memory.bin"):
        status = file.stat()
        assert status.st_size > SIZE
        if hasattr(status, "st_blocks"):
            assert status.st_blocks * 512 < FEW


def test_every_byte_is_judged_and_few_are_read(big: Sparse, counter: Counter) -> None:
    report = big.judged()
    assert failures(report) == {}
    assert (report.outcome, report.unclaimed, report.claimed) == (Outcome.CONFORMANT, 0, big.dump.stat().st_size)
    assert report.pages > SIZE // PAGE
    checks = {result.rule: (result.verdict, result.checks) for result in report.results}
    assert checks["PAGE-BYTES-001"] == (Verdict.PASS, report.pages)
    assert checks["XCUT-REPLAY-001"][0] is Verdict.PASS, "the replay raises the crash in a machine with 5 GiB"
    assert counter.read < FEW
    assert counter.longest < FEW // 64


@pytest.mark.parametrize("request_", [LEGACY, FILTERS], ids=["legacy", "filters"])
def test_legacy_and_filtered_dumps_of_5_gib_are_judged_with_few_reads(
    holes: Path, target: ProcessSnapshot, request_: Request, counter: Counter
) -> None:
    made = Sparse(holes / f"{request_.format_flags:x}", target, request_).write()
    report = made.judged()
    assert failures(report) == {}
    assert (report.outcome, report.unclaimed) == (Outcome.CONFORMANT, 0)
    assert report.pages > SIZE // PAGE
    assert counter.read < FEW


@pytest.mark.parametrize(
    "address", [BIG + 4 * GIB + 0x123, BIG + 4 * GIB + 0x3000_0FFF, BIG + SIZE - 1], ids=["data", "hole", "last"]
)
def test_a_wrong_byte_past_4_gib_is_found(big: Sparse, counter: Counter, address: int) -> None:
    place = big.place_of(address)
    assert place > 4 * GIB
    with flipped(big.dump, place):
        report = big.judged()
    assert failures(report) == {"PAGE-BYTES-001": Verdict.FAIL}
    (result,) = (result for result in report.results if result.rule == "PAGE-BYTES-001")
    (finding,) = result.findings
    assert finding.spans == (Span(place, place + 1),)
    assert f"{address:#x}" in finding.subject
    assert counter.read < FEW


def test_a_byte_of_the_truth_that_falls_in_a_hole_of_the_dump_is_found(big: Sparse) -> None:
    run = next(run for run in load_truth(big.truth).memory if run.start == BIG)
    with flipped(big.truth / "memory.bin", run.offset + 3 * GIB + 5):
        report = big.judged()
    assert failures(report) == {"PAGE-BYTES-001": Verdict.FAIL}
    (finding,) = (finding for result in report.results for finding in result.findings)
    assert f"{BIG + 3 * GIB + 5:#x}" in finding.subject


def test_a_missing_page_past_4_gib_is_found(
    holes: Path, target: ProcessSnapshot, big: Sparse, counter: Counter
) -> None:
    page = BIG + 4 * GIB
    plan = plan_user(target, REQUEST)
    (whole,) = (planned for planned in plan.ranges if planned.start <= page < planned.end)
    parts = [RangePlan(whole.start, page, whole.reasons), RangePlan(page + PAGE, whole.end, whole.reasons)]
    ranges = sorted([*(planned for planned in plan.ranges if planned != whole), *parts], key=lambda it: it.start)
    file = holes / "page.dmp"
    sink = FileSink(file)
    Minidump(target, REQUEST, plan=replace(plan, ranges=tuple(ranges))).emit(sink)
    sink.commit()
    report = judge(file, load_truth(big.truth), load_request(big.truth))
    assert report.outcome is Outcome.NON_CONFORMANT
    missing = [
        part for result in report.results for finding in result.findings
        if finding.fault is Fault.MISSING for part in finding.memory
    ]  # fmt: skip
    assert missing
    assert set(missing) == {Span(page, page + PAGE)}
    assert counter.read < FEW


def test_the_commands_read_what_the_files_hold(
    big: Sparse, holes: Path, counter: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, again = str(big.truth), holes / "again.dmp"
    assert run_command(["dump", truth, "-o", str(again), "-f", "full-memory", "-f", "full-memory-info"]) == 0
    assert getattr(again.stat(), "st_blocks", 0) * 512 < FEW
    assert run_command(["check", str(again), "--truth", truth]) == 0
    capsys.readouterr()
    assert run_command(["diff", str(big.dump), str(again), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] == []
    page = BIG + 4 * GIB + 0x1000_0000
    with flipped(again, big.place_of(page + 7)):
        assert run_command(["diff", str(big.dump), str(again), "--json"]) == 1
        assert f"{page:#x}" in capsys.readouterr().out
        assert run_command(["map", str(again), "--truth", truth, "--json"]) == 0
        drawn = json.loads(capsys.readouterr().out)
    assert [region for region in drawn["memory"]["regions"] if region["state"] == "wrong"]
    assert counter.read < 3 * FEW
    assert counter.longest < FEW // 64
