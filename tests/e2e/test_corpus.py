"""Real dumps of other writers pass every MUST rule, and the judge reads the facts that an independent script read."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, check, read_minidump

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("DUMPTRUTH_CORPUS", ROOT.parent / "shared" / "corpus"))
pytestmark = pytest.mark.skipif(
    not (CORPUS / "corpus.json").is_file(), reason="no corpus of real dumps: set DUMPTRUTH_CORPUS to its folder"
)


def entries() -> list[dict[str, Any]]:
    path = CORPUS / "corpus.json"
    if not path.is_file():
        return []
    dumps = json.loads(path.read_text(encoding="utf-8"))["dumps"]
    return [entry for entry in dumps if entry["facts"].get("kind") == "user"]


ENTRIES = entries()
NAMES = [entry["name"] for entry in ENTRIES]


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_a_real_dump_passes_every_must(entry: dict[str, Any]) -> None:
    with ByteSource.open(CORPUS / entry["name"]) as source:
        report = check(source)
    assert [(result.rule, result.findings[:1]) for result in report.failing()] == []
    assert report.outcome is Outcome.CONFORMANT
    assert report.checks > 100


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_microsoft_s_own_dumps_pass_every_should_too(entry: dict[str, Any]) -> None:
    if not entry["name"].startswith("dbghelp"):
        return
    with ByteSource.open(CORPUS / entry["name"]) as source:
        report = check(source, strict=True)
    assert [(result.rule, result.findings[:1]) for result in report.failing()] == []
    assert report.unclaimed == 0


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_the_reader_agrees_with_an_independent_script(entry: dict[str, Any]) -> None:
    facts = entry["facts"]
    with ByteSource.open(CORPUS / entry["name"]) as source:
        dump = read_minidump(source)
        assert dump.header is not None
        assert dump.system_info is not None
        assert dump.csd_version is not None
        assert dump.header["Version"] & 0xFFFF == int(facts["version_low"], 16)
        assert dump.header["TimeDateStamp"] != 0
        assert hex(dump.flags) == facts["flags"]
        streams = [(s["type"], s["size"], s["rva"]) for s in facts["streams"]]
        found = [(e["StreamType"], e["Location.DataSize"], e["Location.Rva"]) for e in dump.directory]
        assert found == streams
        assert (dump.architecture or "").upper() == facts["arch"].upper()
        assert dump.system_info["NumberOfProcessors"] == facts["processors"]
        assert dump.csd_version.text == facts["csd"]
        assert len(dump.threads) == facts["threads"]
        assert {len(thread.context.span) for thread in dump.threads if thread.context} == set(facts["context_sizes"])
        assert len(dump.modules) == facts["modules"]
        assert len(dump.memory) == facts["memory_ranges"]
        if dump.exception is not None:
            record = dump.exception.record
            assert hex(record["ExceptionRecord.ExceptionCode"]) == facts["exception"]["code"]
            assert hex(record["ExceptionRecord.ExceptionAddress"]) == facts["exception"]["address"]
        else:
            assert not facts.get("exception")


@pytest.mark.parametrize("times", [12, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_damaged_copies_of_a_real_dump_are_judged(entry: dict[str, Any], times: int) -> None:
    """A seeded sample of cuts and changed bytes, most of them in structures."""
    whole = (CORPUS / entry["name"]).read_bytes()
    source = random.Random(entry["name"])
    for step in range(times):
        data = bytearray(whole if step % 4 else whole[: source.randrange(len(whole))])
        for _ in range(source.choice((0, 1, 4, 32)) if data else 0):
            at = source.randrange(len(data)) if source.random() < 0.5 else source.randrange(min(len(data), 0x800))
            data[at] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
        report = check(ByteSource(bytes(data)))
        assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
