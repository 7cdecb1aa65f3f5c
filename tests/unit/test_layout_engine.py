"""The layout engine, tested with strings as payload, since it knows no dump format."""

from __future__ import annotations

import pytest
from dumptruth.emu.writer.layout import (
    Buffer,
    Cite,
    DuplicatePath,
    Label,
    Layout,
    LayoutError,
    LayoutMap,
    LayoutOverflow,
    Overlap,
    Section,
    UnplacedLabel,
)
from dumptruth.emu.writer.sinks import BytesSink


def section(path: str, *texts: str) -> Section:
    made = Section(path)
    for index, text in enumerate(texts):
        made.add(f"{path}[{index}]", "text", text.encode())
    return made


def emitted(layout: Layout, **options: tuple[str, str]) -> bytes:
    sink = BytesSink()
    layout.emit(sink, **options)
    return sink.getvalue()


def placed(*sections: Section) -> tuple[LayoutMap, bytes]:
    layout = Layout()
    for one in sections:
        layout.place(one)
    return layout.freeze(), emitted(layout)


def test_sections_follow_each_other_in_the_order_they_are_placed() -> None:
    layout_map, data = placed(section("A", "one", "two"), section("B", "three"))
    assert data == b"onetwothree"
    assert [(e.path, e.offset, e.size) for e in layout_map.entries] == [("A[0]", 0, 3), ("A[1]", 3, 3), ("B[0]", 6, 5)]
    assert [(e.path, e.offset, e.size) for e in layout_map.sections] == [("A", 0, 6), ("B", 6, 5)]
    assert layout_map.size == 11


def test_lower_phases_come_first_in_any_order_of_placing() -> None:
    layout = Layout()
    layout.place(section("Bulk", "bulk"), phase=1)
    layout.place(section("Head", "head"))
    layout.place(section("Tail", "tail"), phase=1)
    layout.freeze()
    assert emitted(layout) == b"headbulktail"


def test_a_cite_holds_where_its_label_was_placed() -> None:
    target = section("Target", "first", "second")
    last = target.add("Target[2]", "text", b"third")
    pointer = Section("Pointer")
    cites = [Cite("start", 1, 2, target.start), Cite("length", 3, 4, target.length), Cite("last", 7, 1, last)]
    pointer.add("Pointer", "pointer", b"<.......>", cites=cites)
    layout_map, data = placed(section("Gap", "..."), pointer, target)
    assert data == b"...<" + b"\x0c\x00" + b"\x10\x00\x00\x00" + b"\x17" + b">firstsecondthird"
    assert layout_map.section("Target").offset == 12
    assert layout_map.entry("Target[2]").offset == 0x17


def test_alignment_and_fixed_places_leave_padding_that_the_map_names() -> None:
    layout = Layout()
    layout.place(section("A", "abc"))
    layout.place(section("B", "def"), align=8)
    layout.place(section("C", "ghi"), at=16)
    layout_map = layout.freeze()
    assert emitted(layout) == b"abc\0\0\0\0\0def\0\0\0\0\0ghi"
    assert [(e.path, e.kind) for e in layout_map.entries] == [
        ("A[0]", "text"), ("Padding[0x3]", "padding"), ("B[0]", "text"), ("Padding[0xb]", "padding"), ("C[0]", "text"),
    ]  # fmt: skip
    assert [e.path for e in layout_map.matching("padding")] == ["Padding[0x3]", "Padding[0xb]"]


def test_a_section_cannot_start_inside_another() -> None:
    layout = Layout()
    layout.place(section("A", "abcdef"))
    layout.place(section("B", "x"), at=5)
    with pytest.raises(Overlap, match="B starts at 0x5, but A ends at 0x6"):
        layout.freeze()


def test_a_label_that_nobody_placed_is_named_with_the_field_that_cites_it() -> None:
    forgotten = section("Forgotten", "text")
    pointer = Section("Pointer")
    pointer.add("Pointer", "pointer", bytes(4), cites=[Cite("Rva", 0, 4, forgotten.start)])
    layout = Layout()
    layout.place(pointer)
    with pytest.raises(UnplacedLabel, match=r"Pointer\.Rva: label Forgotten \(start\): never placed"):
        layout.freeze()


def one_byte_pointer_to(offset: int) -> Layout:
    pointer = Section("Pointer")
    far = section("Far", "x")
    pointer.add("Pointer", "pointer", bytes(2), cites=[Cite("Rva", 0, 1, far.start)])
    layout = Layout()
    layout.place(pointer)
    layout.place(far, at=offset)
    return layout


def test_a_value_that_does_not_fit_is_named_with_its_field_and_nothing_wraps() -> None:
    layout = one_byte_pointer_to(0x100)
    with pytest.raises(LayoutOverflow, match=r"Pointer\.Rva: 0x100 does not fit in 1 bytes"):
        layout.freeze()


