"""Parts of a snapshot that are made when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Pending:
    """Base of frozen dataclasses with slots. The slots of a pending object are empty until one of them is read."""

    __slots__ = ("_make", "_sample")
    _make: Callable[[], Any]
    _sample: Any

    def __getattr__(self, name: str) -> Any:
        """Fill the slots. Python calls this for a member that is not there."""
        if name not in type(self).__match_args__:  # type: ignore[attr-defined]
            raise AttributeError(name)
        made = self._make()
        for member in type(self).__match_args__:  # type: ignore[attr-defined]
            object.__setattr__(self, member, getattr(made, member))
        return getattr(self, name)


def pending(cls: type[Any], makers: Iterator[Callable[[], Any]], sample: Any) -> Iterator[Any]:
    """Yield objects of ``cls``, each with one of ``makers``. ``sample`` is an object of the same shape."""
    for make in makers:
        empty = object.__new__(cls)
        _set_make(empty, make)
        _set_sample(empty, sample)
        yield empty


def sample_of(value: Pending) -> Any:
    """Return the object whose shape ``value`` is known to have: the same names, sizes of bytes and absent parts."""
    try:
        return value._sample
    except AttributeError:
        return value


_set_make: Callable[[Any, Callable[[], Any]], None] = Pending.__dict__["_make"].__set__
_set_sample: Callable[[Any, Any], None] = Pending.__dict__["_sample"].__set__
