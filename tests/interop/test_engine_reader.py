"""Microsoft's debugger engine opens every valid vector and demo dump of a kind it knows, and agrees with the truth.

It needs the engine's DLLs, and Wine outside Windows (docs/witness.md). A sample always runs, everything with the mark
``slow``. A run prints what it compared. ``engine_known`` lists every difference, with its reason.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.images.kernel.build import FOLDER as KERNEL_IMAGES
from dumptruth.emu.images.services import FOLDER as IMAGES
from dumptruth.emu.scenarios.kernel import KERNEL_SCENARIOS, run_kernel_scenario
from dumptruth.emu.scenarios.process import SCENARIOS, run_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.truth import store
from dumptruth.fixtures.adapters.conforming import answer
from dumptruth.fixtures.adapters.engine import build
from dumptruth.fixtures.adapters.engine.process import EngineRefusedError, Harness
from dumptruth.fixtures.adapters.engine.reader import read, stacks
from dumptruth.fixtures.adapters.facts import ReaderDiedError
from dumptruth.fixtures.replay.judging import requested
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.recipe import Kind, load_recipes
from dumptruth.oracle import ByteSource, RequestTruth, Truth, load_any_truth
from dumptruth.oracle.conform.catalog import catalog, facts_of
from dumptruth.oracle.conform.expecting import expected_facts
from dumptruth.oracle.conform.facts import compare
from dumptruth.oracle.readers.cab import read_cabinet
from dumptruth.oracle.truth.load import parse_request

from ..marks import needs_compiler
from .engine_facts import Fact, machine_facts, process_facts
from .engine_known import BARE, BARE_DUMPS, COMPLAINT, COMPLAINTS, DIFFERENCES, REFUSALS, UNREAD

RECIPES = load_recipes()
VECTORS = [name for name, recipe in RECIPES.items() if recipe.kind is Kind.VALID]
QUALIFIERS = (Qualifier.DEBUG_DUMP_SMALL, Qualifier.DEBUG_DUMP_DEFAULT)
MACHINE_QUALIFIERS = (*QUALIFIERS, Qualifier.DEBUG_DUMP_FULL, Qualifier.DEBUG_DUMP_ACTIVE)
DEMO = [
    *(f"demo/{scenario.name}/{qualifier.name}" for scenario in SCENARIOS for qualifier in QUALIFIERS),
    *(f"demo/{scenario.name}/{qualifier.name}" for scenario in KERNEL_SCENARIOS for qualifier in MACHINE_QUALIFIERS),
]
RAM = "4M"
SAMPLE = (
    "user/small/null-read", "user/default/null-read", "user/small/synthetic/handle-data", "user/default/process-x86",
    "user/flags/x86/data-segments", "user/flags/arm64/data-segments", "user/flags/amd64/triage",
    "user/flags/x86/filter-triage",
    "legacy/process-amd64", "cab/small", "kernel/classic/active", "kernel/page-0/type-1", "kernel/small/build-19041",
    "kernel/full-ranges/synthetic", "kernel/full-header/synthetic", "kernel/scenario/bugcheck-d1-full-build-9600",
    "demo/deadlock/DEBUG_DUMP_DEFAULT", "demo/bugcheck-d1/DEBUG_DUMP_FULL", "demo/bugcheck-d1/DEBUG_DUMP_SMALL",
)  # fmt: skip
"""Every container, mode and architecture."""


@dataclass
class Dumped:
    data: bytes
    truth: Truth | None
    request: RequestTruth | None


@dataclass
class Tally:
    """What a run compared, and how it came out."""

    dumps: int = 0
    facts: int = 0
    disagreements: list[str] = field(default_factory=list)
    """Differences that are on no list."""
    complaints: list[str] = field(default_factory=list)
    """Lines of the engine that are on no list."""
    listed: Counter[str] = field(default_factory=Counter)
    """Differences and lines by reason."""

    def __str__(self) -> str:
        lines = [
            f"{self.dumps} dumps, {self.facts} facts compared, {len(self.disagreements)} disagreements, "
            f"{len(self.complaints)} complaints; on the lists:",
            *(f"{count:6} {reason}" for reason, count in self.listed.most_common()),
        ]
        return "\n".join(lines)


@pytest.fixture(name="harness", scope="module")
def the_engine(engine: Harness) -> Harness:
    return engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@cache
def _snapshot(name: str) -> ProcessSnapshot | KernelSnapshot:
    if any(scenario.name == name for scenario in SCENARIOS):
        return run_scenario(name)
    return run_kernel_scenario(name, RAM)


@cache
def _truth(folder: Path, name: str) -> Truth:
    """The truth of a scenario, saved and loaded again."""
    store.save(_snapshot(name), folder / "truth" / name, source=name)
    return load_any_truth(folder / "truth" / name)


def _dumped(folder: Path, name: str) -> Dumped:
    """A vector, or a dump of the demo."""
    if name.startswith("demo/"):
        _, scenario, qualifier = name.split("/")
        path = folder / "demo.dmp"
        DebugClient(_snapshot(scenario)).write(path, Qualifier[qualifier])
        return Dumped(path.read_bytes(), _truth(folder, scenario), requested(Qualifier[qualifier]))
    made = make(RECIPES[name], RECIPES)
    assert made.data is not None
    if not made.judged.truth or not made.target.has_truth:
        return Dumped(made.data, None, None)
    saved = folder / "truth" / made.target.id
    if not saved.exists():
        made.target.save(saved)
    return Dumped(made.data, load_any_truth(saved), None if made.request is None else parse_request(made.request))


def _unpacked(data: bytes) -> bytes:
    """The dump itself, if the file is a cabinet."""
    if data[:4] != b"MSCF":
        return data
    inside = next(member.source for member, _ in read_cabinet(ByteSource(data)).dumps())
    assert inside is not None
    return bytes(inside.read(0, inside.size))


def _dump_type(data: bytes) -> int:
    """DumpType of a kernel dump (docs/format/kernel-header.md); 0 for another file."""
    return int(struct.unpack_from("<I", data, 0xF98)[0]) if data[:8] == b"PAGEDU64" else 0


def _refused_as(data: bytes) -> str:
    """The kind of a dump that an engine refuses, as ``REFUSALS`` names it. Empty: it must open it."""
    return f"type-{_dump_type(data)}" if data[:8] == b"PAGEDU64" else ""


def _note(tally: Tally, name: str, facts: list[Fact], version: str) -> None:
    """Counts the facts. A difference is listed, or a disagreement."""
    wrong = {fact.name for fact in facts if not fact.agrees}
    tally.facts += len(facts)
    for fact in facts:
        if fact.agrees:
            continue
        row = next((row for row in DIFFERENCES if row.matches(name, fact, wrong, version)), None)
        if row is None:
            tally.disagreements.append(f"{name}: {fact.name}: {str(fact.said)[:160]}, expected {str(fact.due)[:160]}")
        else:
            tally.listed[f"{row.whose}: {row.fact}: {row.reason}"] += 1


def _listen(tally: Tally, name: str, said: str, version: str) -> None:
    """Counts the lines that may be complaints."""
    for line in filter(COMPLAINT.search, said.splitlines()):
        row = next((row for row in COMPLAINTS if re.search(row[1], line)), None)
        elsewhere = row is not None and row[0] == BARE and not any(fnmatchcase(name, dumps) for dumps in BARE_DUMPS)
        if row is None or elsewhere or (row[0].isdigit() and f".{row[0]}." not in version):
            tally.complaints.append(f"{name}: {line.strip()}")
        else:
            tally.listed[f"{row[0]}: line: {row[2]}"] += 1


def _ask(tally: Tally, harness: Harness, folder: Path, name: str) -> None:
    """Opens one dump and compares all that the engine says of it."""
    dumped = _dumped(folder, name)
    path = folder / ("asked.cab" if dumped.data[:4] == b"MSCF" else "asked.dmp")
    path.write_bytes(dumped.data)
    tally.dumps += 1
    try:
        opened = harness.open(path)
    except EngineRefusedError as error:
        whose, reason = REFUSALS.get(_refused_as(_unpacked(dumped.data)), ("", ""))
        if not whose or (whose.isdigit() and f".{whose}." not in harness.version):
            tally.disagreements.append(f"{name}: refused: {error}")
        else:
            tally.listed[f"{whose}: refused: {reason}"] += 1
        return
    for pattern, whose, reason in UNREAD:
        if fnmatchcase(name, pattern) and f".{whose}." in harness.version:
            tally.listed[f"{whose}: unread: {reason}"] += 1
            return
    _listen(tally, name, opened["said"], harness.version)
    truth = dumped.truth
    if truth is None:
        return
    if truth.mode == "user":
        facts = list(process_facts(harness, opened, truth, dumped.request))
    else:
        data = _unpacked(dumped.data)
        facts = list(machine_facts(harness, truth, _dump_type(data), data[:0x2000]))
    _note(tally, name, facts, harness.version)


def _judge(tally: Tally) -> None:
    print("", tally, *tally.disagreements, *tally.complaints, sep="\n")
    assert tally.disagreements + tally.complaints == []
    assert tally.facts > 100 * tally.dumps  # memory alone has more; an engine that says nothing agrees with nothing


def test_the_engine_agrees_with_the_truth_of_a_sample(harness: Harness, folder: Path) -> None:
    tally = Tally()
    for name in SAMPLE:
        _ask(tally, harness, folder, name)
    _judge(tally)


@pytest.mark.slow
def test_the_engine_agrees_with_the_truth_of_every_valid_vector_and_demo_dump(harness: Harness, folder: Path) -> None:
    tally = Tally()
    for name in (*VECTORS, *DEMO):
        _ask(tally, harness, folder, name)
    _judge(tally)


@pytest.mark.parametrize("name", ["user/small/null-read", "user/default/null-read", "kernel/full/synthetic"])
def test_the_facts_of_the_protocol_are_those_of_the_dump(harness: Harness, folder: Path, name: str) -> None:
    path = folder / "protocol.dmp"
    path.write_bytes(_dumped(folder, name).data)
    said = compare(expected_facts(ByteSource(path.read_bytes())), _protocol(path))
    due = facts_of("process" if name.startswith("user/") else "machine")
    assert {"architecture", "memory", "dump_kind", "exception"} <= {path.partition(".")[0] for path in said.compared}
    assert {path.partition(".")[0] for path in said.compared} <= set(due)
    assert said.differences == ()


def _protocol(path: Path) -> dict[str, object]:
    """The facts as ``conforming.answer`` would send them."""
    reported = answer(read, {"case": "one", "file": str(path), "facts": list(catalog())})
    assert reported["result"] == "read", reported
    return dict(json.loads(json.dumps(reported["facts"])))


def test_stacks_of_a_process_have_names_from_our_pdbs(harness: Harness, folder: Path) -> None:
    path = folder / "stack.dmp"
    path.write_bytes(_dumped(folder, "user/default/null-read").data)
    truth = _truth(folder, "null-read")
    found = stacks(path, IMAGES, harness=harness)
    assert truth.mode == "user"
    assert set(found) == {thread.thread_id for thread in truth.threads}
    assert truth.exception is not None
    names = [frame.name for frame in found[truth.exception.thread_id]]
    assert [name.partition("!")[0] for name in names[:3]] == ["crash", "crash", "crash"]
    assert names[-1].startswith("ntdll!")


def test_stacks_of_a_machine_have_names_from_our_pdbs(harness: Harness, folder: Path) -> None:
    path = folder / "machine-stack.dmp"
    path.write_bytes(_dumped(folder, "demo/bugcheck-d1/DEBUG_DUMP_FULL").data)
    found = stacks(path, KERNEL_IMAGES, harness=harness)
    names = [frame.name for frame in found[1]]
    assert names[:2] == ["nt!KeBugCheckEx", "nt!KiDispatchTrap"]
    assert "nt!KiPageFault" in names


def test_a_process_that_hangs_is_ended_and_replaced(harness: Harness, folder: Path) -> None:
    path = folder / "again.dmp"
    path.write_bytes(_dumped(folder, "user/small/null-read").data)
    with pytest.raises(ReaderDiedError, match="no answer to open"):
        harness.open(path, seconds=0)
    assert harness.open(path)["hr"] == 0


def test_a_text_is_refused_and_the_next_dump_opens(harness: Harness, folder: Path) -> None:
    (folder / "text.dmp").write_bytes(b"no dump\n" * 99)
    with pytest.raises(EngineRefusedError):
        harness.open(folder / "text.dmp")
    assert harness.ask("no-such-command")["error"] == "no such command"
    assert harness.ask("system")["error"] == "no session is open"
    path = folder / "after.dmp"
    path.write_bytes(_dumped(folder, "user/small/null-read").data)
    assert harness.open(path)["hr"] == 0


@needs_compiler
def test_the_harness_is_built_from_its_sources() -> None:
    assert build.check()
