"""The duty of each stream type in a minidump.

Sources: docs/format/minidump-contents.md#streams-with-format-flags-0, docs/format/minidump-contents.md#streams-by-flag,
docs/format/minidump-contents.md#streams-without-a-flag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .duty import Duty
from .flags import Format, effective

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth, RequestTruth


def stream_duty(stream: int, truth: ProcessTruth, request: RequestTruth) -> tuple[Duty, str]:
    """The duty for a stream of type ``stream`` (minidumpapiset.h MINIDUMP_STREAM_TYPE), and the reason."""
    flags = effective(request)
    documented = request.contract == "documented"

    def by_flag(flag: Format) -> tuple[Duty, str]:
        name = flag.name or ""
        return (Duty.MUST, f"{name} is set") if flags & flag else (Duty.NEVER, f"{name} is not set")

    def if_any(flag: Format, entries: object, what: str) -> tuple[Duty, str]:
        """By the flag, if there are entries. Some real files hold an empty list; the engines write none."""
        if entries or not flags & flag:
            return by_flag(flag)
        return (Duty.MAY if documented else Duty.NEVER), f"there are no {what}"

    match stream:
        case 0:
            return Duty.MAY, "an unused directory entry"
        case 3 | 4 | 7 | 15:
            return Duty.MUST, "every minidump has it"
        case 5:
            if flags & Format.FULL_MEMORY:
                return Duty.NEVER, "with FULL_MEMORY the memory is in stream 9"
            return Duty.MUST, "without FULL_MEMORY the memory is in stream 5"
        case 9:
            return by_flag(Format.FULL_MEMORY)
        case 6:
            if truth.exception is not None:
                return Duty.MUST, "the session's last event is an exception"
            if request.session == "dump" and not truth.threads:
                return Duty.MAY, "nobody measured a dump without event and threads"
            if request.session == "dump":
                return Duty.MUST, "the engines store an exception of a dump that has none"
            return Duty.NEVER, "the session has no exception"
        case 10 | 11:
            # A writer chooses one of the two. TRUE-COMMENT-001 judges the text.
            given = request.comment is not None
            return (Duty.MAY, "a comment was given") if given else (Duty.NEVER, "no comment was given")
        case 12:
            return if_any(Format.HANDLE_DATA, truth.handles, "handles")
        case 13:
            if truth.function_tables is None:
                return Duty.MAY, "the truth does not say whether there are function tables"
            if truth.function_tables:
                return Duty.MAY, "the process has dynamic function tables"
            return Duty.NEVER, "the process has no dynamic function table"
        case 14:
            return if_any(Format.UNLOADED_MODULES, truth.unloaded_modules, "unloaded modules")
        case 16:
            return by_flag(Format.FULL_MEMORY_INFO)
        case 17:
            return by_flag(Format.THREAD_INFO)
        case 18:
            if not truth.handle_operations:
                return Duty.NEVER, "handle tracing is off"
            return (Duty.MAY, "handle tracing is on") if flags & Format.HANDLE_DATA else by_flag(Format.HANDLE_DATA)
        case 19 | 21 | 22 | 24:
            return _by_writer(stream, truth, request)
        case 20 | 23 | 25:
            return Duty.NEVER, "the target has no data for it"
    if stream > 0xFFFF:
        if any(given.type == stream for given in request.user_streams):
            return Duty.MUST, "the caller gave it"
        return Duty.NEVER, "no user stream was given"
    return Duty.NEVER, "no flag asks for it"


def _by_writer(stream: int, truth: ProcessTruth, request: RequestTruth) -> tuple[Duty, str]:
    """The duty for a stream that a writer adds of its own accord.

    Source: docs/format/minidump-contents.md#streams-without-a-flag.
    """
    if stream == 24 and not any(thread.name is not None for thread in truth.threads):
        return Duty.NEVER, "no thread has a description"
    if stream == 19 and effective(request) & Format.FILTER_TRIAGE:
        return Duty.NEVER, "FILTER_TRIAGE drops the tokens"
    if request.contract == "documented":
        return Duty.MAY, "the engines add it, MiniDumpWriteDump and older writers may not"
    if stream == 24 and request.contract == "e15063":
        return Duty.NEVER, "E15063 writes no thread names"
    return Duty.MUST, "the engine adds it at any flags"
