"""Reads long arrays of a truth by shapes.

Most rows of an array differ in values only: names, their order and the white space are the same. The first such row is
a sample. It is read as any JSON, and becomes a regular expression, which reads the rest. ``Other`` is raised for all
that is not so; then the whole document is read as any JSON, which also finds what is wrong.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Any

from ..snapshot.pending import Pending, pending
from .files import MOST, parse_json
from .members import HEX, BadValue, Kind, List, Named, Object, Optional, Rows, Scalar, TruthError

LONG = 1 << 20
"""A shorter document, in bytes, takes less time than the making of the expressions."""
_SHAPES = 16
"""Of an array at most."""
_GROUPS = 200
"""Values of a row at most."""
_BLOCK = 1 << 19
"""Bytes of text whose rows are converted together, so that they stay in the cache of the processor."""

_TOKEN = re.compile(rb'[ \t\r\n]*+([{}\[\],:]|"(?:[^"\\]++|\\.)*+"|[-+.\w]++)', re.DOTALL)
_DIGITS = b"0123456789abcdef"
_BLANK = rb"[ \t\r\n]*+"

Match = re.Match[bytes]


class Other(Exception):  # noqa: N818 - no error: the document may be sound
    """Text that is to be read as any JSON."""


def read_long(path: Path, content: bytes, members: Mapping[str, Kind]) -> Any:
    """Return the value of the JSON text, which ``path`` has. Arrays of objects among ``members`` are Rows.

    Raises Other, BadValue or TruthError if the text has to be read as any JSON.
    """
    # An array of such a name elsewhere in the document is found, too. It makes the document unsound at any rate.
    arrays = {name.encode(): kind for name, kind in members.items() if isinstance(kind, List)}
    opening = re.compile(rb'"(%s)"%s:%s\[%s(?=\{)' % (b"|".join(arrays), *[_BLANK] * 3))
    left: list[bytes] = []
    found: dict[str, Rows] = {}
    weights = dict.fromkeys((mark for mark, _, _ in MOST), 0)
    copied, match = 0, opening.search(content)
    while match is not None:
        name, at = match[1].decode(), match.end()
        try:
            reading = _Reading(content, arrays[match[1]], weights)
            rows, end = reading.rows(at)
        except (Other, BadValue, TruthError, ValueError):
            end = at
        else:
            if found.setdefault(name, rows) is not rows:
                raise Other
            left.append(content[copied:at])
            copied = end
        match = opening.search(content, end)
    rest = b"".join((*left, content[copied:]))
    if any(weights[mark] + rest.count(mark.encode()) > most for mark, _, most in MOST):
        raise Other
    document = parse_json(path, rest)
    if type(document) is not dict or any(document.get(name) != [] for name in found):
        raise Other
    return document | found


class _Reading:
    """The reading of one array."""

    def __init__(self, text: bytes, kind: List, weights: dict[str, int]) -> None:
        self._text, self._kind, self._weights = text, kind, weights
        self._shapes: list[_Shape] = []

    def rows(self, at: int) -> tuple[Rows, int]:
        """Return the rows from ``at`` on, and the place of the closing bracket. Raises Other or ValueError."""
        made: list[Any] = []
        last = False
        while not last:
            block: list[tuple[_Shape, list[Match]]] = []
            end = at + _BLOCK
            while at < end and not last:
                shape = self._shape(at)
                matches: list[Match] = []
                while at < end and (match := shape.match(self._text, at)):
                    matches.append(match)
                    at = match.end()
                last = matches[-1].lastindex != matches[-1].re.groups
                block.append((shape, matches))
            made.extend(self._converted(block))
            if len(made) > self._kind.most:
                raise Other
        return Rows(made), at

    def _shape(self, at: int) -> _Shape:
        """Return the shape of the row at ``at``. The shape that was used last comes first."""
        shape = next((shape for shape in self._shapes if shape.match(self._text, at)), None)
        if shape is None:
            shape = _Shape(self._text, at, self._kind.item)
        else:
            self._shapes.remove(shape)
        self._shapes.insert(0, shape)
        if len(self._shapes) > _SHAPES:
            raise Other
        return shape

    def _converted(self, block: list[tuple[_Shape, list[Match]]]) -> Iterable[Any]:
        """Return the rows of a block, in order. All rows of a shape are converted together."""
        together: dict[int, Iterator[Any]] = {}
        for key, same in groupby(sorted(block, key=_identity), key=_identity):
            parts = list(same)
            matches = list(chain.from_iterable(part for _, part in parts))
            together[key] = iter(parts[0][0].values(matches))
            for mark in self._weights:
                self._weights[mark] += len(matches) * (parts[0][0].sample.count(mark.encode()) + 1)
        return [next(together[id(shape)]) for shape, matches in block for _ in matches]


def _identity(part: tuple[_Shape, list[Match]]) -> int:
    return id(part[0])


@dataclass
class _Columns:
    """What the groups of a shape found in some rows."""

    matches: Sequence[Match]
    texts: Sequence[Sequence[Any]]


Step = Callable[[_Columns], Iterable[Any]]
"""Makes the values of a member, one for each row."""


@dataclass(eq=False)
class _Shape:
    """The shape of the row at ``at``."""

    text: bytes
    at: int
    kind: Kind
    parts: list[bytes] = field(default_factory=list)
    groups: int = 0
    pending: bool = False
    """Whether the part of the row that is being compiled stays text."""

    def __post_init__(self) -> None:
        start = self.at
        self._step = self._compile(self.kind)
        self.sample = self.text[start : self.at]
        last = rb"%s(?:(,)%s|(?=\]))" % (_BLANK, _BLANK)
        self.match = re.compile(b"".join(self.parts) + last, re.DOTALL).match
        match = self.match(self.text, start)
        if match is None or [self._plainly(self.sample, self.kind)] != list(self.values([match])):
            raise Other

    def values(self, matches: Sequence[Match]) -> Iterable[Any]:
        """Return the values of rows. Raises ValueError."""
        return self._step(_Columns(matches, list(zip(*map(Match.groups, matches), strict=True))))

    @staticmethod
    def _plainly(text: bytes, kind: Kind) -> Any:
        return kind.read(parse_json(Path(), text))

    def _peek(self) -> bytes:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            raise Other
        return match[1]

    def _same(self, expected: bytes | None = None) -> bytes:
        """Take a token that all rows have, and the blanks before it."""
        match = _TOKEN.match(self.text, self.at)
        if match is None or expected not in (None, match[1]):
            raise Other
        self.parts.append(re.escape(match[0]))
        self.at = match.end()
        return match[1]

    def _differing(self, pattern: bytes) -> None:
        """Take a token that differs between rows."""
        match = _TOKEN.match(self.text, self.at)
        if match is None or self.groups == _GROUPS:
            raise Other
        self.parts += re.escape(match[0][: -len(match[1])]), pattern
        self.at = match.end()

    def _group(self, pattern: bytes) -> int:
        """Take a token that differs between rows. Return the index of its group."""
        self._differing(pattern)
        self.groups += 1
        return self.groups - 1

    def _place(self) -> int:
        """Add a group that tells the place."""
        self.parts.append(b"()")
        self.groups += 1
        return self.groups

    def _compile(self, kind: Kind) -> Step:
        match kind:
            case Optional() if self._peek() == b"null" and (self.pending or not isinstance(kind.kind, Scalar)):
                self._same()
                return lambda columns: [kind.null] * len(columns.matches)
            case Optional() if isinstance(kind.kind, Scalar) and not self.pending:
                return self._optional(kind.kind, kind.null)
            case Optional():
                return self._compile(kind.kind)
            case Scalar() if self.pending and self._peek().startswith(b'"'):
                return self._bytes(len(self._peek()) - 2)
            case Scalar():
                group = self._group(kind.pattern)
                return lambda columns: kind.convert(columns.texts[group])
            case Object() if isinstance(kind.make, type) and issubclass(kind.make, Pending) and not self.pending:
                return self._pending(kind)
            case Object():
                return partial(_objects, kind, dict(self._members(kind)))
            case Named(item=Scalar() as item) if self.pending:
                return self._registers() if item == HEX else self._checks(kind)
            case List():
                return self._list(kind)
        raise Other

    def _optional(self, kind: Scalar, null: Any) -> Step:
        group = self._group(b"(?:null|%s)" % kind.pattern)

        def step(columns: _Columns) -> Iterable[Any]:
            texts = columns.texts[group]
            values = iter(kind.convert(there) if (there := [text for text in texts if text is not None]) else ())
            return [null if text is None else next(values) for text in texts]

        return step

    def _members(self, kind: Object | Named) -> Iterator[tuple[str, Step]]:
        """Compile the members of an object."""
        self._same(b"{")
        while self._peek() != b"}":
            name = json.loads(self._same())
            self._same(b":")
            if isinstance(kind, Named):
                inner = kind.item
            elif name in kind.members:
                inner = kind.members[name]
            elif name in kind.later:
                later = kind.later[name]
                inner = Optional(later.kind.write, later.kind.read, later.kind, later.default)
            else:
                raise Other
            yield name, self._compile(inner)
            if self._peek() == b",":
                self._same()
        self._same(b"}")

    def _list(self, kind: List) -> Step:
        items: list[Step] = []
        self._same(b"[")
        while self._peek() != b"]":
            items.append(self._compile(kind.item))
            if self._peek() == b",":
                self._same()
        self._same(b"]")
        if not items:
            return lambda columns: [()] * len(columns.matches)
        return lambda columns: list(zip(*(step(columns) for step in items), strict=True))

    def _checks(self, kind: Object | Named) -> Step:
        """Return a step that checks the members of an object, and makes nothing."""
        steps = dict(self._members(kind))

        def check(columns: _Columns) -> Iterable[Any]:
            for step in steps.values():
                step(columns)
            return ()

        return check

    def _pending(self, kind: Object) -> Step:
        """Return a step that checks an object, and makes it later."""
        first, start, text = self._place(), self.at, self.text
        self.pending = True
        check = self._checks(kind)
        self.pending = False
        end = self._place()
        sample = self._plainly(text[start : self.at], kind)

        def make(low: int, high: int) -> Any:
            return kind.read(json.loads(text[low:high].decode()))

        def step(columns: _Columns) -> Iterable[Any]:
            check(columns)
            makers = (partial(make, match.start(first), match.start(end)) for match in columns.matches)
            return list(pending(kind.make, makers, sample))  # type: ignore[arg-type]

        return step

    def _bytes(self, digits: int) -> Step:
        """Bytes of the size that the sample has."""
        group = self._group(rb'"([^"]{%d})"' % digits)

        def check(columns: _Columns) -> Iterable[Any]:
            if b"".join(columns.texts[group]).translate(None, _DIGITS):
                raise ValueError
            return ()

        return check

    def _registers(self) -> Step:
        """Registers by name. If none of the sample needs more than 32 bits, no row may."""
        text = self.text[self.at : self.text.find(b"}", self.at)]
        digits = 8 if max(map(len, re.findall(rb'"0x(\w*)"', text)), default=0) <= 8 else 16
        value = rb'"0x(?:0|[1-9a-f][0-9a-f]{0,%d}+)"' % (digits - 1)
        self._same(b"{")
        while self._peek() != b"}":
            self._same()
            self._same(b":")
            self._differing(value)
            if self._peek() == b",":
                self._same()
        self._same(b"}")
        return lambda _: ()


def _objects(kind: Object, steps: Mapping[str, Step], columns: _Columns) -> Iterable[Any]:
    """Return objects, whose slots are filled member by member: to call the class for each takes longer."""
    values = {name: step(columns) for name, step in steps.items()}
    if kind.make is tuple:
        return list(zip(*(values[name] for name in kind.members), strict=True))
    cls: Any = kind.make
    objects = [object.__new__(cls) for _ in columns.matches]
    defaults = {name: repeat(later.default) for name, later in kind.later.items()}
    for name in cls.__match_args__:
        deque(map(getattr(cls, name).__set__, objects, values.get(name) or defaults[name]), maxlen=0)
    return objects
