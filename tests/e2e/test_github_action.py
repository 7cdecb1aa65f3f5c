"""The GitHub Action: its script on real dumps, and its inputs against `action.yml`.

The script and the command that it starts run in this process, but for two tests that start the real processes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from dumptruth.fixtures.app.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".github" / "action" / "judge.py"
GOLDEN = ROOT / "fixtures" / "golden"

SOUND = GOLDEN / "user" / "small" / "process-amd64.dmp"
BROKEN = GOLDEN / "hostile" / "user" / "cut-in-the-directory.dmp"
BROKEN_RULE = "MDMP-DIR-001"
UNTIDY = GOLDEN / "hostile" / "user" / "bytes-behind-the-end.dmp"  # fails under `strict` only
CABINET = GOLDEN / "invalid" / "cab-data-002" / "checksum-of-the-data-alone.cab"
TRUTH = GOLDEN / "truth" / "process-84a60a2f"


def action() -> dict[str, Any]:
    """Reads all scalars as text, as GitHub passes them on."""
    found: dict[str, Any] = yaml.load((ROOT / "action.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    return found


class Done:
    """Exit status, output and files of the script."""

    def __init__(self, status: int, out: bytes, err: bytes, workspace: Path, runner: Path) -> None:
        self.status = status
        self.out = out.decode("utf-8").replace("\r\n", "\n")
        self.err = err.decode("utf-8", "backslashreplace")
        self.workspace = workspace
        self.summary = (runner / "summary").read_text(encoding="utf-8")
        text = (runner / "output").read_text(encoding="utf-8")
        self.outputs = dict(re.findall(r"^(\w+)<<(?:end-\S+)\n(.*)\nend-\S+$", text, re.MULTILINE))

    @property
    def annotations(self) -> list[str]:
        return [line for line in self.out.split("\n") if line.startswith("::")]

    @property
    def run(self) -> dict[str, Any]:
        log = json.loads((self.workspace / self.outputs["sarif"]).read_text(encoding="ascii"))
        run = checked_run(log)
        assert run["invocations"][0]["exitCode"] == self.status
        return run


def checked_run(log: dict[str, Any]) -> dict[str, Any]:
    """The only run of a SARIF file, after checks of what GitHub requires."""
    assert log["version"] == "2.1.0"
    assert "sarif-schema-2.1.0" in log["$schema"]
    run: dict[str, Any]
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "dumptruth"
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert len(rule["properties"]["tags"]) <= 10
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        assert len(result["locations"]) == 1
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            physical = location["physicalLocation"]
            uri, index = physical["artifactLocation"]["uri"], physical["artifactLocation"]["index"]
            assert run["artifacts"][index]["location"] == {"uri": uri, "index": index}
            assert not uri.startswith("/")
            # GitHub needs a line. SARIF forbids byte offsets beside it that name other bytes.
            assert physical["region"]["startLine"] == 1
            assert not {"byteOffset", "byteLength"} & set(physical["region"])
    return run


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


class Here:
    """Stands for the module ``subprocess`` in the script: runs ``dumptruth`` in this process."""

    CalledProcessError = subprocess.CalledProcessError

    @staticmethod
    def run(arguments: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_command(arguments[arguments.index("check") :])
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


class Action:
    """Runs the script as the composite action does, in a workspace of the test.

    ``processes``: whether the script and the command are processes of their own.
    """

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.processes = False
        self.workspace = tmp_path / "workspace"
        self.runner = tmp_path / "runner"
        for folder in (self.workspace, self.runner):
            folder.mkdir()

    def add(self, golden: Path, name: str) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(golden, path)
        return path

    def __call__(self, dumps: str, **inputs: str) -> Done:
        values = {name: given.get("default", "") for name, given in action()["inputs"].items()}
        values |= {"dumps": dumps, **inputs}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_", "RUNNER_"))
        }
        environment |= {f"INPUT_{name.upper()}": value for name, value in values.items() if "-" not in name}
        environment |= {
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(self.runner / "output"),
            "GITHUB_STEP_SUMMARY": str(self.runner / "summary"),
        }
        for name in ("output", "summary"):
            (self.runner / name).write_text("", encoding="utf-8")
        if self.processes:
            done = subprocess.run(
                [sys.executable, str(SCRIPT), "judge"],
                cwd=self.workspace, env=environment, capture_output=True, check=False,
            )  # fmt: skip
            return Done(done.returncode, done.stdout, done.stderr, self.workspace, self.runner)
        return self._here(environment)

    def _here(self, environment: dict[str, str]) -> Done:
        printed = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(stream, encoding="ascii") for stream in printed)
        with self.monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(self.workspace)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", [str(SCRIPT), "judge"])
            script = load("dumptruth_action_here", patch)
            patch.setattr(script, "subprocess", Here)
            status = script.main()
        for stream in (out, err):
            stream.flush()
        return Done(status, printed[0].getvalue(), printed[1].getvalue(), self.workspace, self.runner)


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Action:
    return Action(tmp_path, monkeypatch)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, for cases that no real dump causes."""
    return load("dumptruth_action_judge", monkeypatch)


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


# -- cases that no real dump causes ---------------------------------------------------------------------------------


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
