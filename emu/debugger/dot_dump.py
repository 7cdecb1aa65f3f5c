"""Parses the debugger's ``.dump`` command (docs/format/dot-dump.md).

    .dump [options] FileName

An option is ``/`` or ``-``, a letter, and the letter's arguments. Letters are case-sensitive. For a given target,
``DotDump.request`` returns the arguments of WriteDumpFile2, ``DotDump.file_name`` the file name, and
``stored_event.with_event`` the event that the dump stores.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PureWindowsPath
from typing import Any

from ..constants import FormatFlag, Qualifier
from ..errors import DumptruthError
from ..request import Request
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import ProcessSnapshot
from .stored_event import EventSource

_F = FormatFlag
_ALL = (
    _F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
    | _F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO
    | _F.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA
    | _F.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES
    | _F.DEBUG_FORMAT_USER_SMALL_THREAD_INFO
)
LETTERS = {
    "f": _F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY,
    "F": _F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO,
    "h": _F.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA,
    "u": _F.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES,
    "t": _F.DEBUG_FORMAT_USER_SMALL_THREAD_INFO,
    "i": _F.DEBUG_FORMAT_USER_SMALL_INDIRECT_MEMORY,
    "p": _F.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA,
    "w": _F.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY,
    "d": _F.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS,
    "c": _F.DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS,
    "r": _F.DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY,
    "R": _F.DEBUG_FORMAT_USER_SMALL_FILTER_PATHS,
    "y": _F.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT,
}
"""The letters after ``/m`` that stand for one flag (docs/format/dot-dump.md#letters-of-a-user-minidump)."""
MINI_OPTIONS = {"a": _ALL, "A": _ALL | _F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM, **LETTERS}
"""The letters after ``/m``."""
FULL_OPTIONS = {"y": _F.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT}
"""The letters after ``/f``."""
KINDS = ("m", "f", "k", "ka")
SOURCES = {"xc": "context", "xr": "record", "xp": "pointers", "xt": "thread", "j": "jit"}
"""Options that take an address or a thread id, and the field of EventSource that they set."""

OPTIONS = "/a, /b, /ba, /c, /f, /j, /k, /ka, /m, /o, /u, /xc, /xp, /xr, /xt"
_SPACE = " \t"
_NUMBER = re.compile(
    r"(?:0n(?P<decimal>[0-9]+)|(?:0x)?(?P<high>[0-9a-f]+)(?:`(?P<low>[0-9a-f]{1,8}))?)\Z", re.IGNORECASE | re.ASCII
)
_MACHINE = 0xF0F0
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


class DotDumpError(DumptruthError):
    """The command line is wrong; the text is one line. ``column`` counts from 1; 0: no place in the line."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(f"column {column}: {message}" if column else message)
        self.column = column


@dataclass(frozen=True)
class DotDump:
    """A parsed command. ``columns`` gives the column of each option."""

    file: str
    kind: str = "m"
    """One of ``KINDS``."""
    flags: int = 0
    """The letters after ``/m`` or ``/f``, as DEBUG_FORMAT_* bits."""
    overwrite: bool = False
    unique: bool = False
    all_targets: bool = False
    cab: bool = False
    cab_files: bool = False
    comment: str | None = None
    source: EventSource = field(default_factory=EventSource)
    columns: Mapping[str, int] = field(default_factory=dict)

    def request(self, snapshot: ProcessSnapshot | KernelSnapshot, profile: str) -> tuple[Request, list[str]]:
        """Return the arguments of WriteDumpFile2 for this target, and warnings.

        Without ``/o`` the command adds NO_OVERWRITE (docs/format/write-dump-file.md#existing-files). Raises
        DotDumpError for an option that this kind of target does not allow.
        """
        kernel = snapshot.mode == "kernel"
        if self.kind in ("k", "ka") and not kernel:
            raise DotDumpError(f"/{self.kind}: only for a kernel-mode target", self.columns[self.kind])
        flags, warnings = self.flags, []
        if kernel and self.kind == "f" and flags:
            warnings.append("/fy has no effect on a kernel-mode target: its dumps cannot hold AVX state")
            flags = 0
        for name in self.source.given():
            if kernel or self.kind != "m":
                raise DotDumpError(f"/{name}: only for a user-mode minidump", self.columns[name])
        if kernel and flags:
            raise DotDumpError("/m: letters are only for a user-mode target", self.columns["m"])
        if not self.overwrite:
            flags |= _F.DEBUG_FORMAT_NO_OVERWRITE
        if self.cab:
            flags |= _F.DEBUG_FORMAT_WRITE_CAB
        if self.cab_files:
            flags |= _F.DEBUG_FORMAT_CAB_SECONDARY_FILES
        qualifier = {
            "m": Qualifier.DEBUG_DUMP_SMALL,
            "f": Qualifier.DEBUG_DUMP_FULL if kernel else Qualifier.DEBUG_DUMP_DEFAULT,
            "k": Qualifier.DEBUG_DUMP_DEFAULT,
            "ka": Qualifier.DEBUG_DUMP_ACTIVE,
        }[self.kind]
        return Request(int(qualifier), int(flags), self.comment or None, profile), warnings

    def file_name(self, snapshot: ProcessSnapshot | KernelSnapshot, taken: Collection[str] = ()) -> str:
        """Return the file name; with ``/u`` a unique one."""
        return unique_name(self.file, snapshot, taken) if self.unique else self.file


def unique_name(file: str, snapshot: ProcessSnapshot | KernelSnapshot, taken: Collection[str] = ()) -> str:
    """Return the name that ``/u`` makes: ``stem_0000_2024-01-17_21-20-00-000_1234.ext``.

    In front of the date is the id of the debugger, here 0, behind it that of the target; ``f0f0`` for a machine
    (docs/format/dot-dump.md#unique-names). The time is the target's, not the host's, so the same target always gets
    the same name. If the name is in ``taken``, a number is added.
    """
    moment = _EPOCH + timedelta(microseconds=snapshot.time // 10)
    target = snapshot.process.process_id if snapshot.mode == "user" else _MACHINE
    suffix = f"_0000_{moment:%Y-%m-%d_%H-%M-%S}-{moment.microsecond // 1000:03}_{target:04x}"
    extension = PureWindowsPath(file).suffix
    stem = file.removesuffix(extension)
    number, name = 1, f"{stem}{suffix}{extension}"
    while name in taken:
        number += 1
        name = f"{stem}{suffix}_{number}{extension}"
    return name


def number_of(text: str) -> int | None:
    """Return the number in ``text``: hexadecimal, or decimal with ``0n`` in front. None: it is no number."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    if match["decimal"]:
        return int(match["decimal"])
    low = match["low"] or ""
    return int(match["high"] + low.rjust(8, "0") if low else match["high"], 16)


def parse(line: str) -> DotDump | None:
    """Parse ``line``, with or without ``.dump`` in front. Return None if it asks for help (``/?``).

    Raises DotDumpError, which names the letter and the column.
    """
    return _Parser(line).command()


class _Parser:
    """Reads a line from left to right; ``at`` is the index of the next character."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0
        self.columns: dict[str, int] = {}
        self.values: dict[str, Any] = {}
        self.source: dict[str, int] = {}
        self.flags = 0

    def command(self) -> DotDump | None:
        self.skip_space()
        if self.line.startswith(".dump", self.at) and self.line[self.at + 5 : self.at + 6] in ("", " ", "\t"):
            self.at += 5
        while True:
            self.skip_space()
            if self.peek() not in ("/", "-"):
                break
            if self.line[self.at + 1 : self.at + 2] == "?":
                return None
            self.option()
        if not self.peek():
            raise self.error("the file name is missing")
        file = self.text("the file name")
        self.skip_space()
        if self.peek():
            raise self.error(
                f"unexpected {self.rest()!r} after the file name; a name with spaces needs quotation marks"
            )
        self.check()
        return DotDump(file, flags=self.flags, source=EventSource(**self.source), columns=self.columns, **self.values)

    def option(self) -> None:
        """Parse one option with its arguments; ``at`` is at its slash."""
        column = self.at + 1
        self.at += 1
        letter = self.next()
        if letter == "m":
            self.kind("m", column, MINI_OPTIONS)
        elif letter == "f":
            self.kind("f", column, FULL_OPTIONS)
        elif letter == "k":
            self.kind("ka" if self.take("a") else "k", column, {})
        elif letter == "b":
            self.values["cab"] = True
            if self.take("a"):
                self.values["cab_files"] = True
            self.end("ba" if "cab_files" in self.values else "b")
        elif letter in ("o", "u", "a"):
            self.values[{"o": "overwrite", "u": "unique", "a": "all_targets"}[letter]] = True
            self.end(letter)
            self.columns[letter] = column
        elif letter == "c":
            self.once("c", column)
            self.skip_space()
            self.values["comment"] = self.text("the comment of /c")
        elif letter == "j":
            self.number("j", column)
        elif letter == "x":
            kind = self.next()
            if f"x{kind}" not in SOURCES:
                self.at -= len(kind)
                raise self.error(f"unknown letter {kind!r} after /x, expected c, r, p or t")
            self.number(f"x{kind}", column)
        else:
            self.at -= len(letter)
            raise self.error(
                f"unknown option /{letter}, expected one of {OPTIONS}; quote a file name with a slash in front"
            )

    def kind(self, name: str, column: int, letters: Mapping[str, int]) -> None:
        """Parse the kind of dump: ``/m`` and ``/f`` with their letters, ``/k``, ``/ka``."""
        if "kind" in self.values:
            raise self.error(f"/{name}: the kind of dump is already given by /{self.values['kind']}", column)
        self.values["kind"] = name
        self.columns[name] = column
        while self.peek() and self.peek() not in _SPACE:
            letter = self.peek()
            if letter not in letters:
                known = f", expected one of {', '.join(letters)}" if letters else ""
                raise self.error(f"unknown letter {letter!r} after /{name}{known}")
            self.flags |= letters[letter]
            self.at += 1

    def number(self, name: str, column: int) -> None:
        """Parse an address or id: hexadecimal, or decimal with ``0n`` in front."""
        self.once(name, column)
        self.skip_space()
        start = self.at
        text = self.rest()
        value = number_of(text)
        if value is None:
            raise self.error(f"/{name}: expected a number, found {text!r}" if text else f"/{name}: a number is missing")
        if value >> 64:
            raise self.error(f"/{name}: {text} has more than 64 bits")
        self.at = start + len(text)
        self.source[SOURCES[name]] = value

    def text(self, what: str) -> str:
        """Parse a word, or a text in quotation marks."""
        start = self.at
        if self.peek() != '"':
            word = self.rest()
            if not word:
                raise self.error(f"{what} is missing")
            self.at += len(word)
            return word
        end = self.line.find('"', start + 1)
        if end < 0:
            raise self.error(f"{what} has no closing quotation mark")
        self.at = end + 1
        if self.peek() and self.peek() not in _SPACE:
            raise self.error(f"unexpected {self.rest()!r} after a quotation mark, expected a space")
        if end == start + 1 and what == "the file name":
            raise self.error(f"{what} is empty", start + 1)
        return self.line[start + 1 : end]

    def check(self) -> None:
        """Check that the options fit together."""
        if "a" in self.columns and "u" not in self.columns:
            raise self.error("/a: needs /u, which gives every dump a name of its own", self.columns["a"])
        sources = [name for name in ("xp", "j", "xr", "xc") if name in self.columns]
        if len(sources) > 1 and sources[0] in ("xp", "j"):
            raise self.error(f"/{sources[1]}: already given by /{sources[0]}", self.columns[sources[1]])
        if {"j", "xt"} <= self.columns.keys():
            raise self.error("/xt: already given by /j", self.columns["xt"])

    def once(self, name: str, column: int) -> None:
        if name in self.columns:
            raise self.error(f"/{name}: given twice", column)
        self.columns[name] = column

    def end(self, name: str) -> None:
        """Check that no letter follows the option."""
        letter = self.peek()
        if letter and letter not in _SPACE:
            raise self.error(f"unknown letter {letter!r} after /{name}")

    def skip_space(self) -> None:
        while self.peek() and self.peek() in _SPACE:
            self.at += 1

    def peek(self) -> str:
        return self.line[self.at : self.at + 1]

    def next(self) -> str:
        """Take the next character; return an empty string at a space or at the end."""
        letter = self.peek()
        if letter and letter in _SPACE:
            return ""
        self.at += len(letter)
        return letter

    def take(self, letter: str) -> bool:
        found = self.peek() == letter
        self.at += found
        return found

    def rest(self) -> str:
        """The characters up to the next space."""
        return re.split(r"[ \t]", self.line[self.at :], maxsplit=1)[0]

    def error(self, message: str, column: int | None = None) -> DotDumpError:
        return DotDumpError(message, self.at + 1 if column is None else column)
