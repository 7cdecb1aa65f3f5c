"""Explains a crash: the name of its code, what it means, and what each parameter is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .model import Parameter
from .tables import names, numbered

Locate = Callable[[int], str | None]
"""An address -> ``module+0x10``; None if it lies in no module."""

_M: Final = 0x1000_0000
"""Bit of a bug check's code in a small dump: ``SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M`` is 0x7E with it (bugcodes.h)."""
_CODE: Final = "code"
"""The role of a parameter that is the instruction at fault."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A code, explained."""

    name: str | None
    meaning: str | None
    parameters: tuple[Parameter, ...]
    instruction: int | None = None
    """The number of the parameter that is the instruction at fault, from 1; None if none is."""


def explain_bug_check(code: int, values: Sequence[int], locate: Locate) -> Explained:
    """A bug check with its four parameters."""
    bug_checks = numbered("bug_checks")
    row = bug_checks.get(code) or bug_checks.get(code & ~_M) or {}
    texts = list(row.get("parameters", ()))
    selector, chosen = row.get("selector"), None
    if selector is not None:
        case = {int(key, 0): value for key, value in row.get("cases", {}).items()}.get(values[selector - 1])
        if case is not None:
            chosen, *others = case
            places = [index for index in range(len(texts)) if index != selector - 1]
            for index, text in zip(places, others, strict=False):
                texts[index] = text
    parameters, instruction = _parameters("bug_checks", texts, values, locate)
    if chosen is not None:
        parameters = tuple(
            Parameter(item.value, item.meaning, chosen, item.location) if number == selector else item
            for number, item in enumerate(parameters, 1)
        )
    bugcodes = names("bugcodes")
    name = bugcodes.get(code) or bugcodes.get(code & ~_M)
    return Explained(name if code else "no bug check", row.get("meaning"), parameters, instruction)


def explain_exception(code: int, values: Sequence[int], locate: Locate) -> Explained:
    """An exception of Windows, with those parameters that its record counts."""
    row: Mapping[str, Any] = numbered("exceptions", "codes").get(code, {})
    name = row.get("name") or names("ntstatus").get(code)
    parameters, instruction = _parameters("exceptions", list(row.get("parameters", ())), values, locate)
    return Explained(name, row.get("meaning"), parameters, instruction)


def explain_foreign(system: str, code: int, values: Sequence[int], locate: Locate) -> Explained:
    """A signal (``unix``) or a Mach exception (``mach``).

    Crashpad stores the Mach exception as it was raised in parameter 1; the code is then 0 after an abort.
    """
    rows = numbered("exceptions", system)
    row: Mapping[str, Any] = rows.get(code) or rows.get(values[0] if values and not code else code, {})
    texts = ("Mach exception as it was raised", "its code", "its subcode") if system == "mach" else ()
    return Explained(row.get("name"), row.get("meaning"), _parameters("exceptions", texts, values, locate)[0])


def _parameters(
    table: str, texts: Sequence[str], values: Sequence[int], locate: Locate
) -> tuple[tuple[Parameter, ...], int | None]:
    """The parameters; and the number of the one that is the instruction at fault, if any."""
    found, instruction = [], None
    for number, value in enumerate(values, 1):
        text, _, role = texts[number - 1].partition(" @") if number <= len(texts) else ("", "", "")
        if role == _CODE and value:
            instruction = instruction or number
        found.append(Parameter(value, text or None, _value_name(table, role, value), locate(value)))
    return tuple(found), instruction


def _value_name(table: str, role: str, value: int) -> str | None:
    if role == "status":
        return names("ntstatus").get(value & 0xFFFF_FFFF) if value else None
    if role == "fast-fail":
        return fast_fail(value)
    found = numbered(table, "choices", role).get(value) if role else None
    return None if found is None else str(found)


def fast_fail(code: int) -> str | None:
    """``FAST_FAIL_CORRUPT_LIST_ENTRY: a LIST_ENTRY is corrupt, ...``; None for an unknown code."""
    row = numbered("fast_fails", "codes").get(code)
    return None if row is None else ": ".join(row)
