"""Names of functions from PDBs, and the symbol files of Breakpad that are made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.image import load_image
from dumptruth.emu.images.services import FOLDER
from dumptruth.emu.symbols import PdbFiles, read_pdb
from dumptruth.fixtures.vectors.breakpad import debug_id, symbol_file

STACKS = FOLDER / "stacks.exe"
IMAGES = sorted(
    path for path in (*FOLDER.iterdir(), *(FOLDER / "kernel").iterdir()) if path.suffix in (".exe", ".dll", ".sys")
)


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_every_function_that_an_image_exports_has_its_name_in_the_pdb(path: Path) -> None:
    image = load_image(path.read_bytes(), name=path.name)
    pdb = PdbFiles([path.parent]).of(image.code_view)
    assert pdb is not None
    known = {function.name: function.rva for function in pdb.functions}
    exported = {export.name: export.rva for export in image.exports if export.name in known and export.rva}
    assert exported == {name: known[name] for name in exported}


def test_the_functions_of_stacks_exe_are_those_of_its_sources() -> None:
    names = [function.name for function in read_pdb(STACKS.with_suffix(".pdb").read_bytes()).functions]
    assert names[:8] == [
        "mainCRTStartup", "sleeper", "waiter", "outer", "middle", "run_dynamic", "run_other", "inner",
    ]  # fmt: skip
    assert {"leaf", "tail_caller", "tail_target", "no_unwind", "dive"} <= set(names)


def test_an_address_belongs_to_the_function_that_starts_before_it() -> None:
    pdb = read_pdb(STACKS.with_suffix(".pdb").read_bytes())
    first = pdb.functions[0]
    found = pdb.at(first.rva + first.size - 1)
    assert found == first
    assert pdb.at(first.rva - 1) is None


def test_a_pdb_of_another_build_is_not_used(tmp_path: Path) -> None:
    image = load_image(STACKS.read_bytes(), name=STACKS.name)
    (tmp_path / "stacks.pdb").write_bytes((FOLDER / "crash.pdb").read_bytes())
    assert PdbFiles([tmp_path]).of(image.code_view) is None
    assert PdbFiles([tmp_path, FOLDER]).of(image.code_view) is not None


@pytest.mark.parametrize("size", [0, 31, 40, 4096, 60000])
def test_a_torn_pdb_has_no_names(size: int, tmp_path: Path) -> None:
    image = load_image(STACKS.read_bytes(), name=STACKS.name)
    (tmp_path / "stacks.pdb").write_bytes(STACKS.with_suffix(".pdb").read_bytes()[:size])
    assert PdbFiles([tmp_path]).of(image.code_view) is None


def symbols(path: Path) -> list[str]:
    image = load_image(path.read_bytes(), name=path.name)
    pdb = PdbFiles([path.parent]).of(image.code_view)
    assert pdb is not None
    return symbol_file(image, pdb, path.with_suffix(".pdb").name).splitlines()


def rules(lines: list[str], name: str) -> list[str]:
    """The CFI records from the begin of a function on, without the address."""
    start = next(line.split()[1] for line in lines if line.endswith(f" 0 {name}"))
    at = next(number for number, line in enumerate(lines) if line.startswith(f"STACK CFI INIT {start} "))
    found = [" ".join(lines[at].split()[5:])]
    for line in lines[at + 1 :]:
        if line.startswith("STACK CFI INIT"):
            break
        found.append(f"+{int(line.split()[2], 16) - int(start, 16):x} {' '.join(line.split()[3:])}")
    return found


def test_a_symbol_file_names_module_and_functions() -> None:
    lines = symbols(STACKS)
    pdb = read_pdb(STACKS.with_suffix(".pdb").read_bytes())
    assert lines[0] == f"MODULE windows x86_64 {debug_id(pdb)} stacks.pdb"
    assert any(line.startswith("FUNC ") and line.endswith(" 0 mainCRTStartup") for line in lines)
    assert any(line.startswith("PUBLIC ") and line.endswith(" 0 leaf") for line in lines)


def test_unwind_data_becomes_rules() -> None:
    lines = symbols(STACKS)
    assert rules(lines, "leaf") == [".cfa: $rsp 8 + .ra: .cfa 8 - ^"]
    assert rules(lines, "prologue") == [
        ".cfa: $rsp 8 + .ra: .cfa 8 - ^",
        "+1 .cfa: $rsp 16 + .ra: .cfa 8 - ^ $rbx: .cfa 16 - ^",
        "+5 .cfa: $rsp 24 + .ra: .cfa 8 - ^ $rbx: .cfa 16 - ^ $rsi: .cfa 24 - ^",
        "+9 .cfa: $rsp 96 + .ra: .cfa 8 - ^ $rbx: .cfa 16 - ^ $rsi: .cfa 24 - ^",
    ]


def test_a_frame_pointer_takes_the_place_of_rsp() -> None:
    # push rbp, push rsi, sub rsp 28h, lea rbp [rsp+20h]: the caller's RSP is 20h above RBP.
    assert rules(symbols(STACKS), "dynamic_stack")[-1] == (
        "+b .cfa: $rbp 32 + .ra: .cfa 8 - ^ $rbp: .cfa 16 - ^ $rsi: .cfa 24 - ^"
    )


def test_chained_unwind_data_starts_with_the_frame_of_the_first_part() -> None:
    lines = symbols(STACKS)
    start = int(next(line.split()[1] for line in lines if line.endswith(" 0 chained")), 16)
    at = lines.index(next(line for line in lines if line.startswith(f"STACK CFI INIT {start + 5:x} ")))
    assert lines[at].endswith(".cfa: $rsp 96 + .ra: .cfa 8 - ^ $rbx: .cfa 16 - ^")
    assert lines[at + 1].endswith("$rbx: .cfa 16 - ^ $rsi: .cfa 32 - ^")


def test_a_trap_leads_to_the_interrupted_code() -> None:
    # KiPageFault: the processor pushed an error code below RIP, CS, EFLAGS, RSP and SS.
    path = FOLDER / "kernel" / "ntoskrnl.exe"
    image = load_image(path.read_bytes(), name=path.name)
    pdb = PdbFiles([path.parent]).of(image.code_view)
    assert pdb is not None
    found = rules(symbol_file(image, pdb, "ntkrnlmp.pdb").splitlines(), "KiPageFault")
    assert found[0] == ".cfa: $rsp 32 + ^ .ra: $rsp 8 + ^"
    assert found[1].startswith("+1 .cfa: $rsp 40 + ^ .ra: $rsp 16 + ^ $rbp: ")
