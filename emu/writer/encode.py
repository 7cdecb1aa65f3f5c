"""Encodes structures: field sequence and values in, bytes and cites out. Every narrowing is checked."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from .layout import Cite, FieldMap, Label, LayoutOverflow, Section
from .structs import MINIDUMP_STRING, Packed, StructType

UNSET = object()
"""Value of a field that is not stored. It keeps the background."""
NO_LOCATION = {"DataSize": 0, "Rva": 0}


def location(section: Section) -> dict[str, Label]:
    """Return the value of a MINIDUMP_LOCATION_DESCRIPTOR that points to ``section``."""
    return {"DataSize": section.length, "Rva": section.start}


def utf16(text: str) -> bytes:
    """Encode as UTF-16LE. Lone surrogates are kept: names of Windows may hold them."""
    return text.encode("utf-16-le", "surrogatepass")


def utf16_array(place: str, text: str, units: int) -> bytes:
    """Return a WCHAR array of ``units`` elements: text, NUL, zeros. Raises LayoutOverflow when the NUL does not fit."""
    data = utf16(text)
    if len(data) > 2 * (units - 1):
        raise LayoutOverflow(place, len(data) // 2 + 1, units, "UTF-16 units")
    return data.ljust(2 * units, b"\0")


@cache
def fields_of(struct: StructType) -> FieldMap:
    """Return (offset, size) of every field by name. Nested fields are ``Outer.Inner``, array elements ``Name[3]``."""
    found: dict[str, tuple[int, int]] = {}
    members: Any = struct._fields_
    for name, ctype in members:
        place = getattr(struct, name)
        found[name] = (place.offset, place.size)
        if issubclass(ctype, ctypes.Array):
            if issubclass(ctype._type_, (ctypes.c_uint8, ctypes.c_uint16)):
                continue  # text and opaque bytes are one field
            size = ctypes.sizeof(ctype._type_)
            for index in range(ctype._length_):
                found[f"{name}[{index}]"] = (place.offset + index * size, size)
                _nested(found, f"{name}[{index}]", place.offset + index * size, ctype._type_)
        else:
            _nested(found, name, place.offset, ctype)
    return MappingProxyType(found)


def _nested(found: dict[str, tuple[int, int]], name: str, at: int, ctype: Any) -> None:
    if issubclass(ctype, (ctypes.Structure, ctypes.Union)):
        for inner, (offset, size) in fields_of(ctype).items():
            found[f"{name}.{inner}"] = (at + offset, size)


def add_struct(
    section: Section,
    path: str,
    struct: type[Packed],
    values: Mapping[str, Any],
    *,
    zero: Collection[str] = (),
    background: bytes = b"\0",
) -> Label:
    """Append one structure to a section and return the label of its start.

    ``values`` gives every field: a number, a Label to cite, bytes or a sequence for an array, a mapping for a nested
    structure, or UNSET. Only a field that ``zero`` names may be left out; it is 0. Fields that are UNSET, and missing
    elements of an array, keep ``background``, which repeats from the start of the structure.

    Raises TypeError for a missing or an unknown field, LayoutOverflow for a value that does not fit.
    """
    size = ctypes.sizeof(struct)
    encoder = _Encoder(path, (background * (-(-size // len(background))))[:size])
    encoder.structure("", 0, struct, {**dict.fromkeys(zero, 0), **values})
    return section.add(path, struct.__name__, encoder.data, fields=fields_of(struct), cites=encoder.cites)


class _Encoder:
    """The bytes of one structure and its cites. ``path`` is for errors."""

    def __init__(self, path: str, background: bytes) -> None:
        self.path = path
        self.data = bytearray(background)
        self.cites: list[Cite] = []

    def structure(self, prefix: str, at: int, struct: Any, values: Mapping[str, Any]) -> None:
        names = [name for name, _ in struct._fields_]
        unknown = values.keys() - set(names)
        missing = set(names) - values.keys() if issubclass(struct, ctypes.Structure) else set()
        if unknown or missing:
            raise TypeError(
                f"{self.path}: {prefix}{struct.__name__}: missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        for name, ctype in struct._fields_:
            if name in values:
                self.value(prefix + name, at + getattr(struct, name).offset, ctype, values[name])

    def value(self, field: str, at: int, ctype: Any, value: Any) -> None:
        size = ctypes.sizeof(ctype)
        if value is UNSET:
            return
        if isinstance(value, Label):
            self.cites.append(Cite(field, at, size, value))
        elif isinstance(value, (bytes, bytearray)):
            if len(value) != size:
                raise LayoutOverflow(f"{self.path}.{field}", len(value), size)
            self.data[at : at + size] = value
        elif isinstance(value, Mapping):
            self.structure(field + ".", at, ctype, value)
        elif issubclass(ctype, ctypes.Array) and not isinstance(value, int):
            element = ctypes.sizeof(ctype._type_)
            if len(value) > ctype._length_:
                raise LayoutOverflow(f"{self.path}.{field}", len(value), ctype._length_, "elements")
            for index, item in enumerate(value):
                self.value(f"{field}[{index}]", at + index * element, ctype._type_, item)
        else:
            try:
                self.data[at : at + size] = int(value).to_bytes(
                    size, "little", signed=issubclass(ctype, ctypes.c_int32)
                )
            except OverflowError:
                raise LayoutOverflow(f"{self.path}.{field}", value, size) from None


def add_string(section: Section, path: str, text: str) -> Label:
    """Append a MINIDUMP_STRING and return the label of its start.

    Length in bytes without the NUL, UTF-16LE, NUL (docs/format/minidump-container.md#strings). Raises LayoutOverflow.
    """
    data = utf16(text)
    head = ctypes.sizeof(MINIDUMP_STRING)
    try:
        length = len(data).to_bytes(head, "little")
    except OverflowError:
        raise LayoutOverflow(f"{path}.Length", len(data), head) from None
    fields = {"Length": (0, head), "Buffer": (head, len(data)), "Terminator": (head + len(data), 2)}
    return section.add(path, "MINIDUMP_STRING", length + data + b"\0\0", fields=fields)
