"""Judges MiscInfo against truth. A field counts if it lies inside SizeOfInfo and its Flags1 bit is set."""

from __future__ import annotations

from collections.abc import Mapping

from ...case import Case
from ...decode import Record
from ...entitlement.flags import Format, effective
from ...model import Grade, Level, Source, Span
from ...rule import Checks, bad, ok, own, rule
from ..asserts import same, same_bytes, seconds, time_t, zero

# minidumpapiset.h MINIDUMP_MISC1_*, MISC3_*, MISC4_*, MISC5_*
_ID, _TIMES, _POWER, _INTEGRITY, _EXECUTE, _ZONE, _PROTECTED, _BUILD, _COOKIE = (
    *(0x1, 0x2, 0x4, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200),
)
# SizeOfInfo -> the bits whose fields fit. The execute-flags bit may be clear: a dump by the engine has 0x3d7.
_COMPLETE = {24: 0x3, 44: 0x7, 232: 0xF7, 832: 0x1F7, 1364: 0x3F7}
_MISC_INFO = Source("docs/format/minidump-system.md#misc-info", Grade.DOCUMENTED)
_SUBJECT = "MiscInfo"


def _present(record: Record, name: str) -> bool:
    field = record.structure.fields[name]
    return field.offset + field.width <= record["SizeOfInfo"]


def _under(record: Record, bit: int, expected: Mapping[str, int]) -> Checks:
    """Check the fields of one Flags1 bit: the truth's values if the bit is set, zero otherwise."""
    inside = {name: value for name, value in expected.items() if _present(record, name)}
    if record["Flags1"] & bit:
        yield from same(record, _SUBJECT, inside)
    else:
        yield from zero(record, _SUBJECT, inside, f"Flags1 bit {bit:#x} is clear")


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
    _MISC_INFO,
    needs=("misc_info",),
    applies=own,
)
def processor_power(case: Case) -> Checks:
    """Maximum and current frequency are in MHz. The limit is the maximum, or 0 if it is unknown. A truth holds no idle
    states, so they are zero.
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
    yield from _under(record, _INTEGRITY, {"ProcessIntegrityLevel": process.integrity_level})
    yield from _under(record, _EXECUTE, {"ProcessExecuteFlags": process.execute_flags})
    yield from _under(record, _PROTECTED, {"ProtectedProcess": process.protected})
    yield from _under(record, _COOKIE, {"ProcessCookie": process.cookie})


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
    """TIME_ZONE_INFORMATION has the bias and both names. A truth holds no daylight-saving dates, so the dates and the
    two further biases are zero. Bytes after a name's NUL are zero too.
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
    yield from zero(record, subject, dates, "the truth has no daylight-saving dates")


def _fixed_text(record: Record, name: str, text: str) -> Checks:
    """Check a UTF-16 array: the text, truncated to leave room for a NUL, then zeros."""
    width = record.structure.fields[name].width
    expected = text.encode("utf-16-le", "surrogatepass")[: width - 2].ljust(width, b"\0")
    yield from same_bytes(f"{_SUBJECT}, {name}", expected, record.raw(name), record.span_of(name))


@rule(
    "TRUE-MISC-006",
    "MiscInfo holds the target's build string",
    Level.MUST,
    Source("docs/format/minidump-system.md#build-strings", Grade.DOCUMENTED),
    needs=("misc_info",),
    applies=own,
)
def build_string(case: Case) -> Checks:
    """The text is the build of the target's system, followed by zeros."""
    truth, record = case.truth, case.dump.misc_info
    assert truth is not None
    assert record is not None
    if _present(record, "BuildString"):
        yield from _fixed_text(record, "BuildString", truth.system.build_string if record["Flags1"] & _BUILD else "")


@rule(
    "TRUE-MISC-007",
    "MiscInfo names the library that wrote the dump",
    Level.MUST,
    Source("docs/format/minidump-system.md#build-strings", Grade.DOCUMENTED),
    needs=("misc_info",),
    applies=own,
)
def writer_string(case: Case) -> Checks:
    """The name is printable ASCII, followed by zeros. Each writer chooses its name, so the characters are
    don't-care.
    """
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
