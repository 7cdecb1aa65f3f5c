"""CHANGELOG.md keeps the format of Keep a Changelog and covers the version that is packaged."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNRELEASED = "[Unreleased]"
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
RELEASE = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)(?: \[YANKED\])?")
DEFINITION = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)]+)\)")
LINE = re.compile(r"(- |  )\S.*\S")
"""An item, or the next line of one."""


def parts(text: str, mark: str) -> list[tuple[str, str]]:
    """The headings of one level, each with its text; the text before the first heading has an empty heading."""
    head, *rest = re.split(rf"^{mark} ", text, flags=re.MULTILINE)
    return [("", head), *((part.partition("\n")[0], part.partition("\n")[2]) for part in rest)]


def problems(text: str, packaged: str) -> Iterator[str]:
    """What is wrong in a changelog of the version ``packaged``, one line each."""
    definitions = dict(DEFINITION.findall(text))
    (_, preamble), *listed = parts(DEFINITION.sub("", text), "##")
    if not preamble.startswith("# Changelog\n") or "keepachangelog.com" not in preamble:
        yield "the first lines do not name Keep a Changelog"
    yield from of_the_sections([heading for heading, _ in listed], packaged)
    for heading, body in listed:
        yield from of_a_section(heading, body)
    names = {heading.partition("]")[0].lstrip("[") for heading, _ in listed}
    if definitions and set(definitions) != names:
        yield f"links are defined for {sorted(definitions)}, expected {sorted(names)}"
    for target in (*definitions.values(), *LINK.findall(text)):
        if not target.startswith("https://") and not (ROOT / target.partition("#")[0]).exists():
            yield f"{target}: no https address and no file of the repository"


def of_the_sections(headings: list[str], packaged: str) -> Iterator[str]:
    if UNRELEASED in headings[1:]:
        yield f"{UNRELEASED} is not the first section"
    releases = []
    for heading in headings:
        if match := RELEASE.fullmatch(heading):
            releases.append((tuple(map(int, match.group(1, 2, 3))), date.fromisoformat(match[4])))
        elif heading != UNRELEASED:
            yield f"{heading}: expected {UNRELEASED} or [X.Y.Z] - YYYY-MM-DD"
    for (newer, newer_day), (older, older_day) in pairwise(releases):
        if newer <= older or newer_day < older_day:
            yield f"{newer} of {newer_day} is above {older} of {older_day}"
    version = tuple(map(int, packaged.split(".")))
    newest = releases[0][0] if releases else (0, 0, 0)
    if newest > version:
        yield f"{newest} is released, but the packaged version is {packaged}"
    if newest < version and UNRELEASED not in headings:
        yield f"neither a section for version {packaged} nor {UNRELEASED}"


def of_a_section(heading: str, body: str) -> Iterator[str]:
    (_, loose), *kinds = parts(body, "###")
    if loose.strip():
        yield f"{heading}: text outside a kind of change"
    if not kinds:
        yield f"{heading}: empty"
    names = [kind for kind, _ in kinds]
    if len(names) != len(set(names)) or not set(names) <= KINDS:
        yield f"{heading}: the kinds of change are {names}, expected each of {sorted(KINDS)} at most once"
    for kind, items in kinds:
        lines = [line for line in items.splitlines() if line]
        if not lines:
            yield f"{heading}, {kind}: empty"
        elif not lines[0].startswith("- ") or not all(LINE.fullmatch(line) for line in lines):
            yield f"{heading}, {kind}: expected items that begin with a hyphen"
        elif any(
            not item.rstrip().endswith(".") for item in re.split(r"^- ", "\n".join(lines), flags=re.MULTILINE)[1:]
        ):
            yield f"{heading}, {kind}: an item does not end with a full stop"


def test_the_changelog_covers_the_packaged_version_and_keeps_its_format() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert list(problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)) == []


SOUND = """\
# Changelog

The format is that of [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).

## [Unreleased]

### Added

- One thing,
  on two lines.

## [0.2.0] - 2026-02-01

### Fixed

- A thing.

## [0.1.0] - 2026-01-01 [YANKED]

### Added

- Everything.

[Unreleased]: https://example.org/compare/v0.2.0...HEAD
[0.2.0]: https://example.org/compare/v0.1.0...v0.2.0
[0.1.0]: https://example.org/releases/v0.1.0
"""


@pytest.mark.parametrize("version", ["0.2.0", "0.3.0"])
def test_a_sound_changelog_has_no_problem(version: str) -> None:
    assert list(problems(SOUND, version)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Keep a Changelog](https://keepachangelog", "A habit](https://example", "do not name Keep a Changelog"),
        ("## [0.2.0] - 2026-02-01", "## 0.2.0", "0.2.0: expected"),
        ("- 2026-02-01", "- 2025-02-01", r"\(0, 2, 0\) of 2025-02-01 is above"),
        ("## [0.2.0]", "## [0.1.0]", r"\(0, 1, 0\) of 2026-02-01 is above"),
        ("## [0.2.0]", "## [0.4.0]", r"\(0, 4, 0\) is released, but the packaged version is 0.3.0"),
        ("## [Unreleased]", "## [0.2.1] - 2026-03-01", "neither a section for version 0.3.0 nor"),
        (
            "## [Unreleased]\n\n### Added\n\n- One thing,\n  on two lines.\n",
            "## [Unreleased]\n",
            r"\[Unreleased\]: empty",
        ),
        ("### Fixed\n\n- A thing.", "### Fixed", "Fixed: empty"),
        ("### Fixed", "### Mended", r"the kinds of change are \['Mended'\]"),
        ("- A thing.\n", "- A thing.\n\n### Fixed\n\n- Another.\n", r"the kinds of change are \['Fixed', 'Fixed'\]"),
        ("- A thing.", "A thing.", "expected items that begin with a hyphen"),
        ("- A thing.", "- A thing", "an item does not end with a full stop"),
        ("### Fixed", "Text.\n\n### Fixed", "text outside a kind of change"),
        ("[0.1.0]: https://example.org/releases/v0.1.0\n", "", "links are defined for"),
        ("https://example.org/releases/v0.1.0", "no/such/file", "no/such/file: no https address"),
    ],
)
def test_a_faulty_changelog_is_refused(old: str, new: str, problem: str) -> None:
    assert SOUND.count(old) == 1
    faulty = SOUND.replace(old, new)
    assert any(re.search(problem, line) for line in problems(faulty, "0.3.0"))


def test_an_unreleased_section_that_is_not_the_first_is_refused() -> None:
    faulty = SOUND.replace("## [Unreleased]", "## [0.3.0] - 2026-03-01").replace(
        "## [0.2.0] - 2026-02-01", "## [Unreleased]"
    )
    assert "[Unreleased] is not the first section" in problems(faulty, "0.3.0")
