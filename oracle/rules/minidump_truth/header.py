"""Against truth and request: whether there may be a dump, its header, and which streams it has."""

from __future__ import annotations

from ...case import Case
from ...entitlement.clauses import Duty
from ...entitlement.flags import TOKEN_INFORMATION, acceptable_header_flags
from ...model import Fault, Grade, Level, Source
from ...readers.container import stream_name
from ...rule import Checks, bad, ok, rule
from ..asserts import asked, same, time_t

_COMMENTS = {10, 11}
_NUMBERS = frozenset({*range(1, 26), 0x7000}) - _COMMENTS
# 1, 2, 8 and the ceStreams may be in no dump at all: MDMP rules say so without truth. Spec user-mode 4, V48.
_NEVER_ANYWHERE = {1, 2, 8, *range(0x8000, 0x800D)}


@rule(
    "TRUE-REQUEST-001",
    "A minidump exists only where the request makes one",
    Level.MUST,
    Source("learn.microsoft.com IDebugClient::WriteDumpFile; spec user-mode 1.3, 1.4", Grade.DOCUMENTED),
    Source(
        "minidumpapiset.h MINIDUMP_TYPE: failed stack reads are unrecoverable; spec user-mode 2.3", Grade.DOCUMENTED
    ),
    Source("minidumpapiset.h MiniDumpNoIgnoreInaccessibleMemory, by its name; spec user-mode 1.6", Grade.INFERRED),
    applies=lambda case: case.truth is not None and case.request is not None,
)
def request_makes_a_minidump(case: Case) -> Checks:
    """Some requests write nothing in a user-mode session (DEBUG_DUMP_FULL), some profiles write DEFAULT as another
    format or refuse it, and some targets cannot be dumped: a stack that cannot be read, or, with full memory, any page
    that cannot, or, where NO_IGNORE_INACCESSIBLE_MEM forbids to skip it, one that a flag names. A minidump that is
    there all the same was made by a writer that took one thing for another, or that hid a failed read.
    """
    assert case.truth is not None
    assert case.request is not None
    why = case.refused
    header = case.dump.header
    if why is None:
        yield ok("dump")
    else:
        yield bad(
            "dump", f"no minidump: {why}", "a minidump", *([header.span] if header else ()), fault=Fault.FORBIDDEN
        )


@rule(
    "TRUE-FLAGS-001",
    "The header's Flags are the request's format flags, translated",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_TYPE, DbgEng.h DEBUG_FORMAT_XXX; spec user-mode 2.1, V08", Grade.DOCUMENTED),
    Source("spec user-mode 2.3: the token bit goes with stream 19", Grade.OBSERVED),
    needs=("header",),
    applies=asked,
)
def header_flags(case: Case) -> Checks:
    """DEBUG_FORMAT_USER_SMALL_* and MINIDUMP_TYPE give the same things other numbers: full memory is 1 here and 2
    there. A writer that copies the bits claims what the dump has not. Debuggers believe the header: without the
    full-memory bit WinDbg mistreats a Memory64List. The engine may add the token bit, and then the token stream.
    """
    assert case.request is not None
    assert case.dump.header is not None
    token = TOKEN_INFORMATION if 19 in case.dump.streams else 0
    accepted = tuple(flags | token for flags in acceptable_header_flags(case.request))
    actual = case.dump.header["Flags"]
    if actual in accepted:
        yield ok("header, Flags")
    else:
        yield bad(
            "header, Flags",
            tuple(f"{value:#x}" for value in accepted),
            f"{actual:#x}",
            case.dump.header.span_of("Flags"),
        )


@rule(
    "TRUE-TIME-001",
    "TimeDateStamp is the moment of the dump",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_HEADER; spec user-mode 3.1", Grade.DOCUMENTED),
    needs=("header",),
    applies=lambda case: case.truth is not None,
)
def time_stamp(case: Case) -> Checks:
    """A time_t in UTC: the target's FILETIME in whole seconds. Debuggers print it as the debug session time."""
    assert case.truth is not None
    assert case.dump.header is not None
    yield from same(case.dump.header, "header", {"TimeDateStamp": time_t(case.truth.time)})


