"""The registry of known errors of the vendor's engine.

A dump with such an error fails its rule: the error is told, not excused. The finding then names the error, so that
nobody looks for a fault in another place. An entry says what the engine does, which versions do it, and which rules it
breaks. It has an id, a source, and a function that recognises the error in a failed check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .model import KnownError

if TYPE_CHECKING:
    from .case import AnyCase
    from .rule import Check

Recognise = Callable[[Any, "Check"], bool]
"""Takes the case and a failed check of one of the rules. It must not raise on content."""


class _Entry(NamedTuple):
    error: KnownError
    rules: frozenset[str]
    recognise: Recognise


KNOWN_ERRORS: Final[dict[str, _Entry]] = {}
"""By id."""


def known_error(
    id: str,  # noqa: A002
    title: str,
    *,
    versions: tuple[str, ...],
    source: str,
    rules: tuple[str, ...],
) -> Callable[[Recognise], Recognise]:
    """A decorator that registers an error. Raises ValueError for an id that is registered already."""
    if id in KNOWN_ERRORS:
        raise ValueError(f"known error {id} is registered already")

    def register(recognise: Recognise) -> Recognise:
        KNOWN_ERRORS[id] = _Entry(KnownError(id, title, versions, source), frozenset(rules), recognise)
        return recognise

    return register


def recognised(rule: str, case: AnyCase, check: Check) -> KnownError | None:
    """The known error that explains a failed check; None if there is none.

    Under the contract of one version only the errors of that version count.
    """
    contract = "documented" if case.request is None else case.request.contract
    for entry in KNOWN_ERRORS.values():
        if rule not in entry.rules or (contract != "documented" and contract[1:] not in entry.error.versions):
            continue
        if entry.recognise(case, check):
            return entry.error
    return None
