"""The command ``.dump`` as the engines parse it (docs/format/dot-dump.md#parsing-of-the-line).

``execute`` is IDebugControl::Execute for this one command. The letters are data of the contract. The documented forms,
with errors that name letter and column, are in ``dot_dump``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..constants import FormatFlag, Hresult, Qualifier
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import ProcessSnapshot
from .client import DebugClient, DumpWriteError
from .contract import CONTRACTS, ERROR_IN_LINE, Letters
from .dot_dump import SOURCES, number_of, unique_name
from .stored_event import EventSource, with_event

_F, _Q = FormatFlag, Qualifier
_SPACE = " \t"
_PARTIAL = _F.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES
_IGNORE = _F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM
_NO_IGNORE = _F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM


class _EndedError(Exception):
    """The command ends without a dump. ``rest``: whether the rest of the line is an error, too."""

    def __init__(self, text: str, *, rest: bool = False, failed: bool = True) -> None:
        super().__init__(text)
        self.text = text
        self.rest = rest
        self.failed = failed


@dataclass
class _Command:
    """What the line asks for."""

    kind: str = "m"
    flags: int = 0
    letters: int = 0
    unique: bool = False
    all_targets: bool = False
    comment: str | None = None
    source: dict[str, int] = field(default_factory=dict)
    name: str = ""


def execute(client: DebugClient, line: str) -> int:
    """Run ``line``, a ``.dump`` command, and return the HRESULT of Execute. What is printed is in ``client.output``.

    S_OK also if the dump could not be written; ``client.last_error`` says so. A command behind ``;`` is not run.
    Raises ValueError if the contract has the documented forms only.
    """
    letters = CONTRACTS[client.contract].letters
    if letters is None:
        raise ValueError("the documented contract parses the line with dot_dump.parse")
    client.last_error, client.last_warnings, client.output = None, (), ""
    reader = _Reader(line, letters, kernel=client.snapshot is not None and client.snapshot.mode == "kernel")
    try:
        command = reader.command()
    except _EndedError as ended:
        client.output = reader.printed + ended.text
        if ended.rest and reader.rest():
            client.output += reader.complaint("Extra character error")
            return ERROR_IN_LINE
        return ERROR_IN_LINE if ended.failed and not ended.rest else Hresult.S_OK
    _write(client, command, kernel=reader.kernel)
    client.output = reader.printed + client.output
    if reader.rest() and not reader.rest().startswith(";"):
        client.output += reader.complaint("Extra character error")
        return ERROR_IN_LINE
    return Hresult.S_OK


def _write(client: DebugClient, command: _Command, *, kernel: bool) -> None:
    snapshot = client.snapshot
    name, flags = command.name, command.flags
    if command.unique and snapshot is not None:
        name = unique_name(name, snapshot)
    qualifier = _qualifier(client, command, kernel=kernel)
    if command.kind == "m":
        flags |= command.letters
    request = client.request(qualifier, flags, command.comment)
    try:
        client.snapshot = _with_event(snapshot, command.source)
        result = client.write_request(name, 0, request, command=True)
    except DumpWriteError as error:
        client.last_error = str(error)
    else:
        client.last_warnings = result.warnings
    finally:
        client.snapshot = snapshot


def _qualifier(client: DebugClient, command: _Command, *, kernel: bool) -> int:
    letters = CONTRACTS[client.contract].letters
    assert letters is not None
    if command.kind == "f" and not kernel:
        return _Q.DEBUG_DUMP_DEFAULT
    return letters.kinds[command.kind]


def _with_event(
    snapshot: ProcessSnapshot | KernelSnapshot | None, source: dict[str, int]
) -> ProcessSnapshot | KernelSnapshot | None:
    """Return the target with the event of ``source``. The engine writes the dump anyway if it cannot read one."""
    if snapshot is None or snapshot.mode == "kernel":
        return snapshot
    try:
        return with_event(snapshot, EventSource(**{name: value for name, value in source.items() if value}))
    except DumpRefused:
        return snapshot


class _Reader:
    """Reads a line from left to right; ``at`` is the index of the next character."""

    def __init__(self, line: str, letters: Letters, *, kernel: bool) -> None:
        self.line = line
        self.at = 0
        self.printed = ""
        self.kernel = kernel
        self._letters = letters
        self._ended_at = len(line)
        """The engine ends a word in place. Its messages show the line up to the first end."""

    def command(self) -> _Command:
        found = _Command(flags=int(_F.DEBUG_FORMAT_NO_OVERWRITE))
        self.at = len(self.line) - len(self.line.lstrip(_SPACE)) + len(".dump")
        while self.rest()[:1] in ("/", "-"):
            self.at = self._next() + 1
            self._option(found, self._take())
        self._name(found)
        if found.all_targets and not found.unique:
            raise _EndedError(self.usage(), failed=False)
        if found.letters & _PARTIAL and not found.letters & _IGNORE:
            needs = "/P (scan partial pages) requires /A (ignore inaccessible memory)"
            raise _EndedError(needs + self.usage(), failed=False)
        if found.letters & _IGNORE and found.letters & _NO_IGNORE:
            raise _EndedError("Cannot use /A and /N together\n" + self.usage(), failed=False)
        return found

    def _option(self, found: _Command, letter: str) -> None:
        if letter in self._letters.syntax_error and not (letter == "x" and f"x{self._peek()}" in SOURCES):
            raise _EndedError(self.complaint("Syntax error"))
        if letter == "o":
            found.flags &= ~_F.DEBUG_FORMAT_NO_OVERWRITE
        elif letter == "u":
            found.unique = True
        elif letter == "a":
            found.all_targets = True
        elif letter == "b":
            found.flags |= _F.DEBUG_FORMAT_WRITE_CAB
            if self._taken("a"):
                found.flags |= _F.DEBUG_FORMAT_CAB_SECONDARY_FILES
        elif letter == "c":
            found.comment = self._word()
        elif letter == "j":
            found.source["jit"] = self._number("JIT_DEBUG_INFO address")
        elif letter == "x":
            source = SOURCES[f"x{self._take()}"]
            found.source[source] = self._number("address")
        elif letter == "k" and self.line.startswith("pmf", self.at):
            self.at += 3
            self._word()
        elif letter in self._letters.kinds:
            self._kind(found, letter)
        else:
            unknown = f"Unknown option '{letter}'\n" if letter != "?" else ""
            raise _EndedError(unknown + self.usage(), rest=True)

    def _kind(self, found: _Command, letter: str) -> None:
        if letter == "f" and not self.kernel:
            self.printed += self._letters.user_full
            if self._letters.user_full_refused:
                raise _EndedError(self.usage(), rest=True)
        found.kind = "ka" if letter == "k" and self._taken("a") else letter
        if letter != "m":
            return
        if self.kernel and self._peek() not in ("", "/", "-", *_SPACE):
            raise _EndedError(self.usage(), rest=True)
        while self._peek() and self._peek() in self._letters.user:
            found.letters |= self._letters.user[self._take()]
        if self._taken("k"):  # takes a text; no effect is known
            if self.rest()[:1] != '"':
                raise _EndedError(self.complaint("Quotes required"))
            self._word()

    def _name(self, found: _Command) -> None:
        if self.rest()[:1] == '"':
            found.name = self._word()
            return
        start = self._next()
        self.at = self.line.find(";", start) if ";" in self.line[start:] else len(self.line)
        found.name = self.line[start : self.at].rstrip(_SPACE)
        if not found.name:
            raise _EndedError(self.complaint("Non-empty string required"))

    def _word(self) -> str:
        """Take a word, or a text in quotation marks. Raises _EndedError if there is none."""
        self.at = self._next()
        quoted = self._peek() == '"'
        start = self.at + quoted
        end = start
        while end < len(self.line) and not (self.line[end] == '"' if quoted else self.line[end] in _SPACE):
            end += 2 if quoted and self.line.startswith('\\"', end) else 1
        if quoted and end >= len(self.line):
            raise _EndedError(self.complaint("Trailing quote missing"))
        if end == start:
            raise _EndedError(self.complaint("Non-empty string required"))
        self._ended_at = min(self._ended_at, end)
        self.at = end + quoted
        return self.line[start:end].replace('\\"', '"') if quoted else self.line[start:end]

    def _number(self, what: str) -> int:
        rest = self.rest()
        if not rest:
            raise _EndedError(f"{what} missing from '<EOL>'\n")
        word = rest.replace("\t", " ").split(" ", 1)[0]
        value = number_of(word)
        if value is None:
            raise _EndedError(f"Couldn't resolve error at '{rest}'\n")
        self.at = self._next() + len(word)
        return value

    def usage(self) -> str:
        """The list of options, in our words."""
        kinds = "".join(f"  /{kind}\n" for kind in self._letters.kinds if self.kernel or kind == "m")
        letters = "" if self.kernel else f"  /m{''.join(sorted(self._letters.user))}\n"
        return f"Usage: .dump [options] filename\n  /a /b[a] /c <comment> /j <address> /o /u\n{kinds}{letters}"

    def complaint(self, what: str) -> str:
        """The message for the place where the line is wrong."""
        return f"^ {what} in '{self.line[: self._ended_at]}'\n"

    def rest(self) -> str:
        """The line from the next character that is no space."""
        return self.line[self._next() :]

    def _next(self) -> int:
        return len(self.line) - len(self.line[self.at :].lstrip(_SPACE))

    def _peek(self) -> str:
        return self.line[self.at : self.at + 1]

    def _take(self) -> str:
        letter = self._peek()
        self.at += len(letter)
        return letter

    def _taken(self, letter: str) -> bool:
        found = self._peek() == letter
        self.at += found
        return found
