"""Reads a JSON value into dataclasses by their annotations, strictly.

The annotation of a member determines how it is read: ``U32``, ``Wide``, ``str | None``, ``tuple[Thread, ...]``. An
absent, unknown or mistyped member is an error that names the file and the member. Only a member with a default may be
absent. Nothing is guessed, so that dumps are judged by the target's state alone.

A reader takes a value and raises ``Misfit`` without a place. The readers of objects and arrays around it add the place,
so that a sound truth costs no names of places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from itertools import repeat
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

MOST_ELEMENTS: Final = 1 << 20
"""The most elements of an array (docs/truth-format.md#ceilings)."""

_MOST_WIDE = (1 << 64) - 1
_NAME = re.compile(r"\w{1,60}", re.ASCII)
_SHOWN = 60

Reader = Callable[[Any], Any]
T = TypeVar("T")


class TruthError(ValueError):
    """A truth that cannot be used. One line: file, member, what was expected, what was found."""


class Misfit(Exception):  # noqa: N818 - it becomes a TruthError, which names the file
    """A value that a reader does not accept. ``where`` is the place below the value that was read."""

    def __init__(self, expected: str, found: str, where: str = "") -> None:
        super().__init__(expected, found, where)
        self.expected, self.found, self.where = expected, found, where

    def below(self, step: str) -> Misfit:
        """The same, for the value that holds this one at ``step``."""
        return Misfit(self.expected, self.found, step + self.where)


def fail(where: str, expected: str, actual: str) -> NoReturn:
    """Raise TruthError."""
    raise TruthError(f"{where}: expected {expected}, found {actual}")


def shown(value: Any) -> str:
    """A JSON value in an error message: one line, and short, however large the value is."""
    if isinstance(value, list | dict) and value:
        return f"an array of {len(value)}" if isinstance(value, list) else f"an object of {len(value)}"
    if type(value) is int and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def member(name: str) -> str:
    """The step from an object to its member ``name``, in the place of an error. A strange name is quoted."""
    return f".{name}" if _NAME.fullmatch(name) else f"[{ascii(name)[:_SHOWN]}]"


@dataclass(frozen=True, slots=True)
class Number:
    """Reads a JSON number: an integer from ``low`` to ``high``, and one of ``among`` if given."""

    low: int
    high: int
    among: tuple[int, ...] = ()

    def __call__(self, value: Any) -> int:
        if type(value) is not int or not self.low <= value <= self.high:
            raise Misfit(f"an integer from {self.low} to {self.high}", shown(value))
        if self.among and value not in self.among:
            raise Misfit("one of " + ", ".join(str(choice) for choice in self.among), shown(value))
        return value


def number(bits: int, *, signed: bool = False, among: tuple[int, ...] = ()) -> Number:
    """Reads an integer of ``bits`` bits."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return Number(low, high, among)


def wide(value: Any) -> int:
    """Reads an unsigned integer of up to 64 bits from lower-case hexadecimal with 0x."""
    try:
        number = int(value, 16)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= _MOST_WIDE or hex(number) != value:
        raise Misfit("at most 64 bits as lower-case hexadecimal such as '0x1f'", shown(value))
    return number


@dataclass(frozen=True, slots=True)
class ByteString:
    """Reads bytes from lower-case hexadecimal without prefix; exactly ``size`` bytes if given."""

    size: int | None
    null_is_empty: bool = False

    def __call__(self, value: Any) -> bytes:
        if value is None and self.null_is_empty:
            return b""
        try:
            data = bytes.fromhex(value)
        except (TypeError, ValueError):
            data = b""
        if data.hex() != value:
            raise Misfit("bytes as pairs of lower-case hexadecimal digits", shown(value))
        if self.size is not None and len(data) != self.size:
            raise Misfit(f"{self.size} bytes", str(len(data)))
        return data


def byte_string(size: int | None = None) -> ByteString:
    """Reads bytes; exactly ``size`` bytes if given."""
    return ByteString(size)


def nullable_byte_string(size: int) -> ByteString:
    """Reads exactly ``size`` bytes, or null as no bytes."""
    return ByteString(size, null_is_empty=True)


def choice(*among: str) -> Reader:
    """Reads a string that is one of ``among``."""

    def read(value: Any) -> str:
        if value not in among:
            raise Misfit("one of " + ", ".join(among), shown(value))
        return str(value)

    return read


class Rows(tuple[Any, ...]):
    """The elements of an array that ``layouts`` has read already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Array:
    """Reads a JSON array of ``least`` to ``most`` elements as a tuple."""

    element: Reader
    least: int = 0
    most: int = MOST_ELEMENTS

    def __call__(self, value: Any) -> tuple[Any, ...]:
        if type(value) is Rows:
            return value
        if not isinstance(value, list):
            raise Misfit("an array", shown(value))
        if not self.least <= len(value) <= self.most:
            raise Misfit(f"{self.least} to {self.most} elements", str(len(value)))
        made: list[Any] = []
        try:
            for item in value:
                made.append(self.element(item))
        except Misfit as misfit:
            raise misfit.below(f"[{len(made)}]") from None
        return tuple(made)


def array(element: Reader, *, least: int = 0, most: int = MOST_ELEMENTS) -> Array:
    """Reads a JSON array of ``least`` to ``most`` elements."""
    return Array(element, least, most)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Reads a JSON object as a dict of ``element``."""

    element: Reader

    def __call__(self, value: Any) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, item in _members(value).items():
            try:
                made[name] = self.element(item)
            except Misfit as misfit:
                raise misfit.below(member(name)) from None
        return made


def mapping(element: Reader) -> Mapping:
    """Reads a JSON object as a dict of ``element``."""
    return Mapping(element)


_each_wide = mapping(wide)


def wides(value: Any) -> dict[str, int]:
    """Reads a JSON object of ``wide``: the registers of a context. They are the bulk of a truth, so they are read at
    once. If that fails, they are read one by one, for the name of the first bad one.
    """
    try:
        texts = list(value.values())
        numbers = list(map(int, texts, repeat(16)))
        if list(map(hex, numbers)) == texts and min(numbers) >= 0 and max(numbers) <= _MOST_WIDE:
            return dict(zip(value, numbers, strict=True))
    except (AttributeError, TypeError, ValueError):
        pass
    made: dict[str, int] = _each_wide(value)
    return made


U8 = Annotated[int, number(8)]
U16 = Annotated[int, number(16)]
U32 = Annotated[int, number(32)]
I32 = Annotated[int, number(32, signed=True)]
Wide = Annotated[int, wide]
"""Up to 64 bits, unsigned: a hexadecimal string."""
Bytes = Annotated[bytes, byte_string()]
Wides = Annotated[dict[str, int], wides]


def _members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misfit("an object", shown(value))
    return value


def exact_members(value: Any, names: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """Check that ``value`` is a JSON object with all members of ``names``. Other members must be in ``optional``.

    Raises Misfit.
    """
    found = _members(value)
    if not all(map(found.__contains__, names)):
        raise Misfit("a value", "none", member(next(name for name in names if name not in found)))
    if len(found) > len(names):
        for name in found:
            if name not in names and name not in optional:
                raise Misfit("no such member", shown(found[name]), member(name))
    return found


def build(cls: type[T], value: Any, where: str) -> T:
    """Read a JSON object as ``cls``. Raises TruthError."""
    try:
        made: T = object_reader(cls)(value)  # type: ignore[arg-type]  # a class is hashable
    except Misfit as misfit:
        fail(where + misfit.where, misfit.expected, misfit.found)
    return made


@dataclass(frozen=True, slots=True)
class Object:
    """Reads a JSON object as ``cls``. Only members with a default may be absent."""

    cls: type[Any]
    plan: dict[str, tuple[Reader, Any]]
    """Member -> its reader, and its default or MISSING."""
    required: tuple[str, ...]

    def __call__(self, value: Any) -> Any:
        found = exact_members(value, self.required, self.plan)
        made: list[Any] = []
        name = ""
        try:
            for name, (reader, default) in self.plan.items():
                made.append(reader(found[name]) if name in found else default)
        except Misfit as misfit:
            raise misfit.below(member(name)) from None
        return self.cls(*made)


@cache
def object_reader(cls: type[Any]) -> Object:
    """The reader of a dataclass, by the annotations of its members."""
    hints = get_type_hints(cls, include_extras=True)
    plan = {entry.name: (_reader(hints[entry.name]), entry.default) for entry in fields(cls) if entry.init}
    return Object(cls, plan, tuple(name for name, (_, default) in plan.items() if default is MISSING))


@dataclass(frozen=True, slots=True)
class Nullable:
    """Reads null as None."""

    inner: Reader

    def __call__(self, value: Any) -> Any:
        return None if value is None else self.inner(value)


@dataclass(frozen=True, slots=True)
class Plain:
    """Reads a JSON value of a type that Python has, too."""

    kind: type[Any]

    def __call__(self, value: Any) -> Any:
        if type(value) is not self.kind:
            raise Misfit(f"a {_JSON[self.kind]}", shown(value))
        return value


_JSON = {str: "string", bool: "boolean"}


def _reader(hint: Any) -> Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        reader: Reader = arguments[1]
        return reader
    if origin in (Union, UnionType):
        return Nullable(_reader(next(argument for argument in arguments if argument is not NoneType)))
    if origin is tuple:
        return Array(_reader(arguments[0]))
    if is_dataclass(hint) and isinstance(hint, type):
        return object_reader(hint)
    if hint in _JSON:
        return Plain(hint)
    raise TypeError(f"no reader for a member annotated {hint!r}")
