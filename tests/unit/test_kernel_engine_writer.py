"""Kernel dumps under an engine's contract, against what the engines wrote (docs/format/engine.md).

``tests/data/engine/kernel-29507.json`` holds what does not depend on the bytes of an image: fields, fills, runs of RAM,
blocks with their sizes, which entries and which page states count. Three differences are intended: the engine skips
entry 511 of page directories, misplaces FltSave, and loses memory behind it; this writer does not.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import Hresult, Qualifier
from dumptruth.emu.plan.kernel import KernelPlan, plan_kernel
from dumptruth.emu.plan.kernel_debugger_data import KDDEBUGGER_DATA64, read_debugger_data
from dumptruth.emu.plan.kernel_memory import PhysicalMemory, VirtualMemory
from dumptruth.emu.plan.kernel_small import SmallPlan
from dumptruth.emu.plan.page_frames import frames_in_use
from dumptruth.emu.request import Contract, DumpRefused, KernelProfile, Request, Session
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import BugCheck, DataBlob, KernelSnapshot
from dumptruth.emu.snapshot.process import PAGE_SIZE
from dumptruth.emu.synthetic.kernel import bare_machine, synthetic_machine
from dumptruth.emu.synthetic.kernel_memory import MachineMemory
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from dumptruth.fixtures.vectors.synthetic import BUILDERS

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/engine/kernel-29507.json").read_text("utf-8"))
SMALL, DEFAULT, FULL, ACTIVE = (
    Qualifier.DEBUG_DUMP_SMALL, Qualifier.DEBUG_DUMP_DEFAULT, Qualifier.DEBUG_DUMP_FULL, Qualifier.DEBUG_DUMP_ACTIVE,
)  # fmt: skip
QUALIFIERS = {4: SMALL, 8: DEFAULT, 10: FULL}
# The recorded fields of the header: offset and bytes (docs/format/kernel-header.md#fields-of-the-64-bit-header).
FIELDS = {"Writer": (0x1048, 4), "KdSec": (0x104D, 1), "MiniFields": (0x1038, 4), "DumpType": (0xF98, 4)}
FILLED = {
    "Sig": (0, 4), "pad3c": (0x3C, 4), "VersionUser": (0x60, 32), "PhysMem": (0x88, 700), "pad344": (0x344, 4),
    "padf9c": (0xF9C, 4), "Comment": (0xFB0, 128), "MiniFields": (0x1038, 4), "SecState": (0x103C, 4),
    "Unused1": (0x104C, 1), "Unused2": (0x104E, 2), "Attributes": (0x1050, 4), "reserved": (0x1058, 0xFA8),
}  # fmt: skip
FILL = b"PAGE" * 0x800


def by_hand(name: str, **options: Any) -> KernelSnapshot:
    made = BUILDERS[name](**options)
    assert made.mode == "kernel"
    return made


@cache
def machine(scenario: str = "bugcheck-d1", build: int = 26100, processors: int | None = None) -> KernelSnapshot:
    return run_kernel_scenario(scenario, "4M", build, processors, 0)


def written(
    target: KernelSnapshot,
    qualifier: int,
    contract: Contract = Contract.E29507,
    session: Session = Session.DUMP,
    comment: str | None = None,
) -> bytes:
    request = Request(qualifier, 0, comment, KernelProfile.PORTABLE, contract=contract, session=session)
    return kernel_dump_bytes(target, request)[0]


def planned(target: KernelSnapshot, qualifier: int, contract: Contract = Contract.E29507) -> KernelPlan:
    return plan_kernel(target, Request(qualifier, contract=contract, session=Session.DUMP))


def small(target: KernelSnapshot, contract: Contract = Contract.E29507) -> SmallPlan:
    found = planned(target, SMALL, contract).small
    assert found is not None
    return found


def runs(data: bytes) -> list[list[int]]:
    count = int.from_bytes(data[0x2020:0x2024], "little")
    return [list(struct.unpack_from("<QQ", data, 0x2030 + 16 * index)) for index in range(count)]


def debugger_data(target: KernelSnapshot) -> KDDEBUGGER_DATA64:
    memory = VirtualMemory(PhysicalMemory(target), target.directory_table_base)
    return read_debugger_data(memory, target.symbols.kd_debugger_data_block)


def u64(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


@pytest.mark.parametrize("number", QUALIFIERS)
@pytest.mark.parametrize("hand_made", [False, True])
def test_the_header_has_the_fields_and_the_fill_of_engine_29507(number: int, hand_made: bool) -> None:
    target = synthetic_machine(build=19041) if hand_made else machine()
    data = written(target, QUALIFIERS[number])
    found = {name: data[at : at + size].hex() for name, (at, size) in FIELDS.items()}
    assert found == FACTS["fields"][str(number)]
    filled = sorted(name for name, (at, size) in FILLED.items() if data[at : at + size] == FILL[at : at + size])
    assert filled == FACTS["fill"][str(number)]
    assert not any(data[0x348 + 0x4D0 : 0xF00])  # behind the CONTEXT
    boot_id = VirtualMemory(PhysicalMemory(target), target.directory_table_base).read(0xFFFF_F780_0000_02C4, 4)
    assert data[0x1054:0x1058] == boot_id


@pytest.mark.parametrize("fact", FACTS["full"], ids=lambda fact: json.dumps(fact["target"])[:40])
def test_full_is_type_10_with_the_runs_that_the_engine_wrote(fact: dict[str, Any]) -> None:
    target: dict[str, Any] = fact["target"]
    if "scenario" in target:
        made = machine(target["scenario"])
    elif "many-runs" in target:
        made = by_hand("many-runs", count=target["many-runs"])
    else:
        made = by_hand("machine", build=19041, **target)
    made = replace(made, blobs=(DataBlob(bytes(range(16)), b"x" * 20),))
    data = written(made, FULL)
    assert runs(data) == fact["runs"]
    pages = sum(count for _, count in fact["runs"])
    first = 0x2030 + 16 * len(fact["runs"])  # no run of zeros
    assert (u64(data, 0x2018), u64(data, 0x2028)) == (first, pages)
    blobs = first + pages * PAGE_SIZE
    assert data[blobs : blobs + 8] == b"DumpBlob"
    assert u64(data, 0xFA0) == len(data) == blobs + 0x10 + 0x20 + 24


@pytest.mark.parametrize(("build", "processors", "space", "secondary"), FACTS["small_space"])
def test_required_space_of_a_small_dump_is_what_the_engine_reserved(
    build: int, processors: int, space: int, secondary: int
) -> None:
    """The engine's target was a small dump, with ``secondary`` bytes of secondary data that this machine lacks."""
    target = synthetic_machine(build=build, processors=processors)
    assert u64(written(target, SMALL), 0xFA0) == space - secondary
    blobs = (DataBlob(bytes(range(16)), b"x" * 20),)
    assert u64(written(replace(target, blobs=blobs), SMALL), 0xFA0) == space - secondary + 0x10 + 0x20 + 24


