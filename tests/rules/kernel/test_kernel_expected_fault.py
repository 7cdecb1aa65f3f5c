"""The fault that a bug check's parameters tell of."""

from __future__ import annotations

import pytest
from dumptruth.oracle.rules.kernel_replay import expected_fault


@pytest.mark.parametrize("code", [0x3B, 0x7E, 0x1E, 0x1000007E])
def test_an_access_violation_is_a_page_fault_or_that_of_a_non_canonical_address(code: int) -> None:
    found = expected_fault(code, (0xFFFFFFFFC0000005, 0xFFFFF80142001510, 0, 0))
    assert found == ((14, 13), 0xFFFFF80142001510, None)


@pytest.mark.parametrize(("status", "vector"), [(0xC0000094, 0), (0xC0000095, 0), (0xC000001D, 6), (0x80000003, 3)])
def test_a_status_names_the_vector_behind_it(status: int, vector: int) -> None:
    assert expected_fault(0x7E, (status, 0x1000, 0, 0)) == ((vector,), 0x1000, None)


def test_a_page_fault_names_what_was_referenced() -> None:
    assert expected_fault(0xD1, (0x28, 2, 0, 0xFFFFF80142001510)) == ((14,), 0xFFFFF80142001510, 0x28)


@pytest.mark.parametrize("code", [0xE2, 0xEF, 0x161])
def test_a_bug_check_that_nobody_s_fault_caused_expects_none(code: int) -> None:
    assert expected_fault(code, (1, 2, 3, 4)) is None
