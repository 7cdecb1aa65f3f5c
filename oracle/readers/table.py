"""A long list of equal structures in a file. A record is made when it is asked for; fields of all rows come at once."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import overload

from ..decode import CODES, Record, decode, structure
from ..memory.source import ByteSource


class Table(Sequence[Record]):
    """Structures at ``places``, a range of file offsets. All of them lie in the file."""

    __slots__ = ("_entry", "_path", "_places", "_source")

    def __init__(self, source: ByteSource, entry: str, path: str, places: range) -> None:
        """``entry``: the name of the structure. ``path``: the name of a record in a report, without its index."""
        self._source, self._entry, self._path, self._places = source, entry, path, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self._record(at) for at in range(*index.indices(len(self)))]
        return self._record(range(len(self))[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, range(len(self)))

    def _record(self, index: int) -> Record:
        return decode(self._source, self._places[index], self._entry, f"{self._path} {index}")

    def rows(self, *names: str) -> Iterator[tuple[int, ...]]:
        """The values of integer fields, a tuple for each record. The fields are named in the order of the structure."""
        if not self._places:
            return iter(())
        stride = self._places.step
        view = self._source.view(self._places.start, len(self) * stride)
        return _layout(self._entry, names, stride).iter_unpack(view)

    @property
    def entry(self) -> str:
        """The name of the structure."""
        return self._entry

    def raw(self) -> Iterator[bytes]:
        """The bytes of each record, with the padding after it."""
        if not self._places:
            return iter(())
        stride = self._places.step
        view = self._source.view(self._places.start, len(self) * stride)
        return (data for (data,) in struct.iter_unpack(f"{stride}s", view))

    def data(self, index: int) -> memoryview:
        """The bytes of one record, with the padding after it."""
        return self._source.view(self._places[index], self._places.step)

    def content(self) -> memoryview:
        """The bytes of all records."""
        return self._source.view(self._places.start, len(self) * self._places.step)

    def column(self, name: str) -> list[int]:
        """The values of one integer field."""
        return [value for (value,) in self.rows(name)]


EMPTY = Table(ByteSource(b""), "", "", range(0))


@cache
def _layout(entry: str, names: tuple[str, ...], stride: int) -> struct.Struct:
    table, at, code = structure(entry), 0, "<"
    for name in names:
        start, end, signed = table.integers[name]
        code += f"{start - at}x{CODES[end - start, signed]}"
        at = end
    return struct.Struct(f"{code}{stride - at}x")
