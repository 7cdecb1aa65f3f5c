"""Judges the header and the set of streams against truth and request, and whether a dump may exist at all."""

from __future__ import annotations

from ...case import Case
from ...decode import enumeration
from ...entitlement.duty import Duty
from ...entitlement.flags import TOKEN_INFORMATION, acceptable_header_flags
from ...model import Fault, Grade, Level, Source
from ...readers.container import stream_name
from ...rule import Checks, bad, ok, rule
from ..asserts import asked, same, time_t

_COMMENTS = {10, 11}
_NO_STREAMS = {0, 0xFFFF}  # an unused entry, and the last reserved number
_NUMBERS = frozenset(enumeration("MINIDUMP_STREAM_TYPE").members.values()) - _COMMENTS - _NO_STREAMS
"""The streams that a request may require or forbid."""
# No dump may have 1, 2, 8 and the ceStreams: MDMP-DIR-005 judges them
# (docs/format/minidump-contents.md#streams-that-must-be-absent).
_NEVER_ANYWHERE = {1, 2, 8, *range(0x8000, 0x800D)}


@rule(
    "TRUE-REQUEST-001",
    "A minidump exists only if the request makes one",
    Level.MUST,
    Source("docs/format/write-dump-file.md#full-in-a-user-session", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/write-dump-file.md#default-in-a-user-session", Grade.DOCUMENTED),
    Source("docs/format/minidump-captured-memory.md#stack-that-cannot-be-read", Grade.DOCUMENTED),
    Source("docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory", Grade.DOCUMENTED),
    applies=lambda case: case.truth is not None and case.request is not None,
)
def request_makes_a_minidump(case: Case) -> Checks:
    """DEBUG_DUMP_FULL writes nothing in a user-mode session. Some profiles refuse DEBUG_DUMP_DEFAULT or write it in
    another format. A target cannot be dumped if a stack cannot be read. With full memory the same is true of every
    page, with NO_IGNORE_INACCESSIBLE_MEM of every page that a flag adds. A writer that makes a minidump all the same
    misread the request or hid a failed read.
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
    Source("docs/format/format-flags.md#translation-to-header-flags", Grade.DOCUMENTED),
    Source("docs/format/format-flags.md#token-bit", Grade.OBSERVED),
    needs=("header",),
    applies=asked,
)
def header_flags(case: Case) -> Checks:
    """DEBUG_FORMAT_USER_SMALL_* and MINIDUMP_TYPE have different bits for the same content: full memory is 1 in the
    request and 2 in the header. A writer that copies the bits announces content that the dump lacks. Debuggers rely on
    the header: without the full-memory bit the vendor's engine refuses a Memory64List. The engine may add the token
    bit, and then the token stream.
    """
    assert case.request is not None
    assert case.dump.header is not None
    flags = acceptable_header_flags(case.request)
    if "directory" in case.dump.facts:
        token = TOKEN_INFORMATION if 19 in case.dump.streams else 0
        accepted = tuple(value | token for value in flags)
    else:
        accepted = (*flags, *(value | TOKEN_INFORMATION for value in flags))
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
    "TimeDateStamp is the time of the dump",
    Level.MUST,
    Source("docs/format/minidump-container.md#timedatestamp", Grade.DOCUMENTED),
    needs=("header",),
    applies=lambda case: case.truth is not None,
)
def time_stamp(case: Case) -> Checks:
    """The field is a time_t in UTC: the target's FILETIME in whole seconds. Debuggers print it as the debug session
    time.
    """
    assert case.truth is not None
    assert case.dump.header is not None
    yield from same(case.dump.header, "header", {"TimeDateStamp": time_t(case.truth.time)})


@rule(
    "TRUE-STREAM-001",
    "Every stream that the request demands is present",
    Level.MUST,
    Source(
        "docs/format/minidump-contents.md#streams-with-format-flags-0", Grade.WITNESSED, versions=("15063", "29507")
    ),
    Source("docs/format/minidump-contents.md#streams-by-flag", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("directory",),
    applies=asked,
)
def required_streams(case: Case) -> Checks:
    """Threads, modules, memory, system and process information are in every minidump. The exception is present if the
    session has one, and each other stream by its flag. Some readers refuse a dump without SystemInfo and crash on one
    without a module list.
    """
    yield from _presence(case, Duty.MUST)
    assert case.request is not None
    if case.request.comment is not None:
        present = _COMMENTS & case.dump.streams.keys()
        if present:
            yield ok("comment stream")
        else:
            yield bad("comment stream", "stream 10 or 11: a comment was given", "neither", fault=Fault.MISSING)


@rule(
    "TRUE-STREAM-002",
    "No stream is present that the request does not allow",
    Level.MUST,
    Source("docs/format/minidump-contents.md#streams-by-flag", Grade.DOCUMENTED),
    needs=("directory",),
    applies=asked,
)
def forbidden_streams(case: Case) -> Checks:
    """A user who requests a small dump expects that no handle names and no list of memory regions leave the machine
    with it.
    """
    yield from _presence(case, Duty.NEVER)
    both = _COMMENTS & case.dump.streams.keys()
    if len(both) == 2:
        yield bad("comment streams", "one of 10 and 11", "both", case.dump.streams[10].span, fault=Fault.FORBIDDEN)


@rule(
    "TRUE-STREAM-003",
    "The streams that 10.0 writers always add are present",
    Level.SHOULD,
    Source("docs/format/minidump-contents.md#streams-with-format-flags-0", Grade.WITNESSED, versions=("29507",)),
    needs=("directory",),
    applies=asked,
)
def customary_streams(case: Case) -> Checks:
    """Writers of version 10.0 always add system memory information, process counters and, if a thread has a name,
    thread names.
    """
    entitlement = case.entitlement
    for number in (21, 22, 24):
        if entitlement.stream(number)[0] is Duty.NEVER:
            continue
        name = stream_name(number)
        yield ok(name) if number in case.dump.streams else bad(name, "a stream", "none", fault=Fault.MISSING)


@rule(
    "TRUE-STREAM-004",
    "Streams are present for function tables, tokens and handle operations of the target",
    Level.SHOULD,
    Source(
        "docs/format/minidump-contents.md#streams-with-format-flags-0", Grade.WITNESSED, versions=("15063", "29507")
    ),
    Source("docs/format/minidump-contents.md#streams-by-flag", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("directory",),
    applies=asked,
)
def further_streams(case: Case) -> Checks:
    """The data are dynamic function tables, access tokens and, with the handles, handle operations. Real writers store
    them if the target has them and the request does not exclude them.
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
    """Check that each stream type with ``duty`` is present (MUST) or absent (NEVER)."""
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
            yield bad(name, f"no stream: {why}", "a stream", found[number].record.span, fault=Fault.FORBIDDEN)