def test_required_space_of_engine_15063_has_a_formula_of_its_own() -> None:
    target = synthetic_machine(build=26100, processors=2)
    expected = 0x40000 + 2 * (0x8008 + debugger_data(target).SizePrcb)
    assert u64(written(target, SMALL, Contract.E15063), 0xFA0) == expected


def block_places(target: KernelSnapshot) -> list[tuple[str, int]]:
    """Names and addresses of the blocks in front of those that depend on registers and pointers."""
    kdbg = debugger_data(target)
    memory = VirtualMemory(PhysicalMemory(target), target.directory_table_base)
    found = [("MmVerifierData", kdbg.MmVerifierData), ("MmBadPagesDetected", kdbg.MmBadPagesDetected),
             ("MmZeroedPageSingleBitErrorsDetected", kdbg.MmZeroedPageSingleBitErrorsDetected),
             ("field of KUSER_SHARED_DATA", 0xFFFF_F780_0000_0730)]  # fmt: skip
    for processor in target.processors:
        found.append(("KPCR", processor.kpcr))
        found.append(("CONTEXT", memory.pointer(processor.kprcb + kdbg.OffsetPrcbContext) or 0))
        found.append(("stack", processor.context["Rsp"]))
        limit = memory.pointer(processor.current_thread + kdbg.OffsetKThreadStackLimit) or 0
        found.append(("stack of the thread", limit))
        found.append(("ETHREAD", processor.current_thread))
    return [*found, ("KiProcessorBlock", kdbg.KiProcessorBlock), ("NtBuildLab", kdbg.NtBuildLab)]


