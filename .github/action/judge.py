"""The GitHub Action of `action.yml`: judges dumps, annotates, writes a summary and one SARIF file.

Usage: python judge.py install   makes a virtual environment of the checkout that this file is in
       python judge.py judge     judges what the inputs name

Inputs come from the environment (`INPUT_DUMPS` and so on), outputs go to the files that GitHub names. The dumps are
judged by the command `dumptruth` of the interpreter that runs this file. Needs the standard library only.

Exit status: 0 every dump is conformant, 1 some dump is not, 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

INPUTS: Final = ("dumps", "truth", "request", "strict", "profile", "sarif", "upload")
"""What this script reads. `python-version` is read by `action.yml` itself."""

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS: Final = 5000
"""GitHub shows no more results of a run, and rejects a file with more than 25,000."""
MOST_LOCATIONS: Final = 100
"""GitHub shows no more locations of a result, and rejects a file with more than 1,000."""
MOST_ROWS: Final = 500
"""Rows of the summary: GitHub rejects a summary of more than 1 MiB."""
MOST_CHARACTERS: Final = 300
"""Of one finding, where people read it."""

CONFORMANT: Final = "CONFORMANT"
INTERNAL_ERROR: Final = "INTERNAL_ERROR"
OUTCOMES: Final = {CONFORMANT: 0, "INCOMPLETE": 4, "NON_CONFORMANT": 1, "NOT_A_DUMP": 3, INTERNAL_ERROR: 2}
"""From best to worst, each with the exit status of `dumptruth check`. The verdict is the worst of all dumps."""
_RANK: Final = {"error": 0, "warning": 1, "note": 2}
_USAGE: Final = 2  # of this script, and of the command where it writes no report

_OUTCOME_RULES: Final = {
    "NOT_A_DUMP": ("ACTION-DUMP-001", "The file is a dump that can be judged"),
    "INCOMPLETE": ("ACTION-WHOLE-001", "The judge judges all of the file"),
    INTERNAL_ERROR: ("ACTION-JUDGE-001", "The judge reaches a verdict"),
}
"""Rules of this script. Code scanning shows results only, so a file without a verdict needs one."""


class UsageError(Exception):
    """An input is wrong, or no dump matched."""


@dataclass(frozen=True)
class Inputs:
    dumps: tuple[str, ...]
    sarif: Path
    options: tuple[str, ...]


@dataclass
class Judged:
    """One dump. ``log``: the SARIF that the command wrote, or None."""

    name: str
    uri: str
    outcome: str
    reason: str = ""
    log: dict[str, Any] | None = None
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.outcome != CONFORMANT

    @property
    def finding(self) -> str:
        """The first of the worst findings."""
        worst = min(self.results, key=_rank, default=None)
        return self.reason or self.outcome if worst is None else f"{worst['ruleId']}: {worst['message']['text']}"


# -- inputs ------------------------------------------------------------------------------------------------------------


def read_inputs(environment: Mapping[str, str]) -> Inputs:
    """Raises UsageError."""
    given = {name: environment.get(f"INPUT_{name.upper()}", "").strip() for name in INPUTS}
    dumps = tuple(line.strip() for line in given["dumps"].split("\n") if line.strip())
    if not dumps:
        raise UsageError("the input 'dumps' is empty: expected a path or a pattern on each line")
    if not given["sarif"]:
        raise UsageError("the input 'sarif' is empty: expected a path")
    if not given["sarif"].isprintable():
        raise UsageError("the input 'sarif' has control characters: expected a path")
    _flag("upload", given["upload"])
    options = ["--strict"] if _flag("strict", given["strict"]) else []
    for name in ("truth", "request"):
        if given[name]:
            # Absolute: a path that begins with '-' is an option otherwise.
            options += [f"--{name}", str(Path(given[name]).absolute())]
    if given["profile"]:
        options.append(f"--profile={given['profile']}")
    return Inputs(dumps, Path(given["sarif"]), tuple(options))


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise UsageError(f"the input '{name}' is '{value}': expected true or false")
    return value.lower() == "true"


def find_dumps(patterns: Iterable[str]) -> list[Path]:
    """The files, each once, in the order of the patterns. Raises UsageError for a pattern that matches no file."""
    found: dict[str, Path] = {}
    for pattern in patterns:
        # A file may have brackets in its name: what exists is not a pattern.
        # Path.glob takes no absolute pattern.
        names = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        files = [path for path in map(Path, names) if path.is_file()]
        if not files:
            raise UsageError(f"no dump matches '{pattern}'")
        for path in files:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def repository_path(path: Path, workspace: Path) -> str:
    """The path as the repository knows it: relative, with slashes. Outside the workspace, the path without its root."""
    real = Path(os.path.realpath(path))
    root = Path(os.path.realpath(workspace))
    return (real.relative_to(root) if real.is_relative_to(root) else real.relative_to(real.anchor)).as_posix()


# -- judging -----------------------------------------------------------------------------------------------------------


def command() -> list[str]:
    """The installed command, or the module where there is no command."""
    script = Path(sysconfig.get_path("scripts")) / ("dumptruth.exe" if sys.platform == "win32" else "dumptruth")
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "dumptruth"]


def judge(path: Path, name: str, options: Iterable[str], folder: Path) -> Judged:
    """Run the command on one dump. Raises UsageError where the command cannot be used like this."""
    report = folder / "report.sarif"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [*command(), "check", str(path.absolute()), *options, "--report", f"sarif={report}"],
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    judged = Judged(name, quote(os.fsencode(name)), INTERNAL_ERROR)
    told = done.stderr.strip().splitlines()
    with contextlib.suppress(FileNotFoundError, ValueError):
        judged.log = json.loads(report.read_text(encoding="utf-8"))
    if judged.log is None:
        if done.returncode == _USAGE:
            raise UsageError(" ".join(told) or "the command 'dumptruth check' refused its arguments")
        judged.reason = f"dumptruth check ended with status {done.returncode}: {told[-1] if told else 'no message'}"
    else:
        run = judged.log["runs"][0]
        outcome = run["properties"]["outcome"]
        if OUTCOMES.get(outcome) == done.returncode:
            judged.outcome = outcome
            notes = run["invocations"][0].get("toolExecutionNotifications", [])
            judged.reason = "; ".join(note["message"]["text"] for note in notes)
        else:
            judged.reason = f"dumptruth check reported {outcome} and ended with status {done.returncode}"
    judged.results = code_scanning_results(judged)
    return judged


# -- SARIF -------------------------------------------------------------------------------------------------------------


def code_scanning_results(judged: Judged) -> list[dict[str, Any]]:
    """What fails the dump, as code scanning takes it.

    GitHub needs a line and knows no byte offsets, while SARIF forbids a region that has both and means different
    bytes. So every region is the first line, and the bytes are properties. What lies in a cabinet is shown at the
    cabinet. Findings of kind ``review`` fail nothing and would be alerts here: they are left out.
    """
    run = judged.log["runs"][0] if judged.log is not None else {}
    artifacts = run.get("artifacts", [])
    results = []
    for result in run.get("results", []):
        if result.get("kind", "fail") == "fail":
            moved = {key: value for key, value in result.items() if key != "ruleIndex"}
            for key in ("locations", "relatedLocations"):
                if key in result:
                    moved[key] = [_moved(location, judged.uri, artifacts) for location in result[key][:MOST_LOCATIONS]]
            results.append(moved)
    if judged.outcome in _OUTCOME_RULES:
        rule, title = _OUTCOME_RULES[judged.outcome]
        results.append(
            {
                "ruleId": rule,
                "level": "error",
                "message": {"text": f"{title}. {judged.reason or judged.outcome}"},
                "locations": [_moved({}, judged.uri, artifacts)],
            }
        )
    return results


def _moved(location: dict[str, Any], uri: str, artifacts: list[dict[str, Any]]) -> dict[str, Any]:
    physical = location.get("physicalLocation", {})
    region = physical.get("region", {})
    bytes_at: dict[str, Any] = {key: region[key] for key in ("byteOffset", "byteLength") if key in region}
    place = physical.get("artifactLocation", {}).get("index", 0)
    if 0 < place < len(artifacts):
        bytes_at["member"] = artifacts[place]["location"]["uri"].lstrip("/")
    first_line: dict[str, Any] = {"startLine": 1}
    if bytes_at:
        first_line["properties"] = bytes_at
    return {**location, "physicalLocation": {"artifactLocation": {"uri": uri}, "region": first_line}}


def merged(judged: list[Judged], status: int) -> tuple[dict[str, Any], int]:
    """One log with one run, and how many results did not fit.

    One run, since GitHub takes at most 20 of them, and only one of each tool and category.
    """
    runs = [one.log["runs"][0] for one in judged if one.log is not None]
    drivers = [run["tool"]["driver"] for run in runs]
    known = {rule["id"]: rule for driver in drivers for rule in driver.get("rules", [])}
    known |= {rule: _descriptor(rule, title) for rule, title in _OUTCOME_RULES.values()}
    results = [(at, result) for at, one in enumerate(judged) for result in one.results]
    kept = sorted(results, key=lambda item: _rank(item[1]))[:MOST_RESULTS]
    used = {result["ruleId"] for _, result in kept}
    rules = [known[rule] for rule in sorted(known) if rule in used or not rule.startswith("ACTION-")]
    index = {rule["id"]: at for at, rule in enumerate(rules)}
    for at, result in kept:
        if result["ruleId"] in index:
            result["ruleIndex"] = index[result["ruleId"]]
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            location["physicalLocation"]["artifactLocation"]["index"] = at
    broken = [one for one in judged if one.outcome == INTERNAL_ERROR]
    driver = {key: value for key, value in (drivers[0] if drivers else {"name": "dumptruth"}).items() if key != "rules"}
    run = {
        "tool": {"driver": {**driver, "rules": rules}},
        "invocations": [
            {
                "executionSuccessful": not broken,
                "exitCode": status,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": f"{plain(one.name)}: {one.reason}"}} for one in broken
                ],
            }
        ],
        "artifacts": [_artifact(one, at) for at, one in enumerate(judged)],
        "results": [result for _, result in kept],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, len(results) - len(kept)


def _rank(result: dict[str, Any]) -> int:
    return _RANK.get(result.get("level", "warning"), len(_RANK))


def _artifact(judged: Judged, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "location": {"uri": judged.uri, "index": at},
        "roles": ["analysisTarget"],
        "mimeType": "application/octet-stream",
        "properties": {"outcome": judged.outcome},
    }
    if judged.log is not None:
        run = judged.log["runs"][0]
        found["length"] = run["artifacts"][0]["length"]
        found["properties"] = dict(run["properties"])
    return found


def _descriptor(rule: str, title: str) -> dict[str, Any]:
    return {
        "id": rule,
        "shortDescription": {"text": title},
        "fullDescription": {"text": title},
        "help": {"text": f"{title}. Without a verdict the dump fails."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["crash-dump"], "precision": "very-high", "problem.severity": "error"},
    }


# -- what people read --------------------------------------------------------------------------------------------------


def escape_data(text: str) -> str:
    """For the message of a workflow command. Without this, a line break ends it and may begin another one."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """For a property of a workflow command, such as ``file``."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def plain(text: str) -> str:
    """For the log: no control characters, and nothing that the runner takes for a command in the middle of a line."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return shown.replace("##[", "## [")


def cell(text: str) -> str:
    """For a table in Markdown: all punctuation as character references, which cannot be markup."""
    return re.sub(r"[^\w ./-]|_", lambda match: f"&#{ord(match[0])};", plain(text))


def shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def annotation(judged: Judged) -> str:
    more = f" (and {len(judged.results) - 1} more)" if len(judged.results) > 1 else ""
    return (
        f"::error file={escape_property(judged.name)},title={escape_property(f'dumptruth {judged.outcome}')}"
        f"::{escape_data(shortened(plain(judged.finding)) + more)}"
    )


def summary(judged: list[Judged]) -> str:
    failed = [one for one in judged if one.failed]
    # Failed dumps first, so that no cut hides them.
    shown = [*failed, *(one for one in judged if not one.failed)][:MOST_ROWS]
    lines = [
        "## dumptruth",
        "",
        f"{len(judged)} dumps judged, {len(failed)} failed.",
        "",
        "| Dump | Verdict | Findings | First finding |",
        "|---|---|---:|---|",
        *(
            f"| {cell(one.name)} | {cell(one.outcome)} | {len(one.results)} | "
            f"{cell(shortened(one.finding)) if one.failed else ''} |"
            for one in shown
        ),
    ]
    if len(shown) < len(judged):
        lines += ["", f"{len(judged) - len(shown)} dumps are not shown."]
    return "\n".join([*lines, ""])


# -- the steps of the action -------------------------------------------------------------------------------------------


def write_to(variable: str, text: str) -> None:
    """Append to the file that GitHub names in the environment. Outside of GitHub there is none."""
    if os.environ.get(variable):
        with Path(os.environ[variable]).open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)


def write_outputs(outputs: Mapping[str, object]) -> None:
    """Each between delimiters that no value can hold, so that no value can set another output."""
    for name, value in outputs.items():
        delimiter = f"end-{uuid4()}"
        write_to("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def install() -> int:
    """Install this checkout in an environment of its own: the workflow's own Python stays as it is."""
    checkout = Path(__file__).resolve().parents[2]
    folder = Path(tempfile.mkdtemp(prefix="dumptruth-", dir=os.environ.get("RUNNER_TEMP")))
    # As `python -m venv` does: a copied interpreter may not find its libraries.
    venv.create(folder, with_pip=True, symlinks=sys.platform != "win32")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # -P: the workspace is the current folder, and may hold a `pip` of its own.
    subprocess.run([python, "-P", "-m", "pip", "install", "--disable-pip-version-check", str(checkout)], check=True)
    write_outputs({"python": python})
    return 0


