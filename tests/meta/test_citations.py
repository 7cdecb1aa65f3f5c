"""Every citation leads somewhere: to a heading of the documents, to a public header, or to a public address.

Evidence is held too: the section that a rule cites names the kind of evidence that the rule's grade claims.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dumptruth.oracle import Grade, Source, all_rules
from dumptruth.oracle.citations import CITATION, ROOT, anchor_of, cited, sections
from dumptruth.oracle.decode import enumerations, structures
from dumptruth.oracle.rule import Rule

CHECKOUT = Path(__file__).resolve().parents[2]
TEXTS = {".py", ".toml", ".md", ".c", ".h", ".s", ".json", ".yml", ".cff", ".j2", ".js", ".css", ".txt", ".sh"}
NOT_OURS = ("fixtures/golden/", ".git/")
ADDRESS = re.compile(r"https://[^\s)>\]]+")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADER = re.compile(r"([a-z0-9_]+\.h)\b")
FORMER = re.compile(
    r"\bspec (?:user-mode|kernel-mode|kernel|user|unicorn|images|\d)|\((?:spec|Spec) \d|\b[Ss]pec user-mode"
    r"|\b(?:design|house|interop)\.md\b|\bdesign section \d"
)
"""Citations of documents that were never in the repository."""
EVIDENCE = {
    Grade.DOCUMENTED: re.compile(r"\bdocumented\b", re.IGNORECASE),
    Grade.IMPLEMENTED: re.compile(r"\breaders? \(", re.IGNORECASE),
    Grade.OBSERVED: re.compile(r"\breal\b", re.IGNORECASE),
    Grade.INFERRED: re.compile(r"\binferred\b|\bunknown\b", re.IGNORECASE),
}


def _texts() -> Iterator[tuple[str, str]]:
    """Every text file of the project by its path; untracked ones too, except those that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=False,
    )  # fmt: skip
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    if not any(names):  # an unpacked archive without git
        names = [path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.rglob("*")]
    for name in sorted(filter(None, names)):
        path = CHECKOUT / name
        if path.suffix in TEXTS and not name.startswith(NOT_OURS) and path.is_file():
            yield name, path.read_text(encoding="utf-8")


FILES = dict(_texts())


def _headers() -> frozenset[str]:
    """The public headers, which ``sources.md`` lists with their addresses."""
    return frozenset(HEADER.findall(sections("docs/format/sources.md")["public-headers"].text))


def _resolves(where: str) -> bool:
    """Whether a source of a table resolves: documents, addresses and headers, joined by semicolons."""
    return all(
        cited(part) is not None
        or ADDRESS.fullmatch(part)
        or ((header := HEADER.match(part)) is not None and header[1] in _headers())
        for part in map(str.strip, where.split(";"))
    )


def test_the_anchor_of_a_heading_is_that_of_github() -> None:
    assert anchor_of("Size of the list") == "size-of-the-list"
    assert anchor_of("Type 0: what is unused, and why") == "type-0-what-is-unused-and-why"


def test_a_section_ends_at_the_next_heading_of_any_level() -> None:
    found = cited("docs/format/README.md#evidence")
    assert found is not None
    assert found.title == "Evidence"
    assert "##" not in found.text
    assert cited("docs/format/README.md#no-such-heading") is None
    assert cited("docs/format/no-such-page.md") is None


def test_documents_are_found_beside_the_packages() -> None:
    assert (ROOT / "docs" / "format" / "README.md").is_file()


@pytest.mark.parametrize("rule", all_rules().values(), ids=lambda rule: str(rule.id))
def test_every_source_of_a_rule_resolves_and_holds_the_evidence_of_its_grade(rule: Rule) -> None:
    for source in rule.sources:
        assert cited(source.where) or ADDRESS.fullmatch(source.where), f"{source.where} leads nowhere"
        assert _supports(source), f"{source}: the section does not name that evidence"


def _supports(source: Source) -> bool:
    section = cited(source.where)
    if section is None:
        return source.grade in {Grade.DOCUMENTED, Grade.IMPLEMENTED}  # a public page, or a public program
    if source.grade is Grade.WITNESSED:
        return all(re.search(rf"\b[WC]{version}\b", section.text) for version in source.versions)
    return bool(EVIDENCE[source.grade].search(section.text))


def test_every_source_of_a_table_resolves() -> None:
    where = {table.source.where for table in structures().values()}
    where |= {table.source.where for table in enumerations().values()}
    where |= {field.source.where for table in structures().values() for field in table.fields.values()}
    print(f"{len(where)} different sources of tables")
    assert sorted(source for source in where if not _resolves(source)) == []


def test_every_citation_of_a_document_resolves() -> None:
    """In code, tables, comments and documents: ``docs/PAGE.md#HEADING``."""
    found = [(name, citation) for name, text in FILES.items() for citation in CITATION.findall(text)]
    broken = [
        f"{name}: {citation}"
        for name, citation in found
        if name != "tests/meta/test_citations.py" and cited(citation) is None
    ]
    print(f"{len(found)} citations of documents")
    assert broken == []


def test_nothing_cites_a_document_that_is_not_here() -> None:
    assert [
        f"{name}: {match[0]}"
        for name, text in FILES.items()
        if name not in {"tests/meta/test_citations.py", "CHANGELOG.md"}
        for match in FORMER.finditer(text)
    ] == []


def test_every_relative_link_of_a_document_resolves() -> None:
    links = 0
    broken = []
    for name, text in FILES.items():
        if not name.endswith(".md"):
            continue
        for target in LINK.findall(re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)):
            if "://" in target or target.startswith("mailto:"):
                continue
            links += 1
            path, _, anchor = target.partition("#")
            file = (CHECKOUT / name).parent / path if path else CHECKOUT / name
            if not file.exists() or (
                anchor and anchor not in sections(file.resolve().relative_to(CHECKOUT).as_posix())
            ):
                broken.append(f"{name}: {target}")
    print(f"{links} relative links")
    assert broken == []


def test_every_table_file_is_read() -> None:
    """So that no ``source`` of a table escapes the tests above."""
    folder = CHECKOUT / "oracle" / "tables"
    known = set(structures()) | set(enumerations())
    for path in folder.glob("*.toml"):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        assert {*document.get("structures", {}), *document.get("enumerations", {})} <= known
