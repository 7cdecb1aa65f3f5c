"""A driver may write any value into the kernel's structures: the capture ends with one line, in bounded time."""

from __future__ import annotations

import struct

import pytest
from dumptruth.emu.kernel import structures
from dumptruth.emu.kernel.structures import KernelStructures, StructureError
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.machine.ram import Ram

AT = 0xFFFFF80000000000


@pytest.fixture
def tables() -> PageTables:
    ram = Ram(1 << 20)
    made = PageTables(ram)
    made.map(AT, ram.allocate_pages(16), 16, write=True, user=False, execute=False)
    return made


def ring(tables: PageTables, *nodes: int) -> None:
    for index, node in enumerate(nodes):
        tables.write(node, struct.pack("<2Q", nodes[(index + 1) % len(nodes)], nodes[index - 1]))


def test_all_lists_together_have_a_limited_number_of_entries(
    tables: PageTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structures, "_LIST_LIMIT", 10)
    ring(tables, AT, AT + 0x10, AT + 0x20, AT + 0x30)
    memory = KernelStructures(tables)
    assert len(list(memory.list_entries(AT))) == 3
    assert len(list(memory.list_entries(AT))) == 3
    with pytest.raises(StructureError, match="all lists have more than 10 entries"):
        list(memory.list_entries(AT))


def test_a_list_that_leads_into_another_ring_is_named(tables: PageTables) -> None:
    ring(tables, AT + 0x10, AT + 0x20)
    tables.write(AT, struct.pack("<2Q", AT + 0x10, AT))
    with pytest.raises(StructureError, match=r"list at 0x\w+: Blink of the entry at"):
        list(KernelStructures(tables).list_entries(AT))


def test_a_size_beyond_all_structures_is_not_read(tables: PageTables) -> None:
    with pytest.raises(StructureError, match=r"0x80000000 bytes, expected at most 0x4000000"):
        KernelStructures(tables).read(AT, 1 << 31)


def test_a_name_that_is_no_text_is_still_a_name(tables: PageTables) -> None:
    tables.write(AT, struct.pack("<HHIQ", 5, 6, 0, AT + 0x100))
    tables.write(AT + 0x100, b"a\0\x00\xd8b\0")
    assert KernelStructures(tables).unicode_string(AT) == "a\ud800"
