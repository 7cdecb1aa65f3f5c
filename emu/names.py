"""Qualifiers and format flags by name, in any of the usual spellings."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from .constants import FormatFlag, Qualifier
from .errors import DumptruthError

_FLAG_PREFIXES = ("DEBUG_FORMAT_USER_SMALL_", "DEBUG_FORMAT_")
_QUALIFIER_PREFIX = "DEBUG_DUMP_"


class UnknownNameError(DumptruthError, ValueError):
    """No qualifier or format flag has this name; the message lists the known names."""


def qualifier_number(name: str) -> int:
    """The number of a qualifier: ``small``, ``DEBUG_DUMP_SMALL``, another DbgEng.h name, or ``1024``.

    Raises UnknownNameError.
    """
    names = {known: int(member) for known, member in Qualifier.__members__.items()}
    wanted, number = _constant(name), _number(name)
    for spelling in (wanted, _QUALIFIER_PREFIX + wanted):
        if spelling in names:
            return names[spelling]
    if number is not None and number in names.values():
        return number
    known = ", ".join(f"{_short(member.name)} ({member.value})" for member in Qualifier)
    raise UnknownNameError(f"unknown qualifier {name!r}; expected {known}, or their names in DbgEng.h")


def flags_number(names: str | Iterable[str | int]) -> int:
    """Format flags combined with OR: ``full-memory``, ``DEBUG_FORMAT_USER_SMALL_FULL_MEMORY``, or a number.

    A text is one name. Raises UnknownNameError.
    """
    members = {name: int(member) for name, member in FormatFlag.__members__.items()}
    known = [_short(name) for name in members]
    result = 0
    for name in [names] if isinstance(names, str) else names:
        if isinstance(name, int):
            result |= name
            continue
        wanted = _constant(name)
        spellings = (wanted, *(prefix + wanted for prefix in _FLAG_PREFIXES))
        found = next((spelling for spelling in spellings if spelling in members), None)
        if found is None:
            close = get_close_matches(_short(wanted), known, n=2)
            hint = f" (did you mean {' or '.join(close)}?)" if close else ""
            raise UnknownNameError(f"unknown flag {name!r}{hint}; expected {', '.join(known)}")
        result |= members[found]
    return result


def _constant(text: str) -> str:
    return text.strip().upper().replace("-", "_")


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def _short(name: str) -> str:
    """The short name of a constant: ``full-memory``."""
    for prefix in (*_FLAG_PREFIXES, _QUALIFIER_PREFIX):
        name = name.removeprefix(prefix)
    return name.lower().replace("_", "-")
