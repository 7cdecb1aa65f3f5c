"""Judges MiscInfo against truth. A field counts if it lies inside SizeOfInfo and its Flags1 bit is set."""

from __future__ import annotations

from collections.abc import Mapping
from struct import unpack

from ...case import Case
from ...decode import Record
from ...entitlement.flags import Format, effective
from ...model import Grade, Level, Source, Span
from ...rule import Checks, bad, ok, own, rule
from ..asserts import left_to_writer, same, same_bytes, seconds, tail_left_to_writer, time_t, zero

# minidumpapiset.h MINIDUMP_MISC1_*, MISC3_*, MISC4_*, MISC5_*
_ID, _TIMES, _POWER, _INTEGRITY, _EXECUTE, _ZONE, _PROTECTED, _BUILD, _COOKIE = (
    *(0x1, 0x2, 0x4, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200),
)
# SizeOfInfo -> the bits whose fields fit. The execute-flags bit may be clear: a dump by the engine has 0x3d7.
_COMPLETE = {24: 0x3, 44: 0x7, 232: 0xF7, 832: 0x1F7, 1364: 0x3F7}
_IDLE_STATES = ("ProcessorMaxIdleState", "ProcessorCurrentIdleState")
_DATES = ("TimeZone.StandardDate", "TimeZone.DaylightDate")
_BIASES = ("TimeZone.StandardBias", "TimeZone.DaylightBias")
_DAY = 24 * 60
"""Minutes."""
_MISC_INFO = Source("docs/format/minidump-system.md#misc-info", Grade.DOCUMENTED)
_SUBJECT = "MiscInfo"


def _present(record: Record, name: str) -> bool:
    field = record.structure.fields[name]
    return field.offset + field.width <= record["SizeOfInfo"]


def _under(case: Case, record: Record, bit: int, expected: Mapping[str, int]) -> Checks:
    """Check that the fields of one Flags1 bit have the truth's values. If the bit is clear, they may have any."""
    inside = {name: value for name, value in expected.items() if _present(record, name)}
    if record["Flags1"] & bit:
        yield from same(record, _SUBJECT, inside)
    else:
        left_to_writer(case, record, inside, f"bit {bit:#x} of Flags1 is clear (docs/format/minidump-system.md)")


@rule(
    "TRUE-MISC-001",
    "Flags1 of MiscInfo has the bit of every field that fits",
    Level.MUST,
    Source("docs/format/minidump-system.md#flags-of-misc-info", Grade.OBSERVED),
    needs=("misc_info",),
    applies=own,
)
def misc_flags(case: Case) -> Checks:
    """A reader uses a field only if its bit is set: without its bit the process id is unknown. The bit of the execute
    flags may be clear, as it is in dumps by the engine.
    """
    record = case.dump.misc_info
    assert record is not None
    size, flags = record["SizeOfInfo"], record["Flags1"]
    complete = _COMPLETE.get(min(size, 1364))
    if complete is None:
        return
    if flags in (complete, complete & ~_EXECUTE):
        yield ok(f"{_SUBJECT}, Flags1")
    else:
        accepted = tuple(dict.fromkeys((f"{complete:#x}", f"{complete & ~_EXECUTE:#x}")))
        yield bad(f"{_SUBJECT}, Flags1", accepted, f"{flags:#x}", record.span_of("Flags1"))