@pytest.mark.parametrize("fact", FACTS["small_blocks"], ids=lambda fact: fact["of"][0])
def test_a_small_dump_has_the_blocks_of_engine_29507_in_order(fact: dict[str, Any]) -> None:
    name = fact["of"][0].removeprefix("v-kernel_scenario_")
    build = int(name.rpartition("-build-")[2]) if "-build-" in name else 26100
    target = machine(name.partition("-full")[0], build, 1 if "-build-" in name else None)
    kdbg, plan = debugger_data(target), small(target)
    wanted = [(row[0], None if row[1] is None else row[1] + getattr(kdbg, row[2] or "", 0)) for row in fact["blocks"]]
    head = plan.blocks[: len(wanted)]
    assert [(None if size is None else block.size) for block, (_, size) in zip(head, wanted, strict=True)] == [
        size for _, size in wanted
    ]
    places = iter(block_places(target))
    for block, (label, _) in zip(head, wanted, strict=True):
        assert next(address for known, address in places if known == label) == block.address, label
    data = written(target, SMALL)
    facts = FACTS["triage"]
    offsets = {"TriageOptions": 17, "DebuggerDataSize": 26, "ContextOffset": 3, "ExceptionOffset": 4, "MmOffset": 5,
               "UnloadedDriversOffset": 6, "BrokenDriverOffset": 16, "ServicePackBuild": 0}  # fmt: skip
    header = struct.unpack_from("<18IQIIQQ6I", data, 0x2000)
    assert {label: header[index] for label, index in offsets.items()} == facts
    assert data[0x1038:0x103C] == (0xCFF).to_bytes(4, "little")


@pytest.mark.parametrize("contract", [Contract.E15063, Contract.E29507])
@pytest.mark.parametrize("scenario", ["bugcheck-7e", "bugcheck-7f"])
def test_blocks_of_an_engine_never_overlap_and_windows_have_at_most_0x100_bytes(
    contract: Contract, scenario: str
) -> None:
    blocks = small(machine(scenario), contract).blocks
    spans = sorted((block.address, block.address + block.size) for block in blocks)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    windows = [block for block in blocks if block.reason.startswith("memory that")]
    assert len(windows) > 20
    assert max(block.size for block in windows) == 0x100


def test_engine_15063_stores_kprcbs_and_stacks_and_its_own_size_of_the_debugger_data() -> None:
    target = machine()
    kdbg = debugger_data(target)
    plan = small(target, Contract.E15063)
    first, second = target.processors
    found = [(block.address, block.size) for block in plan.blocks[3:8]]
    assert (found[0], found[2]) == ((first.kprcb, kdbg.SizePrcb), (second.kprcb, kdbg.SizePrcb))
    assert (found[1][0], found[3][0]) == (first.context["Rsp"], second.context["Rsp"])
    assert found[4] == (kdbg.KiProcessorBlock, 16)
    data = written(target, SMALL, Contract.E15063)
    assert struct.unpack_from("<I", data, 0x2074) == (0x368,)
    assert data[0x1054:0x1058] == b"PAGE"  # BootId


