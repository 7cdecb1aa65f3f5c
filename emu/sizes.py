"""Reads sizes and counts as a user writes them."""

from __future__ import annotations

import re

_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}


def number_of(text: str) -> int | None:
    """The number of a text such as ``16M``, ``512K``, ``8GiB``, ``4096`` or ``0x100000``; None for another text."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,18})([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    return int(match[1], 0 if match[1][:2].lower() == "0x" else 10) << _SHIFTS[match[2].upper()]
