"""The limits of guests: their table, the options that change them, and the lines that tell of them."""

from __future__ import annotations

import time
from dataclasses import fields

import pytest
from dumptruth.emu.limits import CUT, DEFAULTS, ENDS, LIMITS, LimitError, LimitReached, Limits, Meter, parse_limits
from dumptruth.emu.process.ceilings import Ceilings
from dumptruth.emu.process.winnt import Status, StatusError
from dumptruth.emu.sizes import number_of
from dumptruth.fixtures.app.commands.target_options import LimitOption
from dumptruth.fixtures.documents import guest_limits


def test_every_limit_ends_the_run_cuts_output_or_fails_with_a_status() -> None:
    assert [limit.name.replace("-", "_") for limit in LIMITS.values()] == [part.name for part in fields(Limits)]
    for limit in LIMITS.values():
        assert limit.lowest <= limit.default <= limit.highest
        assert DEFAULTS.value(limit.name) == limit.default
        assert limit.met in (ENDS, CUT) or Status[limit.met.removeprefix("STATUS_")] >= 0xC0000000


def test_the_help_names_every_limit_with_its_default() -> None:
    (option,) = LimitOption.__metadata__  # type: ignore[attr-defined]
    shown = option.help.partition("Defaults: ")[2].partition(". Explained")[0]
    both, programs = (dict(part.split("=") for part in half.split(", ")) for half in shown.split("; programs only: "))
    assert {name: number_of(value) for name, value in (both | programs).items()} == {
        limit.name: limit.default for limit in LIMITS.values()
    }
    assert set(both) == {limit.name for limit in LIMITS.values() if limit.machine}


def test_the_document_of_the_limits_is_current() -> None:
    assert guest_limits.DOCUMENT.read_text(encoding="utf-8") == guest_limits.document()


def test_limits_are_read_from_texts() -> None:
    assert parse_limits(["memory=64M", "host-seconds=5", "memory=0x800000"]) == Limits(memory=8 << 20, host_seconds=5)
    assert parse_limits([]) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("handle=5", "limit 'handle': unknown; expected one of host-seconds, guest-seconds, blocks, "),
        ("handles", "limit handles=: expected a number, such as 5000 or 64M"),
        ("handles=-1", "limit handles=-1: expected a number"),
        ("handles=63", "limit handles=63: expected 64 to 16,777,216"),
        ("threads=5000", "limit threads=5000: expected 1 to 4,096"),
    ],
)
def test_a_limit_that_does_not_exist_or_is_out_of_range_is_refused(text: str, line: str) -> None:
    with pytest.raises(LimitError) as refused:
        parse_limits([text])
    assert str(refused.value).startswith(line)


def test_a_budget_ends_after_its_last_unit() -> None:
    meter = Meter("a.exe", Limits(services=3))
    meter.start()
    for _ in range(3):
        meter.use("services", 1, lambda: "works")
    with pytest.raises(LimitReached) as end:
        meter.use("services", 1, lambda: "works")
    line = "a.exe: used up the limit of 3 system calls and faults; works; --limit services=N changes it"
    assert (str(end.value), end.value.limit) == (line, "services")


def test_processor_time_of_the_host_ends_a_run_and_waiting_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"used": 100.0, "now": 0.0}
    monkeypatch.setattr(time, "thread_time", lambda: clock["used"])
    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])
    meter = Meter("a.exe", Limits(host_seconds=2))
    meter.start()
    clock["now"] = 1000.0
    meter.use("blocks", 1, str)
    clock.update(used=102.5, now=1002.5)
    with pytest.raises(LimitReached, match="limit of 2 seconds of the host's processor time"):
        meter.use("blocks", 1, str)


def test_refusals_are_counted_and_told_with_the_largest_request() -> None:
    meter = Ceilings("a.exe", Limits(disk=5000, handles=64))
    meter.admit("disk", 4000, 1000)
    for more in (1001, 3000, 2000):
        with pytest.raises(StatusError) as refused:
            meter.admit("disk", 4000, more)
        assert refused.value.status == Status.DISK_FULL
    with pytest.raises(StatusError):
        meter.admit("handles", 64)
    assert meter.notes() == (
        "a.exe: limit of 5,000 bytes of the files that it writes, with 1 KiB for each file: 3 requests were refused "
        "with STATUS_DISK_FULL, the largest for 3,000; --limit disk=N changes it",
        "a.exe: limit of 64 open handles: 1 request was refused with STATUS_INSUFFICIENT_RESOURCES; "
        "--limit handles=N changes it",
    )


def test_output_is_kept_up_to_the_limit_and_the_rest_is_counted() -> None:
    meter, kept = Meter("a.exe", Limits(console=10)), bytearray(b"1234567")
    assert meter.keep("console", kept, 3) == 3
    assert meter.notes() == ()
    kept += b"890"
    assert [meter.keep("console", kept, size) for size in (5, 7)] == [0, 0]
    assert meter.notes() == (
        "a.exe: limit of 10 bytes of console output: 12 more bytes were cut; --limit console=N changes it",
    )
