"""Checks the facts that a reader reports, and compares them with the expected ones."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..memory.intervals import minus, union
from ..memory.page import PAGE_SIZE
from .expected import Expected, Memory
from .protocol import DUMP_KINDS, FACTS, ProtocolError

_SHOWN: Final = 3
"""Differences that are reported of one fact."""


class FactsError(ProtocolError):
    """A fact breaks the protocol. The text is one line."""


@dataclass(frozen=True, slots=True)
class Comparison:
    compared: tuple[str, ...]
    """Facts that the reader reported and that were compared."""
    differences: tuple[str, ...]
    """One line each: fact, expected, reported."""


def compare(expected: Expected, reported: dict[str, Any]) -> Comparison:
    """Compare the facts in ``reported`` that are expected too. Raises FactsError if one breaks the protocol."""
    if unknown := sorted(set(reported) - set(FACTS)):
        raise FactsError(f"answered fact {unknown[0][:40]!r}: expected {', '.join(FACTS)}")
    compared: list[str] = []
    differences: list[str] = []

    def note(name: str, found: Iterable[str]) -> None:
        compared.append(name)
        lines = list(found)
        differences.extend(lines[:_SHOWN])
        if len(lines) > _SHOWN:
            differences.append(f"{name}: {len(lines) - _SHOWN} more differences")

    for name in FACTS:
        if name not in reported or (reported[name] is None and name != "exception"):
            continue
        value = reported[name]
        if name == "threads" and expected.threads is not None:
            note(name, _differing("thread", expected.threads, _threads(value)))
        elif name == "modules" and expected.modules is not None:
            note(name, _differing("module", expected.modules, _modules(value)))
        elif name == "exception" and expected.has_exception is not None:
            note(name, _exception_difference(expected.exception, _exception(value)))
        elif name == "memory" and expected.memory is not None:
            note(name, _memory_differences(expected.memory, _pages(value)))
        elif name == "extra":
            known = {key: item for key, item in _object(value, "extra").items() if key in expected.extra}
            if known:
                note(name, _extra_differences(expected.extra, known))
        elif name == "architecture" and expected.architecture is not None:
            note(name, _one(name, expected.architecture, _text(value, name)))
        elif name == "dump_kind" and expected.dump_kind is not None:
            note(name, _kind_difference(expected.dump_kind, _kind(value)))
        elif name in ("stream_count", "flags") and (due := getattr(expected, name)) is not None:
            note(name, _one(name, due, _number(value, name)))
    return Comparison(tuple(compared), tuple(differences))


# Checking what a reader reports


def _number(value: object, where: str) -> int:
    """A JSON number or its text: JSON numbers hold less than 64 bits in many languages."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    if isinstance(value, str) and len(value) <= 20:
        try:
            number = int(value, 16 if value[:2] in ("0x", "0X") else 10)
        except ValueError:
            number = -1
        if 0 <= number < 1 << 64:
            return number
    raise FactsError(f'answered facts.{where} {repr(value)[:40]}: expected a number, or a string such as "0x1f"')


def _number_or_none(value: object, where: str) -> int | None:
    return None if value is None else _number(value, where)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise FactsError(f"answered facts.{where} {type(value).__name__}: expected text")
    return value


def _kind(value: object) -> str:
    kind = _text(value, "dump_kind")
    if kind not in DUMP_KINDS:
        raise FactsError(f"answered facts.dump_kind {repr(kind)[:40]}: expected {', '.join(DUMP_KINDS)}")
    return kind


