"""DEBUG_FORMAT_WRITE_CAB: the dump inside equals the dump without the flag, and the right files are beside it."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.constants import (
    DEBUG_DUMP_DEFAULT,
    DEBUG_DUMP_FULL,
    DEBUG_DUMP_SMALL,
    DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES,
    DEBUG_FORMAT_CAB_SECONDARY_FILES,
    DEBUG_FORMAT_NO_OVERWRITE,
    DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO,
    DEBUG_FORMAT_WRITE_CAB,
    Hresult,
)
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.debugger.secondary_files import ImageFiles, image_files
from dumptruth.emu.images.services import FOLDER
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import CodeView, ProcessSnapshot
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.process import synthetic_process

CAB = DEBUG_FORMAT_WRITE_CAB
FILES = CAB | DEBUG_FORMAT_CAB_SECONDARY_FILES
ALL = FILES | DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES
KINDS = {
    "small": (DEBUG_DUMP_SMALL, None),
    "default": (DEBUG_DUMP_DEFAULT, "modern"),
    "legacy": (DEBUG_DUMP_DEFAULT, "legacy"),
}
SNAPSHOT = synthetic_process(modules=3, module_names=["C:\\w\\main.exe", "C:\\w\\guilty.dll", "C:\\w\\other.dll"])


def blaming(snapshot: ProcessSnapshot, module: int) -> ProcessSnapshot:
    """The same process with the exception in the module of that index."""
    assert snapshot.exception is not None
    context = snapshot.exception.context
    registers = tuple(
        (name, snapshot.modules[module].base + 0x1300 if name == "Rip" else value) for name, value in context.registers
    )
    return replace(snapshot, exception=replace(snapshot.exception, context=replace(context, registers=registers)))


GUID = bytes(range(100, 116))


def with_pdb(snapshot: ProcessSnapshot, module: int, path: str) -> ProcessSnapshot:
    modules = list(snapshot.modules)
    record = b"RSDS" + GUID + bytes(4) + path.encode() + b"\0"
    modules[module] = replace(modules[module], code_view=CodeView(record))
    return replace(snapshot, modules=tuple(modules))


def image(module: int, snapshot: ProcessSnapshot = SNAPSHOT) -> bytes:
    """The headers of the file of a module."""
    return snapshot.read(snapshot.modules[module].base, snapshot.modules[module].size_of_headers) or b""


def members(cab: bytes) -> dict[str, bytes]:
    """The members of a cabinet, without the checks of test_writer_cab.py."""
    count, blocks = struct.unpack_from("<H", cab, 28)[0], struct.unpack_from("<H", cab, 40)[0]
    at, sizes = 44, []
    for _ in range(count):
        end = cab.index(b"\0", at + 16)
        sizes.append((cab[at + 16 : end].decode(), *struct.unpack_from("<I", cab, at)))
        at = end + 1
    linear = b""
    for _ in range(blocks):
        (size,) = struct.unpack_from("<H", cab, at + 4)
        linear += zlib.decompressobj(-15, zdict=linear[-0x8000:]).decompress(cab[at + 10 : at + 8 + size])
        at += 8 + size
    found, start = {}, 0
    for name, size in sizes:
        found[name] = linear[start : start + size]
        start += size
    return found


def secondary(snapshot: ProcessSnapshot | KernelSnapshot, flags: int, files: ImageFiles | None) -> tuple[set[str], str]:
    """The members beside the dump, and the warnings."""
    file = io.BytesIO()
    result = DebugClient(snapshot, image_files=files).write(file, DEBUG_DUMP_SMALL, flags)
    return set(members(file.getvalue())) - {"dump.dmp"}, "; ".join(result.warnings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_dump_inside_is_the_dump_without_the_flag(tmp_path: Path, kind: str) -> None:
    qualifier, profile = KINDS[kind]
    client = DebugClient(SNAPSHOT, start_directory=tmp_path, profile=profile)
    flags = DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO if kind == "small" else 0
    plain = client.write("x.dmp", qualifier, flags, "why" if kind != "legacy" else None)
    packed = client.write("x.cab", qualifier, flags | CAB, "why" if kind != "legacy" else None)
    assert members((tmp_path / "x.cab").read_bytes()) == {"x.cab.dmp": (tmp_path / "x.dmp").read_bytes()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.cab", "x.dmp"]
    assert packed.planned == plain.planned
    assert packed.cabinet is not None
    assert plain.cabinet is None
    assert packed.size == packed.cabinet.size == (tmp_path / "x.cab").stat().st_size
    assert packed.layout.size == plain.size


@pytest.mark.parametrize("qualifier", [DEBUG_DUMP_SMALL, DEBUG_DUMP_DEFAULT, DEBUG_DUMP_FULL])
@pytest.mark.parametrize("profile", ["portable", "classic", "bitmap", "ranges"])
def test_kernel_dumps_of_every_kind_go_into_cabinets_too(tmp_path: Path, qualifier: int, profile: str) -> None:
    machine = synthetic_machine()
    client = DebugClient(machine, start_directory=tmp_path, profile=profile)
    client.write("m.dmp", qualifier)
    client.write("m.cab", qualifier, CAB)
    assert members((tmp_path / "m.cab").read_bytes()) == {"m.cab.dmp": (tmp_path / "m.dmp").read_bytes()}


@pytest.mark.parametrize(
    ("name", "member"),
    [("a.cab", "a.cab.dmp"), ("a.dmp", "a.dmp.dmp"), ("a.b", "a.b.dmp"), ("a", "a.dmp"), ("ä.cab", "ä.cab.dmp")],
)
def test_the_member_is_named_after_the_file(tmp_path: Path, name: str, member: str) -> None:
    assert DebugClient(SNAPSHOT, start_directory=tmp_path).WriteDumpFile2(name, DEBUG_DUMP_SMALL, CAB) == 0
    assert list(members((tmp_path / name).read_bytes())) == [member]


def test_a_handle_gets_the_cabinet_and_a_name_beside_it_names_the_member(tmp_path: Path) -> None:
    file = io.BytesIO(b"old contents" * 100_000)
    client = DebugClient(SNAPSHOT, start_directory=tmp_path)
    assert client.WriteDumpFileWide("C:\\dumps\\said.cab", file, DEBUG_DUMP_SMALL, CAB) == 0
    assert list(members(file.getvalue())) == ["said.cab.dmp"]
    assert client.WriteDumpFileWide(None, file, DEBUG_DUMP_SMALL, CAB) == 0
    assert list(members(file.getvalue())) == ["dump.dmp"]
    assert list(tmp_path.iterdir()) == []


def test_the_image_files_at_hand_are_those_of_the_right_build_and_of_a_name_the_first() -> None:
    bases = [module.base for module in SNAPSHOT.modules]
    files = {module.name: image(index) for index, module in enumerate(SNAPSHOT.modules)}
    assert image_files(SNAPSHOT, files) == bases
    assert image_files(SNAPSHOT, {}) == []
    assert image_files(SNAPSHOT, {**files, "C:\\w\\guilty.dll": image(2)}) == [bases[0], bases[2]]
    modules = list(SNAPSHOT.modules)
    modules[2] = replace(modules[2], name="D:\\GUILTY.DLL")
    twins = replace(SNAPSHOT, modules=tuple(modules))
    assert image_files(twins, {**files, "D:\\GUILTY.DLL": image(2)}) == bases[:2]


def test_no_overwrite_applies_to_the_cabinet(tmp_path: Path) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path)
    (tmp_path / "x.dmp").write_bytes(b"a dump of that name is none of its business")
    assert client.WriteDumpFile2("x.cab", DEBUG_DUMP_SMALL, CAB | DEBUG_FORMAT_NO_OVERWRITE) == 0
    before = (tmp_path / "x.cab").read_bytes()
    assert client.WriteDumpFile2("x.cab", DEBUG_DUMP_DEFAULT, CAB | DEBUG_FORMAT_NO_OVERWRITE) == 0x80070050
    assert (tmp_path / "x.cab").read_bytes() == before
    assert (tmp_path / "x.dmp").read_bytes().startswith(b"a dump")
    assert client.WriteDumpFile2("x.cab", DEBUG_DUMP_DEFAULT, CAB) == 0
    assert (tmp_path / "x.cab").read_bytes() != before


def test_the_files_that_the_session_used_are_the_main_image_and_the_one_at_fault() -> None:
    snapshot = with_pdb(with_pdb(blaming(SNAPSHOT, 1), 1, "D:\\build\\guilty.pdb"), 0, "main.pdb")
    files = {"C:\\w\\main.exe": image(0), "C:\\w\\guilty.dll": image(1), "C:\\w\\other.dll": image(2),
             "D:\\build\\guilty.pdb": b"symbols" + GUID, "main.pdb": GUID + b"more symbols"}  # fmt: skip
    assert secondary(snapshot, FILES, files) == ({"main.exe", "main.pdb", "guilty.dll", "guilty.pdb"}, "")
    found, warnings = secondary(snapshot, ALL, files)
    assert found == {"main.exe", "main.pdb", "guilty.dll", "guilty.pdb", "other.dll"}
    assert warnings == "files left out of the cabinet, not found: other.pdb"
    assert secondary(blaming(snapshot, 0), FILES, files)[0] == {"main.exe", "main.pdb"}
    assert secondary(replace(snapshot, exception=None), FILES, files)[0] == {"main.exe", "main.pdb"}
    assert secondary(snapshot, CAB, files) == (set(), "")


def test_files_that_are_not_known_are_named_in_a_warning(tmp_path: Path) -> None:
    snapshot = with_pdb(with_pdb(blaming(SNAPSHOT, 1), 1, "D:\\build\\guilty.pdb"), 0, "main.pdb")
    expected = "files left out of the cabinet, not found: main.exe, main.pdb, guilty.dll, guilty.pdb"
    assert secondary(snapshot, FILES, None) == (set(), expected)
    nowhere = tmp_path / "not there"
    assert secondary(snapshot, FILES, lambda _: nowhere) == (set(), expected)
    assert secondary(snapshot, FILES, lambda _: tmp_path) == (set(), expected)


def test_the_provider_may_give_bytes_or_places_by_a_mapping_or_a_function(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(image(0))
    snapshot = with_pdb(SNAPSHOT, 0, "main.pdb")
    file = io.BytesIO()
    files: dict[str, bytes | Path] = {"C:\\w\\main.exe": tmp_path / "there", "main.pdb": GUID}
    providers: tuple[ImageFiles, ...] = (files, files.get)
    for provider in providers:
        DebugClient(snapshot, image_files=provider).write(file, DEBUG_DUMP_SMALL, FILES)
        found = members(file.getvalue())
        assert (found["main.exe"], found["main.pdb"]) == (image(0), GUID)


def test_of_two_images_with_one_name_the_first_is_in_the_cabinet() -> None:
    names = ["C:\\a\\same.dll", "C:\\b\\SAME.dll"]
    snapshot = synthetic_process(modules=2, module_names=names, code_view=False)
    file = io.BytesIO()
    files = {names[0]: image(0, snapshot), names[1]: image(1, snapshot)}
    assert files[names[0]] != files[names[1]]
    DebugClient(snapshot, image_files=files).write(file, DEBUG_DUMP_SMALL, ALL)
    assert members(file.getvalue())["same.dll"] == files[names[0]]
    assert "SAME.dll" not in members(file.getvalue())


def test_a_process_without_modules_has_no_secondary_files() -> None:
    assert secondary(synthetic_process(modules=0), ALL, None) == (set(), "")


def kernel_target() -> tuple[KernelSnapshot, dict[str, bytes]]:
    """A machine with the time stamp and size of the committed kernel, and the files of that kernel."""
    machine = synthetic_machine()
    files = {name: (FOLDER / "kernel" / name).read_bytes() for name in ("ntoskrnl.exe", "ntkrnlmp.pdb")}
    pe = int.from_bytes(files["ntoskrnl.exe"][0x3C:0x40], "little")
    stamp, size = (int.from_bytes(files["ntoskrnl.exe"][pe + at : pe + at + 4], "little") for at in (8, 0x50))
    kernel = replace(machine.drivers[0], full_name="ntoskrnl.exe", time_date_stamp=stamp, size=size)
    return replace(machine, drivers=(kernel, *machine.drivers[1:])), files


def test_the_kernels_pdb_is_found_through_its_image() -> None:
    machine, files = kernel_target()
    found, warnings = secondary(machine, ALL, files)
    assert found == {"ntoskrnl.exe", "ntkrnlmp.pdb"}
    assert warnings.endswith(f"not found: {', '.join(driver.base_name for driver in machine.drivers[1:])}")
    assert {"ntoskrnl.exe", "ntkrnlmp.pdb"} <= secondary(machine, FILES, files)[0]


def test_a_pdb_of_another_build_stays_out() -> None:
    machine, files = kernel_target()
    found, warnings = secondary(machine, ALL, files | {"ntkrnlmp.pdb": b"Microsoft C/C++ MSF 7.00"})
    assert found == {"ntoskrnl.exe"}
    assert "files left out of the cabinet, of another build: ntkrnlmp.pdb" in warnings


@pytest.mark.parametrize("cut", [0, 1, 0x3C, 0x40, 0x90, -1])
def test_a_file_that_is_not_the_image_stays_out(cut: int) -> None:
    """A missing file, a truncated one, or the right headers with another time stamp."""
    data = bytearray(image(0))
    pe = int.from_bytes(data[0x3C:0x40], "little")
    data[pe + 8] ^= 1
    files = {"C:\\w\\main.exe": bytes(data if cut < 0 else image(0)[:cut])}
    found, warnings = secondary(replace(SNAPSHOT, exception=None), FILES, files)
    assert found == set()
    assert "of another build: main.exe" in warnings


@pytest.mark.parametrize("size", range(0x200, 0x2000, 0x555))
def test_a_truncated_image_is_packed_without_a_pdb(size: int) -> None:
    machine, files = kernel_target()
    found, _ = secondary(machine, FILES, {"ntoskrnl.exe": files["ntoskrnl.exe"][:size]})
    assert found == {"ntoskrnl.exe"}


def test_flags_for_secondary_files_without_a_cabinet_give_a_warning(tmp_path: Path) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path)
    assert client.write("a.dmp", DEBUG_DUMP_SMALL, DEBUG_FORMAT_CAB_SECONDARY_FILES).warnings == (
        "DEBUG_FORMAT_CAB_SECONDARY_FILES has no effect without DEBUG_FORMAT_WRITE_CAB",
    )
    result = client.write("a.cab", DEBUG_DUMP_SMALL, CAB | DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES)
    assert result.warnings == (
        "DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES has no effect without DEBUG_FORMAT_CAB_SECONDARY_FILES",
    )
    assert result.plan.flags == 0x840000  # the bit is SCAN_PARTIAL_PAGES, too


def test_a_cabinet_that_would_be_too_long_is_refused_before_a_file_is_touched(tmp_path: Path) -> None:
    machine = synthetic_machine(runs=((0x100, (3 << 30) // 0x1000),))
    client = DebugClient(machine, start_directory=tmp_path)
    assert client.WriteDumpFile2("m.cab", DEBUG_DUMP_FULL, CAB) == Hresult.ERROR_FILE_TOO_LARGE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("cabextract") is None, reason="cabextract is not installed")
def test_cabextract_finds_dump_and_files(tmp_path: Path) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path, image_files={"C:\\w\\main.exe": image(0)})
    client.write("x.dmp", DEBUG_DUMP_DEFAULT)
    client.write("x.cab", DEBUG_DUMP_DEFAULT, FILES)
    command = ["cabextract", "-q", "-d", str(tmp_path / "out"), str(tmp_path / "x.cab")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out" / "x.cab.dmp").read_bytes() == (tmp_path / "x.dmp").read_bytes()
    assert (tmp_path / "out" / "main.exe").read_bytes() == image(0)
