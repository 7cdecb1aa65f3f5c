"""The duty of each stream type in a minidump.

Sources: docs/format/minidump-contents.md#streams-with-format-flags-0, docs/format/minidump-contents.md#streams-by-flag,
docs/format/minidump-contents.md#streams-without-a-flag.
"""

from __future__ import annotations

from ..truth.process import ProcessTruth, RequestTruth
from .clauses import Duty
from .flags import Format, effective


def stream_duty(stream: int, truth: ProcessTruth, request: RequestTruth) -> tuple[Duty, str]:
    """The duty for a stream of type ``stream`` (minidumpapiset.h MINIDUMP_STREAM_TYPE), and the reason."""
    flags = effective(request)

    def by_flag(flag: Format) -> tuple[Duty, str]:
        name = flag.name or ""
        return (Duty.MUST, f"{name} is set") if flags & flag else (Duty.NEVER, f"{name} is not set")

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
            if truth.exception is None:
                return Duty.NEVER, "the session has no exception"
            return Duty.MUST, "the session's last event is an exception"
        case 10 | 11:
            # A writer chooses one of the two. TRUE-COMMENT-001 judges the text.
            return (Duty.MAY, "a comment was given") if request.comment else (Duty.NEVER, "no comment was given")
        case 12:
            return by_flag(Format.HANDLE_DATA)
        case 13:
            if truth.function_tables is None:
                return Duty.MAY, "the truth does not say whether there are function tables"
            if truth.function_tables:
                return Duty.MAY, "the process has dynamic function tables"
            return Duty.NEVER, "the process has no dynamic function table"
        case 14:
            if flags & Format.UNLOADED_MODULES and not truth.unloaded_modules:
                return Duty.NEVER, "no module was unloaded"
            return by_flag(Format.UNLOADED_MODULES)
        case 16:
            return by_flag(Format.FULL_MEMORY_INFO)
        case 17:
            return by_flag(Format.THREAD_INFO)
        case 18:
            if not truth.handle_operations:
                return Duty.NEVER, "handle tracing is off"
            return (Duty.MAY, "handle tracing is on") if flags & Format.HANDLE_DATA else by_flag(Format.HANDLE_DATA)
        case 19:
            if truth.tokens is not None and not truth.tokens:
                return Duty.NEVER, "the writer gets no tokens"
            return Duty.MAY, "the engine may add token information"
        case 21 | 22:
            return Duty.MAY, "10.0 writers add it"
        case 24:
            if any(thread.name is not None for thread in truth.threads):
                return Duty.MAY, "a thread has a description"
            return Duty.NEVER, "no thread has a description"
        case 20 | 23 | 25:
            return Duty.NEVER, "the target has no data for it"
    if stream > 0xFFFF:
        if any(given.type == stream for given in request.user_streams):
            return Duty.MUST, "the caller gave it"
        return Duty.NEVER, "no user stream was given"
    return Duty.NEVER, "no flag asks for it"
