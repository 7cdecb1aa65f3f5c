"""Reads the long arrays of a truth from its text, a layout at a time.

Rows of one layout have the same members, in the same order and with the same white space: they differ in values only.
The first row of a layout is read like any JSON. A regular expression from its text then finds the other rows, and their
values are checked and converted by columns. That takes a sixth of the time that single values take.

What does not fit raises ``Unlike``. Then the whole file is read value by value, and that reader says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final

from .deferred import Alike, Deferred, deferred
from .document import MOST_TOKENS, parse_json
from .members import Array, ByteString, Misfit, Nullable, Number, Object, Plain, Reader, Rows, TruthError, wide, wides
from .members import Mapping as MappingReader

LONG: Final = 1 << 20
"""Bytes. A shorter text is read value by value: to make the regular expressions takes longer."""
_MOST_LAYOUTS = 16
_MOST_VALUES = 200
"""Of a row."""
_AT_ONCE = 1 << 19
"""Bytes whose values are converted together: so many stay in the caches of a processor."""

_SPACE = rb"[ \t\r\n]*+"
_GAP = re.compile(_SPACE)
_ELEMENT_END = _SPACE + rb"(?:(,)" + _SPACE + rb"|(?=\]))"
_TEXT = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_NAME = re.compile(_TEXT + _SPACE + rb":" + _SPACE, re.DOTALL)
_SCALAR = re.compile(_TEXT + rb"|[-+.\w]++", re.DOTALL)
_NUMBER = rb"(-?(?:0|[1-9][0-9]{0,9}+))"
_WIDE = rb'"0x((?!0[0-9a-f])[0-9a-f]{1,16}+)"'
_REGISTER = rb'"0x(?!0[0-9a-f])[0-9a-f]{1,%d}+"'
_BYTES = rb'"([^"]*+)"'
_DIGITS = b"0123456789abcdef"

Column = Sequence[bytes | None]
Matches = Sequence["re.Match[bytes]"]
Node = Callable[[Sequence[Column], Matches], Iterable[Any]]
"""Makes the values of one member in all rows, from the columns of the groups of the expression."""
Convert = Callable[[Sequence[bytes]], Iterable[Any]]


class Unlike(Exception):  # noqa: N818 - it is no error: another reader goes on
    """Text that is to be read value by value."""


def parse_long(text: bytes, name: str, arrays: Mapping[str, Array]) -> Any:
    """The value of a JSON document. ``arrays`` are read where they are long, and are Rows in it.

    Raises Unlike or TruthError for what the other reader is to judge.
    """
    rest, rows, marks = _without(text, arrays)
    for mark, (most, _) in MOST_TOKENS.items():
        if rest.count(mark.encode()) + marks[mark] > most:
            raise Unlike
    try:
        document = parse_json(rest.decode(), name)
    except UnicodeDecodeError as error:
        raise Unlike from error
    for member, values in rows.items():
        if not isinstance(document, dict) or document.get(member) != []:
            raise Unlike
        document[member] = values
    return document


def _without(text: bytes, arrays: Mapping[str, Array]) -> tuple[bytes, dict[str, Rows], Counter[str]]:
    """The text without elements of ``arrays``, these elements, and how often they had each mark of MOST_TOKENS.

    An array of that name at another place loses its elements, too. That is no matter: no other place may have one.
    """
    opened = re.compile(rb'"(%s)"%s:%s\[%s(?=\{)' % (b"|".join(map(str.encode, arrays)), *[_SPACE] * 3))
    rest: list[bytes] = []
    rows: dict[str, Rows] = {}
    marks: Counter[str] = Counter()
    at = copied = 0
    while found := opened.search(text, at):
        at, name = found.end(), found[1].decode()
        if name in rows:
            raise Unlike
        try:
            rows[name], end = _elements(text, at, arrays[name], marks)
        except Unlike:
            continue
        rest.append(text[copied:at])
        copied = at = end
    return b"".join([*rest, text[copied:]]), rows, marks


def _elements(text: bytes, at: int, array: Array, marks: Counter[str]) -> tuple[Rows, int]:
    """The elements from ``at`` on, and where the array is closed. Adds to ``marks`` what they have."""
    if not isinstance(array.element, Object):
        raise Unlike
    made: list[Any] = []
    layouts: list[_Layout] = []  # the one that was used last is the first: the next row is probably like that one
    closed = False
    while not closed:
        turn: dict[_Layout, tuple[list[int], list[re.Match[bytes]]]] = {}
        count, end = 0, at + _AT_ONCE
        while at < end and not closed:
            layout = _layout_at(text, at, layouts, array.element)
            places, matches = turn.setdefault(layout, ([], []))
            before = len(matches)
            while at < end and (match := layout.pattern.match(text, at)):
                matches.append(match)
                at = match.end()
            count += len(matches) - before
            places.extend(range(count - len(matches) + before, count))
            closed = matches[-1][matches[-1].re.groups] is None
        if len(made) + count > array.most:
            raise Unlike
        first = len(made)
        made.extend(repeat(None, count))
        for layout, (places, matches) in turn.items():
            for mark in MOST_TOKENS:
                marks[mark] += len(matches) * (layout.text.count(mark.encode()) + 1)
            for place, value in zip(places, layout.rows(matches), strict=True):
                made[first + place] = value
    if len(made) < array.least or text[at : at + 1] != b"]":
        raise Unlike
    return Rows(made), at


def _layout_at(text: bytes, at: int, layouts: list[_Layout], element: Object) -> _Layout:
    """The layout of the row at a place, which is then the first of ``layouts``. Raises Unlike if there are too many."""
    layout = next((layout for layout in layouts if layout.pattern.match(text, at)), None)
    if layout is None:
        if len(layouts) == _MOST_LAYOUTS:
            raise Unlike
        layout = _Layout(text, at, element)
    else:
        layouts.remove(layout)
    layouts.insert(0, layout)
    return layout


class _Layout:
    """The layout of the object at a place of a text."""

    def __init__(self, text: bytes, at: int, element: Object) -> None:
        """Raises Unlike if the object is not sound, or too large."""
        self._all, self._at = text, at
        self._parts: list[bytes] = []
        self._groups = 0
        self._deferred = False
        self._node = self._value(element)
        self.text = text[at : self._at]
        self.pattern = re.compile(b"".join(self._parts) + _ELEMENT_END, re.DOTALL)
        match = self.pattern.match(text, at)
        if match is None or self.rows([match]) != [self._read(self.text, element)]:
            raise Unlike

    def rows(self, matches: Matches) -> list[Any]:
        """The values of rows. Raises Unlike."""
        return list(self._node(list(zip(*[match.groups() for match in matches], strict=True)), matches))

    @staticmethod
    def _read(text: bytes, reader: Reader) -> Any:
        try:
            return reader(parse_json(text.decode(), ""))
        except (Misfit, TruthError, UnicodeDecodeError) as error:
            raise Unlike from error

    def _fixed(self, token: re.Pattern[bytes] | bytes) -> re.Match[bytes]:
        """Take text that all rows have."""
        match = re.compile(re.escape(token) if isinstance(token, bytes) else token).match(self._all, self._at)
        if match is None:
            raise Unlike
        self._at = match.end()
        self._parts.append(re.escape(match[0]))
        return match

    def _varying(self, pattern: bytes) -> int:
        """Take a value, which ``pattern`` finds in the other rows. Returns the number of its group, from 0."""
        match = _SCALAR.match(self._all, self._at)
        if match is None or self._groups == _MOST_VALUES:
            raise Unlike
        self._at = match.end()
        self._parts.append(pattern)
        self._groups += 1
        return self._groups - 1

    def _mark(self) -> int:
        """Add a group that has the place, and no text."""
        self._parts.append(b"()")
        self._groups += 1
        return self._groups - 1

    def _next(self, size: int) -> bytes:
        return self._all[self._at : self._at + size]

    def _value(self, reader: Reader) -> Node:
        if isinstance(reader, Object):
            deferred = issubclass(reader.cls, Deferred) and not self._deferred
            return self._later(reader) if deferred else self._object(reader)
        if isinstance(reader, Array):
            return self._array(reader)
        if isinstance(reader, Nullable):
            leaf = _leaf(reader.inner)
            if not self._deferred and leaf is not None:
                return self._column(rb"(?:null|%s)" % leaf[0], _nullable(leaf[1]))
            return self._null() if self._next(4) == b"null" else self._value(reader.inner)
        if isinstance(reader, ByteString) and self._deferred:
            return self._null() if self._next(4) == b"null" and reader.null_is_empty else self._sized_bytes()
        if reader is wides and self._deferred:
            return self._registers()
        if isinstance(reader, MappingReader) and self._deferred:
            return self._members(lambda _: reader.element, _checked)
        leaf = _leaf(reader)
        if leaf is None:
            raise Unlike
        return self._column(*leaf)

    def _column(self, pattern: bytes, convert: Convert) -> Node:
        group = self._varying(pattern)
        return lambda columns, _: convert(columns[group])  # type: ignore[arg-type]

    def _null(self) -> Node:
        self._fixed(b"null")
        return lambda _, matches: repeat(None, len(matches))

    def _members(
        self, reader_of: Callable[[str], Reader], make: Callable[[int, dict[str, Iterable[Any]]], Iterable[Any]]
    ) -> Node:
        """An object. ``make`` takes the number of rows, and the columns of the members."""
        nodes: dict[str, Node] = {}
        self._fixed(b"{")
        while True:
            self._fixed(_GAP)
            if self._next(1) == b"}":
                break
            name = self._fixed(_NAME)[1].decode("utf-8", "replace")
            nodes[name] = self._value(reader_of(name))
            self._fixed(_GAP)
            if self._next(1) != b",":
                break
            self._fixed(b",")
        self._fixed(b"}")
        return lambda columns, matches: make(
            len(matches), {name: node(columns, matches) for name, node in nodes.items()}
        )

    def _object(self, reader: Object) -> Node:
        def reader_of(name: str) -> Reader:
            if name not in reader.plan:
                raise Unlike
            return reader.plan[name][0]

        return self._members(reader_of, partial(_objects, reader))

    def _array(self, reader: Array) -> Node:
        nodes: list[Node] = []
        self._fixed(b"[")
        self._fixed(_GAP)
        while self._next(1) != b"]":
            nodes.append(self._value(reader.element))
            self._fixed(_GAP)
            if self._next(1) != b",":
                break
            self._fixed(b",")
            self._fixed(_GAP)
        self._fixed(b"]")
        if not nodes:
            return lambda _, matches: repeat((), len(matches))
        return lambda columns, matches: zip(*[node(columns, matches) for node in nodes], strict=True)

    def _later(self, reader: Object) -> Node:
        """An object that keeps its text. Its values are checked, but not kept."""
        text, at, start = self._all, self._at, self._mark()
        self._deferred = True
        check = self._members(lambda name: reader.plan[name][0] if name in reader.plan else _nothing, _checked)
        self._deferred = False
        end, alike = self._mark(), Alike(text, reader, self._read(text[at : self._at], reader))

        def node(columns: Sequence[Column], matches: Matches) -> Iterable[Any]:
            check(columns, matches)
            return deferred(reader.cls, alike, [(match.start(start + 1), match.start(end + 1)) for match in matches])

        return node

    def _registers(self) -> Node:
        """An object of registers. If those of the first row have 32 bits, those of all rows have."""
        at, parts, self._parts = self._at, self._parts, []
        places: list[int] = []
        longest = 0
        self._fixed(b"{")
        while True:
            self._fixed(_GAP)
            if self._next(1) == b"}":
                break
            self._fixed(_NAME)
            value = _SCALAR.match(self._all, self._at)
            if value is None:
                raise Unlike
            longest = max(longest, len(value[0]) - len('"0x"'))
            places.append(len(self._parts))
            self._parts.append(b"")
            self._at = value.end()
            self._fixed(_GAP)
            if self._next(1) != b",":
                break
            self._fixed(b",")
        self._fixed(b"}")
        for place in places:
            self._parts[place] = _REGISTER % (8 if longest <= 8 else 16)
        self._parts = parts + self._parts
        self._read(self._all[at : self._at], wides)
        return lambda _, __: ()

    def _sized_bytes(self) -> Node:
        """Bytes of the same size in all rows."""
        match = _SCALAR.match(self._all, self._at)
        size = len(match[1] or b"") if match else 0
        group = self._varying(rb'"([^"]{%d})"' % size)

        def check(columns: Sequence[Column], _: Matches) -> Iterable[Any]:
            if b"".join(columns[group]).translate(None, _DIGITS):  # type: ignore[arg-type]
                raise Unlike
            return ()

        return check


def _nothing(_: Any) -> Any:
    raise Misfit("no such member", "one")


def _objects(reader: Object, count: int, values: dict[str, Iterable[Any]]) -> Iterable[Any]:
    """Objects from the columns of their members. Slots are filled by columns: a call for each object takes longer."""
    cls = reader.cls
    made = [object.__new__(cls) for _ in range(count)]
    for name, (_, default) in reader.plan.items():
        deque(map(getattr(cls, name).__set__, made, values.get(name, repeat(default))), maxlen=0)
    return made


def _checked(_: int, __: dict[str, Iterable[Any]]) -> Iterable[Any]:
    return ()


def _leaf(reader: Reader) -> tuple[bytes, Convert] | None:
    """The expression of a value that is no object and no array, and the conversion of a column. None if it is one."""
    if isinstance(reader, Number):
        return _NUMBER, _numbers(reader)
    if reader is wide:
        return _WIDE, lambda column: list(map(int, column, repeat(16)))
    if isinstance(reader, ByteString):
        found = _BYTES, _bytes(reader)
        return (rb"(?:null|%s)" % found[0], _nullable(found[1], b"")) if reader.null_is_empty else found
    if reader == Plain(str):
        return _TEXT, _texts
    if reader == Plain(bool):
        return rb"(true|false)", lambda column: [value == b"true" for value in column]
    return None


def _numbers(reader: Number) -> Convert:
    among = frozenset(reader.among)

    def convert(column: Sequence[bytes]) -> list[int]:
        values = list(map(int, column))
        if min(values) < reader.low or max(values) > reader.high or (among and not among.issuperset(values)):
            raise Unlike
        return values

    return convert


def _bytes(reader: ByteString) -> Convert:
    def convert(column: Sequence[bytes]) -> list[bytes]:
        try:
            texts = [text.decode("ascii") for text in column]
            values = list(map(bytes.fromhex, texts))
        except ValueError as error:
            raise Unlike from error
        if list(map(bytes.hex, values)) != texts or (
            reader.size is not None and set(map(len, values)) != {reader.size}
        ):
            raise Unlike
        return values

    return convert


def _texts(column: Sequence[bytes]) -> list[str]:
    known: dict[bytes, str] = {}
    try:
        for text in column:
            if text not in known:
                known[text] = json.loads(f'"{text.decode()}"')
    except ValueError as error:
        raise Unlike from error
    return [known[text] for text in column]


def _nullable(convert: Convert, null: Any = None) -> Convert:
    def nullable(column: Sequence[Any]) -> Iterable[Any]:
        there = [text for text in column if text is not None]
        values = iter(convert(there) if there else ())
        return [null if text is None else next(values) for text in column]

    return nullable
