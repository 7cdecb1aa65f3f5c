"""``dumptruth.emu`` and ``dumptruth`` keep what docs/api.md promises: lazy names, spellings, errors, the version."""

from __future__ import annotations

import ast
import importlib.metadata
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import dumptruth
import dumptruth.emu
import pytest
from dumptruth.emu import (
    DebugClient,
    DumptruthError,
    DumpWriteError,
    ExitedNormally,
    ImageError,
    NoBugCheck,
    UnknownNameError,
    run_driver,
    run_program,
)
from dumptruth.emu.constants import FormatFlag
from dumptruth.emu.names import flags_number, qualifier_number
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.oracle.demands import FLAGS, QUALIFIERS, request_of
from dumptruth.oracle.inputs import InputError
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = dumptruth.emu.__all__
USES = """
import sys
import dumptruth.emu
for name in sys.argv[1:]:
    getattr(dumptruth.emu, name)
print(*(module for module in ("dumptruth.emu.debugger", "unicorn", "lief") if module in sys.modules))
"""


def loaded_by(*names: str) -> list[str]:
    """Which of DebugClient's folder, Unicorn and LIEF a fresh process loads that uses these names."""
    command = [sys.executable, "-c", USES, *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


# Names.


def test_a_name_loads_what_it_needs_when_it_is_used() -> None:
    assert loaded_by("DumptruthError", "UnknownNameError", "load_truth", "compile_program") == []
    assert loaded_by("DebugClient", "DumpWriteError", "save_truth") == ["dumptruth.emu.debugger"]
    assert "unicorn" in loaded_by("run_scenario")


def test_every_public_name_is_listed_can_be_used_and_is_known_to_type_checkers() -> None:
    assert sorted(NAMES) == sorted(dumptruth.emu._HOMES)
    assert set(NAMES) <= set(dir(dumptruth.emu))
    tree = ast.parse(Path(str(dumptruth.emu.__file__)).read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: (str(item.module), alias.name)
        for guard in tree.body
        if isinstance(guard, ast.If)
        for item in guard.body
        if isinstance(item, ast.ImportFrom)
        for alias in item.names
    }
    assert typed == dumptruth.emu._HOMES
    star: dict[str, object] = {}
    exec("from dumptruth.emu import *", star)
    assert set(NAMES) <= set(star)
    assert all(star[name] is getattr(dumptruth.emu, name) for name in NAMES)


def test_an_unknown_name_is_an_attribute_error_and_files_can_be_imported() -> None:
    with pytest.raises(AttributeError, match=r"^module 'dumptruth\.emu' has no attribute 'nothing'$"):
        _ = dumptruth.emu.nothing
    with pytest.raises(ImportError, match=r"cannot import name 'nothing' from 'dumptruth\.emu'"):
        exec("from dumptruth.emu import nothing")
    exec("from dumptruth.emu import constants")
    assert not hasattr(dumptruth.emu, "__wrapped__")


def test_the_annotations_of_the_documented_names_resolve() -> None:
    for name in NAMES:
        item = getattr(dumptruth.emu, name)
        if not isinstance(item, type):
            assert get_type_hints(item)
    assert get_type_hints(DebugClient.write)
    assert Path(str(dumptruth.emu.__file__)).with_name("py.typed").exists()


# Spellings of qualifiers and flags.


@st.composite
def spelled(draw: st.DrawFn, name: str) -> str:
    """A name in one of its spellings: with or without prefix, in any case, with hyphens, with blanks around it."""
    prefixes = ("DEBUG_FORMAT_USER_SMALL_", "DEBUG_FORMAT_", "DEBUG_DUMP_")
    prefix = draw(st.sampled_from(["", *(prefix for prefix in prefixes if name.startswith(prefix))]))
    text = name.removeprefix(prefix)
    text = "".join(draw(st.sampled_from((letter.lower(), letter, "-" if letter == "_" else letter))) for letter in text)
    return draw(st.sampled_from(("", " "))) + text + draw(st.sampled_from(("", " ")))


@given(st.data())
@settings(max_examples=30)
def test_writer_and_oracle_read_every_spelling_the_same(data: st.DataObject) -> None:
    qualifier = data.draw(st.sampled_from(list(QUALIFIERS)))
    flags = data.draw(st.lists(st.sampled_from(list(FLAGS)), max_size=4))
    word = data.draw(spelled(qualifier))
    words = [data.draw(st.one_of(spelled(flag), st.just(FLAGS[flag]))) for flag in flags]
    asked = request_of(None, qualifier=word, flags=words)
    assert asked is not None
    assert asked.qualifier_value == qualifier_number(word) == QUALIFIERS[qualifier]
    assert asked.format_flags_value == flags_number(words)


@given(st.text(max_size=12))
def test_what_is_no_name_is_refused_by_both_in_one_line(text: str) -> None:
    for parse, known, errors in (
        (lambda: flags_number([text]), FormatFlag.__members__, UnknownNameError),
        (lambda: request_of(None, qualifier=1024, flags=[text]), FLAGS, InputError),
    ):
        word = text.strip().upper().replace("-", "_")
        if not any(name.endswith(word) and word for name in known):
            with pytest.raises(errors) as caught:
                parse()
            assert "\n" not in str(caught.value)


def test_a_flag_may_stand_alone_or_be_a_number(tmp_path: Path) -> None:
    client = DebugClient(synthetic_process(), start_directory=tmp_path)
    forms = (2, "handle-data", ["handle-data"], [FormatFlag.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA], ("HANDLE_DATA", 2))
    sizes = {client.write("a.dmp", "small", flags).size for flags in forms}
    assert len(sizes) == 1
    assert sizes != {client.write("a.dmp", "small").size}
    with pytest.raises(UnknownNameError, match=r"^unknown flag 'handle' "):
        client.write("a.dmp", "small", "handle")


# Errors.


@pytest.mark.parametrize(
    "error",
    [
        DumpWriteError(0x8007_0057, "no such folder"),
        ExitedNormally("a.exe", 3, b"output"),
        NoBugCheck("a.sys", b"output"),
        UnknownNameError("unknown flag 'x'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_whole_from_another_process(error: DumptruthError) -> None:
    """A process pool pickles errors. One that cannot be loaded breaks the pool."""
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


def test_every_public_error_is_a_dumptruth_error() -> None:
    items = (getattr(dumptruth.emu, name) for name in NAMES)
    errors = [item for item in items if isinstance(item, type) and issubclass(item, BaseException)]
    assert len(errors) >= 12
    assert all(issubclass(error, DumptruthError) for error in errors)


def test_programs_and_drivers_may_be_named_by_text(tmp_path: Path) -> None:
    path = tmp_path / "a.exe"
    path.write_bytes(b"text")
    with pytest.raises(ImageError, match=r"^a\.exe: "):
        run_program(str(path), dlls=[str(tmp_path)])
    with pytest.raises(ImageError, match=r"^a\.exe: "):
        run_driver(str(path), others=())


# The package itself.


def test_the_package_says_its_version_and_runs_as_a_module() -> None:
    assert dumptruth.__version__ == importlib.metadata.version("dumptruth")
    done = subprocess.run([sys.executable, "-m", "dumptruth", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: dumptruth ")
    assert done.stderr == ""
