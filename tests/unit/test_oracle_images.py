"""Images and PDBs are identified by the keys that symbol servers use."""

from __future__ import annotations

from importlib.resources import as_file, files
from struct import pack_into

import pytest
from dumptruth.fixtures.mutants.cab_assembled import PROGRAM, SYMBOLS, image
from dumptruth.fixtures.mutants.userdump_assembled import GUID
from dumptruth.oracle import ByteSource
from dumptruth.oracle.readers.images import ImageIdentity, image_identity, pdb_guid


def test_an_image_is_identified_by_time_stamp_and_size() -> None:
    assert image_identity(ByteSource(PROGRAM.data)) == ImageIdentity(0x5678, 0x3000)
    assert pdb_guid(ByteSource(PROGRAM.data)) is None


def test_a_program_database_is_identified_by_its_guid() -> None:
    assert pdb_guid(ByteSource(SYMBOLS.data)) == GUID
    assert image_identity(ByteSource(SYMBOLS.data)) is None


@pytest.mark.parametrize("name", ["crash", "alpha"])
def test_a_linker_s_image_and_database_belong_together(name: str) -> None:
    """The record in the image names the GUID of the database."""
    folder = files("dumptruth.emu.images")
    suffix = "exe" if folder.joinpath(f"{name}.exe").is_file() else "dll"
    with as_file(folder.joinpath(f"{name}.{suffix}")) as program, as_file(folder.joinpath(f"{name}.pdb")) as database:
        data = program.read_bytes()
        at = data.index(b"RSDS") + 4
        assert pdb_guid(ByteSource(database.read_bytes())) == data[at : at + 16]
        assert image_identity(ByteSource(data)) is not None


@pytest.mark.parametrize("data", [PROGRAM.data, SYMBOLS.data], ids=["image", "database"])
def test_a_damaged_file_gives_no_other_identity_and_no_error(data: bytes) -> None:
    for length in range(0, len(data), 7):
        source = ByteSource(data[:length])
        assert image_identity(source) in (None, ImageIdentity(0x5678, 0x3000))
        assert pdb_guid(source) in (None, GUID)
    for at in range(0, 0x60, 4):
        for value in (0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF):
            spoilt = bytearray(data)
            pack_into("<I", spoilt, at, value)
            image_identity(ByteSource(bytes(spoilt)))
            pdb_guid(ByteSource(bytes(spoilt)))


def test_a_32_bit_image_has_its_size_at_the_same_place() -> None:
    data = bytearray(image(1, 0x2000))
    pack_into("<H", data, 0x58, 0x10B)
    assert image_identity(ByteSource(bytes(data))) == ImageIdentity(1, 0x2000)
