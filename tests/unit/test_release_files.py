"""The files for GitHub parse, agree with `pyproject.toml`, and give each job only the permissions that it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
FILES = [*WORKFLOWS, ROOT / "action.yml", ROOT / "CITATION.cff"]

# Permissions of each workflow ("") and of its jobs. A job without permissions has those of the workflow.
PERMISSIONS = {
    "ci.yml": {"": {"contents": "read"}},
    "release.yml": {
        "": {},
        "build": {"contents": "read"},
        "publish": {"id-token": "write"},
        "github-release": {"contents": "write"},
    },
}


class Loader(yaml.BaseLoader):
    """Reads all scalars as text, so `on` is not a boolean. A repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"repeated key: {keys}"
        return super().construct_mapping(node, deep)


def parsed(path: Path) -> dict[str, Any]:
    found = yaml.load(path.read_text(encoding="utf-8"), Loader)
    assert isinstance(found, dict)
    return found


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def release() -> dict[str, Any]:
    return parsed(ROOT / ".github" / "workflows" / "release.yml")


def steps(path: Path) -> list[dict[str, Any]]:
    document = parsed(path)
    jobs = document["jobs"].values() if "jobs" in document else [document.get("runs", {})]
    return [step for job in jobs for step in job.get("steps", ())]


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_parses_and_every_line_ends_clean(path: Path) -> None:
    assert parsed(path)
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


def test_every_workflow_is_in_the_table_of_permissions() -> None:
    assert {path.name for path in WORKFLOWS} == set(PERMISSIONS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_may_do_more_than_it_needs(path: Path) -> None:
    document = parsed(path)
    given = {"": document["permissions"]}  # without it the settings of the repository decide
    given |= {name: job["permissions"] for name, job in document["jobs"].items() if "permissions" in job}
    assert given == PERMISSIONS[path.name]
    # It would run a stranger's code with the rights of the target repository.
    assert "pull_request_target" not in document["on"]


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_version(path: Path) -> None:
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+(/[\w.-]+)+@(v\d+(\.\d+)*|[0-9a-f]{40})", step["uses"]), step["uses"]


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_no_expression_is_in_the_text_of_a_command(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("name", [".github/workflows/release.yml", "action.yml"])
def test_no_address_and_no_secret(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for word in ("://", "repository-url", "index-url", "secrets.", "password:", "api-token", "user:"):
        assert word not in text, word


def test_a_release_is_made_of_tags_only() -> None:
    assert release()["on"] == {"push": {"tags": ["v*"]}}
    assert release()["concurrency"]["cancel-in-progress"] == "false"


def test_the_release_builds_checks_and_packs() -> None:
    build = release()["jobs"]["build"]
    text = commands(build)
    (check,) = [step for step in build["steps"] if step.get("id") == "version"]
    assert check["env"] == {"TAG": "${{ github.ref_name }}"}
    order = ['os.environ["TAG"] != f"v{version}"', "-m build", ".ci/smoke.py", "vectors export", "sha256sum"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    (checkout,) = [step for step in build["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize(("tag", "fits"), [("v{}", True), ("{}", False), ("v{}.1", False), ("v0", False)])
def test_the_tag_must_be_the_version(tag: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is Python, so the test runs it."""
    (step,) = [step for step in release()["jobs"]["build"]["steps"] if step.get("id") == "version"]
    assert step["shell"] == "python"
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TAG", tag.format(project()["version"]))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    if fits:
        exec(step["run"], {})
        assert (tmp_path / "output").read_text(encoding="utf-8") == f"version={project()['version']}\n"
    else:
        with pytest.raises(SystemExit, match="the tag is"):
            exec(step["run"], {})


def test_only_wheel_and_sdist_are_published_from_the_environment_of_releases() -> None:
    jobs = release()["jobs"]
    publish = jobs["publish"]
    assert publish["environment"] == "release"
    assert publish["needs"] == "build"
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact", "pypa/gh-action-pypi-publish",
    ]  # fmt: skip
    assert publish["steps"][0]["with"] == {"name": "distributions", "path": "dist"}
    assert not any("environment" in job for name, job in jobs.items() if name != "publish")


def test_the_github_release_has_all_assets_and_looks_at_the_checksums_first() -> None:
    job = release()["jobs"]["github-release"]
    assert job["needs"] == ["build", "publish"]
    text = commands(job)
    assert text.index("sha256sum --check SHA256SUMS") < text.index('gh release create "$TAG" assets/*')


def test_the_citation_agrees_with_the_project() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["title"] == project()["name"]
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert citation["abstract"] == project()["description"]
    assert citation["authors"] == project()["authors"]


def test_the_security_policy_names_no_address_of_mail() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "private vulnerability reporting" in text
    assert "@" not in text
