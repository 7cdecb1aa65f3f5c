"""Errors of Microsoft's debugger engine as a writer, shown by the engine itself (docs/findings.md).

A failure says that a version no longer has the error. Then the row in docs/findings.md names the versions that have it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.constants import Hresult, Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import Method, write


def test_an_existing_file_is_deleted_when_the_dump_fails_after_opening(engine: Harness, tmp_path: Path) -> None:
    """docs/format/write-dump-file.md#default-in-a-user-session: no version writes DEFAULT of a dump target."""
    DebugClient(run_scenario("null-read")).write(tmp_path / "source.dmp", Qualifier.DEBUG_DUMP_DEFAULT)
    kept = tmp_path / "mine.dmp"
    kept.write_bytes(b"a file of the user")
    engine.open(tmp_path / "source.dmp")
    assert not write(engine, kept, Qualifier.DEBUG_DUMP_DEFAULT).succeeded
    assert not kept.exists()


@pytest.mark.parametrize("method", Method)
def test_active_is_refused_by_every_method(engine: Harness, tmp_path: Path, method: Method) -> None:
    """docs/format/write-dump-file.md#active-in-a-kernel-session"""
    client = DebugClient(run_kernel_scenario("bugcheck-d1", ram="2M"))
    client.write(tmp_path / "source.dmp", Qualifier.DEBUG_DUMP_FULL)
    engine.open(tmp_path / "source.dmp")
    answer = write(engine, tmp_path / "active.dmp", Qualifier.DEBUG_DUMP_ACTIVE, method=method)
    assert answer.hresult == Hresult.E_INVALIDARG
    assert not (tmp_path / "active.dmp").exists()