@rule(
    "TRUE-STREAM-001",
    "Every stream that the request demands is there",
    Level.MUST,
    Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.3, 2.4", Grade.DOCUMENTED),
    needs=("directory",),
    applies=asked,
)
def required_streams(case: Case) -> Checks:
    """Threads, modules, memory, system and process information are in every minidump; the exception when the
    session has one; the rest by its flag. Some readers refuse a dump without SystemInfo and crash on one without a
    module list.
    """
    yield from _presence(case, Duty.MUST)
    assert case.request is not None
    if case.request.comment:
        present = _COMMENTS & case.dump.streams.keys()
        if present:
            yield ok("comment stream")
        else:
            yield bad("comment stream", "stream 10 or 11: a comment was given", "neither", fault=Fault.MISSING)


@rule(
    "TRUE-STREAM-002",
    "No stream is there that the request does not entitle the dump to",
    Level.MUST,
    Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.3, 2.4", Grade.DOCUMENTED),
    needs=("directory",),
    applies=asked,
)
def forbidden_streams(case: Case) -> Checks:
    """What no flag asked for may not be in the file: whoever asks for a small dump expects no handle names and no
    map of the address space to leave the machine with it.
    """
    yield from _presence(case, Duty.NEVER)
    both = _COMMENTS & case.dump.streams.keys()
    if len(both) == 2:
        yield bad("comment streams", "one of 10 and 11", "both", case.dump.streams[10].span, fault=Fault.FORBIDDEN)


@rule(
    "TRUE-STREAM-003",
    "The streams that 10.0 writers always add are there",
    Level.SHOULD,
    Source("spec user-mode 2.3: in all 17 files by 10.0 writers", Grade.OBSERVED),
    needs=("directory",),
    applies=asked,
)
def customary_streams(case: Case) -> Checks:
    """System memory information, process counters and, where a thread has a description, thread names."""
    entitlement = case.entitlement
    for number in (21, 22, 24):
        if entitlement.stream(number)[0] is Duty.NEVER:
            continue
        name = stream_name(number)
        yield ok(name) if number in case.dump.streams else bad(name, "a stream", "none", fault=Fault.MISSING)


@rule(
    "TRUE-STREAM-004",
    "What the target has besides is in a stream",
    Level.SHOULD,
    Source("spec user-mode 2.3, 2.4, 3.14, 3.15: streams without a flag of their own, seen in 4 files", Grade.OBSERVED),
    needs=("directory",),
    applies=asked,
)
def further_streams(case: Case) -> Checks:
    """Dynamic function tables, handle operations with the handles, access tokens: where the target has them and the
    request does not speak against it, real writers store them.
    """
    truth, entitlement = case.truth, case.entitlement
    assert truth is not None
    there = {13: truth.function_tables, 18: truth.handle_operations, 19: truth.tokens}
    for number, has in there.items():
        if not has or entitlement.stream(number)[0] is Duty.NEVER:
            continue
        name = stream_name(number)
        yield ok(name) if number in case.dump.streams else bad(name, "a stream", "none", fault=Fault.MISSING)


def _presence(case: Case, duty: Duty) -> Checks:
    """Each stream type that has ``duty`` is there (MUST), or is not (NEVER)."""
    assert case.request is not None
    entitlement = case.entitlement
    found = case.dump.streams
    given = {stream.type for stream in case.request.user_streams}
    for number in sorted((_NUMBERS | found.keys() | given) - _NEVER_ANYWHERE):
        actual, why = entitlement.stream(number)
        if actual is not duty:
            continue
        name = stream_name(number)
        if (number in found) is (duty is Duty.MUST):
            yield ok(name)
        elif duty is Duty.MUST:
            yield bad(name, f"a stream: {why}", "none", fault=Fault.MISSING)
        else:
            yield bad(name, f"no stream: {why}", "one", found[number].record.span, fault=Fault.FORBIDDEN)
