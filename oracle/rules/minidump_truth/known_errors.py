"""Known errors of the vendor's engine in minidumps (docs/format/engine.md#errors-of-the-engine)."""

from __future__ import annotations

from ...case import Case
from ...known_errors import known_error
from ...readers.facts import ContextFact
from ...readers.xstate import context_ex
from ...rule import Check
from ..asserts import of_a_dump

_EXTENDED_AMD64 = 1232
"""Bytes of an amd64 CONTEXT; a CONTEXT_EX may follow."""


@known_error(
    "ENGINE-EXIT-STATUS",
    "the exit status of a thread is left over from the debugger's memory when the target is a dump",
    versions=("15063",),
    source="docs/format/minidump-threads.md#thread-info-list",
    rules=("TRUE-THREADINFO-002",),
)
def exit_status(case: Case, check: Check) -> bool:
    """The exit status alone is wrong, in a dump of a dump."""
    return of_a_dump(case) and check.subject.endswith(", ExitStatus")


@known_error(
    "ENGINE-EXCEPTION-XSTATE",
    "the exception's context has the length of an extended one, but bytes of other memory behind the record",
    versions=("15063",),
    source="docs/format/minidump-contexts.md#extended-state-of-the-exception",
    rules=("MDMP-XSTATE-001", "TRUE-XSTATE-001", "TRUE-XSTATE-002", "TRUE-XSTATE-004"),
)
def exception_xstate(case: Case, check: Check) -> bool:
    """No field of the exception's CONTEXT_EX is right; that of a thread's context of the same length is."""
    exception = case.dump.exception
    if not check.subject.startswith("context of the exception") or exception is None or exception.context is None:
        return False
    threads = [each.context for each in case.dump.threads if each.context is not None]
    same = [context for context in threads if len(context.span) == len(exception.context.span)]
    return not any(_located(case, exception.context)) and any(all(_located(case, context)) for context in same)


def _located(case: Case, context: ContextFact) -> tuple[bool, ...]:
    """Which fields of a CONTEXT_EX locate the record in front of it."""
    ex = context_ex(case.dump.source, context)
    if ex is None:
        return (False,)
    expected = {"All.Offset": -_EXTENDED_AMD64, "Legacy.Offset": -_EXTENDED_AMD64, "Legacy.Length": _EXTENDED_AMD64}
    return tuple(ex[name] == value for name, value in expected.items())
