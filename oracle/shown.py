"""Untrusted text made safe to show: names from a dump, a file name, a message of another program.

Such text may move the cursor, change colours, reverse the direction of writing, hide a part of itself, or begin a line
that looks like a verdict of the judge. ``shown`` leaves none of that.
"""

from __future__ import annotations

from typing import Final

_INVISIBLE: Final = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164),
        (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0x1D159, 0x1D159), (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""Characters without a glyph that ``str.isprintable`` accepts (Unicode, Default_Ignorable_Code_Point, and two blanks).
"""


def shown(text: str) -> str:
    """``text`` as one line of visible characters; every other character is a Python escape such as ``\\x1b``.

    Escaped are control characters (C0, DEL, C1), line feeds and other separators, format characters (also those of
    bidirectional text), lone surrogates, unassigned and private characters, every blank but the space, and letters
    without a glyph.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() and char not in _INVISIBLE else ascii(char)[1:-1] for char in text)
