"""Reads a JSON value into dataclasses by their annotations, strictly.

The annotation of a member determines how it is read: ``U32``, ``Wide``, ``str | None``, ``tuple[Thread, ...]``. An
absent, unknown or mistyped member is an error that names the file and the member. Only a member with a default may be
absent. Nothing is guessed, so that dumps are judged by the target's state alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

_WIDE = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,15})")
_BYTES = re.compile(r"([0-9a-f]{2})*")
_SHOWN = 60

Reader = Callable[[Any, str], Any]
T = TypeVar("T")


class TruthError(ValueError):
    """A truth that cannot be used. One line: file, member, what was expected, what was found."""


def fail(where: str, expected: str, actual: str) -> NoReturn:
    """Raise TruthError."""
    raise TruthError(f"{where}: expected {expected}, found {actual}")


def shown(value: Any) -> str:
    """A JSON value in an error message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def number(bits: int, *, signed: bool = False, among: tuple[int, ...] = ()) -> Reader:
    """Reads a JSON number: an integer of ``bits`` bits, and one of ``among`` if given."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def read(value: Any, where: str) -> int:
        if type(value) is not int or not low <= value <= high:
            fail(where, f"an integer from {low} to {high}", shown(value))
        if among and value not in among:
            fail(where, "one of " + ", ".join(str(choice) for choice in among), shown(value))
        return int(value)

    return read


def wide(value: Any, where: str) -> int:
    """Reads an unsigned integer of up to 64 bits from lower-case hexadecimal with 0x."""
    if not isinstance(value, str) or not _WIDE.fullmatch(value):
        fail(where, "at most 64 bits as lower-case hexadecimal such as '0x1f'", shown(value))
    return int(value, 16)


def byte_string(size: int | None = None) -> Reader:
    """Reads bytes from lower-case hexadecimal without prefix; exactly ``size`` bytes if given."""

    def read(value: Any, where: str) -> bytes:
        if not isinstance(value, str) or not _BYTES.fullmatch(value):
            fail(where, "bytes as pairs of lower-case hexadecimal digits", shown(value))
        if size is not None and len(value) != 2 * size:
            fail(where, f"{size} bytes", f"{len(value) // 2}")
        return bytes.fromhex(value)

    return read


def nullable_byte_string(size: int) -> Reader:
    """Reads exactly ``size`` bytes like ``byte_string``, or null as no bytes."""
    inner = byte_string(size)
    return lambda value, where: b"" if value is None else inner(value, where)


def choice(*among: str) -> Reader:
    """Reads a string that is one of ``among``."""

    def read(value: Any, where: str) -> str:
        if value not in among:
            fail(where, "one of " + ", ".join(among), shown(value))
        return str(value)

    return read


def array(element: Reader, *, least: int = 0, most: int | None = None) -> Reader:
    """Reads a JSON array of ``least`` to ``most`` elements as a tuple."""

    def read(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            fail(where, "an array", shown(value))
        if len(value) < least or (most is not None and len(value) > most):
            fail(where, f"{least} to {most if most is not None else 'any number of'} elements", str(len(value)))
        return tuple(element(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read


def mapping(element: Reader) -> Reader:
    """Reads a JSON object as a dict of ``element``."""

    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            fail(where, "an object", shown(value))
        return {name: element(item, f"{where}.{name}") for name, item in value.items()}

    return read


U8 = Annotated[int, number(8)]
U16 = Annotated[int, number(16)]
U32 = Annotated[int, number(32)]
I32 = Annotated[int, number(32, signed=True)]
Wide = Annotated[int, wide]
"""Up to 64 bits, unsigned: a hexadecimal string."""
Bytes = Annotated[bytes, byte_string()]


def exact_members(value: Any, where: str, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Check that ``value`` is a JSON object with all members of ``names``. Other members must be in ``optional``.

    Raises TruthError.
    """
    if not isinstance(value, dict):
        fail(where, "an object", shown(value))
    for name in names:
        if name not in value:
            fail(f"{where}.{name}", "a value", "none")
    for name in value:
        if name not in names and name not in optional:
            fail(f"{where}.{name}", "no such member", shown(value[name]))
    return value


def build(cls: type[T], value: Any, where: str) -> T:
    """Read a JSON object as ``cls``. Raises TruthError."""
    readers, required = _readers(cls)  # type: ignore[arg-type]  # a class is hashable
    members = exact_members(value, where, required, tuple(readers))
    present = {name: read for name, read in readers.items() if name in members}
    return cls(**{name: read(members[name], f"{where}.{name}") for name, read in present.items()})


@cache
def _readers(cls: type[Any]) -> tuple[dict[str, Reader], tuple[str, ...]]:
    """A reader for each member of a class, and the members that must be present."""
    hints = get_type_hints(cls, include_extras=True)
    members = [entry for entry in fields(cls) if entry.init]
    required = tuple(entry.name for entry in members if entry.default is MISSING)
    return {entry.name: _reader(hints[entry.name]) for entry in members}, required


def _reader(hint: Any) -> Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        reader: Reader = arguments[1]
        return reader
    if origin in (Union, UnionType):
        inner = _reader(next(argument for argument in arguments if argument is not NoneType))
        return lambda value, where: None if value is None else inner(value, where)
    if origin is tuple:
        return array(_reader(arguments[0]))
    if is_dataclass(hint) and isinstance(hint, type):
        return lambda value, where: build(hint, value, where)
    if hint in (str, bool):
        return lambda value, where: value if type(value) is hint else fail(where, f"a {_JSON[hint]}", shown(value))
    raise TypeError(f"no reader for a member annotated {hint!r}")


_JSON = {str: "string", bool: "boolean"}