@pytest.mark.parametrize(("contract", "zeros"), [(Contract.E15063, 0x2000), (Contract.E29507, None)])
def test_a_crash_on_another_stack_stores_the_stack_of_the_thread(contract: Contract, zeros: int | None) -> None:
    target = machine("bugcheck-7f")
    kdbg, processor = debugger_data(target), target.processors[target.crashing_processor]
    memory = VirtualMemory(PhysicalMemory(target), target.directory_table_base)
    limit, base = (
        memory.pointer(processor.current_thread + offset)
        for offset in (kdbg.OffsetKThreadStackLimit, kdbg.OffsetKThreadStackBase)
    )
    assert limit is not None
    assert base is not None
    blocks = small(target, contract).blocks
    assert (limit, base - limit) in [(block.address, block.size) for block in blocks]
    padded = [block.size for block in blocks if block.address == processor.context["Rsp"] and block.zeros]
    assert padded == ([] if zeros is None else [zeros])


@pytest.mark.parametrize("contract", list(Contract))
def test_bug_check_7e_shows_the_context_of_the_exception_in_an_engines_small_dump(contract: Contract) -> None:
    target = machine("bugcheck-7e")
    data = written(target, SMALL, contract)
    memory = VirtualMemory(PhysicalMemory(target), target.directory_table_base)
    exception = memory.read(target.bug_check.parameters[3], 0x4D0)
    assert (data[0x348 : 0x348 + 0x4D0] == exception) is (contract is not Contract.DOCUMENTED)
    expected = 0x7E if contract is Contract.DOCUMENTED else 0x1000007E
    assert struct.unpack_from("<I", data, 0x38) == (expected,)
    full = written(target, FULL, contract)
    assert struct.unpack_from("<I", full, 0x38) == (0x7E,)


def test_a_bug_check_7e_without_a_readable_context_keeps_the_code() -> None:
    target = replace(machine(), bug_check=BugCheck(0x7E, (0, 0, 0, 0x10)))
    assert struct.unpack_from("<I", written(target, SMALL), 0x38) == (0x7E,)


def test_over_a_kernel_connection_the_record_is_the_debuggers_and_the_version_the_targets() -> None:
    dump, live = (written(machine(), DEFAULT, session=session) for session in (Session.DUMP, Session.LIVE))
    assert struct.unpack_from("<II", dump, 0xF00) == (0x80000003, 1)
    assert struct.unpack_from("<II", live, 0xF00) == (0x80000003, 0)
    assert dump[0xF1C:0xF98] == FILL[0xF1C:0xF98]
    assert not any(live[0xF1C:0xF98])
    assert (dump[0x104D], live[0x104D]) == (0, 2)
    assert dump[0x2000:] == live[0x2000:]


def test_the_root_page_table_is_that_of_the_current_process() -> None:
    for scenario in ("bugcheck-3b", "bugcheck-ef"):
        target = machine(scenario)
        data = written(replace(target, directory_table_base=target.directory_table_base | 2), FULL)
        assert target.directory_table_base != target.system_directory_table_base
        assert u64(data, 0x10) == target.directory_table_base


def test_a_comment_ends_with_a_nul_and_the_rest_stays_fill() -> None:
    data = written(machine(), FULL, comment="a note")
    assert data[0xFB0:0x1030] == b"a note\0" + FILL[0xFB7:0x1030]


def test_full_of_engine_15063_has_700_raw_bytes_of_the_targets_memory_block() -> None:
    target = machine()
    data = written(target, FULL, Contract.E15063)
    memory = VirtualMemory(PhysicalMemory(target), target.directory_table_base)
    block = memory.pointer(target.symbols.mm_physical_memory_block)
    assert block is not None
    raw = memory.read(block, 700)
    assert data[0x88 : 0x88 + 700] == raw
    assert raw is not None
    assert any(raw[0x30:])  # what follows the two runs in the pool
    for name in ("VersionUser", "Comment", "MiniFields", "SecState", "Attributes", "reserved"):
        at, size = FILLED[name]
        assert data[at : at + size] == FILL[at : at + size]
    assert (data[0xF98], data[0x104D], data[0x1054:0x1058]) == (1, 0, b"PAGE")
    assert u64(data, 0xFA0) == len(data)


