"""The GitHub Action: its script on real dumps, and on names and texts that must not become commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

from .github_action import GOLDEN, SCRIPT, SOUND, Action

BROKEN = GOLDEN / "hostile" / "user" / "cut-in-the-directory.dmp"
BROKEN_RULE = "MDMP-DIR-001"
UNTIDY = GOLDEN / "hostile" / "user" / "bytes-behind-the-end.dmp"  # fails under `strict` only
CABINET = GOLDEN / "invalid" / "cab-data-002" / "checksum-of-the-data-alone.cab"
TRUTH = GOLDEN / "truth" / "process-84a60a2f"


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_a_conformant_dump_passes(act: Action) -> None:
    act.processes = True
    act.add(SOUND, "dumps/sound.dmp")
    done = act("dumps/*.dmp")
    assert (done.status, done.err) == (0, "")
    assert done.outputs == {"sarif": "dumptruth.sarif", "verdict": "CONFORMANT", "failed": "0"}
    assert done.annotations == []
    assert done.run["results"] == []
    assert [artifact["location"]["uri"] for artifact in done.run["artifacts"]] == ["dumps/sound.dmp"]
    assert "1 dumps judged, 0 failed." in done.summary


def test_a_broken_dump_fails_with_annotation_row_and_result(act: Action) -> None:
    act.add(BROKEN, "dumps/broken.dmp")
    done = act("dumps/broken.dmp", sarif="reports/all.sarif")
    assert done.status == 1
    assert done.outputs == {"sarif": "reports/all.sarif", "verdict": "NON_CONFORMANT", "failed": "1"}
    (annotation,) = done.annotations
    assert annotation.startswith(
        f"::error file=dumps/broken.dmp,title=dumptruth NON_CONFORMANT::{BROKEN_RULE}: The directory"
    )
    (result,) = done.run["results"]
    assert (result["ruleId"], result["level"]) == (BROKEN_RULE, "error")
    assert result["locations"][0]["physicalLocation"]["region"]["properties"] == {"byteOffset": 8, "byteLength": 4}
    assert result["relatedLocations"]
    assert result["partialFingerprints"]
    (row,) = [line for line in done.summary.split("\n") if "broken.dmp" in line]
    assert row.startswith("| dumps/broken.dmp | NON&#95;CONFORMANT | 1 | MDMP-DIR-001&#58; The directory")


def test_a_file_that_is_not_a_dump_fails_and_is_reported(act: Action) -> None:
    (act.workspace / "notes.dmp").write_text("no dump\n", encoding="utf-8")
    done = act("notes.dmp")
    assert done.status == 1
    assert (done.outputs["verdict"], done.outputs["failed"]) == ("NOT_A_DUMP", "1")
    (annotation,) = done.annotations
    assert annotation.startswith("::error file=notes.dmp,title=dumptruth NOT_A_DUMP::ACTION-DUMP-001: ")
    (result,) = done.run["results"]
    assert result["ruleId"] == "ACTION-DUMP-001"
    # The judge worked; only the file is wrong.
    assert done.run["invocations"][0]["executionSuccessful"] is True


def test_all_dumps_end_in_one_run(act: Action) -> None:
    act.add(SOUND, "a/sound.dmp")
    act.add(BROKEN, "b/broken.dmp")
    act.add(BROKEN, "b/deep/broken.dmp")
    (act.workspace / "notes.txt").write_text("no dump\n", encoding="utf-8")
    done = act("  notes.txt\r\n\n**/*.dmp\na/sound.dmp\n", sarif="r.sarif")
    assert done.status == 1
    assert (done.outputs["verdict"], done.outputs["failed"]) == ("NOT_A_DUMP", "3")
    assert len(done.annotations) == 3
    run = done.run
    # In the order of the patterns, each once.
    assert [artifact["location"]["uri"] for artifact in run["artifacts"]] == [
        "notes.txt", "a/sound.dmp", "b/broken.dmp", "b/deep/broken.dmp",
    ]  # fmt: skip
    assert [artifact["properties"]["outcome"] for artifact in run["artifacts"]] == [
        "NOT_A_DUMP", "CONFORMANT", "NON_CONFORMANT", "NON_CONFORMANT",
    ]  # fmt: skip
    assert sorted(result["ruleId"] for result in run["results"]) == ["ACTION-DUMP-001", BROKEN_RULE, BROKEN_RULE]
    assert "4 dumps judged, 3 failed." in done.summary


def test_a_cabinet_is_one_file(act: Action) -> None:
    act.add(CABINET, "crash.cab")
    done = act("crash.cab")
    assert done.status == 1
    assert [artifact["location"]["uri"] for artifact in done.run["artifacts"]] == ["crash.cab"]
    assert done.run["results"]


def test_findings_inside_a_cabinet_are_located_at_the_cabinet(script: ModuleType) -> None:
    inside = {"artifactLocation": {"uri": "/crash.dmp", "index": 1}, "region": {"byteOffset": 8, "byteLength": 4}}
    result = {
        "ruleId": "MDMP-DIR-001", "ruleIndex": 7, "kind": "fail", "level": "error", "message": {"text": "x"},
        "locations": [{"physicalLocation": inside}],
    }  # fmt: skip
    places = [{"location": {"uri": "crash.cab"}}, {"location": {"uri": "/crash.dmp"}}]
    log = {"runs": [{"results": [result], "artifacts": places}]}
    (moved,) = script.code_scanning_results(script.Judged("d/crash.cab", "d/crash.cab", "NON_CONFORMANT", log=log))
    assert moved["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "d/crash.cab"},
                "region": {
                    "startLine": 1,
                    "properties": {"byteOffset": 8, "byteLength": 4, "member": "crash.dmp"},
                },
            }
        }
    ]


def test_strict_fails_more_and_a_dump_that_passes_has_no_alert(act: Action) -> None:
    act.add(UNTIDY, "untidy.dmp")
    done = act("untidy.dmp")
    assert (done.status, done.run["results"]) == (0, [])
    done = act("untidy.dmp", strict="TRUE")
    assert (done.status, bool(done.run["results"])) == (1, True)


def test_a_dump_is_judged_against_truth_and_request(act: Action) -> None:
    manifest = json.loads((GOLDEN / "manifest.json").read_text(encoding="utf-8"))
    vector = next(item for item in manifest["vectors"] if item["file"] == SOUND.relative_to(GOLDEN).as_posix())
    (act.workspace / "asked.json").write_text(json.dumps(vector["request"]), encoding="utf-8")
    shutil.copytree(TRUTH, act.workspace / "truth")
    act.add(SOUND, "crash.dmp")
    done = act("crash.dmp", truth="truth", request="asked.json", profile="modern")
    assert done.status == 0, done.out
    assert done.run["artifacts"][0]["properties"]["qualifier"] == "DEBUG_DUMP_SMALL"
    # A dump of another target against the same truth.
    act.add(GOLDEN / "user" / "small" / "process-arm64.dmp", "crash.dmp")
    done = act("crash.dmp", truth="truth", request="asked.json")
    assert (done.status, done.outputs["verdict"]) == (1, "NON_CONFORMANT")
    assert len(done.annotations) == 1
    assert re.search(r" \(and \d+ more\)$", done.annotations[0])


# -- wrong usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dumps", "inputs", "message"),
    [
        ("missing/*.dmp", {}, "no dump matches 'missing/*.dmp'"),
        ("sound.dmp\nmissing.dmp", {}, "no dump matches 'missing.dmp'"),
        (".", {}, "no dump matches '.'"),
        (" \n", {}, "the input 'dumps' is empty"),
        ("sound.dmp", {"strict": "yes"}, "the input 'strict' is 'yes': expected true or false"),
        ("sound.dmp", {"upload": "no"}, "the input 'upload' is 'no': expected true or false"),
        ("sound.dmp", {"sarif": ""}, "the input 'sarif' is empty"),
        ("sound.dmp", {"sarif": "a\nverdict=CONFORMANT"}, "the input 'sarif' has control characters"),
        ("sound.dmp", {"profile": "--help"}, "unknown profile '--help'"),
        ("sound.dmp", {"request": "asked.json"}, "only with --truth"),
        ("sound.dmp", {"truth": "nowhere"}, "nowhere"),
    ],
)
def test_wrong_usage_is_status_2_and_no_verdict(act: Action, dumps: str, inputs: dict[str, str], message: str) -> None:
    act.add(SOUND, "sound.dmp")
    done = act(dumps, **inputs)
    assert done.status == 2
    (annotation,) = done.annotations
    assert annotation.startswith("::error title=dumptruth::")
    assert message in annotation
    assert (done.outputs, done.summary) == ({}, "")


def test_an_unknown_step_is_wrong_usage() -> None:
    for arguments in ([], ["jugde"], ["judge", "more"]):
        done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Usage:" in done.stderr


# -- hostile names and texts -------------------------------------------------------------------------------------------

NAMES = ["with space 100%,25%0A.dmp", "Grösse €.dmp"]
if sys.platform != "win32":
    NAMES += ["a\n::error::injected\r\x1b[31m.dmp", ":a|b`<b>_c_*##[error]\u2028.dmp"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_becomes_a_command_or_markup(act: Action, name: str) -> None:
    act.processes = name == NAMES[-1]
    act.add(BROKEN, f"d/{name}")
    done = act("d/*")
    assert done.status == 1
    (annotation,) = done.annotations
    told = re.fullmatch(r"::error file=([^:,]*),title=([^:,]*)::(.*)", annotation)
    assert told is not None
    plain = told[1].replace("%2C", ",").replace("%3A", ":").replace("%0A", "\n").replace("%0D", "\r")
    assert plain.replace("%25", "%") == f"d/{name}"
    assert not any("##[" in line for line in done.out.split("\n") if not line.startswith("::"))
    assert [unquote(artifact["location"]["uri"]) for artifact in done.run["artifacts"]] == [f"d/{name}"]
    (row,) = [line for line in done.summary.split("\n") if line.startswith("| d/")]
    assert row.count("|") == 5
    assert not set("`<>*[]_\x1b") & set(row)


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern(act: Action) -> None:
    act.add(SOUND, "-[1].dmp")
    act.add(BROKEN, "-1.dmp")
    assert act("-[1].dmp").status == 0


def test_a_dump_outside_the_workspace_keeps_a_path_without_a_root(act: Action, tmp_path: Path) -> None:
    outside = tmp_path / "outside.dmp"
    shutil.copyfile(BROKEN, outside)
    done = act(str(outside))
    (uri,) = [artifact["location"]["uri"] for artifact in done.run["artifacts"]]
    real = Path(os.path.realpath(outside))
    assert unquote(uri) == real.relative_to(real.anchor).as_posix()


def test_texts_are_escaped_as_the_runner_reads_them(script: ModuleType) -> None:
    assert script.escape_data("100%\r\n::error::x") == "100%25%0D%0A::error::x"
    assert script.escape_property("a:b,c%3A\n") == "a%3Ab%2Cc%253A%0A"
    assert script.plain("a\n##[error]\x00\u2028") == "a\\n## [error]\\x00\\u2028"
    assert script.cell("![x](y)|\n") == "&#33;&#91;x&#93;&#40;y&#41;&#124;&#92;n"
