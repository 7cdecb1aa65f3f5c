"""Finds the section of a document that a citation names: ``docs/format/<page>.md#<heading>``.

The documents are installed beside the packages, so citations can be read wherever the oracle is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The checkout, or the folder of the installed packages. It holds ``docs``."""
CITATION = re.compile(r"docs/[\w./-]+\.md(?:#[\w-]+)?")
_HEADING = re.compile(r"(#{1,6}) (.+)")
_FENCE = re.compile(r"(```|~~~)")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and the text from there to the next heading of any level."""

    title: str
    text: str


def anchor_of(title: str) -> str:
    """The anchor that GitHub gives to a heading: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


@cache
def sections(document: str) -> dict[str, Section]:
    """The sections of a document by anchor. The empty anchor gives the first section.

    ``document`` is a path below ``ROOT``, such as ``docs/format/kernel-pages.md``. Raises OSError if it is missing.
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
    """The section that ``where`` cites; None if ``where`` cites no document, or if the section does not exist."""
    if not CITATION.fullmatch(where):
        return None
    document, _, anchor = where.partition("#")
    try:
        return sections(document).get(anchor)
    except OSError:
        return None
