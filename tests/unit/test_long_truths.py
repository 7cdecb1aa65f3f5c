"""Arrays of large truths are read by layouts and columns. The outcome is that of the reader of single values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.truth import files as files_of_emu
from dumptruth.emu.truth import rows, store
from dumptruth.oracle.truth import document as document_of_oracle
from dumptruth.oracle.truth import layouts
from dumptruth.oracle.truth import load as oracle

from ..truth_corpus import STRANGE, every_text_is_long, holder, places, put, refusal, sound, write

Load = Callable[[Path], Any]
LOADERS: list[tuple[Load, type[Exception]]] = [
    (oracle.load_any_truth, oracle.TruthError),
    (store.load_snapshot, store.TruthError),
]
KEYS: dict[str, tuple[str, int | str]] = {
    "threads": ("thread_id", 4),
    "modules": ("base", "0x10000"),
    "handles": ("value", 4),
    "stacks": ("thread_id", 4),
}
"""Members that differ between the elements of an array, and that of the first."""


def grown(name: str) -> tuple[dict[str, Any], list[str]]:
    """A truth whose arrays of objects have four elements more, and these arrays."""
    document = sound()[name].copy()
    arrays = [key for key, rows in document.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)]
    for array in set(arrays) - {"regions", "memory", "unreadable", "processors"}:
        if array.endswith(("_pages", "_runs")) or (array == "stacks" and name == "machine"):  # one for each processor
            continue
        made = [copy.deepcopy(document[array][0]) for _ in range(4)]
        if array in KEYS and name != "machine":
            key, first = KEYS[array]
            for number, row in enumerate(made, 1):
                row[key] = first * number if isinstance(first, int) else hex(number * int(first, 16))
        document[array] = made
    image = document["drivers" if name == "machine" else "modules"][0]["base"]
    document["image_files"] = [image]
    if name != "machine" and document["exception"]:
        document["exception"]["thread_id"] = 4
    return document, arrays


def strange(document: dict[str, Any], arrays: list[str], step: int) -> Iterator[dict[str, Any]]:
    """Every ``step``-th document with a strange value in the second or last element of an array."""
    every = [
        (array, index, *place)
        for array in arrays
        for index in (1, len(document[array]) - 1)
        if index < len(document[array])
        for place in [(), *places(document[array][index])]
    ]
    for number in range(0, len(every) * (len(STRANGE) + 2), step):
        place, kind = every[number // (len(STRANGE) + 2)], number % (len(STRANGE) + 2)
        changed = copy.deepcopy(document)
        inside = holder(changed, place)
        if kind < len(STRANGE):
            put(changed, place, STRANGE[kind])
        elif kind == len(STRANGE):
            del inside[place[-1]]
        elif isinstance(inside, dict):
            inside["no member"] = 1
        yield changed


@pytest.mark.parametrize("name", ["amd64", "x86", "arm64", "machine"])
@pytest.mark.parametrize("step", [151, pytest.param(7, marks=pytest.mark.slow)])
def test_a_strange_value_in_a_later_element_gets_the_same_line(name: str, step: int, tmp_path: Path) -> None:
    document, arrays = grown(name)
    write(tmp_path, document, sound()[name].memory)
    for load, error in LOADERS:
        assert refusal(load, tmp_path, error) is None
    refused = 0
    for number, changed in enumerate(strange(document, arrays, step)):
        indent, separators = ((None, None), (1, None), (None, (",", ":")))[number % 3]
        write(tmp_path, json.dumps(changed, indent=indent, separators=separators).encode())
        lines = [refusal(load, tmp_path, error) for load, error in LOADERS]
        assert (lines[0] is None) == (lines[1] is None)
        refused += lines[0] is not None
    assert refused > 20


@pytest.mark.parametrize("name", ["amd64", "x86", "arm64", "machine"])
def test_the_values_are_the_same(name: str, tmp_path: Path) -> None:
    document, _ = grown(name)
    write(tmp_path, document, sound()[name].memory)
    for load, _ in LOADERS:
        one = load(tmp_path)
        with every_text_is_long():
            other = load(tmp_path)
        assert one == other
        if name != "machine":
            context = other.threads[2].context
            assert repr(context) == repr(one.threads[2].context)
            assert copy.deepcopy(context) == context


@pytest.mark.parametrize("name", ["amd64", "x86", "arm64"])
def test_the_long_arrays_of_a_sound_truth_are_read_by_columns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparisons above would pass if neither loader ever did so."""
    write(tmp_path, sound()[name].document, sound()[name].memory)
    left: list[Any] = []
    parse, parse_rest = document_of_oracle.parse_json, files_of_emu.parse_json

    def seen(value: Any) -> Any:
        if isinstance(value, dict) and "mode" in value:
            left.append({key for key, held in value.items() if isinstance(held, list) and held})
        return value

    monkeypatch.setattr(layouts, "parse_json", lambda *given: seen(parse(*given)))
    monkeypatch.setattr(rows, "parse_json", lambda *given: seen(parse_rest(*given)))
    with every_text_is_long():
        for load, _ in LOADERS:
            load(tmp_path)
    assert len(left) == 2
    for arrays in left:
        assert not arrays & {"threads", "modules", "unloaded_modules", "regions", "memory", "handles"}


