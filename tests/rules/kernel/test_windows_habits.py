"""What Windows' own small dumps have and a writer's own need not: none of it may fail a file that is judged alone.

Each habit is one that spec kernel-mode 3.2 to 3.7 counted in 72 real files; here it is put into a small dump of ours.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from dumptruth.fixtures.mutants.kernel_pristine import pristine
from dumptruth.fixtures.mutants.registry import KernelPristine, Vector
from dumptruth.fixtures.mutants.surgery import Surgery, get
from dumptruth.oracle import ByteSource, Level, Outcome, Verdict, check

A, B, OLD = Vector.KERNEL_SMALL_A, Vector.KERNEL_SMALL_B, Vector.KERNEL_SMALL_9600
STALE = random.Random(9600).randbytes(512)
FILL = b"PAGE"
CONTEXT_ALL = 0x10001F


def bug_check_code_with_the_live_bit(case: KernelPristine) -> bytes:
    return Surgery(case).add("Header", "BugCheckCode", 0x10000000).data


def attributes_of_build_26100(case: KernelPristine) -> bytes:
    return Surgery(case).put("Header", "Attributes", 0x21808).data


def attributes_and_secondary_version_of_fill(case: KernelPristine) -> bytes:
    knife = Surgery(case).put("Header", "Attributes", FILL)
    return knife.put("Header", "KdSecondaryVersion", FILL[:1]).data


def comment_of_fill(case: KernelPristine) -> bytes:
    return Surgery(case).put("Header", "Comment", FILL * 32).data


def required_space_beyond_the_file(case: KernelPristine) -> bytes:
    return Surgery(case).add("Header", "RequiredDumpSpace", 0x12345).data


def root_with_a_process_context_identifier(case: KernelPristine) -> bytes:
    return Surgery(case).add("Header", "DirectoryTableBase", 2).data


def pfn_database_as_a_value(case: KernelPristine) -> bytes:
    return Surgery(case).put("Header", "PfnDataBase", 0xFFFFDE0000000000).data


def floating_point_area_never_saved(case: KernelPristine) -> bytes:
    return Surgery(case).put("Header", "ContextRecord.FltSave", STALE).data


def exception_context(case: KernelPristine) -> bytes:
    """Its stack pointer lies further up, and the exception elsewhere (spec 3.1 TopOfStack, 6.1 A8, A9)."""
    knife = Surgery(case).put("Header", "ContextRecord.ContextFlags", CONTEXT_ALL)
    return knife.add("Header", "ContextRecord.Rsp", 0x28).data


def stale_bytes_in_driver_entries(case: KernelPristine) -> bytes:
    """The pad word behind DriverNameOffset, and what stands behind the 32-bit members (spec 3.2)."""
    at = case.layout.section("DriverList").offset
    data = bytearray(case.data)
    for index in range(get(case, "TriageHeader", "DriverCount")):
        entry = at + 0x90 * index
        data[entry + 4 : entry + 8] = STALE[:4]
        data[entry + 8 : entry + 0x38] = STALE[:0x30]
        data[entry + 0x4C : entry + 0x50] = STALE[:4]
        data[entry + 0x8C : entry + 0x90] = STALE[:4]
    return bytes(data)


def driver_without_checksum_and_time(case: KernelPristine) -> bytes:
    at = case.layout.section("DriverList").offset + 0x90
    data = bytearray(case.data)
    data[at + 0x80 : at + 0x84] = bytes(4)
    data[at + 0x88 : at + 0x8C] = bytes(4)
    return bytes(data)


def image_size_of_no_whole_pages(case: KernelPristine) -> bytes:
    at = case.layout.section("DriverList").offset + 0x90 + 0x48
    data = bytearray(case.data)
    data[at] = 0x80
    return bytes(data)


def stale_bytes_in_the_string_pool(case: KernelPristine) -> bytes:
    """The padding of each record to 8."""
    pool, data = case.layout.section("StringPool"), bytearray(case.data)
    at = pool.offset
    while at < pool.offset + pool.size:
        units = int.from_bytes(data[at : at + 4], "little")
        text, end = at + 4 + 2 * units + 2, at + -(-(4 + 2 * units + 2) // 8) * 8
        data[text:end] = STALE[: end - text]
        at = end
    return bytes(data)


def stale_bytes_in_the_room(case: KernelPristine) -> bytes:
    room = case.layout.entry("TriageEnd.Reserve")
    return Surgery(case).poke("TriageEnd.Reserve", STALE[: min(room.size, 400)]).data


def no_memory_figures(case: KernelPristine) -> bytes:
    return Surgery(case).poke("MmStorage", bytes(0x38), 0x18).data


def stale_disk_contents_behind_the_last_blob(case: KernelPristine) -> bytes:
    """The file was first extended to RequiredDumpSpace: zeros up to a sector, then whatever the disk had."""
    sector = -len(case.data) % 512
    tail = bytes(sector) + STALE * 4
    return Surgery(case).put("Header", "RequiredDumpSpace", len(case.data) + len(tail)).data + tail


def empty_blob_in_the_middle(case: KernelPristine) -> bytes:
    """A blob with a tag of zeros and no data ends no chain (spec 3.7)."""
    first = case.layout.entry("Blobs[0]")
    empty = case.data[first.offset : first.end][:4] + bytes(first.size - 4)
    at = first.offset
    data = case.data[:at] + empty + case.data[at:]
    grown = Surgery(case).add("Header", "RequiredDumpSpace", len(empty))
    return grown.data[: grown.layout.field("Header", "RequiredDumpSpace")[0] + 8] + data[
        grown.layout.field("Header", "RequiredDumpSpace")[0] + 8 :
    ]


def data_blocks_of_the_user_half(case: KernelPristine) -> bytes:
    """Its bytes are in the dump, its address is a user stack's."""
    return Surgery(case).put(f"DataBlocks[{_last(case)}]", "Address", 0x0000_0012_3456_7ABC).data


