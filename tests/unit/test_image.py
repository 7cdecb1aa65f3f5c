"""Images are read by the PE format, and other files are refused in one line."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.image import Image, ImageError, load_image
from dumptruth.emu.process.library import SYSTEM_IMAGES

CRASH = SYSTEM_IMAGES / "crash.exe"
NTDLL = SYSTEM_IMAGES / "ntdll.dll"


@pytest.fixture(scope="module")
def crash() -> Image:
    return load_image(CRASH)


@pytest.fixture(scope="module")
def ntdll() -> Image:
    return load_image(NTDLL)


def header(data: bytes | bytearray) -> int:
    return int(struct.unpack_from("<I", data, 0x3C)[0])


def patched(offset_from_pe: int, value: bytes) -> bytes:
    data = bytearray(CRASH.read_bytes())
    at = header(data) + offset_from_pe
    data[at : at + len(value)] = value
    return bytes(data)


def test_the_header_fields_are_those_of_the_file(crash: Image) -> None:
    data = CRASH.read_bytes()
    at = header(data)
    assert crash.architecture == "amd64"
    assert crash.time_date_stamp == struct.unpack_from("<I", data, at + 8)[0]
    assert crash.entry_point == struct.unpack_from("<I", data, at + 24 + 16)[0]
    assert crash.image_base == struct.unpack_from("<Q", data, at + 24 + 24)[0] == 0x140000000
    assert crash.size_of_image == struct.unpack_from("<I", data, at + 24 + 56)[0]
    assert crash.size_of_headers == struct.unpack_from("<I", data, at + 24 + 60)[0]
    assert crash.checksum == struct.unpack_from("<I", data, at + 24 + 64)[0] != 0
    assert crash.dll_characteristics == struct.unpack_from("<H", data, at + 24 + 70)[0]
    assert (crash.stack_reserve, crash.stack_commit) == struct.unpack_from("<QQ", data, at + 24 + 72)
    assert not crash.is_dll


def test_sections_are_mapped_at_their_addresses_with_zeros_behind_their_data(crash: Image) -> None:
    data = CRASH.read_bytes()
    assert [section.name for section in crash.sections][:3] == [".text", ".rdata", ".data"]
    assert crash.preferred[: crash.size_of_headers] == data[: crash.size_of_headers]
    table = header(data) + 24 + struct.unpack_from("<H", data, header(data) + 20)[0]
    for index, section in enumerate(crash.sections):
        size, address, raw_size, raw = struct.unpack_from("<4I", data, table + 40 * index + 8)
        assert (section.virtual_size, section.virtual_address) == (size, address)
        used = min(size, raw_size)
        assert crash.preferred[address : address + used] == data[raw : raw + used]
        assert not any(crash.preferred[address + used : (address + size + 0xFFF) & ~0xFFF])


def test_an_image_of_a_kernel_machine_keeps_what_the_file_has_behind_a_section() -> None:
    """The loader of Windows maps whole pages of the file; a user process of ours has zeros there."""
    data = bytearray(CRASH.read_bytes())
    table = header(data) + 24 + struct.unpack_from("<H", data, header(data) + 20)[0]
    size, address, raw_size, raw = struct.unpack_from("<4I", data, table + 8)
    assert raw_size > size
    data[raw + size : raw + raw_size] = b"\xa5" * (raw_size - size)
    kept, cut = (load_image(bytes(data), whole_sections=whole).preferred for whole in (True, False))
    assert kept[address + size : address + raw_size] == b"\xa5" * (raw_size - size)
    assert cut[address + size : address + raw_size] == bytes(raw_size - size)
    assert kept[: address + size] == cut[: address + size]


def test_imports_name_their_dll_and_their_slot(crash: Image) -> None:
    labels = {slot.label: slot for slot in crash.imports}
    slot = labels["kernel32.dll!CreateThread"]
    # Before binding, the slot holds the RVA of hint and name.
    hint = struct.unpack_from("<Q", crash.preferred, slot.iat_rva)[0]
    assert crash.preferred[hint + 2 : hint + 15] == b"CreateThread\0"
    assert crash.dlls[0].lower() == "kernel32.dll"
    assert len({slot.iat_rva for slot in crash.imports}) == len(crash.imports)


def test_exports_are_found_by_name_and_by_ordinal(ntdll: Image) -> None:
    export = ntdll.export("NtClose")
    assert export is not None
    assert ntdll.export(None, export.ordinal) == export
    # mov r10, rcx; mov eax, number: the stub of a service
    assert ntdll.preferred[export.rva : export.rva + 4] in (b"\x4c\x8b\xd1\xb8", b"\x49\x89\xca\xb8")
    assert ntdll.export_rva("NtClose") == export.rva
    assert ntdll.export("NtNoSuchThing") is None
    with pytest.raises(KeyError):
        ntdll.export_rva("NtNoSuchThing")


def test_relocation_changes_exactly_the_relocated_words_and_the_image_base(crash: Image) -> None:
    base = 0x7FF600000000
    moved = crash.mapped_at(base)
    changed = {at for at in range(0, len(moved), 8) if moved[at : at + 8] != crash.preferred[at : at + 8]}
    optional = header(crash.preferred) + 24
    expected = set()
    for relocation in crash.relocations:
        assert relocation.size == 8
        before = struct.unpack_from("<Q", crash.preferred, relocation.rva)[0]
        assert struct.unpack_from("<Q", moved, relocation.rva)[0] - before == base - crash.image_base
        expected |= {at & ~7 for at in range(relocation.rva, relocation.rva + 8)}
    assert struct.unpack_from("<Q", moved, optional + 24)[0] == base
    assert changed <= expected | {(optional + 24) & ~7, (optional + 31) & ~7}
    assert crash.mapped_at(crash.image_base) == crash.preferred


def test_the_codeview_record_ends_at_its_nul(crash: Image) -> None:
    assert crash.code_view is not None
    assert crash.code_view[:4] == b"RSDS"
    assert crash.code_view[24:] == b"crash.pdb\0"


def test_the_version_resource_is_read_or_absent(crash: Image, ntdll: Image) -> None:
    assert crash.version_info is None
    assert ntdll.version_info is not None
    assert ntdll.version_info[:2] == (0xFEEF04BD, 0x00010000)
    assert len(ntdll.version_info) == 13


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.exe: not a PE file: it does not begin with 'MZ'"),
        (b"#!/bin/sh\necho hello\n", "x.exe: not a PE file: it does not begin with 'MZ'"),
        (b"MZ" + bytes(0x3E), "x.exe: not a PE file: no 'PE' signature at offset 0x0"),
        (b"MZ" + b"\xff" * 0x100, "x.exe: not a PE file: no 'PE' signature at offset 0xFFFFFFFF"),
        (patched(4, b"\x4c\x01"), "x.exe: wrong machine: the image is for x86, expected amd64"),
        (patched(4, b"\x64\xaa"), "x.exe: wrong machine: the image is for arm64, expected amd64"),
        (patched(4, b"\x99\x99"), "x.exe: wrong machine: the image is for 0x9999, expected amd64"),
        (patched(22, b"\x20\x00"), "x.exe: not an executable image: IMAGE_FILE_EXECUTABLE_IMAGE is not set"),
        (patched(24 + 56, b"\x01\x00\x00\x00"), "x.exe: SizeOfImage 0x1 is not a positive number of pages"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(data, name="x.exe")
    assert str(caught.value) == message


def test_an_image_cut_at_any_length_is_refused() -> None:
    data = CRASH.read_bytes()
    for length in range(0, len(data), 97):
        with pytest.raises(ImageError, match=r"^cut.exe: .*$"):
            load_image(data[:length], name="cut.exe")


def test_an_image_whose_relocations_were_stripped_stays_at_its_preferred_base(crash: Image) -> None:
    stripped = bytearray(crash.preferred)
    stripped[int.from_bytes(stripped[0x3C:0x40], "little") + 22] |= 1  # IMAGE_FILE_RELOCS_STRIPPED
    fixed = replace(crash, relocations=(), preferred=bytes(stripped))
    assert fixed.mapped_at(fixed.image_base) == fixed.preferred
    with pytest.raises(ImageError, match=r"crash.exe: no relocations, so it cannot be loaded at 0x10000"):
        fixed.mapped_at(0x10000)


def test_an_image_that_needs_no_relocations_may_have_any_base(crash: Image) -> None:
    image = replace(crash, relocations=())
    header = int.from_bytes(image.preferred[0x3C:0x40], "little") + 24 + 24
    mapped = image.mapped_at(0x10000)
    assert mapped[header : header + 8] == (0x10000).to_bytes(8, "little")
    assert mapped[header + 8 :] == image.preferred[header + 8 :]


def test_an_image_that_is_too_large_is_refused_before_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray((SYSTEM_IMAGES / "crash.exe").read_bytes())
    at = struct.unpack_from("<I", data, 0x3C)[0] + 24 + 56  # SizeOfImage
    struct.pack_into("<I", data, at, 0xFFFFF000)
    with pytest.raises(ImageError, match=r"^big.exe: SizeOfImage is 4,294,963,200 bytes; an image may have at most"):
        load_image(bytes(data), name="big.exe")
    monkeypatch.setattr("dumptruth.emu.image.LARGEST_IMAGE", 100)
    (tmp_path / "big.exe").write_bytes(data)
    with pytest.raises(ImageError, match=r"^big.exe: an image may have at most 100 bytes, and this file has more$"):
        load_image(tmp_path / "big.exe")
