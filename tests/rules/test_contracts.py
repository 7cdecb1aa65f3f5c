"""``check`` takes a contract and a session, and they decide what is demanded."""

from __future__ import annotations

from typing import Any

import pytest
from dumptruth.oracle import ByteSource, InputError, Verdict, check


def failing(small: Any, **asked: Any) -> set[str]:
    report = check(ByteSource(small.data), small.truth, small.request, select=("PAGE-*", "TRUE-STREAM-*"), **asked)
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


def test_the_contract_decides_what_is_demanded(small: Any) -> None:
    """The hand-made dump has no token stream, and no named thread is lost."""
    assert failing(small) == set()
    assert failing(small, contract="documented", session="live") == set()
    assert failing(small, contract="e29507") == {"TRUE-STREAM-001"}
    # Engine 15063 writes no thread names.
    assert failing(small, contract="e15063") == {"TRUE-STREAM-001", "TRUE-STREAM-002"}


def test_the_session_decides_what_is_demanded(small: Any) -> None:
    """The target's TEBs are not in its memory, so that the engines lose the stacks of such a dump."""
    for contract in ("e29507", "e15063"):
        assert "PAGE-FORBIDDEN-001" in failing(small, contract=contract, session="dump")
        assert "PAGE-FORBIDDEN-001" not in failing(small, contract=contract, session="live")


@pytest.mark.parametrize("asked", [{"contract": "e1"}, {"session": "kernel"}, {"contract": ""}])
def test_an_unknown_contract_or_session_is_refused(small: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected one of"):
        check(ByteSource(small.data), small.truth, small.request, **asked)
