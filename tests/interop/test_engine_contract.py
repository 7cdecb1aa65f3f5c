"""The recorded answers of the engine's contract, put to a live engine: row by row the same HRESULT and kinds of files.

The rows are in ``fixtures/contracts``. ``tests/unit/test_engine_answers.py`` compares DebugClient with them; this asks
the engine itself, so that the table stays true. A sample always runs, every row with the mark ``slow``.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import Method, end_live, run_until_crash, write
from dumptruth.fixtures.contracts.answers import Answer, answers, faulty, needs_windows

from .engine_judged import contract_of
from .engine_live import FULL, HAS_COMPILER, SMALL, compiled

WINDOWS: Final = sys.platform == "win32"
METHODS: Final = {"one": Method.WRITE_DUMP_FILE, "two": Method.WRITE_DUMP_FILE_2, "wide": Method.WRITE_DUMP_FILE_WIDE}
OLD: Final = b"OLDCONTENT" * 5
EVERY: Final = 12
"""Of the rows of a target the sample asks every twelfth."""
TARGETS: Final = ("user-live", "user-dump-full", "user-dump-small", "kernel-1", "kernel-4", "kernel-6")


def left_out(row: Answer) -> str | None:
    """Why a row is not asked."""
    if reason := faulty(row):
        return reason
    if row.target not in TARGETS:
        return "the harness calls no method without a target, and opens no image"
    if row.state:
        return "a state of the debugger or of a file that the harness does not make"
    if row.handle:
        return "a file handle"
    if not WINDOWS and needs_windows(row):
        return "names that Wine and Windows take in another way"
    return None


@pytest.fixture(name="harness", scope="module")
def engine_with_a_contract(engine: Harness) -> Harness:
    contract_of(engine)
    return engine


@pytest.fixture(name="place")
def a_folder(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    (place / "adir").mkdir(parents=True)
    return place


def start(harness: Harness, target: str, folder: Path) -> Callable[[], object]:
    """Brings the engine to the target of the rows. Returns what ends the session."""
    if target == "user-live":
        if not HAS_COMPILER:
            pytest.skip("compiling needs the extra `images`")
        run_until_crash(harness, compiled("tiny.c", folder))
        return lambda: end_live(harness)
    source = folder / "source.dmp"
    kind, _, form = target.partition("-")
    if kind == "user":
        flags = FULL if form == "dump-full" else 0
        DebugClient(run_scenario("null-read")).write(source, SMALL, flags)
    else:
        qualifier = {"1": "full", "4": "small", "6": "default"}[form]
        DebugClient(run_kernel_scenario("bugcheck-d1", "4M")).write(source, qualifier)
    harness.open(source)
    return lambda: harness.ask("end")


def told(harness: Harness, row: Answer, place: Path) -> list[str]:
    """Asks the row's question, and returns what differs from the recorded answer."""
    existing = place / "exists.dmp"
    if not row.absent:
        existing.write_bytes(OLD)
    (place / "ro.dmp").write_bytes(OLD)
    harness.must("folder", path=harness.path(place))
    if row.method == "dot":
        hresult = harness.ask("execute", command=row.line)["hr"] & 0xFFFF_FFFF
    else:
        name = row.name if row.name is None else row.name.replace("DIR", harness.path(place))
        comment = row.comment if row.comment_given else None
        written = write(harness, name, row.q, row.f, comment=comment, method=METHODS[row.method])
        hresult = written.hresult & 0xFFFF_FFFF
    wrong = [] if hresult == int(row.hr, 16) else [f"{row}: HRESULT {hresult:#010x}"]
    found = {path: path.read_bytes() for folder in (place, place.parent) for path in folder.iterdir() if path.is_file()}
    kinds = Counter(kind_of(data) for path, data in found.items() if data != OLD)
    if not row.absent and existing not in found:
        kinds["lost"] += 1
    for path in found:
        path.unlink()
    if kinds != Counter(kind for _, kind in row.files):
        wrong.append(f"{row}: files {dict(kinds)}")
    return wrong


def kind_of(data: bytes) -> str:
    if data[:4] == b"PAGE":
        return f"kernel-{struct.unpack_from('<I', data, 0xF98)[0]}"
    return {b"MDMP": "minidump", b"USER": "userdump", b"MSCF": "cabinet"}.get(data[:4], "other")


def ask_all(harness: Harness, target: str, place: Path, folder: Path, every: int) -> None:
    contract = contract_of(harness)
    of_target = [row for row in answers() if row.engine == contract and row.target == target]
    rows = [row for row in of_target if left_out(row) is None][::every]
    if not rows:
        pytest.skip(f"no rows of {target} are recorded for version {harness.version}")
    end = start(harness, target, folder)
    wrong = [difference for row in rows for difference in told(harness, row, place)]
    end()
    reasons = Counter(reason for row in of_target if (reason := left_out(row)) is not None)
    print(f"\n{target}: {len(rows)} rows asked, {len(wrong)} differences; left out: {dict(reasons)}", *wrong, sep="\n")
    assert wrong == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_sample_of_the_recorded_answers_is_the_engines(
    harness: Harness, place: Path, tmp_path_factory: pytest.TempPathFactory, target: str
) -> None:
    ask_all(harness, target, place, tmp_path_factory.mktemp("source"), EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_recorded_answer_is_the_engines(
    harness: Harness, place: Path, tmp_path_factory: pytest.TempPathFactory, target: str
) -> None:
    ask_all(harness, target, place, tmp_path_factory.mktemp("source"), 1)
