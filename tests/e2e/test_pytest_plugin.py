"""The pytest plugin in its own process, where the emulator, unicorn and lief cannot be imported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = "dumptruth.oracle.pytest_plugin"
BARE = """
import sys
for name in ("unicorn", "lief", "typer", "rich", "jinja2", "dumptruth.emu", "dumptruth.fixtures"):
    sys.modules[name] = None  # an import of it fails
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
HEAD = f"import json\nimport pytest\nfrom {MODULE} import assert_conformant\n"


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest on a file with that text and no other plugin."""
    (folder / "test_it.py").write_text(HEAD + text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", BARE, "-p", MODULE, "-p", "no:cacheprovider", "--strict-markers", "-W", "error",
         *options],
        capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "COLUMNS": "160", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )  # fmt: skip


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    last = done.stdout.strip().splitlines()[-1]
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error|skipped)s?\b", last)}


def test_the_packaged_vectors_are_parameters_without_unicorn_lief_or_the_emulator(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        '@pytest.mark.dumptruth(kind="valid", container="minidump", name=["user/small/*", "user/comment/*"])\n'
        "def test_vector(dumptruth_vector):\n"
        '    assert dumptruth_vector.read()[:4] == b"MDMP"\n'
        "    assert dumptruth_vector.facts['threads']\n"
        "    assert_conformant(dumptruth_vector.path)\n"
        "def test_all(dumptruth_vectors):\n"
        "    assert {vector.kind for vector in dumptruth_vectors} == {'valid', 'invalid', 'acceptable', 'refused'}\n",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = outcomes(done)["passed"]
    assert passed > 20
    assert f"{passed - 1} dumps judged, 0 not conformant" in done.stdout


THREAD_IDS = """
import struct
from types import SimpleNamespace
def my_reader(path):
    data = path.read_bytes()
    count, at = struct.unpack_from("<II", data, 8)
    (rva,) = [rva for kind, _, rva in struct.iter_unpack("<III", data[at : at + 12 * count]) if kind == 3]
    threads = range(struct.unpack_from("<I", data, rva)[0])
    return SimpleNamespace(threads=[struct.unpack_from("<I", data, rva + 4 + 48 * index)[0] for index in threads])
