"""The processor fault that follows from the parameters of a bug check."""

from __future__ import annotations

import pytest
from dumptruth.oracle.rules.kernel.replay import expected_fault

READ, WRITE, FETCH = 0, 2, 0x10  # W/R and I/D of a page fault's error code: Intel SDM volume 3, 4.7


@pytest.mark.parametrize("code", [0x3B, 0x7E, 0x1E, 0x1000007E])
def test_an_access_violation_is_a_page_fault_or_that_of_a_non_canonical_address(code: int) -> None:
    found = expected_fault(code, (0xFFFFFFFFC0000005, 0xFFFFF80142001510, 0, 0))
    assert found == ((14, 13), 0xFFFFF80142001510, None, None)


@pytest.mark.parametrize(("status", "vector"), [(0xC0000094, 0), (0xC0000095, 0), (0xC000001D, 6), (0x80000003, 3)])
def test_a_status_names_the_vector_behind_it(status: int, vector: int) -> None:
    assert expected_fault(0x7E, (status, 0x1000, 0, 0)) == ((vector,), 0x1000, None, None)


def test_a_page_fault_names_what_was_referenced() -> None:
    assert expected_fault(0xD1, (0x28, 2, 0, 0xFFFFF80142001510)) == ((14,), 0xFFFFF80142001510, 0x28, READ)


@pytest.mark.parametrize(
    ("code", "parameters", "operation"),
    [
        (0x0A, (0x28, 2, 1, 0x1000), WRITE),
        (0x0A, (0x28, 2, 8, 0x1000), FETCH),
        (0xD1, (0x28, 2, 2, 0x1000), FETCH),
        (0xD1, (0x28, 2, 7, 0x1000), None),
        (0x50, (0x28, 0, 0x1000, 0), READ),
        (0x50, (0x28, 1, 0x1000, 0), WRITE),
        (0x50, (0x28, 2, 0x1000, 0), WRITE),
        (0x50, (0x28, 0x10, 0x1000, 0), FETCH),
        (0xBE, (0x28, 0x121, 0x2000, 10), WRITE),
        (0xFC, (0x28, 0x121, 0x2000, 2), FETCH),
    ],
)
def test_a_page_fault_names_the_operation_where_the_bug_check_tells(
    code: int, parameters: tuple[int, int, int, int], operation: int | None
) -> None:
    found = expected_fault(code, parameters)
    assert found is not None
    assert (found.referenced, found.operation) == (0x28, operation)


def test_a_fast_fail_is_interrupt_29h() -> None:
    assert expected_fault(0x139, (3, 0x2000, 0x3000, 0)) == ((0x29,), None, None, None)


@pytest.mark.parametrize("code", [0xE2, 0xEF, 0x161])
def test_a_bug_check_without_a_processor_fault_expects_none(code: int) -> None:
    assert expected_fault(code, (1, 2, 3, 4)) is None
