"""Against truth: MiscInfo. A field counts when it lies inside SizeOfInfo and its Flags1 bit is set."""

from __future__ import annotations

from collections.abc import Mapping

from ...case import Case
from ...decode import Record
from ...entitlement.flags import Format, effective
from ...model import Grade, Level, Source, Span
from ...rule import Checks, bad, ok, own, rule
from ..asserts import TRUTH, same, same_bytes, seconds, time_t, zero

# minidumpapiset.h MINIDUMP_MISC1_*, MISC3_*, MISC4_*, MISC5_*
_ID, _TIMES, _POWER, _INTEGRITY, _EXECUTE, _ZONE, _PROTECTED, _BUILD, _COOKIE = (
    *(0x1, 0x2, 0x4, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200),
)
# SizeOfInfo -> the bits whose fields fit. The execute-flags bit may be clear: an engine-written dump has 0x3d7.
_COMPLETE = {24: 0x3, 44: 0x7, 232: 0xF7, 832: 0x1F7, 1364: 0x3F7}
_PAGE = Source("minidumpapiset.h MINIDUMP_MISC_INFO_5; spec user-mode 3.10", Grade.DOCUMENTED)
_SUBJECT = "MiscInfo"


def _present(record: Record, name: str) -> bool:
    field = record.structure.fields[name]
    return field.offset + field.width <= record["SizeOfInfo"]


def _under(record: Record, bit: int, expected: Mapping[str, int]) -> Checks:
    """Fields that one Flags1 bit makes valid: the truth's under the bit, zero without it."""
    inside = {name: value for name, value in expected.items() if _present(record, name)}
    if record["Flags1"] & bit:
        yield from same(record, _SUBJECT, inside)
    else:
        yield from zero(record, _SUBJECT, inside, f"Flags1 bit {bit:#x} is clear")


@rule(
    "TRUE-MISC-001",
    "MiscInfo's Flags1 name every field that it has room for",
    Level.MUST,
    _PAGE,
    Source("spec user-mode 3.10: Flags1 of 44 real dumps", Grade.OBSERVED),
    needs=("misc_info",),
    applies=own,
)
def misc_flags(case: Case) -> Checks:
    """A reader looks at a field only under its bit: with the bit missing, the process id is unknown. The bit of the
    execute flags is clear in dumps that the engine itself wrote, so it may be.
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
    _PAGE,
    TRUTH,
    needs=("misc_info",),
    applies=own,
)
def process_times(case: Case) -> Checks:
    """Creation as a time_t, user and kernel time in seconds: the truth's 100 ns units, rounded down."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    process = truth.process
    yield from _under(record, _ID, {"ProcessId": process.process_id})
    times = {
        "ProcessCreateTime": time_t(process.create_time),
        "ProcessUserTime": seconds(process.user_time),
        "ProcessKernelTime": seconds(process.kernel_time),
    }
    yield from _under(record, _TIMES, times)


@rule(
    "TRUE-MISC-003",
    "MiscInfo holds the processor's frequencies",
    Level.MUST,
    _PAGE,
    TRUTH,
    needs=("misc_info",),
    applies=own,
)
def processor_power(case: Case) -> Checks:
    """Maximum and current frequency in MHz; the limit is the maximum where nothing throttles, or unknown (zero). No
    truth tells of idle states, so they are zero.
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
        "ProcessorMaxIdleState": 0,
        "ProcessorCurrentIdleState": 0,
    }
    yield from _under(record, _POWER, expected)


@rule(
    "TRUE-MISC-004",
    "MiscInfo holds the process's integrity, execution flags, protection and cookie",
    Level.MUST,
    _PAGE,
    TRUTH,
    needs=("misc_info",),
    applies=own,
)
def process_attributes(case: Case) -> Checks:
    """Each under a Flags1 bit of its own. The cookie decodes pointers that the process encoded."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    process = truth.process
    yield from _under(record, _INTEGRITY, {"ProcessIntegrityLevel": process.integrity_level})
    yield from _under(record, _EXECUTE, {"ProcessExecuteFlags": process.execute_flags})
    yield from _under(record, _PROTECTED, {"ProtectedProcess": process.protected})
    yield from _under(record, _COOKIE, {"ProcessCookie": process.cookie})


