"""Microsoft's debugger engine writes dumps, and the oracle judges them with the truth of what was dumped.

It needs the engine's DLLs, and Wine outside Windows (docs/witness.md); live programs also need the wheel ``ziglang``.
A sample always runs, everything with the mark ``slow``. A run prints its verdicts. Each dump must be conformant, or
fail for known errors of the engine alone; ``engine_judged`` lists what Wine adds to live dumps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.kernel import KERNEL_SCENARIOS, run_kernel_scenario
from dumptruth.emu.scenarios.process import SCENARIOS, run_scenario
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.truth import store
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import Written, end_live, write
from dumptruth.oracle import load_any_truth

from ..marks import needs_compiler
from .engine_judged import ARTEFACTS, Verdicts, asked, contract_of
from .engine_live import FULL, PROGRAMS, SMALL, Stop, compiled

RAM: Final = "4M"
E_INVALIDARG: Final = 0x80070057
SCAN_PARTIAL_PAGES: Final = 0x10000000
CAB, CAB_SECONDARY_FILES = 0x20000000, 0x40000000
FLAGS: Final = (
    0, *(1 << bit for bit in range(14) if bit not in (5, 13)), 0x8000, 0x10000, 0x8000000, SCAN_PARTIAL_PAGES,
    0xC07, 0x188, 0x280, 0x9098, 0x10008, 0x10080, 0x11018, 0x8000C07,
)  # fmt: skip
"""Format flags of dumps of dumps: 25 sets."""
LIVE_FLAGS: Final = (
    0, *(1 << bit for bit in range(18)), 0x8000000, SCAN_PARTIAL_PAGES,
    0xC07, FULL, 0x3, 0x401, 0x801, 0x201, 0x208, 0x280, 0x300, 0x38B, 0x21, 0x10001, 0x10021, 0x28, 0x10008, 0xA0,
    0x10080, 0x48, 0xC0, 0x44, 0x18, 0x1018, 0x1010, 0x9018, 0x8010, 0x8008, 0x8080, 0x88, 0x188, 0x180, 0x406,
    0x806, 0xC06, 0x1FF, 0x1FE, 0x3FFF, 0x20001, 0x20800, 0x18000100,
)  # fmt: skip
"""Format flags of live dumps: 60 sets."""


@pytest.fixture(autouse=True)
def every_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report holds all findings, so that none hides behind those that are listed."""
    monkeypatch.setattr("dumptruth.oracle.judge.MAX_FINDINGS", 1 << 20)


@pytest.fixture(name="harness", scope="module")
def engine_with_a_contract(engine: Harness) -> Harness:
    contract_of(engine)
    return engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine-writer")


def wrote(harness: Harness, path: Path, qualifier: int, flags: int = 0) -> Written:
    path.unlink(missing_ok=True)
    return write(harness, path, qualifier, flags)


def redump(verdicts: Verdicts, harness: Harness, folder: Path, name: str, requests: list[tuple[int, int]]) -> None:
    """Our writer makes the full dump of a scenario, the engine opens it and writes each request."""
    process = any(scenario.name == name for scenario in SCENARIOS)
    snapshot = run_scenario(name) if process else run_kernel_scenario(name, RAM)
    store.save(snapshot, folder / name, source=name)
    truth, contract = load_any_truth(folder / name), contract_of(harness)
    source = folder / "source.dmp"
    if isinstance(snapshot, ProcessSnapshot):
        DebugClient(snapshot, contract=contract).write(source, SMALL, FULL)
    else:
        DebugClient(snapshot).write(source, Qualifier.DEBUG_DUMP_FULL)
    harness.open(source)
    for qualifier, flags in requests:
        made = folder / ("made.cab" if flags & CAB else "made.dmp")
        written = wrote(harness, made, qualifier, flags)
        if not written.succeeded:
            verdicts.refused[f"{Qualifier(qualifier).name}, {written.hresult:#x}"] += 1
            assert (truth.mode, written.hresult) == ("kernel", E_INVALIDARG), (name, flags, written)
            continue
        verdicts.judge(f"{name} {qualifier} {flags:#x}", made, truth, asked(qualifier, flags, contract, "dump"))
    harness.ask("end")


