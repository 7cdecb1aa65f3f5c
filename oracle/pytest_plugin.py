"""The pytest plugin: vectors as parameters, the judge as an assertion, and a summary of the judged dumps.

    from dumptruth.oracle.assertion import assert_conformant

    @pytest.mark.dumptruth(kind="valid", mode="user", reads="minidump")
    def test_my_reader(dumptruth_vector):
        expected = [thread["thread_id"] for thread in dumptruth_vector.facts["threads"]]
        assert my_reader(dumptruth_vector.path).thread_ids == expected

    def test_my_writer(tmp_path):
        assert_conformant(my_writer(tmp_path), truth=tmp_path / "truth")

It needs neither Unicorn nor LIEF, and imports nothing of ``dumptruth.emu``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from .assertion import TALLY, assert_conformant
from .shown import shown
from .vectors import MEMBERS, Vector, VectorsError, choose, load_vectors, packaged, why_unread

__all__ = ["assert_conformant"]

_VECTORS = pytest.StashKey[tuple[Vector, ...]]()
_WORKER = "dumptruth"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("dumptruth").addoption(
        "--dumptruth-vectors",
        metavar="DIR",
        type=Path,
        help="Folder of vectors, made by 'dumptruth vectors export' or 'build'. Default: the packaged vectors.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "dumptruth(**members): selects the vectors of the fixture dumptruth_vector. Members are "
        f"{', '.join(MEMBERS)}; each is one value or several: dumptruth(kind='valid', mode='user'). "
        "reads='minidump' skips what the reader does not read: containers, architectures. facts=True skips vectors "
        "without facts. known={'user/odd/*': 'reason'} expects these to fail",
    )


def _vectors(config: pytest.Config) -> tuple[Vector, ...]:
    if _VECTORS not in config.stash:
        try:
            config.stash[_VECTORS] = load_vectors(config.getoption("--dumptruth-vectors") or packaged())
        except VectorsError as error:
            raise pytest.UsageError(shown(str(error))) from error
    return config.stash[_VECTORS]


@pytest.fixture(scope="session")
def dumptruth_vectors(request: pytest.FixtureRequest) -> tuple[Vector, ...]:
    """Every vector of the folder, including those without a file."""
    return _vectors(request.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test with ``dumptruth_vector``: every vector that its mark selects and whose file exists."""
    if "dumptruth_vector" not in metafunc.fixturenames:
        return
    wanted: dict[str, Any] = {}
    for mark in metafunc.definition.iter_markers("dumptruth"):
        if mark.args:
            raise pytest.UsageError(f"{metafunc.function.__name__}: dumptruth takes keywords only, e.g. kind='valid'")
        wanted = {**mark.kwargs, **wanted}  # the closest mark comes first and has precedence
    reads, known, facts = wanted.pop("reads", ()), wanted.pop("known", {}), wanted.pop("facts", False)
    try:
        chosen = [vector for vector in choose(_vectors(metafunc.config), **wanted) if vector.path is not None]
        marks = [_marks(vector, reads, known, facts) for vector in chosen]
    except VectorsError as error:
        raise pytest.UsageError(f"{metafunc.function.__name__}: {shown(str(error))}") from error
    if not chosen:
        raise pytest.UsageError(f"{metafunc.function.__name__}: no vector with a file matches dumptruth({wanted})")
    unmatched = [pattern for pattern in known if not any(fnmatchcase(vector.name, pattern) for vector in chosen)]
    if unmatched:
        raise pytest.UsageError(f"{metafunc.function.__name__}: known {unmatched[0]!r} matches no vector of the test")
    parameters = [pytest.param(vector, id=vector.name, marks=mark) for vector, mark in zip(chosen, marks, strict=True)]
    metafunc.parametrize("dumptruth_vector", parameters)


def _marks(
    vector: Vector, reads: str | Collection[str], known: Mapping[str, str], facts: bool
) -> list[pytest.MarkDecorator]:
    """Skip what the reader does not read; a known failure must happen."""
    unread = why_unread(vector, reads)
    if unread is not None:
        return [pytest.mark.skip(reason=shown(unread))]
    if facts and vector.facts is None:
        return [pytest.mark.skip(reason="the target is unknown: there are no facts")]
    return [
        pytest.mark.xfail(reason=reason, strict=True)
        for pattern, reason in known.items()
        if fnmatchcase(vector.name, pattern)
    ][:1]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends its counts to the process that prints the summary."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_WORKER] = TALLY.as_object()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    counts = getattr(node, "workeroutput", {}).get(_WORKER)
    if counts:
        TALLY.merge(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TALLY.dumps:
        return
    terminalreporter.section("dumptruth")
    terminalreporter.line(
        f"{TALLY.dumps} dumps judged, {TALLY.failed} not conformant; {TALLY.rules:,} rules run, {TALLY.checks:,} checks"
    )
    for rule, count in TALLY.by_rule.most_common():
        terminalreporter.line(f"  {rule}  fails {count} of {TALLY.dumps}")
