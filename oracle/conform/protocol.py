"""Writes the requests of the conformance protocol 1.3 and parses its answers (docs/conform-protocol.md)."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from ..shown import shown
from .catalog import catalog

PROTOCOL: Final = "dumptruth-conform"
VERSION: Final = 1

WRITTEN, REFUSED, READ, REJECTED, SKIPPED = "written", "refused", "read", "rejected", "skipped"
DUMP_KINDS: Final = ("minidump", "userdump", "complete", "kernel", "active", "small", "header", "raw")
"""Values of the fact ``dump_kind``."""
_WRITER_RESULTS: Final = (WRITTEN, REFUSED, SKIPPED)
_READER_RESULTS: Final = (READ, REJECTED, SKIPPED)
_MEMBERS: Final = {"case", "result", "reason", "hresult", "facts"}


class ProtocolError(Exception):
    """An answer breaks the protocol. The text is one line: the answer, what was expected."""


@dataclass(frozen=True, slots=True)
class Answer:
    result: str
    reason: str = ""
    hresult: int | None = None
    facts: dict[str, Any] | None = None


def writer_request(case: str, truth: Path, request: dict[str, Any], output: Path) -> dict[str, Any]:
    return _message("writer", case, truth=str(truth), request=request, output=str(output))


def reader_request(case: str, file: Path) -> dict[str, Any]:
    return _message("reader", case, file=str(file), facts=list(catalog()))


def _message(role: str, case: str, **members: object) -> dict[str, Any]:
    return {"protocol": PROTOCOL, "version": VERSION, "role": role, "case": case, **members}


def request_line(message: dict[str, Any]) -> bytes:
    """A request as the command gets it, without the line feed."""
    return json.dumps(message, ensure_ascii=True).encode("ascii")


def writer_answer(line: bytes, case: str) -> Answer:
    """Raises ProtocolError."""
    return _answer(line, case, _WRITER_RESULTS)


def reader_answer(line: bytes, case: str) -> Answer:
    """Raises ProtocolError."""
    answer = _answer(line, case, _READER_RESULTS)
    if answer.result == READ and answer.facts is None:
        _fail("result read without member facts", "the member facts")
    return answer


def only_line(output: bytes) -> bytes:
    """The only line of ``output``. Raises ProtocolError if there is none, or more than one."""
    line, _, rest = output.lstrip(b"\r\n").partition(b"\n")
    if rest.strip():
        _fail(f"a second line, {_shown(rest.strip())}", "one line for one case")
    if not line.strip():
        _fail("no answer", "one line of JSON on standard output")
    return line


def _answer(line: bytes, case: str, results: Collection[str]) -> Answer:
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        _fail(f"byte {line[error.start]:#x} at {error.start}", "UTF-8")
    except (ValueError, RecursionError) as error:
        _fail(f"{_shown(line)} ({_reason(error)})", "JSON")
    if not isinstance(message, dict):
        _fail(_shown(line), "an object")
    if message.get("case") != case:
        _fail(f"case {_short(message.get('case'))}", f"{case!r}, the case of the request")
    result = message.get("result")
    if not isinstance(result, str) or result not in results:
        _fail(f"result {_short(result)}", " or ".join(results))
    if unknown := sorted(set(message) - _MEMBERS):
        _fail(f"member {_short(unknown[0])}", ", ".join(sorted(_MEMBERS)))
    reason = message.get("reason")
    if not isinstance(reason, str | None):
        _fail(f"reason {_short(reason)}", "text")
    facts = message.get("facts")
    if not isinstance(facts, dict | None):
        _fail(f"facts {_short(facts)}", "an object")
    return Answer(result, _one_line(reason or ""), _hresult(message.get("hresult")), facts)


def _hresult(value: object) -> int | None:
    if value is None:
        return None
    try:
        number = int(value, 16) if isinstance(value, str) and value[:2] == "0x" else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFFFFFF:
        _fail(f"hresult {_short(value)}", 'a string such as "0x80070057", or null')
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _reason(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else _one_line(str(error))


def _shown(data: bytes) -> str:
    text = data[:60].decode("utf-8", "replace")
    return shown(repr(text)) + ("..." if len(data) > 60 else "")


def _short(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} of great depth"
    return _one_line(text if len(text) <= 60 else text[:57] + "...")


def _one_line(text: str) -> str:
    return shown(text)[:300]


def _fail(actual: str, expected: str) -> NoReturn:
    raise ProtocolError(f"answered {actual}: expected {expected}")
