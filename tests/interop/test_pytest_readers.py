"""The pytest example of the README, with other people's readers that know only minidumps: green, with clear skips."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

READERS = {
    "minidump": (
        "    from minidump.minidumpfile import MinidumpFile\n"
        "    return [thread.ThreadId for thread in MinidumpFile.parse(str(path)).threads.threads]\n"
    ),
    "udmp_parser": (
        "    import udmp_parser\n"
        "    parser = udmp_parser.UserDumpParser()\n"
        "    assert parser.Parse(path)\n"
        "    return list(parser.Threads())\n"
    ),
}
READS = {"minidump": ("minidump", "x86", "amd64"), "udmp_parser": ("minidump",)}
KNOWN = {
    "minidump": {
        "by-hand/rich": "it reads a comment of bytes as UTF-8",
        "user/comment/ansi": "it reads a comment of bytes as UTF-8",
    },
    "udmp_parser": {
        "user/odd/names*": "it refuses names of modules with other characters than ASCII",
        "user/habit/small/exception-of-*": "it refuses a second exception, and one of thread 0",
    },
}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_the_example_is_green_with_clear_skips(reader: str, tmp_path: Path) -> None:
    pytest.importorskip(reader)
    mark = f"kind=('valid', 'acceptable'), mode='user', facts=True, reads={READS[reader]}, known={KNOWN[reader]}"
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        f"def my_reader(path):\n{READERS[reader]}"
        f"@pytest.mark.dumptruth({mark})\n"
        "def test_my_reader(dumptruth_vector):\n"
        "    expected = sorted(thread['thread_id'] for thread in dumptruth_vector.facts['threads'])\n"
        "    assert sorted(my_reader(dumptruth_vector.path)) == expected\n",
        encoding="utf-8",
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "dumptruth.oracle.pytest_plugin", "-p", "no:cacheprovider"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "COLUMNS": "160", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 50
    assert re.search(r"SKIPPED \[\d+\] test_it.py:\d+: container cab: the reader reads minidump", done.stdout)
