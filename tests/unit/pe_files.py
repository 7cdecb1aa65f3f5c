"""Queries on PE files, their PDBs and their sources, for the tests of the committed images."""

from __future__ import annotations

import hashlib
import struct
from functools import cache
from itertools import pairwise
from pathlib import Path

import lief


@cache  # LIEF's objects become invalid with their image
def parse(path: Path) -> lief.PE.Binary:
    image = lief.PE.parse(str(path))
    assert isinstance(image, lief.PE.Binary)
    return image


def exports(path: Path) -> dict[str, int]:
    """The names that an image exports, and their RVAs."""
    table = parse(path).get_export()
    assert isinstance(table, lief.PE.Export)
    return {str(entry.name): entry.address for entry in table.entries}


def code(path: Path, rva: int, size: int) -> bytes:
    image = parse(path)
    return bytes(image.get_content_from_virtual_address(image.imagebase + rva, size))


def missing_imports(path: Path) -> list[str]:
    """``IMAGE!NAME`` for every import that the image beside it does not export."""
    return [
        f"{imported.name!s}!{entry.name!s}"
        for imported in parse(path).imports
        for entry in imported.entries
        if str(entry.name) not in exports(path.parent / str(imported.name).lower())
    ]


def function_entries(path: Path) -> list[tuple[int, int, int]]:
    """The rows of .pdata: all lie in sections of code, in order, without overlap."""
    image = parse(path)
    pdata = bytes(next(section for section in image.sections if section.name == ".pdata").content)
    rows = [row for row in struct.iter_unpack("<III", pdata[: len(pdata) // 12 * 12]) if row[0]]
    assert rows, path.name
    assert all(_section_of(image, begin) in (".text", "POOLCODE") and begin < end for begin, end, _ in rows)
    assert all(one[1] <= two[0] for one, two in pairwise(rows))
    return rows


def _section_of(image: lief.PE.Binary, rva: int) -> str:
    return next(str(s.name) for s in image.sections if s.virtual_address <= rva < s.virtual_address + s.virtual_size)


def check_sections_and_pdb(path: Path) -> None:
    """What every loader and debugger needs: the sections, relocations, and the PDB that CodeView names."""
    image = parse(path)
    assert {str(section.name) for section in image.sections} >= {".text", ".rdata", ".data", ".pdata", ".reloc"}
    assert sum(len(list(block.entries)) for block in image.relocations) > 0
    codeview = image.codeview_pdb
    assert codeview is not None
    pdb = (path.parent / str(codeview.filename)).read_bytes()
    assert pdb.startswith(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS")
    assert bytes(codeview.signature) in pdb, "the PDB carries the image's signature"


def paths_in(path: Path) -> list[str]:
    """Folders of the machine that built a file, in its bytes."""
    marks = ["site-packages", "/tmp", "\\tmp", "/work", "/root", "/home", "\\users\\"]
    marks += [str(Path.home()), str(path.parent)]
    data = path.read_bytes()
    text = data.decode("latin-1").lower() + data.decode("utf-16-le", "replace").lower()
    return [mark for mark in marks if len(mark) > 3 and mark.lower() in text]


def holds_md5_of(pdb: Path, source: Path) -> bool:
    """Whether debug information was made from this text of a source: it holds the MD5 of every source."""
    return hashlib.md5(source.read_text(encoding="utf-8").encode()).digest() in pdb.read_bytes()
