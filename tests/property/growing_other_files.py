"""Kernel dumps, full user dumps and cabinets with one long list each. ``FILES``: name -> builder by entry count."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from struct import calcsize, pack, pack_into, unpack_from
from typing import Final

from dumptruth.fixtures.mutants.hand_pristine import pristine
from dumptruth.fixtures.mutants.kernel_pristine import pristine as kernel_pristine
from dumptruth.fixtures.mutants.registry import BaseDump

_HEADER: Final = 0x2000
"""The main header of a 64-bit kernel dump; SizeOfDump and ValidOffset of a small dump are 4 bytes into what follows."""
_TRIAGE: Final = {"unloaded": 0x18, "drivers": 0x30, "pool": 0x38, "blocks": 0x78}
"""Offsets of fields in TRIAGE_DUMP64: an offset, then a count or a size (none for the unloaded drivers)."""


@cache
def _base(base: BaseDump) -> bytes:
    made = pristine(base) if base in (BaseDump.USERDUMP, BaseDump.CAB) else kernel_pristine(base)
    return bytes(made.data)


def _main_header(kind: int) -> bytearray:
    data = bytearray(_base(BaseDump.KERNEL_FULL)[:_HEADER])
    pack_into("<I", data, 0xF98, kind)
    return data


def _ranges(runs: Sequence[tuple[int, int]], tail: bytes = b"") -> bytes:
    """A dump of type 10."""
    size = 16 + 16 * len(runs)
    head = pack("<I4s4sIQQ", 0x40, b"RDMP", b"DUMP", 0, size, _HEADER + 32 + size)
    total = sum(count for _, count in runs) & (1 << 64) - 1
    listed = b"".join(pack("<QQ", *run) for run in runs)
    return bytes(_main_header(10)) + head + pack("<IIQ", len(runs), 0, total) + listed + tail


def _bitmap(bits: bytes, tail: bytes = b"") -> bytes:
    """A dump of type 5."""
    first = -(-(_HEADER + 56 + len(bits)) // 4096) * 4096
    pages = int.from_bytes(bits, "little").bit_count()
    head = pack("<4s4sI20xQQQ", b"FDMP", b"DUMP", 0, first, pages, 8 * len(bits))
    return (bytes(_main_header(5)) + head + bits).ljust(first, b"\0") + tail


def _small(name: str, listed: Callable[[int, bytes], bytes], count: int) -> bytes:
    """A small dump whose list ``name`` is ``listed``, which gets its offset and the first driver."""
    data = bytearray(_base(BaseDump.KERNEL_SMALL_A))
    (size,) = unpack_from("<I", data, _HEADER + 4)
    del data[size - 4 :]
    (drivers,) = unpack_from("<I", data, _HEADER + _TRIAGE["drivers"])
    at = len(data)
    data += listed(at, bytes(data[drivers : drivers + 144]))
    pack_into("<I", data, _HEADER + _TRIAGE[name], at)
    if name != "unloaded":
        pack_into("<I", data, _HEADER + _TRIAGE[name] + 4, count)
    data += bytes(-len(data) % 8)
    pack_into("<II", data, _HEADER + 4, len(data) + 4, len(data))
    return bytes(data) + b"TRGD"


def _drivers(count: int) -> bytes:
    def listed(_at: int, driver: bytes) -> bytes:
        bases = (pack("<Q", 0xFFFF_F800_0000_0000 + (index << 16)) for index in range(count))
        return b"".join(driver[:0x38] + base + driver[0x40:] for base in bases)

    return _small("drivers", listed, count)


def _unloaded(count: int) -> bytes:
    def listed(_at: int, _driver: bytes) -> bytes:
        rows = [pack("<HHIQ24sQQ", 2, 4, 0, 0, b"m\0", i << 12, i + 1 << 12) for i in range(count)]
        return pack("<II", count, 0) + b"".join(rows)

    return _small("unloaded", listed, count)


def _pool(count: int) -> bytes:
    return _small("pool", lambda _at, _driver: pack("<I", 1) + b"a\0\0\0" if not count else bytes(8) * count, 8 * count)


def _blocks(count: int, step: int, size: int, room: int) -> bytes:
    """Data blocks of ``size`` bytes, ``step`` apart in the target. They overlap in ``room`` bytes of the file."""

    def listed(at: int, _driver: bytes) -> bytes:
        first = at + 16 * count
        rows = [pack("<QII", 0xFFFF_F800_0000_0000 + step * i, first + i % 97, size) for i in range(count)]
        return b"".join(rows) + bytes(room + 97)

    return _small("blocks", listed, count)


def _blobs(count: int) -> bytes:
    data = _base(BaseDump.KERNEL_SMALL_A)
    (size,) = unpack_from("<I", data, _HEADER + 4)
    head = data[size : size + 16] if data[size : size + 8] == b"DumpBlob" else b"DumpBlob" + pack("<II", 16, 0xF0004A61)
    return data[:size] + head + b"".join(pack("<IQQIII", 32, i, i, 0, 0, 0) for i in range(count))


def _user(fields: dict[int, tuple[str, int]], rows: bytes, offsets: Sequence[int]) -> bytes:
    """A full user dump with ``rows`` at its end. ``fields`` are set in the header; ``offsets`` are set to the rows."""
    data = bytearray(_base(BaseDump.USERDUMP))
    for at, (form, value) in fields.items():
        assert calcsize(form) in (4, 8)
        pack_into(form, data, at, value)
    for at in offsets:
        pack_into("<Q", data, at, len(data))
    return bytes(data) + rows


def _threads(count: int) -> bytes:
    rows = b"".join(pack("<IIIIQ56x", 4 * i + 4, 0, 32, 0, 0x7000 + i) for i in range(count))
    contexts = pack("<48xI", 0x10000F).ljust(1232, b"\0") * count
    data = bytearray(_user({0x14: ("<I", count)}, contexts + rows, (0x20,)))
    pack_into("<Q", data, 0x48, len(data) - len(rows))
    return bytes(data)


def _modules(count: int) -> bytes:
    rows = b"".join(pack("<QII", 0x10000 * i, 0x1000, 6) + b"a.dll\0" for i in range(count))
    return _user({0x18: ("<I", count)}, rows, (0x28,))


def _regions(count: int, size: int) -> bytes:
    rows = [pack("<QQIIQIIII", 0x1000 * i, 0, 4, 0, size, 0x1000, 4, 0x20000, 0) for i in range(count)]
    data = bytearray(_user({0x1C: ("<I", count)}, b"".join(rows) + bytes(size * count), (0x38,)))
    pack_into("<Q", data, 0x30, len(data) - size * count)
    return bytes(data)


def _cabinet(folders: int, blocks: int, members: int, bad: bool = False) -> bytes:
    """Folders of so many blocks each, and members that all lie in the first bytes of the first folder."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"CK" + packer.compress(b"MDMP".ljust(2001 if bad else 2000, b"\0")) + packer.flush()
    block = pack("<IHH", 0, len(packed), 2000) + packed
    first = 36 + 8 * folders
    names = b"".join(pack("<IIHHHH", 1000, i % 1000, 0, 0, 0, 0x20) + f"{i}.dmp\0".encode() for i in range(members))
    data = first + len(names)
    size = data + len(block) * blocks * folders
    head = pack("<4sIIIIIBBHHHHH", b"MSCF", 0, size, 0, first, 0, 3, 1, folders, members, 0, 0, 0)
    listed = b"".join(pack("<IHH", data + len(block) * blocks * i, blocks, 1) for i in range(folders))
    return head + listed + names + block * blocks * folders


