"""Values that keep their JSON text until one of their members is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Values of one layout in a text, which were checked: they have the same members, of the same sizes."""

    text: bytes
    read: Callable[[Any], Any]
    one: Any
    """One of them."""

    def value(self, start: int, end: int) -> Any:
        """The value whose text starts and ends there."""
        return self.read(json.loads(self.text[start:end].decode()))


class Deferred:
    """Base of dataclasses with slots. The slots of a deferred value are empty until one of them is read."""

    __slots__ = ("_stored",)
    _stored: tuple[Alike, int, int]

    @property
    def like(self) -> Any:
        """A value of the same layout; the value itself if none is known."""
        try:
            return self._stored[0].one
        except AttributeError:
            return self

    def __getattr__(self, name: str) -> Any:
        """Python asks here for a member whose slot is empty."""
        members: dict[str, Any] = getattr(type(self), "__dataclass_fields__", {})
        if name not in members:
            raise AttributeError(name)
        alike, start, end = self._stored
        whole = alike.value(start, end)
        for member in members:
            object.__setattr__(self, member, getattr(whole, member))
        return getattr(whole, name)


def deferred(cls: type[Any], alike: Alike, places: Iterable[tuple[int, int]]) -> list[Any]:
    """The values of ``cls`` at ``places`` of the text."""
    made = []
    for start, end in places:
        value = object.__new__(cls)
        _store(value, (alike, start, end))
        made.append(value)
    return made


_store: Callable[[Any, tuple[Alike, int, int]], None] = Deferred.__dict__["_stored"].__set__
