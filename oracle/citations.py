"""The documents that rules cite: finds the paragraph behind ``docs/format/PAGE.md#HEADING``.

The documents ship beside the packages, so a citation can be read wherever the oracle is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The checkout, or the folder of the installed packages: ``docs`` lies in it."""
CITATION = re.compile(r"docs/[\w./-]+\.md(?:#[\w-]+)?")
_HEADING = re.compile(r"(#{1,6}) (.+)")
_FENCE = re.compile(r"(```|~~~)")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a document and the text below it, up to the next heading of any level."""

    title: str
    text: str


def anchor_of(title: str) -> str:
    """The anchor that GitHub gives to a heading: lower case, spaces to hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


@cache
def sections(document: str) -> dict[str, Section]:
    """Every section of a document by its anchor; the empty anchor is the first one.

    ``document`` is a path below the root, such as ``docs/format/kernel-pages.md``. Raises OSError when it is missing.
    """
    found: dict[str, Section] = {}
    title, lines, fenced = "", list[str](), False

    def close() -> None:
        if title:
            section = Section(title, "\n".join(lines).strip())
            found.setdefault(anchor_of(title), section)
            found.setdefault("", section)

    for line in (ROOT / document).read_text(encoding="utf-8").splitlines():
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
        else:
            close()
            title, lines = heading[2].replace("`", ""), []
    close()
    return found


def cited(where: str) -> Section | None:
    """The section that ``where`` leads to; None when it is no citation of a document, or leads nowhere."""
    if not CITATION.fullmatch(where):
        return None
    document, _, anchor = where.partition("#")
    try:
        return sections(document).get(anchor)
    except OSError:
        return None