TEXTS: dict[str, Callable[[str], str]] = {
    "member twice in a later row": lambda text: text.replace('"teb":', '"teb": "0x0", "teb":', 2),
    "name with an escape": lambda text: text.replace('"teb":', '"\\u0074eb":'),
    "comma after the last row": lambda text: text.replace("}]", "},]", 1),
    "no comma between rows": lambda text: text.replace("}, {", "} {", 1),
    "array twice": lambda text: text.rstrip()[:-1] + ', "threads": [{}]}',
    "array twice and empty": lambda text: '{"threads": [], ' + text.lstrip()[1:],
    "array at another place": lambda text: text.replace('"vm": {', '"vm": {"threads": [{"a": 1}], ', 1),
    "array in a name": lambda text: text.replace('"vm": {', '"a\\"threads": [{"a": 1}], "vm": {', 1),
    "array in a text": lambda text: text.replace('"source": "', '"source": "\\"threads\\": [{\\"a\\": 1}]', 1),
    "one row is deep": lambda text: text.replace('"state": "', '"state": ' + "[" * 500 + ', "', 1),
    "number with a fraction": lambda text: text.replace('"suspend_count": 1', '"suspend_count": 1.0', 3),
    "number of many digits": lambda text: text.replace('"suspend_count": 1', '"suspend_count": 1' + "0" * 5000, 1),
    "not a number": lambda text: text.replace('"suspend_count": 1', '"suspend_count": NaN', 1),
    "minus nothing": lambda text: text.replace('"suspend_count": 1', '"suspend_count": -0'),
    "line break in a text": lambda text: text.replace('"type_name": "', '"type_name": "\n', 1),
    "zero byte in a text": lambda text: text.replace('"type_name": "', '"type_name": "\0', 1),
    "lone surrogate": lambda text: text.replace('"type_name": "', '"type_name": "\\ud800', 1),
    "bad escape": lambda text: text.replace('"type_name": "', '"type_name": "\\x', 1),
    "text beyond ASCII": lambda text: text.replace('"type_name": "', '"type_name": "\u00e9\u202e'),
    "mode at the end": lambda text: text.replace('"mode": "user", ', "", 1).rstrip()[:-1] + ', "mode": "user"}',
    "mode of a machine": lambda text: text.replace('"mode": "user"', '"mode": "kernel"', 1),
    "cut in a row": lambda text: text[: text.index('"handles"') - 40],
    "bytes in upper case": lambda text: text.replace('"fxsave": "', '"fxsave": "A0', 1),
}


@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_a_strange_text_gets_the_same_line(change: Callable[[str], str], tmp_path: Path) -> None:
    text = json.dumps(sound()["amd64"].document)
    assert change(text) != text
    write(tmp_path, change(text).encode(), sound()["amd64"].memory)
    lines = [refusal(load, tmp_path, error) for load, error in LOADERS]
    assert (lines[0] is None) == (lines[1] is None)


def test_a_text_that_is_no_utf_8_gets_the_same_line(tmp_path: Path) -> None:
    text = json.dumps(sound()["amd64"].document).encode()
    for place in (b'"type_name": "', b'"source": "', b'"fxsave": "'):
        write(tmp_path, text.replace(place, place + b"\xff"), sound()["amd64"].memory)
        for load, error in LOADERS:
            assert "UTF-8" in (refusal(load, tmp_path, error) or "")


def test_rows_of_more_layouts_than_are_kept_are_read_too(tmp_path: Path) -> None:
    document = sound()["amd64"].copy()
    module = document["modules"][0]
    document["modules"] = [
        {**module, "base": hex(0x10000 * (number + 1)), "sections": module["sections"][:1] * number}
        for number in range(40)
    ]
    document["image_files"] = []
    write(tmp_path, document, sound()["amd64"].memory)
    for load, error in LOADERS:
        assert refusal(load, tmp_path, error) is None
        with every_text_is_long():
            assert [len(module.sections) for module in load(tmp_path).modules] == list(range(40))
