"""No row of the tables of Windows SDK 10.0.28000 contradicts a structure or a constant of writer and oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.fixtures.headers import claims, sdk
from dumptruth.fixtures.headers.compiler import Verdict
from dumptruth.oracle import decode


@pytest.fixture(scope="module")
def rows() -> list[sdk.Row]:
    return sdk.all_rows()


def test_the_sdk_refutes_no_row_of_the_writer_or_of_the_oracle(rows: list[sdk.Row]) -> None:
    assert [str(row) for row in rows if row.verdict is Verdict.REFUTED] == []


def test_the_list_of_rows_that_the_sdk_lacks_is_current(rows: list[sdk.Row]) -> None:
    assert sdk.UNDECLARED.read_text(encoding="utf-8") == sdk.undeclared(rows)


@pytest.mark.parametrize(
    ("side", "subject"),
    [
        ("oracle", "MINIDUMP_SYSTEM_INFO"), ("oracle", "MINIDUMP_SYSTEM_MEMORY_INFO_2"), ("oracle", "MINIDUMP_TYPE"),
        ("oracle", "MINIDUMP_STREAM_TYPE"), ("oracle", "DBGKD_GET_VERSION64"), ("writer", "FormatFlag"),
        ("writer", "MinidumpType"), ("writer", "StreamType"), ("writer", "Status"), ("oracle", "MISC1_FLAGS"),
    ],
)  # fmt: skip
def test_the_sdk_proves_these_whole(rows: list[sdk.Row], side: str, subject: str) -> None:
    found = [row for row in rows if (row.side, row.subject) == (side, subject)]
    assert found
    assert [str(row) for row in found if row.verdict is not Verdict.PROVEN] == []


@pytest.mark.parametrize("name", ["MINIDUMP_STREAM_TYPE", "MINIDUMP_TYPE"])
def test_the_oracle_knows_every_stream_and_every_flag_of_the_sdk(name: str) -> None:
    masks = {"MiniDumpNormal", "MiniDumpValidTypeFlags", "MiniDumpValidTypeFlagsEx"}
    assert set(sdk.enumeration(name)) - masks <= set(decode.enumerations()[name].members)


def test_a_moved_member_a_wrong_width_and_a_wrong_size_are_refuted() -> None:
    (layout,) = (item for item in claims.oracle_layouts() if item.name == "MINIDUMP_SYSTEM_INFO")
    for index, (member, offset, width) in enumerate(layout.rows):
        for wrong in ((member, offset + 4, width), (member, offset, width + 1)):
            changed = (*layout.rows[:index], wrong, *layout.rows[index + 1 :])
            refuted = [row.member for row in sdk.layout_rows(replace(layout, rows=changed))
                       if row.verdict is Verdict.REFUTED]  # fmt: skip
            assert refuted == [member]
    (size,) = (row for row in sdk.layout_rows(replace(layout, size=60)) if row.member == "sizeof")
    assert (size.verdict, size.said) == (Verdict.REFUTED, "size 56")


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("ThreadNamesStream", 24, Verdict.PROVEN),
        ("ThreadNamesStream", 25, Verdict.REFUTED),
        ("STATUS_ACCESS_VIOLATION", 0xC0000005, Verdict.PROVEN),
        ("STATUS_NO_SUCH_STATUS", 0, Verdict.UNDECLARED),
    ],
)
def test_a_constant_is_proven_refuted_or_undeclared(name: str, value: int, verdict: Verdict) -> None:
    assert sdk.constant_row("oracle", "test", name, value).verdict is verdict


def test_the_tables_are_whole() -> None:
    assert len(sdk.structures()) > 70
    assert sdk.constants()["STATUS_WAIT_0"] == {0}
    assert sdk.place("MINIDUMP_THREAD", "Stack.Memory.Rva") == (0x24, 4)
    assert sdk.place("MINIDUMP_SYSTEM_INFO", "SuiteMask") == (0x1C, 2)
    assert sdk.place("MINIDUMP_SYSTEM_INFO", "NoSuchMember") is None
