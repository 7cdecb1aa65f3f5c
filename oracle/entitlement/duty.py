"""The three answers to what a dump must, may and must not hold."""

from __future__ import annotations

from enum import StrEnum


class Duty(StrEnum):
    """Whether a dump must, may or must not hold something."""

    MUST = "must"
    MAY = "may"
    NEVER = "never"