@rule(
    "TRUE-MISC-002",
    "MiscInfo holds the process's id and times",
    Level.MUST,
    _MISC_INFO,
    needs=("misc_info",),
    applies=own,
)
def process_times(case: Case) -> Checks:
    """Creation is a time_t. User and kernel time are in seconds: the truth's units of 100 ns, rounded down."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    process = truth.process
    yield from _under(case, record, _ID, {"ProcessId": process.process_id})
    times = {
        "ProcessCreateTime": time_t(process.create_time),
        "ProcessUserTime": seconds(process.user_time),
        "ProcessKernelTime": seconds(process.kernel_time),
    }
    yield from _under(case, record, _TIMES, times)


@rule(
    "TRUE-MISC-003",
    "MiscInfo holds the processor's frequencies",
    Level.MUST,
    _MISC_INFO,
    needs=("misc_info",),
    applies=own,
)
def processor_power(case: Case) -> Checks:
    """Maximum and current frequency are in MHz. The limit is the maximum, or 0 if it is unknown. A truth holds no idle
    states; the current one is at most the deepest.
    """
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    system = truth.system
    limit = record["ProcessorMhzLimit"]
    expected = {
        "ProcessorMaxMhz": system.processor_max_mhz,
        "ProcessorCurrentMhz": system.processor_current_mhz,
        "ProcessorMhzLimit": 0 if limit == 0 else system.processor_max_mhz,
    }
    yield from _under(case, record, _POWER, expected)
    idle = {name: record[name] for name in _IDLE_STATES if _present(record, name)}
    left_to_writer(case, record, idle, "the truth has no idle states")
    if record["Flags1"] & _POWER and len(idle) == len(_IDLE_STATES):
        most, current = idle.values()
        if current <= most:
            yield ok(f"{_SUBJECT}, idle states")
        else:
            span = record.span_of(_IDLE_STATES[1])
            yield bad(f"{_SUBJECT}, {_IDLE_STATES[1]}", f"at most {most}, the number of states", f"{current}", span)


@rule(
    "TRUE-MISC-004",
    "MiscInfo holds the process's integrity level, execute flags, protection and cookie",
    Level.MUST,
    _MISC_INFO,
    needs=("misc_info",),
    applies=own,
)
def process_attributes(case: Case) -> Checks:
    """Each of these fields has its own Flags1 bit. The cookie decodes pointers that the process encoded."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    process = truth.process
    yield from _under(case, record, _INTEGRITY, {"ProcessIntegrityLevel": process.integrity_level})
    yield from _under(case, record, _EXECUTE, {"ProcessExecuteFlags": process.execute_flags})
    yield from _under(case, record, _PROTECTED, {"ProtectedProcess": process.protected})
    yield from _under(case, record, _COOKIE, {"ProcessCookie": process.cookie})


@rule(
    "TRUE-MISC-005",
    "MiscInfo holds the target's time zone",
    Level.MUST,
    _MISC_INFO,
    Source("docs/format/minidump-system.md#time-zone", Grade.DOCUMENTED),
    needs=("misc_info",),
    applies=own,
)
def time_zone(case: Case) -> Checks:
    """TIME_ZONE_INFORMATION has the bias and both names. Bytes after a name's NUL may be anything. A truth holds no
    daylight-saving rules; a date is absent (month 0, all zero) or a possible one, and the two further biases are less
    than a day.
    """
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    if not _present(record, "TimeZone.DaylightBias"):
        return
    system, subject = truth.system, _SUBJECT
    yield from _under(case, record, _ZONE, {"TimeZoneId": system.time_zone_id, "TimeZone.Bias": system.time_zone_bias})
    names = {"TimeZone.StandardName": system.standard_name, "TimeZone.DaylightName": system.daylight_name}
    if not record["Flags1"] & _ZONE:
        left_to_writer(case, record, (*names, *_DATES, *_BIASES), f"bit {_ZONE:#x} of Flags1 is clear")
        return
    for name, text in names.items():
        yield from _fixed_text(case, record, name, text)
    for name in _DATES:
        raw = record.raw(name)
        if _possible(raw):
            yield ok(f"{subject}, {name}")
        else:
            yield bad(f"{subject}, {name}", ("zeros", "a SYSTEMTIME"), raw.hex(), record.span_of(name))
    for name in _BIASES:
        if abs(record[name]) < _DAY:
            yield ok(f"{subject}, {name}")
        else:
            yield bad(f"{subject}, {name}", f"less than {_DAY} minutes", f"{record[name]}", record.span_of(name))


def _possible(date: bytes) -> bool:
    """Whether a SYSTEMTIME is absent or a date of a time zone: a year or 0, month, weekday, day, then the time."""
    if not any(date):
        return True
    _, month, weekday, day, hour, minute, second, part = unpack("<8H", date)
    time = hour < 24 and minute < 60 and second < 60 and part < 1000
    return bool(1 <= month <= 12 and weekday <= 6 and 1 <= day <= 31 and time)


