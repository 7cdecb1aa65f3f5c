"""Other projects' readers open the writer's kernel dumps and report the pages and fields of the machine.

The tests compare each page with the snapshot, and use neither the writer's plan nor the oracle. The table in
``fixtures.adapters.known`` says which reader opens which type. Every cell of it runs on the synthetic machine. On the
other machines a sample with every pair of reader, machine and type always runs, the rest with ``-m slow``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import KernelProfile
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import PAGE_SIZE
from dumptruth.emu.synthetic.kernel import RUNS, bare_machine, synthetic_machine
from dumptruth.fixtures.adapters import KERNEL_READERS
from dumptruth.fixtures.adapters.facts import Facts, ReaderDiedError, ReaderFailedError, ReaderLimitError, digest
from dumptruth.fixtures.adapters.known import KERNEL, VERSIONS, Verdict

from ..samples import pairwise, with_the_rest_slow

Answer = Facts | ReaderFailedError
Ask = Callable[..., Answer]

FULL, DEFAULT, ACTIVE, SMALL = (
    Qualifier.DEBUG_DUMP_FULL, Qualifier.DEBUG_DUMP_DEFAULT, Qualifier.DEBUG_DUMP_ACTIVE, Qualifier.DEBUG_DUMP_SMALL
)  # fmt: skip
TYPES = {  # DumpType of every request: docs/format/kernel-kinds.md#type-for-each-kind
    (KernelProfile.PORTABLE, FULL): 1,
    (KernelProfile.PORTABLE, DEFAULT): 6,
    (KernelProfile.PORTABLE, ACTIVE): 6,
    (KernelProfile.PORTABLE, SMALL): 4,
    (KernelProfile.CLASSIC, FULL): 1,
    (KernelProfile.CLASSIC, DEFAULT): 2,
    (KernelProfile.CLASSIC, ACTIVE): 6,
    (KernelProfile.CLASSIC, SMALL): 4,
    (KernelProfile.BITMAP, FULL): 5,
    (KernelProfile.BITMAP, DEFAULT): 6,
    (KernelProfile.BITMAP, ACTIVE): 6,
    (KernelProfile.BITMAP, SMALL): 4,
    (KernelProfile.RANGES, FULL): 10,
    (KernelProfile.RANGES, DEFAULT): 8,
    (KernelProfile.RANGES, ACTIVE): 9,
    (KernelProfile.RANGES, SMALL): 4,
    (KernelProfile.HEADER, FULL): 3,
}
RAM = {"bugcheck-d1": "4M", "second-processor": "20M"}
ABOVE_4_GIB = (*RUNS, (0x10_0000, 0x1400))
"""The runs of the synthetic machine, and 20 MiB from 4 GiB on."""
MACHINES = ("synthetic", "above-4-gib", *RAM)
LEECHCORE_MINIMUM = 16 << 20
"""Bytes: LeechCore opens no smaller file (docs/format/kernel-readers.md#leechcore-and-memprocfs)."""
KINDS = {
    **dict.fromkeys((1, 5, 10), ("complete",)),
    **dict.fromkeys((2, 6, 8), ("kernel",)),
    3: ("header", "small"),  # a known fault of file
    4: ("small",),
    9: ("active",),
}
"""DumpType -> the names that a reader may give the dump."""
ENGINE_TYPES, FILL = (8, 9, 10), int.from_bytes(b"PAGE" * 2, "little")
"""Types that only the engine writes. It stores no PhysicalMemoryBlock: docs/format/kernel-header.md."""
NOT_A_FIELD = {"MemoryMap", "Recognised"}
"""Facts of adapters that are neither header fields nor registers."""


@dataclass(frozen=True)
class Dumped:
    snapshot: KernelSnapshot
    path: Path
    runs: tuple[tuple[int, int], ...]
    """(first page, count) of the pages that must be in the dump; adjacent runs are merged."""
    size: int
    """Size of the file as written, in bytes."""

    @property
    def pages(self) -> set[int]:
        return {page for start, count in self.runs for page in range(start, start + count)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dumps")


@cache
def _snapshot(machine: str) -> KernelSnapshot:
    if machine == "synthetic":
        return synthetic_machine()
    if machine == "above-4-gib":
        return synthetic_machine(runs=ABOVE_4_GIB, pool_pages=LEECHCORE_MINIMUM // PAGE_SIZE)
    return run_kernel_scenario(machine, RAM[machine])


@cache
def _dumped(folder: Path, machine: str, profile: KernelProfile, qualifier: Qualifier) -> Dumped:
    snapshot, path = _snapshot(machine), folder / f"{machine}-{profile}-{qualifier.name}.dmp"
    plan = DebugClient(snapshot, profile=profile).write(path, qualifier).kernel_plan
    assert plan.dump_type == TYPES[profile, qualifier]
    runs: list[tuple[int, int]] = []
    for start, count in snapshot.physical_runs if qualifier is FULL else [(run.start, run.count) for run in plan.pages]:
        if runs and start == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + count)
        else:
            runs.append((start, count))
    return Dumped(snapshot, path, tuple(runs), path.stat().st_size)


@cache
def _large_enough(path: Path) -> Path:
    """A copy with zeros after the last page up to LeechCore's minimum. No structure owns bytes after the pages."""
    if path.stat().st_size >= LEECHCORE_MINIMUM:
        return path
    larger = path.with_suffix(".large.dmp")
    data = path.read_bytes()
    larger.write_bytes(data + bytes(LEECHCORE_MINIMUM - len(data)))
    return larger


@pytest.fixture(scope="module")
def asked(ask_one: Ask) -> Ask:
    """The answer of a reader, cached for files with the same bytes: several profiles write the same dump."""
    answers: dict[tuple[str, str], Answer] = {}

    def once(reader: str, path: Path) -> Answer:
        key = (reader, hashlib.blake2b(path.read_bytes()).hexdigest())
        if key not in answers:
            answers[key] = ask_one(reader, path)
        return answers[key]

    return once


def _header(dumped: Dumped, dump_type: int) -> dict[str, int]:
    """The fields of DUMP_HEADER64 and the registers of the crashing processor, from the snapshot."""
    snapshot = dumped.snapshot
    context = snapshot.processors[snapshot.crashing_processor].context
    registers = {name: value for name, value in context.as_mapping().items() if isinstance(value, int)}
    # docs/format/kernel-header.md#values-of-the-exception-record
    by_engine = dump_type in ENGINE_TYPES
    code, flags, address = snapshot.exception or (0x80000003, 0 if by_engine else 1, registers["Rip"])
    pages = FILL if by_engine else sum(count for _, count in snapshot.physical_runs)
    return {
        "DumpType": dump_type,
        "MajorVersion": snapshot.system.major_version,
        "MinorVersion": snapshot.system.build_number,
        "DirectoryTableBase": snapshot.directory_table_base,
        "PsLoadedModuleList": snapshot.symbols.ps_loaded_module_list,
        "PsActiveProcessHead": snapshot.symbols.ps_active_process_head,
        "PfnDatabase": snapshot.symbols.mm_pfn_database,
        "KdDebuggerDataBlock": snapshot.symbols.kd_debugger_data_block,
        "MachineImageType": 0x8664,  # winnt.h IMAGE_FILE_MACHINE_AMD64
        "NumberProcessors": len(snapshot.processors),
        "NumberOfPages": pages,
        "BugCheckCode": snapshot.bug_check.code,
        "ProductType": snapshot.system.product_type,
        "SuiteMask": snapshot.system.suite_mask,
        "SystemTime": snapshot.time,
        "SystemUpTime": snapshot.up_time,
        "RequiredDumpSpace": dumped.size,
        "ExceptionCode": code,
        "ExceptionFlags": flags,
        "ExceptionAddress": address,
        "NumberParameters": 0,
        **{f"BugCheckCodeParameter[{index}]": value for index, value in enumerate(snapshot.bug_check.parameters)},
        **registers,
    }


def _assert_header(said: Facts, dumped: Dumped, dump_type: int) -> None:
    truth = _header(dumped, dump_type)
    reported = set(said.extra) - NOT_A_FIELD
    if said.reader.startswith("volatility3"):
        reported -= {"NumberOfPages"}  # a known fault of the reader
    assert reported
    assert {name: said.extra[name] for name in reported} == {name: hex(truth[name]) for name in reported}
    assert said.architecture in (None, dumped.snapshot.system.architecture)
    assert said.dump_kind in (None, *KINDS[dump_type])


def _assert_pages(said: Facts, dumped: Dumped) -> None:
    assert said.memory is not None
    assert {page.size for page in said.memory} == {PAGE_SIZE}
    assert len(said.memory) == len(dumped.pages)
    assert {page.start // PAGE_SIZE for page in said.memory} == dumped.pages
    wrong = [
        page
        for page in said.memory
        if page.digest != digest(bytes(dumped.snapshot.page(page.start // PAGE_SIZE) or b""))
    ]
    assert wrong == []
    if "MemoryMap" in said.extra:
        assert said.extra["MemoryMap"] == " ".join(
            f"{start * PAGE_SIZE:#x}+{count * PAGE_SIZE:#x}" for start, count in dumped.runs
        )


def _assert_raw(said: Facts, path: Path) -> None:
    """LeechCore shows the file itself as memory from address 0 on."""
    assert (said.extra, said.architecture) == ({"Recognised": "0x0", "MemoryMap": said.extra["MemoryMap"]}, None)
    data = path.read_bytes()
    assert said.memory is not None
    assert [(page.start, page.digest) for page in said.memory] == [
        (start, digest(data[start : start + PAGE_SIZE])) for start in range(0, len(data) - PAGE_SIZE + 1, PAGE_SIZE)
    ]


def _cases() -> list[tuple[str, str, KernelProfile, Qualifier]]:
    """All cells for the synthetic machine; for the other machines the cells that a reader opens."""
    opened = (Verdict.AGREES, Verdict.HEADER)
    return [
        (reader, machine, profile, qualifier)
        for reader in KERNEL_READERS
        for machine in MACHINES
        for (profile, qualifier), dump_type in TYPES.items()
        if machine == "synthetic" or KERNEL[reader][dump_type] in opened
    ]


def _always() -> list[tuple[str, str, KernelProfile, Qualifier]]:
    """A sample with every pair of reader, type, machine, profile and qualifier that occurs."""
    typed = [(*case, TYPES[case[2:]]) for case in _cases()]
    return [(reader, machine, profile, qualifier) for reader, machine, profile, qualifier, _ in pairwise(typed)]


@pytest.mark.parametrize(
    ("reader", "machine", "profile", "qualifier"),
    with_the_rest_slow(_cases(), _always()),
    ids=lambda value: value.name if isinstance(value, Qualifier | KernelProfile) else value,
)
def test_each_reader_reads_each_kind_of_dump_as_the_table_says(
    asked: Ask, folder: Path, *, reader: str, machine: str, profile: KernelProfile, qualifier: Qualifier
) -> None:
    dumped, dump_type = _dumped(folder, machine, profile, qualifier), TYPES[profile, qualifier]
    verdict = KERNEL[reader][dump_type]
    path = dumped.path
    if reader == "LeechCore" and verdict is not Verdict.REFUSES:
        path = _large_enough(path)
    said = asked(reader, path)
    if reader == "engine" and isinstance(said, Facts) and said.reader != f"{reader} {VERSIONS[reader]}":
        pytest.skip(f"the list is about {VERSIONS[reader]}; this is {said.reader}")
    if verdict is Verdict.REFUSES:
        assert isinstance(said, ReaderFailedError)
        assert not isinstance(said, ReaderDiedError | ReaderLimitError)
        return
    assert isinstance(said, Facts), said
    if reader in ("LeechCore", "kdmp-parser", "volatility3"):  # the system chooses the versions of the others
        assert said.reader == f"{reader} {VERSIONS[reader]}"
    if verdict is Verdict.AGREES:
        _assert_pages(said, dumped)
        _assert_header(said, dumped, dump_type)
    elif verdict is Verdict.HEADER or reader in (
        "engine",
        "file",
    ):  # test_kernel_reader_faults.py shows what they misread
        assert said.memory is None
        _assert_header(said, dumped, dump_type)
    else:
        _assert_raw(said, path)


def test_the_table_has_a_cell_for_every_reader_and_every_type_that_is_written() -> None:
    assert set(KERNEL) == set(KERNEL_READERS)
    assert {frozenset(cells) for cells in KERNEL.values()} == {frozenset(TYPES.values())}


@pytest.mark.parametrize(
    ("reader", "profile"),
    [
        (reader, profile)
        for reader, cells in KERNEL.items()
        for profile in (KernelProfile.PORTABLE, KernelProfile.BITMAP, KernelProfile.RANGES)
        if cells[TYPES[profile, FULL]] is Verdict.AGREES
    ],
)
def test_every_page_of_42_runs_is_where_it_belongs(
    asked: Ask, folder: Path, reader: str, profile: KernelProfile
) -> None:
    """The most runs that the header can hold, with lengths around the ends of bytes and words of a bitmap."""
    runs, start = [], 1
    for index in range(42):
        runs.append((start, (1, 7, 8, 9, 31, 32, 33)[index % 7]))
        start += runs[-1][1] + 1 + index % 3
    pages = [page for first, count in runs for page in range(first, first + count)]
    snapshot = bare_machine(runs, {page: page.to_bytes(8, "little") * (PAGE_SIZE // 8) for page in pages})
    path = folder / f"42-runs-{profile}.dmp"
    DebugClient(snapshot, profile=profile).write(path, FULL)
    dumped = Dumped(snapshot, path, tuple(runs), path.stat().st_size)
    said = asked(reader, _large_enough(path) if reader == "LeechCore" else path)
    assert isinstance(said, Facts), said
    _assert_pages(said, dumped)
    _assert_header(said, dumped, TYPES[profile, FULL])


def test_leechcore_opens_no_file_below_16_mib(asked: Ask, folder: Path) -> None:
    path = _dumped(folder, "synthetic", KernelProfile.PORTABLE, FULL).path
    assert path.stat().st_size < LEECHCORE_MINIMUM
    assert isinstance(asked("LeechCore", path), ReaderFailedError)
    assert isinstance(asked("LeechCore", _large_enough(path)), Facts)