def test_the_largest_value_that_fits_is_written() -> None:
    layout = one_byte_pointer_to(0xFF)
    layout.freeze()
    assert emitted(layout)[0] == 0xFF


def test_a_name_is_used_once() -> None:
    with pytest.raises(DuplicatePath, match=r"A\[0\]: placed at 0x0 and at 0x1"):
        placed(section("A", "x"), section("A", "y"))


def test_nothing_is_placed_twice_or_after_the_freeze() -> None:
    layout = Layout()
    one = section("A", "x")
    layout.place(one)
    with pytest.raises(LayoutError, match="A: placed twice"):
        layout.place(one)
    layout.freeze()
    with pytest.raises(LayoutError, match="B: placed after the freeze"):
        layout.place(section("B", "y"))
    with pytest.raises(LayoutError, match="late comes after the freeze"):
        one.add("late", "text", b"z")


def test_a_layout_is_emitted_only_when_frozen_and_a_label_read_only_then() -> None:
    layout = Layout()
    one = section("A", "x")
    layout.place(one)
    with pytest.raises(LayoutError, match="emit was called before freeze"):
        layout.emit(BytesSink())
    with pytest.raises(UnplacedLabel):
        _ = one.start.value
    layout.freeze()
    assert one.start.value == 0
    with pytest.raises(LayoutError, match="placed twice"):
        one.start.resolve(1)


def test_a_cite_outside_its_part_is_refused() -> None:
    with pytest.raises(LayoutError, match=r"A\.Rva: the cited field lies outside its part"):
        Section("A").add("A", "x", bytes(4), cites=[Cite("Rva", 1, 4, Label("x"))])


def test_bytes_that_shrink_after_the_freeze_are_noticed() -> None:
    source = Section("A")
    source.add("A", "text", b"abc")
    layout = Layout()
    layout.place(source)
    layout.freeze()
    layout._parts[0] = memoryview(b"ab")
    with pytest.raises(LayoutError, match="A: 0x2 bytes at 0x0, expected 0x3 at 0x0"):
        layout.emit(BytesSink())


class Recorder:
    """Records the order of the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, bytes]] = []
        self.kept: list[object] = []
        self._at = 0

    def write(self, data: Buffer) -> None:
        self.calls.append(("write", self._at, bytes(data)))
        if isinstance(data, memoryview):
            self.kept.append(data.obj)
        self._at += len(bytes(data))

    def write_zeros(self, size: int) -> None:
        self.write(bytes(size))

    def patch(self, offset: int, data: bytes) -> None:
        self.calls.append(("patch", offset, data))


def test_the_last_field_is_zero_until_everything_else_is_written() -> None:
    head = Section("Head")
    head.add("Head", "head", b"ab!!cd", fields={"Signature": (2, 2)})
    layout = Layout()
    layout.place(head)
    layout.place(section("Tail", "tail"))
    layout.freeze()
    recorder = Recorder()
    layout.emit(recorder, last=("Head", "Signature"))
    assert recorder.calls == [("write", 0, b"ab\0\0cdtail"), ("patch", 2, b"!!")]
    assert emitted(layout, last=("Head", "Signature")) == b"ab!!cdtail"


def test_bulk_data_is_handed_on_without_a_copy() -> None:
    bulk = bytes(1 << 20)
    one = Section("Bulk")
    one.add("Bulk", "memory", memoryview(bulk)[4096:-4096])
    layout = Layout()
    layout.place(section("Head", "head"))
    layout.place(one)
    layout.freeze()
    recorder = Recorder()
    layout.emit(recorder)
    assert [len(data) for _, _, data in recorder.calls] == [4, (1 << 20) - 8192]
    assert recorder.kept == [bulk]
    assert recorder.kept[0] is bulk


def test_fields_are_found_by_path_and_name() -> None:
    one = Section("A")
    one.add("A.Items[0]", "Item", bytes(8), fields={"Size": (4, 2)})
    layout_map, _ = placed(section("Head", "head"), one)
    assert layout_map.field("A.Items[0]", "Size") == (8, 2)
    assert "A.Items[0]" in layout_map
    with pytest.raises(KeyError):
        layout_map.field("A.Items[0]", "Colour")


def test_empty_parts_have_a_place_and_no_bytes() -> None:
    layout_map, data = placed(section("A", "", "x"), Section("B"), section("C", ""))
    assert data == b"x"
    assert [(e.path, e.offset) for e in layout_map.entries] == [("A[0]", 0), ("A[1]", 0), ("C[0]", 1)]
    assert layout_map.section("B").offset == 1