@rule(
    "TRUE-MISC-005",
    "MiscInfo holds the target's time zone",
    Level.MUST,
    _PAGE,
    TRUTH,
    needs=("misc_info",),
    applies=own,
)
def time_zone(case: Case) -> Checks:
    """TIME_ZONE_INFORMATION: bias and both names. The truth tells of no daylight-saving dates: they and the two
    further biases are zero. What follows a name's NUL is zero too.
    """
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    if not _present(record, "TimeZone.DaylightBias"):
        return
    system, subject = truth.system, _SUBJECT
    yield from _under(record, _ZONE, {"TimeZoneId": system.time_zone_id, "TimeZone.Bias": system.time_zone_bias})
    names = {"TimeZone.StandardName": system.standard_name, "TimeZone.DaylightName": system.daylight_name}
    for name, text in names.items():
        yield from _fixed_text(record, name, text if record["Flags1"] & _ZONE else "")
    dates = ("TimeZone.StandardDate", "TimeZone.StandardBias", "TimeZone.DaylightDate", "TimeZone.DaylightBias")
    yield from zero(record, subject, dates, "the target observes no daylight-saving time")


def _fixed_text(record: Record, name: str, text: str) -> Checks:
    """A NUL-terminated UTF-16 array, zero behind the text, which is cut where it does not fit."""
    width = record.structure.fields[name].width
    expected = text.encode("utf-16-le", "surrogatepass")[: width - 2].ljust(width, b"\0")
    yield from same_bytes(f"{_SUBJECT}, {name}", expected, record.raw(name), record.span_of(name))


@rule(
    "TRUE-MISC-006",
    "MiscInfo holds the target's build string",
    Level.MUST,
    _PAGE,
    TRUTH,
    needs=("misc_info",),
    applies=own,
)
def build_string(case: Case) -> Checks:
    """The build of the target's system, as text, zero behind it."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    if _present(record, "BuildString"):
        yield from _fixed_text(record, "BuildString", truth.system.build_string if record["Flags1"] & _BUILD else "")


@rule(
    "TRUE-MISC-007",
    "MiscInfo names the library that wrote the dump",
    Level.MUST,
    _PAGE,
    Source("spec user-mode 3.10: dbgcore.amd64,10.0.17134.1", Grade.OBSERVED),
    needs=("misc_info",),
    applies=own,
)
def writer_string(case: Case) -> Checks:
    """Printable ASCII, then zeros. Which name is the writer's own affair, so its characters are don't-care."""
    dump, record = case.dump, case.dump.misc_info
    assert record is not None
    if not _present(record, "DbgBldStr"):
        return
    raw, span = record.raw("DbgBldStr"), record.span_of("DbgBldStr")
    length = len(record.text("DbgBldStr"))
    low, high = raw[0 : 2 * length : 2], raw[1 : 2 * length : 2]
    if any(high) or any(raw[2 * length :]) or any(not 0x20 <= unit < 0x7F for unit in low) or 2 * length >= len(raw):
        yield bad(f"{_SUBJECT}, DbgBldStr", "printable ASCII as UTF-16, a NUL and zeros", raw.hex(), span)
        return
    yield ok(f"{_SUBJECT}, DbgBldStr")
    for index in range(length):
        at = span.start + 2 * index
        dump.dont_care(Span(at, at + 1), "MiscInfo.DbgBldStr: the writer's own name (spec user-mode 3.10)")


@rule(
    "TRUE-MISC-008",
    "MiscInfo's XStateData is empty unless AVX state was asked for",
    Level.MUST,
    _PAGE,
    Source("spec user-mode 3.10: all zero when AVX context was not requested", Grade.OBSERVED),
    needs=("misc_info",),
    applies=lambda case: (
        case.truth is not None
        and not (case.request is not None and effective(case.request) & Format.ADD_AVX_XSTATE_CONTEXT)
    ),
)
def no_xstate(case: Case) -> Checks:
    """A reader that finds a size here expects every context of the dump to have it."""
    record = case.dump.misc_info
    assert record is not None
    names = [name for name in record.structure.fields if name.startswith("XStateData") and _present(record, name)]
    yield from zero(record, _SUBJECT, names, "ADD_AVX_XSTATE_CONTEXT is not set")