def live(verdicts: Verdicts, harness: Harness, folder: Path, source: str, flags: tuple[int, ...]) -> None:
    """A program crashes in the engine's hands, and the engine writes it under each set of flags."""
    made, contract = folder / "live.dmp", contract_of(harness)
    artefacts = () if sys.platform == "win32" else ARTEFACTS
    stop = Stop(harness, compiled(source, folder))
    for each in flags:
        written = wrote(harness, made, SMALL, each)
        assert written.succeeded, (source, hex(each), written)
        request = asked(SMALL, each, contract, "live")
        verdicts.judge(f"{source} {each:#x}", made, stop.truth_at(made), request, artefacts)
    end_live(harness)


def conclude(verdicts: Verdicts, at_least: int) -> None:
    print("", verdicts, *verdicts.failures[:200], sep="\n")
    assert verdicts.failures == []
    assert verdicts.dumps >= at_least


def cabinets(qualifier: int, flags: int = 0) -> list[tuple[int, int]]:
    """Requests for the dump in a cabinet, without and with the files beside it, of which these targets have none."""
    return [(qualifier, flags | CAB), (qualifier, flags | CAB | CAB_SECONDARY_FILES)]


def kernel_requests() -> list[tuple[int, int]]:
    """Every qualifier. SCAN_PARTIAL_PAGES is the one format flag that a machine's dump may have."""
    return [(qualifier, 0) for qualifier in Qualifier] + [(SMALL, SCAN_PARTIAL_PAGES)]


def test_a_sample_of_dumps_of_dumps_is_conformant(harness: Harness, folder: Path) -> None:
    verdicts = Verdicts()
    for name in ("null-read", "every-stream"):
        requests = [(SMALL, flags) for flags in (0, 0x188, 0x10008, 0xC07)]
        redump(verdicts, harness, folder, name, requests)
    redump(verdicts, harness, folder, "bugcheck-d1", kernel_requests())
    conclude(verdicts, 10)


@pytest.mark.slow
def test_dumps_of_dumps_of_every_process_are_conformant(harness: Harness, folder: Path) -> None:
    verdicts = Verdicts()
    for scenario in SCENARIOS:
        redump(verdicts, harness, folder, scenario.name, [(SMALL, f) for f in FLAGS])
    conclude(verdicts, len(SCENARIOS) * len(FLAGS))


@pytest.mark.slow
def test_dumps_of_dumps_of_every_machine_are_conformant(harness: Harness, folder: Path) -> None:
    verdicts = Verdicts()
    for scenario in KERNEL_SCENARIOS:
        redump(verdicts, harness, folder, scenario.name, kernel_requests())
    conclude(verdicts, 3 * len(KERNEL_SCENARIOS))


def test_a_sample_of_cabinets_is_conformant(harness: Harness, folder: Path) -> None:
    verdicts = Verdicts()
    redump(verdicts, harness, folder, "null-read", cabinets(SMALL))
    redump(verdicts, harness, folder, "bugcheck-d1", cabinets(SMALL))
    conclude(verdicts, 4)


@pytest.mark.slow
def test_cabinets_of_every_target_are_conformant(harness: Harness, folder: Path) -> None:
    verdicts = Verdicts()
    for process in SCENARIOS:
        redump(verdicts, harness, folder, process.name, [*cabinets(SMALL), *cabinets(SMALL, 0xC07)])
    for machine in KERNEL_SCENARIOS:
        redump(verdicts, harness, folder, machine.name, [*cabinets(SMALL), *cabinets(Qualifier.DEBUG_DUMP_FULL)])
    conclude(verdicts, 4 * (len(SCENARIOS) + len(KERNEL_SCENARIOS)))


@needs_compiler
def test_a_sample_of_live_dumps_is_conformant(harness: Harness, folder: Path) -> None:
    verdicts = Verdicts()
    live(verdicts, harness, folder, "tiny.c", (0, 0x188, 0x10080, 0x20C07))
    conclude(verdicts, 4)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("source", PROGRAMS)
def test_live_dumps_of_every_program_are_conformant(harness: Harness, folder: Path, source: str) -> None:
    verdicts = Verdicts()
    live(verdicts, harness, folder, source, LIVE_FLAGS)
    conclude(verdicts, len(LIVE_FLAGS))