"""


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_the_shown_example_is_green_for_a_reader_that_knows_only_minidumps(document: str, tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / document).read_text(encoding="utf-8")
    (block,) = re.findall(r"^```py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    example = block.partition("\n\n\n")[0]
    done = run(tmp_path, THREAD_IDS + example, "-rs")
    assert done.returncode == 0, done.stdout[-4000:]
    assert outcomes(done)["passed"] > 60
    assert re.search(r"SKIPPED \[\d+\] test_it.py:\d+: container cab: the reader reads minidump", done.stdout)
    assert "the target is unknown: there are no facts" in done.stdout


def test_a_failure_names_rule_requirement_expected_actual_and_offset(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        '@pytest.mark.dumptruth(name="hostile/user/threads-2-32")\n'
        "def test_vector(dumptruth_vector):\n"
        "    assert_conformant(dumptruth_vector.read())\n",
    )
    assert outcomes(done) == {"failed": 1}
    assert "the dump is not conformant: 1 of" in done.stdout
    assert "MDMP-THREAD-001 [MUST] DataSize of the thread list matches its count" in done.stdout
    for line in (r"expected  \S", r"actual    \S", r"offset    0x[0-9a-f]+\.\.0x[0-9a-f]+"):
        assert re.search(line, done.stdout), line
    assert "1 dumps judged, 1 not conformant" in done.stdout
    assert "MDMP-THREAD-001  fails 1 of 1" in done.stdout
    assert "oracle/assertion.py" not in done.stdout.replace("\\", "/"), "the failure is shown at the line of the test"


def test_a_dump_is_judged_against_truth_and_request(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        '@pytest.mark.dumptruth(name="user/small/dll-after-unload")\n'
        "class TestIt:\n"
        "    def test_right(self, dumptruth_vector):\n"
        "        it = dumptruth_vector\n"
        "        assert assert_conformant(it.path, it.truth_folder, it.entry['request'], strict=True).own\n"
        "        assert assert_conformant(it.read(), it.truth(), it.request()).own\n"
        "    def test_wrong(self, dumptruth_vector):\n"
        "        it = dumptruth_vector\n"
        "        request = {**it.entry['request'], 'comment': 'was asked for'}\n"
        "        assert_conformant(it.path, it.truth_folder, request)\n"
        "    def test_wrong_by_a_file_of_any_name(self, dumptruth_vector, tmp_path):\n"
        "        it = dumptruth_vector\n"
        "        file = tmp_path / 'asked.json'\n"
        "        file.write_text(json.dumps({**it.entry['request'], 'comment': 'was asked for'}))\n"
        "        assert_conformant(it.path, it.truth_folder, file)\n"
        "    def test_without_request(self, dumptruth_vector):\n"
        "        with pytest.raises(ValueError, match='expected both a truth and the request'):\n"
        "            assert_conformant(dumptruth_vector.path, dumptruth_vector.truth_folder)\n",
    )
    assert outcomes(done) == {"failed": 2, "passed": 2}
    assert "TRUE-" in done.stdout
    assert "4 dumps judged, 2 not conformant" in done.stdout


def test_a_file_that_is_not_a_dump_fails_the_test(tmp_path: Path) -> None:
    done = run(tmp_path, "def test_it():\n    assert_conformant(b'GIF89a')\n")
    assert outcomes(done) == {"failed": 1}
    assert "the dump cannot be judged" in done.stdout


def test_a_mark_that_chooses_nothing_is_an_error(tmp_path: Path) -> None:
    messages = {
        'colour="red"': "unknown member colour: expected name, kind",
        '"valid"': "takes keywords only",
        'kind="refused"': "no vector with a file matches",
    }
    for number, mark in enumerate(messages):
        text = f"import pytest\n@pytest.mark.dumptruth({mark})\ndef test_wrong(dumptruth_vector):\n    pass\n"
        (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
    done = run(tmp_path, "def test_right():\n    pass\n", "--continue-on-collection-errors")
    assert outcomes(done) == {"error": 3, "passed": 1}, done.stdout
    assert [message for message in messages.values() if message not in done.stdout] == []


def test_another_folder_is_used_and_a_wrong_one_is_an_error(tmp_path: Path) -> None:
    text = "def test_it(dumptruth_vectors):\n    assert [vector.name for vector in dumptruth_vectors] == []\n"
    folder = tmp_path / "vectors"
    folder.mkdir()
    document = {"format": "dumptruth-vectors", "version": 1, "targets": {}, "vectors": []}
    (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    assert outcomes(run(tmp_path, text, "--dumptruth-vectors", str(folder))) == {"passed": 1}
    done = run(tmp_path, text, "--dumptruth-vectors", str(tmp_path))
    assert done.returncode != 0
    assert "not a manifest of vectors" in done.stdout + done.stderr


def test_the_summary_counts_the_dumps_of_all_workers(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    done = run(
        tmp_path,
        '@pytest.mark.dumptruth(name="user/comment/*")\n'
        "def test_vector(dumptruth_vector):\n"
        "    assert_conformant(dumptruth_vector.path)\n",
        "-p", "xdist", "-n", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 dumps judged, 0 not conformant" in done.stdout


READING = (
    "def threads(path):\n"
    "    data = path.read_bytes()\n"
    "    if data[:4] != b'MDMP':\n"
    "        raise ValueError('not a minidump')\n"
    "    from dumptruth.oracle import read\n"
    "    return [thread.id for thread in read(path).threads]\n"
)
"""A reader that knows only minidumps."""


def test_what_a_reader_does_not_read_is_skipped_with_the_reason(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        READING
        + '@pytest.mark.dumptruth(kind=("valid", "acceptable"), mode="user", reads=("minidump", "amd64", "x86"), '
        "facts=True)\n"
        "def test_reader(dumptruth_vector):\n"
        "    expected = [thread['thread_id'] for thread in dumptruth_vector.facts['threads']]\n"
        "    assert threads(dumptruth_vector.path) == expected\n",
    )
    counts = outcomes(done)
    assert done.returncode == 0, done.stdout
    assert set(counts) == {"passed", "skipped"}
    assert counts["passed"] > 50
    for reason in ("container cab: the reader reads minidump", "container userdump: the reader reads minidump",
                   "architecture arm64: the reader reads x86, amd64"):  # fmt: skip
        assert reason in run(tmp_path, (tmp_path / "test_it.py").read_text("utf-8"), "-rs").stdout


def test_a_known_failure_must_happen(tmp_path: Path) -> None:
    text = (
        '@pytest.mark.dumptruth(name="user/comment/*", known={"*/ansi": "bytes are read as UTF-8"})\n'
        "def test_reader(dumptruth_vector):\n"
        "    assert BROKEN not in dumptruth_vector.name\n"
    )
    done = run(tmp_path, "BROKEN = 'ansi'\n" + text, "-rx")
    assert done.returncode == 0, done.stdout
    assert "bytes are read as UTF-8" in done.stdout
    assert "1 xfailed" in done.stdout
    done = run(tmp_path, "BROKEN = 'nothing'\n" + text)
    assert outcomes(done)["failed"] == 1, "a known failure that is gone is told"


def test_a_wrong_word_in_the_mark_is_an_error(tmp_path: Path) -> None:
    for mark, message in (('reads="pdf"', "reads pdf: expected amd64, arm"), ('known={"x/*": ""}', "'x/*' matches no")):
        text = f"@pytest.mark.dumptruth({mark})\ndef test_wrong(dumptruth_vector):\n    pass\n"
        assert message in run(tmp_path, text).stdout
