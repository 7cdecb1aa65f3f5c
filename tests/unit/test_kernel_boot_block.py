"""The boot block in Python equals ntos_boot.h in every structure, field, offset and constant."""

from __future__ import annotations

import ctypes
import re

import pytest
from dumptruth.emu.kernel import boot_block
from dumptruth.emu.kernel.configuration import KERNEL_FOLDER

HEADER = re.sub(r"/\*.*?\*/", "", (KERNEL_FOLDER / "ntos_boot.h").read_text(encoding="utf-8"), flags=re.DOTALL)
SIZES = {"unsigned long long": 8, "unsigned int": 4, "unsigned short": 2, "unsigned char": 1, "char": 1}


def constants() -> dict[str, int]:
    found = {}
    for name, value in re.findall(r"#define (\w+) (0x[0-9A-Fa-f]+|\d+)(?:ull)?\s*\n", HEADER):
        found[name] = int(value, 0)
    return found


def enumerators(name: str) -> dict[str, int]:
    match = re.search(rf"typedef enum _{name} {{(.*?)}}", HEADER, re.DOTALL)
    assert match is not None
    return {key: int(value) for key, value in re.findall(r"(\w+) = (\d+)", match[1])}


def structures() -> dict[str, list[tuple[str, int, int]]]:
    """(field, offset, bytes) of every structure, laid out with natural alignment."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    known: dict[str, tuple[int, int]] = {name: (size, size) for name, size in SIZES.items()}
    numbers = constants()
    for name, body in re.findall(r"typedef struct _(\w+) {(.*?)}", HEADER, re.DOTALL):
        fields, offset, alignment = [], 0, 1
        for kind, pointer, field, count in re.findall(r"([\w ]+?)\s*(\*?)\s*(\w+)(?:\[(\w+)\])?;", body):
            size, align = (8, 8) if pointer else known[" ".join(kind.split())]
            size *= int(count) if count.isdigit() else numbers[count] if count else 1
            offset = -(-offset // align) * align
            fields.append((field, offset, size))
            offset += size
            alignment = max(alignment, align)
        known[name] = (-(-offset // alignment) * alignment, alignment)
        found[name] = [*fields, ("sizeof", 0, known[name][0])]
    return found


def test_the_header_has_the_structures_that_the_loader_fills_and_the_capture_reads() -> None:
    assert set(structures()) == {
        "BOOT_MEMORY_RUN", "BOOT_PAGES", "BOOT_IMAGE", "BOOT_PROCESSOR", "BOOT_THREAD", "BOOT_REGION", "BOOT_PROCESS",
        "BOOT_PARAMETERS", "BUGCHECK_BLOB", "BUGCHECK_BLOBS", "BUGCHECK_RANGE", "BUGCHECK_RANGES",
    }  # fmt: skip


@pytest.mark.parametrize("name", list(structures()))
def test_every_field_is_where_the_header_has_it(name: str) -> None:
    mirror: type[ctypes.LittleEndianStructure] = getattr(boot_block, name)
    fields = [(field, getattr(mirror, field).offset, getattr(mirror, field).size) for field, *_ in mirror._fields_]
    assert [*fields, ("sizeof", 0, ctypes.sizeof(mirror))] == structures()[name]


def test_constants_have_the_values_of_the_header() -> None:
    both = {name: value for name, value in constants().items() if hasattr(boot_block, name)}
    needed = {"BOOT_VERSION", "SELF_MAP_INDEX", "KUSER_KERNEL", "KUSER_USER", "KERNEL_STACK_SIZE", "IST_STACK_SIZE",
              "KPROCESSOR_PAGES", "MMPFN_SIZE", "NMI_VECTOR", "CLOCK_VECTOR", "BOOT_IMAGE_UNLOAD",
              "BOOT_REGION_IMAGE"}  # fmt: skip
    assert needed <= both.keys()
    assert {name: getattr(boot_block, name) for name in both} == both


def test_hypercalls_are_those_of_the_header() -> None:
    header = {name.removeprefix("HYPERCALL_"): n for name, n in constants().items() if name.startswith("HYPERCALL_")}
    assert {call.name: call.value for call in boot_block.Hypercall} == header


@pytest.mark.parametrize(("name", "mirror"), [("SCENARIO", boot_block.GuestScenario), ("PROGRAM", boot_block.Program)])
def test_the_programs_of_the_guest_have_the_numbers_of_the_header(name: str, mirror: type[boot_block.Program]) -> None:
    header = enumerators(name)
    assert sorted(header.values()) == [member.value for member in mirror]
    for member in mirror:
        # For scenarios with the same code the header has a suffix, and the Python mirror has words before the code.
        assert any(set(member.name.split("_")) & set(key.split("_")) for key, n in header.items() if n == member.value)
