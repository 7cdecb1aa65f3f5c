"""``dumptruth conform``: its output, its exit statuses and its errors."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.app.cli import run_command
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "fixtures" / "golden"
SCHEMA = ROOT / "oracle" / "schemas" / "conform-1.json"
SMALL = "user/small/synthetic"
HOSTILE = "user/hostile/no-version"
REJECTS = "import sys; sys.exit(1)"
ACCEPTS = "import sys; sys.exit(0)"

Conform = Callable[..., tuple[int, str, str]]


@pytest.fixture
def conform(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Conform:
    """Runs the command on a reader of one line of Python. Returns exit status and output."""

    def run(code: str, *options: str, role: str = "--reader") -> tuple[int, str, str]:
        script = tmp_path / "command.py"
        script.write_text(code, encoding="utf-8")
        status = run_command(["conform", role, f'"{sys.executable}" -I -S "{script}"', *options])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_it_lists_cases_with_kind_rule_and_reason_and_runs_nothing(conform: Conform) -> None:
    status, out, _ = conform("raise SystemExit(9)", "--list", "--case", "user/hostile/*", "--skip", "*/truncated*")
    assert status == 0
    assert HOSTILE in out
    assert "MDMP-HEADER-002" in out
    assert "truncated" not in out
    assert out.splitlines()[-1] == "15 cases"
    status, out, _ = conform("", "--list", role="--writer")
    assert status == 0
    assert SMALL in out.splitlines()


def test_it_prints_a_line_for_each_failing_case_and_the_totals(conform: Conform) -> None:
    status, out, _ = conform(REJECTS, "--plain", "--case", SMALL, "--case", HOSTILE)
    assert status == 1
    assert out.splitlines() == [
        f"FAIL {SMALL}: refuses: rejected a sound dump: no reason given",
        "2 cases, 2 judged, 0 skipped; 2 refuses; 0 facts and checks",
        "NOT CONFORMANT: 1 failing",
    ]


def test_a_run_without_failures_ends_with_status_0(conform: Conform) -> None:
    status, out, _ = conform(ACCEPTS, "--plain", "--case", SMALL, "--case", HOSTILE)
    assert (status, out.splitlines()[-1]) == (0, "CONFORMANT: 0 failing")


def test_strict_makes_an_accepted_broken_dump_a_failure(conform: Conform) -> None:
    status, out, _ = conform(ACCEPTS, "--plain", "--case", HOSTILE, "--strict")
    assert status == 1
    assert out.startswith(f"FAIL {HOSTILE}: accepts: accepted a dump that breaks MDMP-HEADER-002: ")


def test_a_run_that_judged_nothing_is_not_a_success(conform: Conform) -> None:
    code = "import json; print(json.dumps({'case': json.loads(input())['case'], 'result': 'skipped'}))"
    status, out, _ = conform(code, "--case", SMALL)
    assert (status, out.splitlines()[-1]) == (2, "NOTHING JUDGED: 0 failing")


def test_known_failures_must_still_fail(conform: Conform, tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text(f'[[known]]\ncase = "{SMALL}"\nverdict = "refuses"\nreason = "issue 12"\n', encoding="utf-8")
    options = ("--plain", "--case", SMALL, "--known-failures", str(known))
    status, out, _ = conform(REJECTS, *options)
    assert status == 0
    assert f"known {SMALL}: refuses: issue 12" in out.splitlines()
    assert out.splitlines()[-1] == "CONFORMANT: 0 failing, 1 known"
    status, out, _ = conform(ACCEPTS, *options)
    assert status == 1
    assert f"FAIL {SMALL}: agrees: mended: remove '{SMALL}' from the known failures" in out.splitlines()


THREAD_IDS = """
import json, struct
asked = json.loads(input())
data = open(asked["file"], "rb").read()
count, at = struct.unpack_from("<II", data, 8)
(rva,) = [rva for kind, _, rva in struct.iter_unpack("<III", data[at : at + 12 * count]) if kind == 3]
(threads,) = struct.unpack_from("<I", data, rva)
ids = [{"thread_id": struct.unpack_from("<I", data, rva + 4 + 48 * index)[0]} for index in range(threads)]
print(json.dumps({"case": asked["case"], "result": "read", "facts": {"threads": ids}}))
"""


def test_a_reader_that_knows_only_thread_ids_is_told_so(conform: Conform) -> None:
    status, out, _ = conform(THREAD_IDS, "--case", SMALL)
    assert status == 0
    told = [line.strip() for line in out.splitlines()[-4:-1]]
    assert re.fullmatch(r"compares 1 of \d\d facts", told[0])
    assert re.fullmatch(r"partly reported: threads \(1 of \d+\)", told[1])
    assert told[2].startswith("not reported: architecture, dump_kind, memory, extra, exception, ")
    _, out, _ = conform(THREAD_IDS, "--case", SMALL, "--json", "-")
    document: dict[str, Any] = json.loads(out)
    assert document["compared"] == ["threads.thread_id"]
    assert {"threads.teb", "registers.vector", "modules.pdb_guid", "exception.parameters"} <= {
        *document["not_compared"]
    }


def test_the_results_are_written_as_json_to_standard_output(conform: Conform) -> None:
    status, out, _ = conform(REJECTS, "--plain", "--case", SMALL, "--json", "-")
    document: dict[str, Any] = json.loads(out)
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(document)
    assert (status, document["failing"], document["results"][0]["verdict"]) == (1, 1, "refuses")


def test_the_committed_vectors_are_cases_too(conform: Conform) -> None:
    status, out, _ = conform(ACCEPTS, "--plain", "--vectors", str(GOLDEN), "--case", "user/small/null-*")
    assert status == 0
    assert out.startswith("2 cases, 2 judged")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--case", "no/such/*"], "no/such/*: no case matches"),
        (["--skip", "*"], "no case is left"),
        (["--known-failures", "none.toml"], "none.toml: "),
        (["--vectors", "no-folder"], "expected a folder of vectors"),
        (["--plain", "--persistent"], "--plain: expected --reader, and no --persistent"),
        (["--timeout", "0"], "Invalid value"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(
    conform: Conform, options: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = conform(REJECTS, *options)
    assert (status, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--writer CMD or --reader CMD"),
        (["--writer", "a", "--reader", "b"], "--writer CMD or --reader CMD"),
        (["--reader", ""], "the command is empty"),
        (["--reader", "no-such-program-anywhere"], "no-such-program-anywhere: no such program"),
        (["--writer", "x", "--plain"], "--plain: expected --reader"),
    ],
)
def test_a_command_that_cannot_be_run_is_named(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["conform", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="on Windows an open quotation mark is a character")
def test_an_unclosed_quotation_mark_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["conform", "--reader", "a 'b"]) == 2
    assert "No closing quotation" in capsys.readouterr().err
