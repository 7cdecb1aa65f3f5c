"""``identify`` prints the target, crash and contents of a dump."""

from __future__ import annotations

from dumptruth.fixtures.mutants.kernel_pristine import pristine as kernel_pristine
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.oracle import ByteSource, identify, summary
from hypothesis import given
from hypothesis import strategies as st


def told(data: bytes) -> dict[str, str]:
    source = ByteSource(data)
    return summary(source, identify(source).kind)


def test_the_summary_of_a_minidump_has_system_crash_and_streams() -> None:
    case = pristine(BaseDump.SMALL)
    found = told(case.data)
    assert case.snapshot.exception is not None
    assert f"{case.snapshot.exception.code:#x} at {case.snapshot.exception.address:#x}" in found["exception"]
    assert found["threads"] == str(len(case.snapshot.threads))
    assert found["process"] == str(case.snapshot.process.process_id)
    assert found["modules"] == f"{len(case.snapshot.modules)}, {case.snapshot.modules[0].name}"
    assert str(case.snapshot.system.build_number) in found["system"]
    assert "ThreadListStream" in found["streams"]


def test_the_summary_of_a_small_kernel_dump_has_bug_check_and_blocks() -> None:
    case = kernel_pristine(BaseDump.KERNEL_SMALL_A)
    found = told(case.data)
    assert found["bug check"].startswith("0xd1 (0x10, 0x2, 0x0, ")
    assert found["system"] == "build 19041, amd64, 2 processors"
    assert found["drivers"] == str(len(case.snapshot.drivers))


def test_the_summary_of_a_complete_kernel_dump_has_its_pages() -> None:
    case = kernel_pristine(BaseDump.KERNEL_FULL)
    total = sum(count for _, count in case.snapshot.physical_runs)
    assert told(case.data)["pages"] == f"{total} ({total / 256:.1f} MiB) in 3 runs"


def test_a_file_that_is_not_a_dump_has_no_summary() -> None:
    assert told(b"MZ" + bytes(100)) == {}


@given(st.binary(max_size=200), st.sampled_from((BaseDump.SMALL, BaseDump.KERNEL_SMALL_B)), st.data())
def test_a_damaged_dump_still_has_a_summary(noise: bytes, base: BaseDump, data: st.DataObject) -> None:
    whole = kernel_pristine(base).data if base is BaseDump.KERNEL_SMALL_B else pristine(base).data
    at = data.draw(st.integers(8, len(whole) - 1))
    assert told(whole[:at] + noise + whole[at + len(noise) :]) is not None
