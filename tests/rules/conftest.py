"""The hand-made dumps with their truths that most tests of rules change."""

from __future__ import annotations

import copy

import pytest
from dumptruth.oracle.truth.load import parse_truth

from .hand_minidump import HandMade, dump, request
from .hand_target import MEMORY, TRUTH


@pytest.fixture(scope="session")
def small() -> HandMade:
    """DEBUG_DUMP_SMALL with a comment."""
    layout = dump(TRUTH, 0, "hello")
    return HandMade(bytes(layout.data), layout.at, parse_truth(copy.deepcopy(TRUTH), MEMORY), request(1024, 0, "hello"))


@pytest.fixture(scope="session")
def full() -> HandMade:
    """DEBUG_DUMP_DEFAULT under profile ``modern``."""
    layout = dump(TRUTH, 0x1826, None)
    return HandMade(bytes(layout.data), layout.at, parse_truth(copy.deepcopy(TRUTH), MEMORY), request(1025, 0, None))
