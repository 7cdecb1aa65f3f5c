"""Judges the access tokens of stream 19 against truth, to the last byte.

The layout after the documented header is that of the one real sample and of engine 15063. A truth does not hold the
fourth pair, and the meaning of the seventh is unknown: a writer may leave them empty
(docs/format/minidump-handles.md#token-contents).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...case import Case
from ...decode import Record, decode, structure
from ...model import Fault, Grade, Level, Source, Span
from ...rule import Check, Checks, bad, ok, rule
from ..asserts import by_field, same, same_keys, stream_span

if TYPE_CHECKING:
    from ...truth.objects import SidTruth, TokenTruth

_ALIGNMENT = 8
"""Bytes: every part begins at a multiple of this."""
_ELEMENT = structure("TOKEN_INFO_ELEMENT").size
_SHORT_REFERENCE = 8
"""What the engine stores in front of the SID of the fourth pair, which stands at 4."""
_SID = 8
"""Bytes of a SID in front of its sub-authorities (winnt.h SID)."""


def _has_tokens(case: Case) -> bool:
    return case.truth is not None and bool(case.truth.tokens)


def _known(case: Case) -> Iterator[tuple[Record, TokenTruth, str]]:
    """The elements of tokens that the truth knows, in the layout of the sample: element, token, subject."""
    assert case.truth is not None
    tokens = {token.token_id: token for token in case.truth.tokens or ()}
    if case.dump.headers[19]["ElementHeaderSize"] != _ELEMENT:
        return
    for header in case.dump.tokens:
        token = tokens.pop(header["TokenId"], None)
        if token is not None:
            element = decode(case.dump.source, header.span.start, "TOKEN_INFO_ELEMENT", header.path)
            yield element, token, f"token {token.token_id:#x}"


@rule(
    "TRUE-TOKEN-001",
    "The token stream lists the target's tokens",
    Level.MUST,
    Source("docs/format/minidump-handles.md#token-list", Grade.DOCUMENTED),
    Source("docs/format/minidump-handles.md#token-contents", Grade.OBSERVED),
    needs=("token",),
    applies=_has_tokens,
)
def tokens(case: Case) -> Checks:
    """Process or thread id identifies a token, and each has its handle. The header of an element ends in seven pairs of
    offset and size.
    """
    assert case.truth is not None
    yield from same(case.dump.headers[19], "Token", {"ElementHeaderSize": _ELEMENT})
    found = by_field(case.dump.tokens, "TokenId")
    yield from same_keys("token", found, [token.token_id for token in case.truth.tokens or ()], stream_span(case, 19))
    for element, token, subject in _known(case):
        yield from same(element, subject, {"TokenHandle": token.handle})


class _Blob:
    """One part of a token, read piece by piece. Bytes that are never read must be zero."""

    def __init__(self, case: Case, element: Record, name: str) -> None:
        self.offset = element[f"{name}.Offset"]
        self.start = element.span.start + self.offset
        self.data = case.dump.source.read(self.start, element[f"{name}.Size"])
        self._read: list[tuple[int, int]] = []

    def take(self, at: int, size: int) -> bytes:
        """``size`` bytes at ``at``; fewer if the part ends first."""
        self._read.append((at, at + size))
        return self.data[at : at + size] if at >= 0 else b""

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.take(at, size), "little")

    def size_fault(self, padding: int) -> str | None:
        """What is wrong with the part's size after all reads; ``padding``: how many more bytes it may have."""
        end = max(end for _, end in self._read)
        if end <= len(self.data) <= end + padding:
            return None
        return f"{len(self.data)} bytes instead of {end}"

    @property
    def leftover(self) -> Span | None:
        """The first bytes that nothing refers to and that are not all zero."""
        at = 0
        for start, end in [*sorted(self._read), (len(self.data), len(self.data))]:
            if at < start and any(self.data[at:start]):
                return Span(self.start + at, self.start + start)
            at = max(at, end)
        return None

    @property
    def span(self) -> Span:
        return Span(self.start, self.start + len(self.data))


def _sids(blob: _Blob, at: int, expected: tuple[SidTruth, ...], pointer: int) -> Iterator[str]:
    """What is wrong with an array of SID_AND_ATTRIBUTES.

    A reference may count from the start of the part or of the element: both are accepted.
    """
    size = 2 * pointer
    for index, held in enumerate(expected):
        entry = at + index * size
        reference, attributes = blob.number(entry, pointer), blob.number(entry + pointer, 4)
        if attributes != held.attributes:
            yield f"[{index}] attributes {attributes:#x} instead of {held.attributes:#x}"
        for place in (reference, reference - blob.offset):
            if held.sid == blob.data[max(place, 0) : max(place, 0) + len(held.sid)]:
                blob.take(place, len(held.sid))
                break
        else:
            yield f"[{index}] no SID {held.sid.hex()} at {reference:#x}"


def _part_faults(case: Case, element: Record, token: TokenTruth, name: str) -> list[tuple[str, Span]]:
    """What is wrong with one part of a token, and where.

    The engine stores references of 4 bytes also for a 64-bit target. A dump of a dump keeps the form of its source.
    """
    return min((list(_faults_with(pointer, case, element, token, name)) for pointer in (4, 8)), key=len)