def test_engine_15063_writes_no_kernel_and_no_active_dump_and_at_most_42_runs() -> None:
    for qualifier in (DEFAULT, ACTIVE):
        with pytest.raises(DumpRefused, match="needs DEBUG_DUMP_SMALL or DEBUG_DUMP_FULL") as refused:
            planned(synthetic_machine(), qualifier, Contract.E15063)
        assert refused.value.hresult == Hresult.E_INVALIDARG
    with pytest.raises(DumpRefused, match="43 runs") as refused:
        planned(by_hand("many-runs", count=43), FULL, Contract.E15063)
    assert refused.value.hresult == Hresult.E_INVALIDARG


def test_an_engine_believes_the_targets_memory_block_and_calls_no_callback() -> None:
    target = synthetic_machine(added_pages=[(0x150, 1)])
    assert planned(target, FULL).page_count == sum(count for _, count in target.physical_runs)
    memory = VirtualMemory(PhysicalMemory(target), target.directory_table_base)
    block = memory.pointer(target.symbols.mm_physical_memory_block)
    assert block is not None
    frame, at = divmod(memory.translate(block) or 0, PAGE_SIZE)
    changed = tuple(
        replace(run, data=bytes(run.data[: (frame - run.base_page) * PAGE_SIZE + at]) + b"\1"
                + bytes(run.data[(frame - run.base_page) * PAGE_SIZE + at + 1 :]))
        if run.base_page <= frame < run.end_page else run
        for run in target.memory
    )  # fmt: skip
    shown = planned(replace(target, memory=changed), FULL).pages
    assert [(page.start, page.count) for page in shown] == [target.physical_runs[0]]
    assert any("callback" in warning for warning in planned(target, DEFAULT).warnings)


@pytest.mark.parametrize("profile", [KernelProfile.CLASSIC, KernelProfile.BITMAP, KernelProfile.PORTABLE])
@pytest.mark.parametrize("qualifier", [DEFAULT, FULL])
def test_required_space_of_windows_dumps_is_the_length_of_the_file(profile: str, qualifier: int) -> None:
    target = synthetic_machine(blobs=[DataBlob(bytes(16), b"secondary")])
    data, _ = kernel_dump_bytes(target, Request(qualifier, profile=profile))
    assert u64(data, 0xFA0) == len(data)


def tables(entries: dict[str, tuple[int, int]]) -> tuple[KernelSnapshot, dict[str, int]]:
    """A machine whose kernel half maps a frame by each entry: level of the table, and bits beside the frame."""
    memory = MachineMemory([(1, 0x3FF), (0x4_0000, 0x400)])
    root, frames = memory.new_root(), {}
    for index, (name, (level, bits)) in enumerate(entries.items()):
        address = 0xFFFF_8000_0000_0000 + (index << 39)
        memory.map(root, address, memory.allocate())
        table = root
        for depth in range(4, level, -1):
            table = memory.entries(table)[address >> 12 + 9 * (depth - 1) & 0x1FF] & 0x000F_FFFF_FFFF_F000
        frames[name] = {3: 0x4_0000, 2: 0x200}.get(level) or memory.allocate()
        entry = frames[name] << 12 | bits
        struct.pack_into("<Q", memory.page(table >> 12), 8 * (address >> 12 + 9 * (level - 1) & 0x1FF), entry)
    empty = bare_machine([(1, 0x3FF), (0x4_0000, 0x400)])
    return replace(empty, memory=memory.snapshot(), directory_table_base=root, system_directory_table_base=root), frames