def judge_all() -> int:
    inputs = read_inputs(os.environ)
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    judged = list(_each(find_dumps(inputs.dumps), workspace, inputs.options))
    failed = [one for one in judged if one.failed]
    status = 1 if failed else 0
    log, lost = merged(judged, status)
    inputs.sarif.parent.mkdir(parents=True, exist_ok=True)
    inputs.sarif.write_text(json.dumps(log, indent=2) + "\n", encoding="utf-8", newline="\n")
    if lost:
        print(f"::warning::{lost} findings are not in {escape_data(str(inputs.sarif))}: GitHub shows {MOST_RESULTS}")
    write_to("GITHUB_STEP_SUMMARY", summary(judged))
    verdict = max((one.outcome for one in judged), key=list(OUTCOMES).index)
    write_outputs({"sarif": inputs.sarif.as_posix(), "verdict": verdict, "failed": len(failed)})
    print(f"{len(judged)} dumps judged, {len(failed)} failed: {verdict}")
    return status


def _each(dumps: Iterable[Path], workspace: Path, options: Iterable[str]) -> Iterator[Judged]:
    """Judge one dump after the other, and say so."""
    with tempfile.TemporaryDirectory() as folder:
        for path in dumps:
            one = judge(path, repository_path(path, workspace), options, Path(folder))
            print(f"{one.outcome:<14} {plain(one.name)}")
            if one.failed:
                print(annotation(one), flush=True)
            yield one


def main() -> int:
    steps = {"install": install, "judge": judge_all}
    if len(sys.argv) != 2 or sys.argv[1] not in steps:
        print(__doc__, file=sys.stderr)
        return _USAGE
    if isinstance(sys.stdout, io.TextIOWrapper):
        # GitHub reads UTF-8. A file name on Linux may be no text at all.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        return steps[sys.argv[1]]()
    except (UsageError, OSError, subprocess.CalledProcessError) as error:
        print(f"::error title=dumptruth::{escape_data(str(error))}")
        return _USAGE


if __name__ == "__main__":
    sys.exit(main())