def _fixed_text(case: Case, record: Record, name: str, text: str) -> Checks:
    """Check a UTF-16 array: the text, truncated to leave room for a NUL. The bytes after the NUL may be anything."""
    span = record.span_of(name)
    expected = text.encode("utf-16-le", "surrogatepass")[: len(span) - 2] + b"\0\0"
    known = Span(span.start, span.start + len(expected))
    yield from same_bytes(f"{_SUBJECT}, {name}", expected, record.raw(name)[: len(expected)], known)
    tail_left_to_writer(
        case, Span(known.end, span.end), f"{name}: bytes after the NUL (docs/format/minidump-system.md)"
    )


@rule(
    "TRUE-MISC-006",
    "MiscInfo holds the target's build string",
    Level.MUST,
    Source("docs/format/minidump-system.md#build-strings", Grade.DOCUMENTED),
    needs=("misc_info",),
    applies=own,
)
def build_string(case: Case) -> Checks:
    """The text is the build of the target's system, with a NUL. Bytes after it may be anything."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    if not _present(record, "BuildString"):
        return
    if record["Flags1"] & _BUILD:
        yield from _fixed_text(case, record, "BuildString", truth.system.build_string)
    else:
        left_to_writer(case, record, ("BuildString",), f"bit {_BUILD:#x} of Flags1 is clear")


@rule(
    "TRUE-MISC-007",
    "MiscInfo names the library that wrote the dump",
    Level.MUST,
    Source("docs/format/minidump-system.md#build-strings", Grade.DOCUMENTED),
    needs=("misc_info",),
    applies=own,
)
def writer_string(case: Case) -> Checks:
    """The name is printable ASCII, with a NUL. Each writer chooses its name, so the characters are don't-care; the
    bytes after the NUL may be anything.
    """
    dump, record = case.dump, case.dump.misc_info
    assert record is not None
    if not _present(record, "DbgBldStr"):
        return
    raw, span = record.raw("DbgBldStr"), record.span_of("DbgBldStr")
    length = len(record.text("DbgBldStr"))
    low, high = raw[0 : 2 * length : 2], raw[1 : 2 * length : 2]
    if not record["Flags1"] & _BUILD:
        left_to_writer(case, record, ("DbgBldStr",), f"bit {_BUILD:#x} of Flags1 is clear")
        return
    if any(high) or any(not 0x20 <= unit < 0x7F for unit in low) or 2 * length >= len(raw):
        yield bad(f"{_SUBJECT}, DbgBldStr", "printable ASCII as UTF-16 and a NUL", raw.hex(), span)
        return
    yield ok(f"{_SUBJECT}, DbgBldStr")
    tail = "DbgBldStr: bytes after the NUL (docs/format/minidump-system.md#build-strings)"
    tail_left_to_writer(case, Span(span.start + 2 * length + 2, span.end), tail)
    for index in range(length):
        at = span.start + 2 * index
        dump.dont_care(
            Span(at, at + 1), "MiscInfo.DbgBldStr: the writer's own name (docs/format/minidump-system.md#build-strings)"
        )


@rule(
    "TRUE-MISC-008",
    "XStateData of MiscInfo is empty unless AVX state was requested",
    Level.MUST,
    Source("docs/format/minidump-system.md#extended-state-in-misc-info", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("misc_info",),
    applies=lambda case: (
        case.truth is not None
        and not (case.request is not None and effective(case.request) & Format.ADD_AVX_XSTATE_CONTEXT)
    ),
)
def no_xstate(case: Case) -> Checks:
    """A reader that finds a context size in XStateData expects that size of every context in the dump."""
    record = case.dump.misc_info
    assert record is not None
    names = [name for name in record.structure.fields if name.startswith("XStateData") and _present(record, name)]
    yield from zero(record, _SUBJECT, names, "ADD_AVX_XSTATE_CONTEXT is not set")