def test_default_takes_the_entries_that_engine_29507_takes() -> None:
    facts = FACTS["default_entries"]
    target, frames = tables({
        "valid": (1, 3), "transition": (1, 0x800), "prototype+transition": (1, 0xC00), "present bit 0": (1, 0),
        "2MB page": (2, 0x83), "1GB page (RAM in it)": (3, 0x83),
    })  # fmt: skip
    pages = planned(target, DEFAULT).pages
    taken = {name for name, frame in frames.items() if any(page.start <= frame < page.end for page in pages)}
    recorded = {**facts["transition"][0], **facts["2MB"][0]}
    assert {name: name in taken for name in frames if name in recorded} == {
        name: bool(count) for name, count in recorded.items() if name in frames
    }
    assert "1GB page (RAM in it)" not in taken  # of its 1,024 frames the engine took the 175 that others map
    windows = plan_kernel(target, Request(DEFAULT, profile=KernelProfile.PORTABLE)).pages
    assert any(page.start <= frames["1GB page (RAM in it)"] < page.end for page in windows)  # Windows


def test_entry_511_of_a_page_directory_is_not_lost_as_it_is_by_the_engine() -> None:
    memory = MachineMemory([(1, 0x3FF)])
    root = memory.new_root()
    frames = {}
    for address in (0xFFFF_8000_3FE0_0000, 0xFFFF_807F_C000_0000):
        frames[address] = memory.allocate()
        memory.map(root, address, frames[address])
    target = replace(
        bare_machine([(1, 0x3FF)]), memory=memory.snapshot(), directory_table_base=root,
        system_directory_table_base=root,
    )  # fmt: skip
    pages = planned(target, DEFAULT).pages
    assert all(any(page.start <= frame < page.end for page in pages) for frame in frames.values())


def test_active_takes_the_page_states_that_engine_29507_takes() -> None:
    states = FACTS["active_states"]
    first, database = 0x100, 0xFFFF_FA80_0000_0000
    memory = MachineMemory([(1, 0x3FF)])
    root = memory.new_root()
    variable = 0xFFFF_F800_0000_0000
    memory.map_new(root, variable, PAGE_SIZE)
    memory.write_pointer(root, variable, database)
    memory.map_new(root, database + first * 0x30, len(states) * 0x30)
    lists: dict[str, list[tuple[int, int]]] = {"free": [], "standby": []}
    for index, (location, attribute, identity, prototype, _) in enumerate(states):
        entry = bytearray(0x30)
        entry[0x1A] = location | attribute << 6
        struct.pack_into("<QQ", entry, 0x20, prototype << 10, identity << 60)
        memory.write(root, database + (first + index) * 0x30, bytes(entry))
        kind = {0: "free", 1: "free", 2: "standby", 3: "standby"}.get(location)
        if kind:
            lists[kind].append((first + index, 1))
    empty = bare_machine([(1, 0x3FF)])
    target = replace(
        empty, memory=memory.snapshot(), directory_table_base=root, free_pages=tuple(lists["free"]),
        standby_pages=tuple(lists["standby"]), symbols=replace(empty.symbols, mm_pfn_database=variable),
    )  # fmt: skip
    physical = PhysicalMemory(target)
    ranges = frames_in_use(target, VirtualMemory(physical, root), [(first, first + len(states))])
    taken = [any(start <= first + index < end for start, end in ranges) for index in range(len(states))]
    wrong = [row for row, found in zip(states, taken, strict=True) if bool(row[4]) != found]
    assert wrong == []


def test_the_documented_contract_writes_types_with_runs_like_engine_29507() -> None:
    for qualifier in (DEFAULT, FULL, ACTIVE):
        documented, _ = kernel_dump_bytes(machine(), Request(qualifier, profile=KernelProfile.RANGES))
        engine, _ = kernel_dump_bytes(machine(), Request(qualifier, contract=Contract.E29507))
        assert documented == engine