FILES: Final[dict[str, Callable[[int], bytes]]] = {
    "runs": lambda n: _ranges([(2 * i + 1, 1) for i in range(n)], bytes(4096)),
    "runs of the same page": lambda n: _ranges([(1, 1)] * n, bytes(4096 * 40)),
    "runs that overlap": lambda n: _ranges([(1, n - i) for i in range(n)]),
    "runs in descending order": lambda n: _ranges([(2 * (n - i), 2) for i in range(n)]),
    "runs of 2^40 pages": lambda n: _ranges([(i, 1 << 40) for i in range(n)]),
    "every other bit": lambda n: _bitmap(b"\x55" * n, bytes(4096)),
    "every bit": lambda n: _bitmap(b"\xff" * n, bytes(4096)),
    "drivers": _drivers,
    "unloaded drivers": _unloaded,
    "strings of the pool": _pool,
    "data blocks": lambda n: _blocks(n, 0x1000, 1, 1),
    "data blocks that overlap": lambda n: _blocks(n, 1, 4096, 4096),
    "blobs": _blobs,
    "threads": _threads,
    "modules": _modules,
    "empty regions": lambda n: _regions(n, 0),
    "regions": lambda n: _regions(n, 16),
    "members": lambda n: _cabinet(1, 1, n),
    "folders": lambda n: _cabinet(n, 1, 1),
    "blocks": lambda n: _cabinet(1, n, 1),
    "folders whose blocks are bad": lambda n: _cabinet(n, 1, 1, bad=True),
}
