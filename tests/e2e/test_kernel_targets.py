"""What debuggers and memory-forensic readers need of a machine (docs/format/engine.md#what-a-target-must-have,
docs/format/engine.md#what-stacks-need, docs/format/engine.md#what-memprocfs-needs)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from dumptruth.emu.image import load_image
from dumptruth.emu.images.kernel.build import FOLDER, KERNEL_IMAGES, KernelImage
from dumptruth.emu.kernel.boot import Boot
from dumptruth.emu.kernel.boot_block import MMPFN_SIZE, SELF_MAP_INDEX
from dumptruth.emu.kernel.configuration import Configuration
from dumptruth.emu.kernel.system_space import PFN_DATABASE
from dumptruth.emu.process.stack_trace import Function, return_addresses
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.kernel import KernelProcess, KernelSnapshot

from .kernel_snapshots import FRAME, LARGE, PRESENT, driver, physical, process, read, snapshot_of, u64

SECOND = 10_000_000
KERNEL_STACK, STATE, WAITING = 0x58, 0x184, 5  # KTHREAD of build 19041, KTHREAD_STATE
CREATE_TIME, PEB, SE_AUDIT, EXIT_STATUS, VAD_ROOT, OBJECT_TABLE = 0x468, 0x550, 0x5C0, 0x7D4, 0x7D8, 0x570
PROGRAM_BASE = 0x140000000


class Walk:
    """Unwinds stacks of a snapshot in the address space of one root."""

    def __init__(self, snapshot: KernelSnapshot, root: int) -> None:
        self._snapshot, self._root = snapshot, root
        self._images = [(d.base, d.size, d.base) for d in snapshot.drivers]
        if physical(snapshot, PROGRAM_BASE, root) is not None:
            self._images.append((PROGRAM_BASE, 0x7000, PROGRAM_BASE))

    def read(self, address: int, size: int) -> bytes:
        return read(self._snapshot, address, size, self._root)

    def covers(self, address: int) -> bool:
        return any(base <= address < base + size for base, size, _ in self._images)

    def function_at(self, address: int) -> Function | None:
        base = next(base for base, size, _ in self._images if base <= address < base + size)
        header = base + int.from_bytes(self.read(base + 0x3C, 4), "little")
        table, size = struct.unpack("<II", self.read(header + 24 + 112 + 3 * 8, 8))
        for begin, end, unwind in struct.iter_unpack("<III", self.read(base + table, size - size % 12)):
            if begin <= address - base < end:
                return Function(base, begin, unwind)
        return None

    def from_registers(self, registers: dict[str, int]) -> list[int]:
        return list(return_addresses(self.read, self.covers, self.function_at, registers))


def crashed_stack(snapshot: KernelSnapshot) -> tuple[Walk, list[int]]:
    crashing = snapshot.processors[snapshot.crashing_processor]
    walk = Walk(snapshot, snapshot.directory_table_base)
    return walk, walk.from_registers(dict(crashing.context.as_mapping()))


def inside(snapshot: KernelSnapshot, name: str, address: int) -> bool:
    image = driver(snapshot, name)
    return image.base <= address < image.base + image.size


def test_the_stack_of_a_crash_goes_on_behind_the_trap() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    walk, frames = crashed_stack(snapshot)
    owners = [next(d.base_name for d in snapshot.drivers if d.base <= at < d.base + d.size) for at in frames]
    first = owners.index("crashdrv.sys")
    assert owners[:first] == ["ntoskrnl.exe"] * first
    assert owners[first:].count("crashdrv.sys") >= 2
    assert owners[-1] == "ntoskrnl.exe", "a system thread begins in the kernel"
    # The handler's return address: an unwinder takes a jump there for an epilogue, and the stack would end.
    assert walk.read(frames[first - 1], 1) == b"\x90"


def test_the_stack_of_a_system_call_goes_on_in_the_program() -> None:
    snapshot = snapshot_of("bugcheck-3b")
    _, frames = crashed_stack(snapshot)
    assert PROGRAM_BASE <= frames[-1] < PROGRAM_BASE + 0x7000
    assert any(inside(snapshot, "crashdrv.sys", at) for at in frames)


def test_every_waiting_thread_has_a_switch_frame() -> None:
    """RBP at KernelStack + 0x30, RIP at + 0x38, RSP = KernelStack + 0x40."""
    snapshot = snapshot_of("bugcheck-d1")
    users = 0
    for one in snapshot.processes:
        walk = Walk(snapshot, one.directory_table_base)
        for thread in one.threads:
            if read(snapshot, thread.thread + STATE, 1)[0] != WAITING:
                continue
            stack = u64(snapshot, thread.thread + KERNEL_STACK)
            assert thread.stack_limit <= stack < thread.stack_base
            registers = {"Rip": u64(snapshot, stack + 0x38), "Rsp": stack + 0x40, "Rbp": u64(snapshot, stack + 0x30)}
            assert inside(snapshot, "ntoskrnl.exe", registers["Rip"])
            frames = walk.from_registers(registers)
            assert len(frames) > 3
            if one.process_id != 4:
                assert PROGRAM_BASE <= frames[-1] < PROGRAM_BASE + 0x7000, "from the kernel back to the program"
                users += 1
    assert users >= 10


@pytest.mark.parametrize("name", ["_KSWITCH_FRAME", "_PEB", "_PEB_LDR_DATA", "_TEB", "_MMPFN", "_MMVAD_SHORT"])
def test_the_kernels_pdb_has_the_type(name: str) -> None:
    assert name.encode() + b"\0" in (FOLDER / "ntkrnlmp.pdb").read_bytes()


@pytest.mark.parametrize("name", ["KiTrap", "KiTrapExit", "KiPageFault"])
def test_what_a_trap_leads_through_has_a_public_symbol(name: str) -> None:
    assert name.encode() + b"\0" in (FOLDER / "ntkrnlmp.pdb").read_bytes()


@pytest.mark.parametrize("image", KERNEL_IMAGES, ids=lambda image: image.name)
def test_every_image_has_a_version_resource(image: KernelImage) -> None:
    assert load_image(FOLDER / image.name).version_info is not None


# --- processes --------------------------------------------------------------------------------------------------------


def user_processes(snapshot: KernelSnapshot) -> list[KernelProcess]:
    return [one for one in snapshot.processes if one.process_id != 4]


def unicode_string(snapshot: KernelSnapshot, address: int, root: int) -> str:
    length, maximum, buffer = struct.unpack("<HH4xQ", read(snapshot, address, 16, root))
    assert length < maximum
    return read(snapshot, buffer, length, root).decode("utf-16-le")


def test_every_process_lists_its_program_as_a_module() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    for one in user_processes(snapshot):
        root = one.directory_table_base
        assert one.peb == u64(snapshot, one.process + PEB)
        ldr, parameters = struct.unpack("<QQ", read(snapshot, one.peb + 0x18, 16, root))
        for head in (ldr + 0x10, ldr + 0x20):
            entry, back = struct.unpack("<QQ", read(snapshot, head, 16, root))
            assert entry == back != head
            assert struct.unpack("<QQ", read(snapshot, entry, 16, root)) == (head, head)
        entry = int.from_bytes(read(snapshot, ldr + 0x10, 8, root), "little")
        base = int.from_bytes(read(snapshot, entry + 0x30, 8, root), "little")
        assert read(snapshot, base, 2, root) == b"MZ"
        assert unicode_string(snapshot, entry + 0x58, root) == one.image_file_name
        assert unicode_string(snapshot, entry + 0x48, root).endswith("\\" + one.image_file_name)
        assert unicode_string(snapshot, parameters + 0x60, root) == unicode_string(snapshot, entry + 0x48, root)


def test_a_teb_begins_with_no_exception_list_and_names_its_thread() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    for one in user_processes(snapshot):
        for thread in one.threads:
            teb = read(snapshot, thread.teb, 0x48, one.directory_table_base)
            assert teb[:8] == bytes(8)
            assert int.from_bytes(teb[0x40:], "little") == one.process_id


def test_processes_are_older_than_a_second() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    for one in snapshot.processes:
        assert snapshot.time - u64(snapshot, one.process + CREATE_TIME) > SECOND
    user = run_scenario("null-read")
    assert user.time - user.process.create_time > SECOND
    assert all(thread.create_time >= user.process.create_time for thread in user.threads)


def test_memprocfs_finds_the_processes() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    system, smss, *others = snapshot.processes
    assert (system.image_file_name, smss.image_file_name) == ("System", "smss.exe")
    assert u64(snapshot, smss.process + 0x540) == 4
    assert physical(snapshot, smss.peb, smss.directory_table_base) is not None
    assert len(others) + 2 > 10
    for one in snapshot.processes:
        table = u64(snapshot, one.process + OBJECT_TABLE)
        assert read(snapshot, table - 0x0C, 4) == b"Obtb"
        assert read(snapshot, one.process + EXIT_STATUS, 4) == struct.pack("<I", 0x103)
        assert u64(snapshot, one.process + VAD_ROOT) >> 47 == 0x1FFFF
        name = u64(snapshot, one.process + SE_AUDIT)
        if one is not system:
            path = unicode_string(snapshot, name, snapshot.directory_table_base)
            assert path.startswith("\\Device\\")
            assert path.endswith("\\" + one.image_file_name)


def vads(snapshot: KernelSnapshot, node: int, parent: int = 0) -> Iterator[tuple[int, int]]:
    """(first, last page) of the nodes below ``node``, in order."""
    if node:
        left, right, up = struct.unpack("<3Q", read(snapshot, node, 24))
        assert up & ~3 == parent
        yield from vads(snapshot, left, node)
        first, last, high_first, high_last = struct.unpack("<IIBB", read(snapshot, node + 0x18, 10))
        yield first | high_first << 32, last | high_last << 32
        yield from vads(snapshot, right, node)


def user_pages(snapshot: KernelSnapshot, table: int, shift: int = 39, va: int = 0) -> Iterator[int]:
    page = snapshot.page(table >> 12)
    assert page is not None
    entries = struct.unpack("<512Q", bytes(page))
    for index, entry in enumerate(entries[: 256 if shift == 39 else 512]):
        if entry & PRESENT and shift == 12:
            yield va | index << 12
        elif entry & PRESENT:
            yield from user_pages(snapshot, entry & FRAME, shift - 9, va | index << shift)


def test_the_vad_tree_covers_what_a_process_has_mapped() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    for one in user_processes(snapshot):
        ranges = list(vads(snapshot, u64(snapshot, one.process + VAD_ROOT)))
        assert ranges == sorted(ranges)
        assert all(a[1] < b[0] for a, b in pairwise(ranges))
        mapped = list(user_pages(snapshot, one.directory_table_base))
        assert mapped
        assert all(any(first <= va >> 12 <= last for first, last in ranges) for va in mapped)
    assert process(snapshot, "smss.exe").threads


# --- the kernel half --------------------------------------------------------------------------------------------------


def entries_of(snapshot: KernelSnapshot, table: int) -> tuple[int, ...]:
    page = snapshot.page(table >> 12)
    assert page is not None
    return struct.unpack("<512Q", bytes(page))


def test_memprocfs_accepts_the_root_and_the_kernel() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    root = snapshot.system_directory_table_base
    upper = entries_of(snapshot, root)[256:]
    assert sum(entry & 0x8000_0000_0000_0087 == 3 for entry in upper) >= 6
    assert upper[SELF_MAP_INDEX - 256] & FRAME == root
    headers = read(snapshot, snapshot.symbols.kernel_base, 0x1000)
    assert any(headers[at : at + 8] == b"POOLCODE" for at in range(0, 0x1000, 8))


def test_nothing_lies_below_the_last_entry_of_a_directory() -> None:
    """Windows' debugger engine skips entry 511 of page directories and directory-pointer tables."""
    snapshot = snapshot_of("bugcheck-d1")
    for index, top in enumerate(entries_of(snapshot, snapshot.system_directory_table_base)):
        if index < 256 or index == SELF_MAP_INDEX or not top & PRESENT:
            continue
        pointers = entries_of(snapshot, top & FRAME)
        assert not pointers[511] & PRESENT
        for pointer in pointers:
            if pointer & PRESENT and not pointer & LARGE:
                assert not entries_of(snapshot, pointer & FRAME)[511] & PRESENT


@pytest.mark.parametrize("ram", [1 << 20, 16 << 20, 8 << 30, 128 << 30])
def test_the_pfn_database_is_readable_for_all_of_ram(ram: int) -> None:
    boot = Boot(Configuration(ram=ram))
    tables = boot.space.tables
    pages = {
        (base + frame) * MMPFN_SIZE >> 12
        for base, count in boot.memory.runs
        for frame in range(0, count, 4096 // MMPFN_SIZE)
    }
    described = {part.base for part in boot.frames}
    for page in sorted(pages)[:: max(1, len(pages) // 5000)]:
        assert tables.translate(PFN_DATABASE + page * 4096) is not None, hex(page)
    for frame in described:
        entry = tables.translate(PFN_DATABASE + frame * MMPFN_SIZE)
        assert entry is not None
        assert entry.write, "the kernel writes the entry of a frame in use"
    base, count = boot.memory.runs[-1]
    last = PFN_DATABASE + (base + count - 1) * MMPFN_SIZE
    assert tables.read(last, MMPFN_SIZE) is not None
