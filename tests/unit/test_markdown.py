"""Markdown on a terminal: prose is wrapped, tables and code are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.fixtures.app.markdown import wrapped
from dumptruth.oracle.citations import ROOT, sections

PAGES = sorted((ROOT / "docs" / "format").glob("*.md"))

TEXT = """\
Every entry has
16 bytes.
- The first item is longer than
  one line.
- The second is not.

| offset | a column that is longer than the width of the lines |
|---|---|
| 0 | x |

```
code   keeps its blanks, and its length, whatever they are
```
"""

SHOWN = """\
  Every entry has 16
  bytes.
  - The first item is
    longer than one
    line.
  - The second is not.

  | offset | a column that is longer than the width of the lines |
  |---|---|
  | 0 | x |

  ```
  code   keeps its blanks, and its length, whatever they are
  ```"""


def test_prose_is_wrapped_and_tables_and_code_are_not() -> None:
    assert wrapped(TEXT, 22, "  ") == SHOWN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_word_of_a_document_is_lost(page: Path) -> None:
    for section in sections(page.relative_to(ROOT).as_posix()).values():
        assert wrapped(section.text, 80, "    ").split() == section.text.split()