def _faults_with(pointer: int, case: Case, element: Record, token: TokenTruth, name: str) -> Iterator[tuple[str, Span]]:
    """The same, if pointers have ``pointer`` bytes."""
    blob = _Blob(case, element, name)
    faults: list[str] = []
    if name == "Type":
        if blob.number(0, 4) != token.token_type:
            faults.append(f"type {blob.number(0, 4)} instead of {token.token_type}")
    elif name == "User":
        faults += _sids(blob, 0, (token.user,), pointer)
    elif name == "Groups":
        if blob.number(0, 4) != len(token.groups):
            faults.append(f"{blob.number(0, 4)} groups instead of {len(token.groups)}")
        else:
            faults += _sids(blob, pointer, token.groups, pointer)
    elif name == "Privileges":
        expected = [(privilege.luid, privilege.attributes) for privilege in token.privileges]
        count = blob.number(0, 4)
        room = min(count, len(blob.data) // 12)
        found = [(blob.number(4 + 12 * index, 8), blob.number(12 + 12 * index, 4)) for index in range(room)]
        if found != expected or count != len(expected):
            faults.append(" ".join(f"{luid:#x}:{attributes:#x}" for luid, attributes in found) or "none")
    elif blob.take(0, len(token.statistics)) != token.statistics:
        faults.append(blob.data.hex())
    if not faults:
        # SIDs have any length, so parts that hold them may end in padding. The engine's size of groups is that of
        # entries with references of 8 bytes. The other parts have fixed sizes.
        padding = _ALIGNMENT - 1 if name in ("User", "Groups") else 0
        wrong = blob.size_fault(padding + (8 - pointer) * 2 * len(token.groups) if name == "Groups" else padding)
        faults += [] if wrong is None else [wrong]
    for fault in faults:
        yield fault, blob.span
    leftover = blob.leftover
    if not faults and leftover is not None:
        yield "bytes that nothing refers to", leftover


@rule(
    "TRUE-TOKEN-002",
    "Each token has its type, user, groups, privileges and statistics",
    Level.MUST,
    Source("docs/format/minidump-handles.md#token-contents", Grade.DOCUMENTED),
    needs=("token",),
    applies=_has_tokens,
)
def token_parts(case: Case) -> Checks:
    """The parts are the structures of GetTokenInformation, with references to SIDs inside them. They show the rights of
    the process.
    """
    for element, token, subject in _known(case):
        for name in ("Type", "User", "Groups", "Privileges", "Statistics"):
            faults = list(_part_faults(case, element, token, name))
            for fault, span in faults:
                yield bad(f"{subject}, {name}", "the target's value", fault, span)
            if not faults:
                yield ok(f"{subject}, {name}")


def _owner(case: Case, element: Record, subject: str) -> Check:
    """Check that the fourth pair is empty, or a reference to a SID that follows it."""
    blob, what = _Blob(case, element, "Pair3"), f"{subject}, Pair3"
    if not blob.data:
        return ok(what)
    for pointer in (8, 4):
        revision, count = blob.number(pointer, 1), blob.number(pointer + 1, 1)
        end = pointer + _SID + 4 * count
        fits = end <= len(blob.data) < end + _ALIGNMENT and not any(blob.data[end:])
        if fits and revision == 1 and blob.number(0, pointer) in (pointer, _SHORT_REFERENCE, blob.offset + pointer):
            case.dump.dont_care(blob.span, "the primary group of a token: the truth does not hold it")
            return ok(what)
    return bad(what, "empty, or a reference to a SID that follows it", blob.data[:16].hex(), blob.span)


@rule(
    "TRUE-TOKEN-003",
    "The other parts of a token are a primary group and zeros",
    Level.MUST,
    Source("docs/format/minidump-handles.md#token-contents", Grade.OBSERVED),
    Source("docs/format/minidump-open-points.md#stream-layouts", Grade.INFERRED),
    needs=("token",),
    applies=_has_tokens,
)
def token_leftovers(case: Case) -> Checks:
    """The fourth pair is TOKEN_PRIMARY_GROUP, a reference and a SID, which a truth does not hold. The engine's
    reference is 8 though the SID stands at 4. The seventh pair of the real file is 8 zeros. A writer may leave both
    empty. Only zeros align the parts.
    """
    for element, _, subject in _known(case):
        yield _owner(case, element, subject)
        zeros = _Blob(case, element, "Pair6")
        if any(zeros.data):
            yield bad(f"{subject}, Pair6", "zeros", zeros.data[:16].hex(), zeros.span, fault=Fault.FORBIDDEN)
        else:
            yield ok(f"{subject}, Pair6")
        start = element.span.start
        parts = sorted(
            (start + element[f"{name}.Offset"], start + element[f"{name}.Offset"] + element[f"{name}.Size"])
            for name in ("Type", "User", "Groups", "Pair3", "Privileges", "Statistics", "Pair6")
        )
        at, end = element.span.end, start + element["TokenSize"]
        for low, high in [*parts, (end, end)]:
            gap = case.dump.source.read(at, min(low, end) - at)
            if any(gap):
                span = Span(at, at + len(gap))
                yield bad(f"{subject}, gap", "zeros", gap[:16].hex(), span, fault=Fault.FORBIDDEN)
            at = max(at, high)
