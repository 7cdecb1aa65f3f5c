"""Decides whether contexts hold extended processor state, such as AVX."""

from __future__ import annotations

from ..constants import MinidumpType
from ..snapshot.process import ProcessSnapshot, XstateConfiguration

_WITH_CONTEXT_EX = ("amd64", "x86")


def extended_state(snapshot: ProcessSnapshot, flags: MinidumpType, warnings: list[str]) -> XstateConfiguration | None:
    """Return the configuration of the extended state of all contexts; None for plain contexts.

    docs/format/minidump-contexts.md#extended-state-description. Adds a warning if the target has no extended state.
    """
    if not flags & MinidumpType.MiniDumpWithAvxXStateContext:
        return None
    system = snapshot.system
    if system.xstate is None or system.architecture not in _WITH_CONTEXT_EX:
        warnings.append("ADD_AVX_XSTATE_CONTEXT has no effect: the target has no extended processor state")
        return None
    return system.xstate