def data_blocks_that_overlap_with_equal_bytes(case: KernelPristine) -> bytes:
    """The smallest block becomes a part of the largest."""
    knife, blocks = Surgery(case), range(_last(case) + 1)
    sizes = [get(case, f"DataBlocks[{index}]", "Size") for index in blocks]
    small, large = sizes.index(min(sizes)), sizes.index(max(sizes))
    held = knife.read(f"DataBlocks[{large}].Data")[: sizes[small]]
    knife.put(f"DataBlocks[{small}]", "Address", get(case, f"DataBlocks[{large}]", "Address"))
    return knife.poke(f"DataBlocks[{small}].Data", held).data


def broken_driver_bit_clear(case: KernelPristine) -> bytes:
    return Surgery(case).put("Header", "MiniDumpFields", get(case, "Header", "MiniDumpFields") & ~0x80).data


def _last(case: KernelPristine) -> int:
    return get(case, "TriageHeader", "DataBlocksCount") - 1


EVERYWHERE: tuple[Callable[[KernelPristine], bytes], ...] = (
    bug_check_code_with_the_live_bit,
    attributes_of_build_26100,
    attributes_and_secondary_version_of_fill,
    comment_of_fill,
    required_space_beyond_the_file,
    root_with_a_process_context_identifier,
    pfn_database_as_a_value,
    floating_point_area_never_saved,
    exception_context,
    driver_without_checksum_and_time,
    image_size_of_no_whole_pages,
    stale_bytes_in_the_string_pool,
    no_memory_figures,
    data_blocks_of_the_user_half,
    data_blocks_that_overlap_with_equal_bytes,
    empty_blob_in_the_middle,
    broken_driver_bit_clear,
)


@pytest.mark.parametrize("vector", [A, B, OLD], ids=["19041-A", "26100-B", "9600-A"])
@pytest.mark.parametrize("habit", EVERYWHERE, ids=lambda habit: habit.__name__)
def test_a_habit_of_windows_fails_no_small_dump(habit: Callable[[KernelPristine], bytes], vector: Vector) -> None:
    sound(habit(pristine(vector)))


@pytest.mark.parametrize(
    ("habit", "vector"),
    [
        (stale_bytes_in_driver_entries, OLD),
        (stale_bytes_in_the_room, OLD),
        (stale_disk_contents_behind_the_last_blob, B),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_habit_of_one_layout_fails_no_small_dump(
    habit: Callable[[KernelPristine], bytes], vector: Vector
) -> None:
    sound(habit(pristine(vector)))


def sound(data: bytes) -> None:
    report = check(ByteSource(data))
    failed = [
        (result.rule, result.findings[:1])
        for result in report.results
        if result.verdict is Verdict.FAIL and result.level is Level.MUST
    ]
    assert failed == []
    assert report.outcome is Outcome.CONFORMANT, report.reason


def test_a_small_dump_of_arm64_is_judged_by_its_own_context() -> None:
    """As build 22000 has it (spec 8.2): machine 0xAA64, its CONTEXT of 0x390 bytes, KdSecondaryVersion 0."""
    case = pristine(A)
    knife = Surgery(case)
    sp, pc = (get(case, "Header", f"ContextRecord.{name}") for name in ("Rsp", "Rip"))
    context = bytearray(0x390)
    context[0:4] = (0x400007).to_bytes(4, "little")
    context[0x100:0x110] = sp.to_bytes(8, "little") + pc.to_bytes(8, "little")
    for name, value in {"MachineImageType": 0xAA64, "MinorVersion": 22000, "KdSecondaryVersion": 0}.items():
        knife.put("Header", name, value)
    at = case.layout.entry("Header").offset + 0x348
    data = bytearray(knife.data)
    data[at : at + 0xBB8] = bytes(context).ljust(0xBB8, b"\0")
    for index in range(_last(case) + 1):
        start = case.layout.entry(f"DataBlocks[{index}].Data").offset
        if case.data[start + 0x98 : start + 0xA0] == sp.to_bytes(8, "little"):  # KPRCB.Context
            data[start : start + 0x390] = context
    report = check(ByteSource(bytes(data)))
    assert report.kind == "kernel-dump"
    failed = [
        (result.rule, result.findings[:2])
        for result in report.results
        if result.verdict is Verdict.FAIL and result.level is Level.MUST
    ]
    assert failed == []
