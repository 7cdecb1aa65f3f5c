"""The GitHub Action where no real dump leads, and its inputs and outputs against `action.yml`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .github_action import SOUND, Action, action, checked_run


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('killed', file=sys.stderr); sys.exit(70)", "ended with status 70: killed"),
        (
            "import json, sys; open(sys.argv[-1].partition('=')[2], 'w').write(json.dumps({'runs': [{'tool': "
            "{'driver': {'name': 'dumptruth', 'rules': []}}, 'properties': {'outcome': 'CONFORMANT'}, 'artifacts': "
            "[{'length': 3}], 'results': []}]})); sys.exit(1)",
            "reported CONFORMANT and ended with status 1",
        ),
    ],
)
def test_a_judge_that_dies_fails_the_dump(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str
) -> None:
    monkeypatch.setattr(script, "command", lambda: [sys.executable, "-c", code])
    judged = script.judge(SOUND, "sound.dmp", [], tmp_path)
    assert judged.outcome == "INTERNAL_ERROR"
    assert reason in judged.reason
    log, lost = script.merged([judged], 1)
    assert lost == 0
    run = checked_run(log)
    assert [result["ruleId"] for result in run["results"]] == ["ACTION-JUDGE-001"]
    assert run["invocations"][0]["executionSuccessful"] is False


def test_more_results_than_github_shows_are_cut_and_the_worst_stay(script: ModuleType) -> None:
    def result(level: str) -> dict[str, Any]:
        return {
            "ruleId": "ACTION-DUMP-001",
            "level": level,
            "message": {"text": "x"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.dmp"}, "region": {"startLine": 1}}}],
        }

    judged = script.Judged("a.dmp", "a.dmp", "NON_CONFORMANT")
    judged.results = [result("warning") for _ in range(script.MOST_RESULTS)] + [result("error")]
    log, lost = script.merged([judged], 1)
    assert lost == 1
    levels = [found["level"] for found in checked_run(log)["results"]]
    assert (len(levels), levels[0], levels[1]) == (script.MOST_RESULTS, "error", "warning")


def test_a_summary_is_cut_and_shows_the_failed_dumps_first(script: ModuleType) -> None:
    many = [script.Judged(f"{at}.dmp", "", "CONFORMANT") for at in range(script.MOST_ROWS)]
    text = script.summary([*many, script.Judged("bad.dmp", "", "NOT_A_DUMP", "\x00" * 10_000)])
    rows = [line for line in text.split("\n") if ".dmp |" in line]
    assert len(rows) == script.MOST_ROWS
    assert rows[0].startswith("| bad.dmp |")
    assert "1 dumps are not shown." in text


# -- action.yml --------------------------------------------------------------------------------------------------------


def test_the_inputs_of_the_action_are_those_that_the_script_reads(script: ModuleType) -> None:
    class Recorder(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.add(key)
            return super().get(key, default)

    asked: set[str] = set()
    given: Mapping[str, str] = Recorder(INPUT_DUMPS="x", INPUT_SARIF="y", INPUT_STRICT="false", INPUT_UPLOAD="true")
    script.read_inputs(given)
    inputs = action()["inputs"]
    steps = {step.get("id"): step for step in action()["runs"]["steps"]}
    assert asked == {f"INPUT_{name.upper()}" for name in script.INPUTS}
    assert set(inputs) == {*script.INPUTS, "python-version"}
    assert steps["judge"]["env"] == {
        "PYTHON": "${{ steps.install.outputs.python }}",
        **{f"INPUT_{name.upper()}": f"${{{{ inputs.{name} }}}}" for name in script.INPUTS},
    }
    assert steps["python"]["with"]["python-version"] == "${{ inputs.python-version }}"
    assert [name for name, given in inputs.items() if "default" not in given] == ["dumps"]
    assert all(given["description"] for given in inputs.values())


def test_the_outputs_of_the_action_are_those_that_the_script_writes(act: Action) -> None:
    act.add(SOUND, "sound.dmp")
    outputs = action()["outputs"]
    assert set(act("sound.dmp").outputs) == set(outputs)
    assert all(given["value"] == f"${{{{ steps.judge.outputs.{name} }}}}" for name, given in outputs.items())


def test_no_expression_is_in_the_text_of_a_command() -> None:
    steps = action()["runs"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert len(commands) == 2
    assert not any("${{" in command for command in commands)
    assert all(step["shell"] == "bash" for step in steps if "run" in step)


def test_the_upload_also_happens_when_a_dump_failed() -> None:
    (upload,) = [step for step in action()["runs"]["steps"] if "upload-sarif" in step.get("uses", "")]
    assert upload["if"] == "${{ always() && inputs.upload == 'true' && steps.judge.outputs.sarif != '' }}"
    assert upload["with"]["sarif_file"] == "${{ steps.judge.outputs.sarif }}"
