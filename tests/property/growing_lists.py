"""Minidumps with one long list each, for the growth of the judge's work. ``LISTS``: name -> builder by entry count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import pack
from typing import Final

Part = tuple[int, Callable[[int], bytes]]
"""A stream: its type, and its bytes by the file offset at which they begin."""

_CONTEXT: Final = pack("<48xI", 0x10000F).ljust(1232, b"\1")


def minidump(parts: Sequence[Part], tail: Callable[[int], bytes] = lambda _at: b"", flags: int = 0) -> bytes:
    """Header, directory, SystemInfo of an amd64 Windows, then ``parts`` and ``tail``."""
    at = 32 + 12 * (len(parts) + 1)
    csd = pack("<I", 0) + bytes(4)
    system = pack("<HHHBBIIIIIHH24x", 9, 6, 1, 1, 1, 10, 0, 19041, 2, at + 56, 0, 0)
    data, entries = bytearray(system + csd), [(7, 56, at)]
    for number, build in parts:
        place = at + len(data)
        stream = build(place)
        entries.append((number, len(stream), place))
        data += stream.ljust(-(-len(stream) // 8) * 8, b"\0")
    data += tail(at + len(data))
    head = pack("<4sIIIIIQ", b"MDMP", 0xA793, len(entries), 32, 0, 0x60000000, flags)
    return head + b"".join(pack("<III", *entry) for entry in entries) + bytes(data)


def _string(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return (pack("<I", len(data)) + data + bytes(2)).ljust(-(-(len(data) + 6) // 4) * 4, b"\0")


def _counted(entries: Sequence[bytes]) -> bytes:
    return pack("<I", len(entries)) + b"".join(entries)


def _thread(number: int, context: int) -> bytes:
    return pack("<IIIIQQIIII", number, 0, 32, 0, 0x7000_0000 + 0x2000 * number, 0x10000, 0, 0, 1232, context)


def _module(index: int, name: int, view: tuple[int, int] = (0, 0)) -> bytes:
    head = pack("<QIIII", 0x10000000 + 0x10000 * index, 0x1000, 0, 0x5F000000, name)
    return head + bytes(52) + pack("<IIII", *view, 0, 0) + bytes(16)


def _with_tail(number: int, size: int, listed: Callable[[int], bytes], tail: bytes) -> bytes:
    """A stream of ``size`` bytes, which ``listed`` gives by the place of ``tail`` behind it."""
    return minidump([(number, lambda at: listed(at + -(-size // 8) * 8))], lambda _at: tail)


def _threads(count: int, step: int, tail: bytes) -> bytes:
    def listed(first: int) -> bytes:
        return _counted([_thread(4 * index + 4, first + step * index) for index in range(count)])

    return _with_tail(3, 4 + 48 * count, listed, tail)


def _names(count: int) -> tuple[list[int], bytes]:
    """Places and bytes of distinct strings."""
    places, data = [], bytearray()
    for index in range(count):
        places.append(len(data))
        data += _string(f"C:\\m{index}.dll")
    return places, bytes(data)


def _modules(count: int, places: Sequence[int], tail: bytes) -> bytes:
    def listed(first: int) -> bytes:
        return _counted([_module(index, first + place) for index, place in enumerate(places)])

    return _with_tail(4, 4 + 108 * count, listed, tail)


def _code_views(count: int) -> bytes:
    record = b"RSDS" + bytes(range(20)) + b"a.pdb\0\0\0"
    name = _string("a.dll")

    def listed(first: int) -> bytes:
        views = first + len(name)
        return _counted([_module(index, first, (30, views + 32 * index)) for index in range(count)])

    return _with_tail(4, 4 + 108 * count, listed, name + record * count)


def _ranges(count: int, size: int, step: int, tail: bytes) -> bytes:
    """Ranges of stream 5: ``size`` bytes of ``tail``, each ``step`` bytes after the one before."""

    def listed(first: int) -> bytes:
        return _counted([pack("<QII", 0x10000 + 0x2000 * index, size, first + step * index) for index in range(count)])

    return _with_tail(5, 4 + 16 * count, listed, tail)


def _overlapping(count: int) -> bytes:
    """Ranges of stream 5 whose addresses overlap: each holds 64 bytes, 8 of them new."""

    def listed(first: int) -> bytes:
        return _counted([pack("<QII", 0x10000 + 8 * index, 64, first) for index in range(count)])

    return _with_tail(5, 4 + 16 * count, listed, bytes(64))


def _full(count: int, size: int) -> bytes:
    def listed(first: int) -> bytes:
        return pack("<QQ", count, first) + b"".join(pack("<QQ", 0x10000 + 0x2000 * i, size) for i in range(count))

    return _with_tail(9, 16 + 16 * count, listed, bytes(size * count))


def _infos(count: int) -> bytes:
    entries = b"".join(pack("<QQIIQIIII", i << 12, i << 12, 4, 0, 0x1000, 0x1000, 4, 0x20000, 0) for i in range(count))
    return minidump([(16, lambda _at: pack("<IIQ", 16, 48, count) + entries)])


def _handles(count: int, names: str) -> bytes:
    """Handles with no names, one shared name, or a name each."""
    places, tail = _names(count) if names == "each" else ([0] * count, _string("Event"))

    def listed(first: int) -> bytes:
        rows = [
            pack("<QIIIIIIII", 4 * i + 4, *((first + p, first + p) if names else (0, 0)), 0, 0, 1, 1, 0, 0)
            for i, p in enumerate(places)
        ]
        return pack("<IIII", 16, 40, count, 0) + b"".join(rows)

    return _with_tail(12, 16 + 40 * count, listed, tail if names else b"")


def _chains(count: int, of: int) -> bytes:
    """``count`` records of object information, in chains of ``of`` records, one a handle."""
    handles = count // of

    def listed(first: int) -> bytes:
        rows = [pack("<QIIIIIIII", 4 * i + 4, 0, 0, 0, 0, 1, 1, first + 12 * of * i, 0) for i in range(handles)]
        return pack("<IIII", 16, 40, handles, 0) + b"".join(rows)

    size = 16 + 40 * handles
    at = -(-size // 8) * 8 + 32 + 24 + 64  # header, directory of two, SystemInfo with its string
    infos = b"".join(pack("<III", 0 if i % of == of - 1 else at + 12 * i + 12, 1, 0) for i in range(count))
    return _with_tail(12, size, listed, infos)


def _shared_chain(count: int) -> bytes:
    """Handles that all lead into one chain of as many records."""

    def listed(first: int) -> bytes:
        rows = [pack("<QIIIIIIII", 4 * i + 4, 0, 0, 0, 0, 1, 1, first, 0) for i in range(count)]
        return pack("<IIII", 16, 40, count, 0) + b"".join(rows)

    size = 16 + 40 * count
    at = -(-size // 8) * 8 + 32 + 24 + 64
    infos = b"".join(pack("<III", 0 if i == count - 1 else at + 12 * i + 12, 1, 0) for i in range(count))
    return _with_tail(12, size, listed, infos)


def _unloaded(count: int) -> bytes:
    places, names = _names(count)

    def listed(first: int) -> bytes:
        rows = [pack("<QIIII", 0x10000 * i, 0x1000, 0, 0, first + place) for i, place in enumerate(places)]
        return pack("<III", 12, 24, count) + b"".join(rows)

    return _with_tail(14, 12 + 24 * count, listed, names)


def _thread_infos(count: int) -> bytes:
    rows = b"".join(pack("<IIII6Q", 4 * i + 4, 0, 0, 259, 1, 0, 0, 0, 0x1000, 15) for i in range(count))
    return minidump([(17, lambda _at: pack("<III", 12, 64, count) + rows)])


def _thread_names(count: int, shared: bool) -> bytes:
    places, names = ([0] * count, _string("worker")) if shared else _names(count)

    def listed(first: int) -> bytes:
        return _counted([pack("<IQ", 4 * i + 4, first + place) for i, place in enumerate(places)])

    return _with_tail(24, 4 + 12 * count, listed, names)


def _function_tables(count: int) -> bytes:
    head = pack("<IIIIII", 24, 32, 56, 12, count, 0)
    table = b"".join(pack("<QQQII", 0x1000 * i, 0x1000 * i, 0x1000 * i + 0x100, 2, 0) + bytes(80) for i in range(count))
    return minidump([(13, lambda _at: head + table + bytes(8 * count))])


def _operations(count: int) -> bytes:
    row = pack("<QIIII", 4, 8, 12, 1, 0).ljust(288, b"\0")
    return minidump([(18, lambda _at: pack("<IIII", 16, 288, count, 0) + row * count)])


def _tokens(count: int) -> bytes:
    rows = b"".join(pack("<IIQ", 72, 4 * i + 4, 4 * i + 4) + bytes(56) for i in range(count))
    return minidump([(19, lambda _at: pack("<IIII", 16 + len(rows), count, 16, 72) + rows)])


def _directory(count: int, unused: bool) -> bytes:
    """A directory of application streams that all name the same bytes, or of unused entries."""
    rows = b"".join(pack("<III", 0, 0, 0) if unused else pack("<III", 0x10000 + i, 4, 32) for i in range(count))
    return pack("<4sIIIIIQ", b"MDMP", 0xA793, count, 32, 0, 0x60000000, 0) + rows


def _shared_modules(count: int) -> bytes:
    return _modules(count, [0] * count, _string("C:\\" + "a" * 1000))


def _own_names(count: int) -> bytes:
    return _modules(count, *_names(count))


LISTS: Final[dict[str, Callable[[int], bytes]]] = {
    "threads": lambda n: _threads(n, 1232, _CONTEXT * n),
    "threads that share a context": lambda n: _threads(n, 0, _CONTEXT),
    "threads whose contexts overlap": lambda n: _threads(n, 16, _CONTEXT + bytes(16 * n)),
    "modules": _own_names,
    "modules that share a name": _shared_modules,
    "modules with CodeView records": _code_views,
    "memory ranges": lambda n: _ranges(n, 8, 8, bytes(8 * n)),
    "memory ranges of the same bytes": lambda n: _ranges(n, 64, 0, bytes(64)),
    "memory ranges that overlap in the file": lambda n: _ranges(n, 64, 1, bytes(n + 64)),
    "memory ranges that overlap in memory": _overlapping,
    "memory ranges of the whole list": lambda n: _ranges(n, 16 * n, 0, bytes(16 * n)),
    "empty memory ranges": lambda n: _ranges(n, 0, 0, b""),
    "64-bit memory ranges": lambda n: _full(n, 8),
    "empty 64-bit memory ranges": lambda n: _full(n, 0),
    "memory regions": _infos,
    "handles": lambda n: _handles(n, ""),
    "handles that share a name": lambda n: _handles(n, "shared"),
    "handles with names": lambda n: _handles(n, "each"),
    "object information, one chain": lambda n: _chains(n, n),
    "object information, many chains": lambda n: _chains(n, 5),
    "handles that share a chain": _shared_chain,
    "unloaded modules": _unloaded,
    "thread infos": _thread_infos,
    "thread names": lambda n: _thread_names(n, shared=False),
    "thread names that share a string": lambda n: _thread_names(n, shared=True),
    "function tables": _function_tables,
    "handle operations": _operations,
    "tokens": _tokens,
    "streams": lambda n: _directory(n, unused=False),
    "unused streams": lambda n: _directory(n, unused=True),
}