def _whole(text: str) -> str:
    """``text`` with each lone surrogate replaced by U+FFFD, as the oracle reads it: UTF-8 cannot encode one."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FactsError(f"answered facts.{where} {type(value).__name__}: expected an object")
    return value


def _items(value: object, where: str) -> Iterator[tuple[dict[str, Any], str]]:
    if not isinstance(value, list):
        raise FactsError(f"answered facts.{where} {type(value).__name__}: expected a list")
    for index, item in enumerate(value):
        yield _object(item, f"{where}[{index}]"), f"{where}[{index}]"


def _threads(value: object) -> list[tuple[int | None, ...]]:
    members = ("instruction_pointer", "stack_pointer", "teb")
    return [
        (
            _number(item.get("thread_id"), f"{where}.thread_id"),
            *(_number_or_none(item.get(name), f"{where}.{name}") for name in members),
        )
        for item, where in _items(value, "threads")
    ]


def _modules(value: object) -> list[tuple[int | str | None, ...]]:
    return [
        (
            _number(item.get("base"), f"{where}.base"),
            _number_or_none(item.get("size"), f"{where}.size"),
            None if item.get("name") is None else _whole(_text(item["name"], f"{where}.name")),
        )
        for item, where in _items(value, "modules")
    ]


def _exception(value: object) -> tuple[int | None, ...] | None:
    if value is None:
        return None
    item = _object(value, "exception")
    return tuple(_number_or_none(item.get(name), f"exception.{name}") for name in ("thread_id", "code", "address"))


def _pages(value: object) -> list[tuple[int, int, str | None]]:
    return [
        (
            _number(item.get("start"), f"{where}.start"),
            _number(item.get("size"), f"{where}.size"),
            None if item.get("digest") is None else _text(item["digest"], f"{where}.digest").lower(),
        )
        for item, where in _items(value, "memory")
    ]


# Differences


def _one(name: str, due: int | str | None, said: int | str) -> Iterator[str]:
    if due != said:
        yield f"{name}: expected {_value(due)}, read {_value(said)}"


def _kind_difference(due: tuple[str, ...], said: str) -> Iterator[str]:
    if said not in due:
        yield f"dump_kind: expected {' or '.join(due)}, read {said}"


def _value(value: int | str | None) -> str:
    return repr(value[:80]) if isinstance(value, str) else "none" if value is None else f"{value:#x}"


def _differing(what: str, due: list[tuple[Any, ...]], said: list[tuple[Any, ...]]) -> Iterator[str]:
    """Compare two lists whose items are identified by their first member. A member that is None is not compared."""
    if len(due) != len(said):
        yield f"{what}s: expected {len(due)}, read {len(said)}"
    left = list(said)
    for item in due:
        at = next((index for index, other in enumerate(left) if _agree(item, other)), None)
        if at is not None:
            del left[at]
            continue
        same = next((other for other in left if other[0] == item[0]), None)
        if same is not None:
            left.remove(same)
        yield f"{what} {_value(item[0])}: expected {_tuple(item)}, read {'none' if same is None else _tuple(same)}"
    for other in left:
        yield f"{what} {_value(other[0])}: expected none, read {_tuple(other)}"


def _agree(due: tuple[Any, ...], said: tuple[Any, ...]) -> bool:
    return all(mine is None or theirs is None or mine == theirs for mine, theirs in zip(due, said, strict=True))


def _tuple(item: tuple[Any, ...]) -> str:
    return "(" + ", ".join("-" if value is None else _value(value) for value in item) + ")"


def _exception_difference(due: tuple[int, int, int] | None, said: tuple[int | None, ...] | None) -> Iterator[str]:
    if due is None and said is None:
        return
    if due is None or said is None or not _agree(due, said):
        shown = ["none" if item is None else _tuple(item) for item in (due, said)]
        yield f"exception: expected {shown[0]}, read {shown[1]}"


def _extra_differences(due: dict[str, int | str | None], said: dict[str, Any]) -> Iterator[str]:
    for name, value in said.items():
        expected = due[name]
        reported = _text(value, f"extra.{name}") if isinstance(expected, str) else _number(value, f"extra.{name}")
        yield from _one(name, expected, reported)


def _memory_differences(due: Memory, said: list[tuple[int, int, str | None]]) -> Iterator[str]:
    for start, size, digest in said:
        data = due.read(start, size) if 0 < size <= PAGE_SIZE else None
        if size > PAGE_SIZE:
            raise FactsError(
                f"answered facts.memory at {start:#x} with {size:#x} bytes: expected at most {PAGE_SIZE:#x} in an item"
            )
        if data is not None and digest is not None and not _is_digest(digest, data):
            yield f"memory {start:#x}: the digest of {size:#x} bytes is not that of the dump"
    held = union((start, start + size) for start, size, _ in said if size)
    lacking, invented = list(minus(due.ranges, held)), list(minus(held, due.ranges))
    for what, ranges in (("expected, not read", lacking), ("read, not in the dump", invented)):
        if ranges:
            total = sum(end - start for start, end in ranges)
            yield f"memory: {total:#x} bytes in {len(ranges)} ranges {what}, the first at {ranges[0][0]:#x}"


def _is_digest(digest: str, data: bytes) -> bool:
    """Whether ``digest`` is that of ``data``. Its length tells the kind: CRC-32, BLAKE2b of 8 bytes, or SHA-256."""
    if len(digest) == 8:
        return digest == f"{zlib.crc32(data):08x}"
    if len(digest) == 16:
        return digest == hashlib.blake2b(data, digest_size=8).hexdigest()
    if len(digest) == 64:
        return digest == hashlib.sha256(data).hexdigest()
    raise FactsError(f"answered a digest of {len(digest)} digits: expected 8 (CRC-32), 16 (BLAKE2b) or 64 (SHA-256)")
