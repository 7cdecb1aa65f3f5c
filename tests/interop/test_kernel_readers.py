"""Other people's readers of kernel dumps open what the writer writes, and find in it what the machine held.

The bytes are compared with the snapshot itself, page by page. What a reader gets wrong is pinned here, named.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.client import DebugClient
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.scenario_kernel import run_kernel_scenario
from dumptruth.emu.snapshot.model import PAGE_SIZE
from dumptruth.emu.snapshot.synthetic_system import bare_machine, synthetic_machine
from dumptruth.emu.snapshot.system import SystemSnapshot
from dumptruth.fixtures.adapters import KERNEL_READERS
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError, ReaderMissingError, digest
from dumptruth.fixtures.adapters.run import read_with

MACHINES = ("synthetic", "bugcheck-d1", "second-processor")
KINDS = {  # the type on disk: the request that gives it
    1: ("portable", Qualifier.DEBUG_DUMP_FULL),
    2: ("classic", Qualifier.DEBUG_DUMP_DEFAULT),
    3: ("header", Qualifier.DEBUG_DUMP_FULL),
    4: ("portable", Qualifier.DEBUG_DUMP_SMALL),
    5: ("bitmap", Qualifier.DEBUG_DUMP_FULL),
    6: ("portable", Qualifier.DEBUG_DUMP_DEFAULT),
    8: ("ranges", Qualifier.DEBUG_DUMP_DEFAULT),
    9: ("ranges", Qualifier.DEBUG_DUMP_ACTIVE),
    10: ("ranges", Qualifier.DEBUG_DUMP_FULL),
}
COMPLETE = (1, 5, 10)
OPENED = {"kdmp-parser": (1, 5, 6, 8, 9, 10), "volatility3": (1, 5)}
cases = pytest.mark.parametrize(
    ("reader", "machine", "kind"),
    [(reader, machine, kind) for reader, kinds in OPENED.items() for machine in MACHINES for kind in kinds],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dumps")


@cache
def _snapshot(machine: str) -> SystemSnapshot:
    return synthetic_machine() if machine == "synthetic" else run_kernel_scenario(machine, "4M")


@cache
def _dumped(folder: Path, machine: str, kind: int) -> tuple[Path, frozenset[int]]:
    """The dump, and the numbers of the pages that were planned for it."""
    path = folder / f"{machine}-{kind}.dmp"
    return path, _written(_snapshot(machine), path, kind)


def _written(snapshot: SystemSnapshot, path: Path, kind: int) -> frozenset[int]:
    profile, qualifier = KINDS[kind]
    plan = DebugClient(snapshot, profile=profile).write(path, qualifier).kernel_plan
    assert plan.dump_type == kind
    return frozenset(page for run in plan.pages for page in range(run.start, run.end))


def _says(reader: str, path: Path) -> Facts:
    try:
        return read_with(reader, path)
    except ReaderMissingError as error:
        pytest.skip(str(error))


def _ram(snapshot: SystemSnapshot) -> frozenset[int]:
    return frozenset(page for base, count in snapshot.physical_runs for page in range(base, base + count))


def _pages(facts: Facts) -> frozenset[int]:
    assert facts.memory is not None
    return frozenset(page.start // PAGE_SIZE for page in facts.memory)


@cases
def test_a_reader_finds_every_page_with_the_bytes_that_the_machine_held(
    folder: Path, reader: str, machine: str, kind: int
) -> None:
    path, planned = _dumped(folder, machine, kind)
    snapshot, said = _snapshot(machine), _says(reader, path)
    assert said.memory is not None
    assert len(said.memory) == len(_pages(said))
    assert _pages(said) == (_ram(snapshot) if kind in COMPLETE else planned)
    held = {page: digest(bytes(snapshot.page(page.start // PAGE_SIZE) or b"")) for page in said.memory}
    wrong = [page for page, expected in held.items() if page.digest != expected]
    assert wrong == []


@pytest.mark.parametrize("kind", OPENED["kdmp-parser"])
@pytest.mark.parametrize("machine", MACHINES)
def test_kdmp_parser_reads_the_header_and_the_registers_of_the_machine(folder: Path, machine: str, kind: int) -> None:
    path, _ = _dumped(folder, machine, kind)
    snapshot, said = _snapshot(machine), _says("kdmp-parser", path).extra
    context = snapshot.processors[snapshot.crashing_processor].context
    expected = {
        "DumpType": kind,
        "MajorVersion": snapshot.system.major_version,
        "MinorVersion": snapshot.system.build_number,
        "DirectoryTableBase": snapshot.directory_table_base,
        "PsLoadedModuleList": snapshot.symbols.ps_loaded_module_list,
        "PsActiveProcessHead": snapshot.symbols.ps_active_process_head,
        "PfnDatabase": snapshot.symbols.mm_pfn_database,
        "KdDebuggerDataBlock": snapshot.symbols.kd_debugger_data_block,
        "MachineImageType": 0x8664,
        "NumberProcessors": len(snapshot.processors),
        "BugCheckCode": snapshot.bug_check.code,
        "ProductType": snapshot.system.product_type,
        "SuiteMask": snapshot.system.suite_mask,
        "SystemTime": snapshot.time,
        "SystemUpTime": snapshot.up_time,
        **{f"BugCheckCodeParameter[{index}]": value for index, value in enumerate(snapshot.bug_check.parameters)},
        **{name: value for name, value in context.as_mapping().items() if name in said and isinstance(value, int)},
    }
    assert {"Rip", "Rsp", "Rax", "R15", "EFlags", "SegCs"} <= set(expected)
    assert {name: said[name] for name in expected} == {name: hex(value) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("reader", "kind"),
    [(reader, kind) for reader in KERNEL_READERS for kind in KINDS if kind not in OPENED[reader]],
)
def test_what_a_reader_does_not_know_it_refuses(folder: Path, reader: str, kind: int) -> None:
    path, _ = _dumped(folder, "synthetic", kind)
    with pytest.raises(ReaderFailedError):
        _says(reader, path)


# --- known faults of kdmp-parser 0.7.4 --------------------------------------------------------------------------------

BITMAP_BITS = 0x2030  # spec kernel 2.5, 2.6: Pages of BITMAP_DUMP


@pytest.mark.parametrize("last", [1, 7, 8])
def test_kdmp_parser_rounds_the_bitmap_down_to_whole_bytes_and_loses_the_last_pages(folder: Path, last: int) -> None:
    """A bitmap need not have a multiple of 8 bits; those past the last whole byte are never looked at."""
    end = 64 + last
    path = folder / f"bits-{last}.dmp"
    planned = _written(bare_machine([(1, end - 1)]), path, 5)
    assert planned == frozenset(range(1, end))
    assert _pages(_says("kdmp-parser", path)) == planned  # the writer's own bits are a multiple of 64
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, BITMAP_BITS, end)
    path.write_bytes(data)
    assert _pages(_says("kdmp-parser", path)) == frozenset(range(1, end // 8 * 8))


def test_kdmp_parser_ends_a_range_list_at_page_0(folder: Path) -> None:
    path = folder / "page-0.dmp"
    planned = _written(bare_machine([(0, 8), (16, 8)], root=1), path, 10)
    assert planned == frozenset([*range(8), *range(16, 24)])
    assert _pages(_says("kdmp-parser", path)) == frozenset()


def test_kdmp_parser_refuses_a_context_whose_two_mxcsr_differ(folder: Path) -> None:
    path = folder / "mxcsr.dmp"
    _written(_snapshot("synthetic"), path, 1)
    data = bytearray(path.read_bytes())
    data[0x348 + 0x34] ^= 1  # DUMP_HEADER64.ContextRecord, CONTEXT.MxCsr
    path.write_bytes(data)
    with pytest.raises(ReaderFailedError, match="Invalid kernel dump file"):
        _says("kdmp-parser", path)
