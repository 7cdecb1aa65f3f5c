"""Loads what callers demand of a dump: a truth and a request, as paths, names, JSON objects or loaded objects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from .entitlement.flags import Format, Qualifier
from .inputs import InputError, PathLike, wrong_type
from .truth.load import (
    KernelTruth,
    ProcessTruth,
    RequestTruth,
    Truth,
    TruthError,
    load_any_truth,
    load_request,
    load_request_file,
    parse_request,
)

TruthInput = PathLike | Truth
"""A directory in the truth format, or a loaded truth."""
RequestInput = PathLike | Mapping[str, Any] | RequestTruth
"""A request.json, its JSON object, or a loaded request."""
FlagsInput = int | str | Iterable[str | int]
"""Format flags: a number, a name, or several of them, which are combined with OR."""

QUALIFIERS: Final = {
    **{f"DEBUG_DUMP_{item.name}": int(item) for item in Qualifier},
    "DEBUG_DUMP_ACTIVE": 1030,
}
"""DbgEng.h DEBUG_DUMP_*: docs/format/write-dump-file.md#qualifiers."""
FLAGS: Final = {
    **{f"DEBUG_FORMAT_USER_SMALL_{item.name}": int(item) for item in Format},
    "DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES": 0x10000000,
    "DEBUG_FORMAT_WRITE_CAB": 0x20000000,
    "DEBUG_FORMAT_CAB_SECONDARY_FILES": 0x40000000,
    "DEBUG_FORMAT_NO_OVERWRITE": 0x80000000,
}
"""DbgEng.h DEBUG_FORMAT_*: docs/format/write-dump-file.md#format-flags-of-every-dump."""
CONTRACTS: Final = ("documented", "e15063", "e29507")
SESSIONS: Final = ("live", "dump")
"""docs/truth-format.md#requestjson"""
PROFILES: Final = ("modern", "legacy", "refuse", "portable", "classic", "bitmap", "ranges", "header")
"""docs/truth-format.md#requestjson"""

_PREFIXES: Final = frozenset({"DEBUG_DUMP", "DEBUG_FORMAT", "DEBUG_FORMAT_USER_SMALL"})


def truth_of(truth: TruthInput | None) -> Truth | None:
    """The loaded truth. Raises TruthError, which names the directory."""
    if truth is None or isinstance(truth, ProcessTruth | KernelTruth):
        return truth
    if isinstance(truth, str | os.PathLike):
        try:
            return load_any_truth(Path(truth))
        except TruthError as error:
            raise TruthError(f"{os.fspath(truth)}: {error}") from error
    raise wrong_type("truth", "a directory or a loaded truth", truth)


def request_of(
    request: RequestInput | None,
    *,
    beside: TruthInput | None = None,
    qualifier: str | int | None = None,
    flags: FlagsInput = 0,
) -> RequestTruth | None:
    """The request: the one given, one made of ``qualifier`` and ``flags``, or the request.json of the truth directory.

    ``qualifier`` is a number, ``DEBUG_DUMP_SMALL`` or ``small``; ``flags`` a number, or names such as
    ``DEBUG_FORMAT_USER_SMALL_HANDLE_DATA`` or ``handle-data``. Raises InputError for an unknown name or a request that
    is given twice, TruthError for a request.json that cannot be read.
    """
    value = _flags_value(flags)
    if qualifier is not None:
        if request is not None:
            raise InputError("both a request and a qualifier are given: pass one of them")
        return _request_for(_value(qualifier, QUALIFIERS, "qualifier"), value)
    if value:
        raise InputError("flags are given without a qualifier: pass qualifier='small', or a request")
    if request is None:
        if beside is None or not isinstance(beside, str | os.PathLike):
            return None
        return _loaded_request(Path(beside))
    if isinstance(request, RequestTruth):
        return request
    if isinstance(request, Mapping):
        return parse_request(dict(request))
    if isinstance(request, str | os.PathLike):
        return _loaded_request(Path(request).parent, Path(request))
    raise wrong_type("request", "a request.json, its JSON object or a loaded request", request)


def _loaded_request(folder: Path, file: Path | None = None) -> RequestTruth | None:
    """The request in ``file``, else in the request.json of ``folder``. Raises TruthError, which names the folder."""
    try:
        return load_request(folder) if file is None else load_request_file(file)
    except TruthError as error:
        raise TruthError(f"{folder}: {error}") from error


def _request_for(qualifier: int, flags: int) -> RequestTruth:
    """A request with an empty profile."""
    names = {number: name for name, number in QUALIFIERS.items()}
    return RequestTruth(
        qualifier=names.get(qualifier, str(qualifier)),
        qualifier_value=qualifier,
        format_flags=tuple(name for name, bit in FLAGS.items() if flags & bit),
        format_flags_value=flags,
        comment=None,
        profile="",
        file="",
    )


def _flags_value(flags: FlagsInput) -> int:
    value = 0
    for item in (flags,) if isinstance(flags, int | str) else flags:
        value |= _value(item, FLAGS, "format flag")
    return value


def _value(given: str | int, known: Mapping[str, int], what: str) -> int:
    """The number, or that of a name: the full name, or its last part in any case, with hyphens or underscores."""
    if isinstance(given, int):
        if not 0 <= given < 1 << 32:
            raise InputError(f"{what} {given}: expected a number of 32 bits")
        return int(given)
    if not isinstance(given, str):
        raise wrong_type(what, "a name or a number", given)
    wanted = given.strip().upper().replace("-", "_")
    for full, value in known.items():
        if wanted == full or full.removesuffix(f"_{wanted}") in _PREFIXES:
            return value
    raise InputError(f"unknown {what} {given!r}: expected a number or one of {', '.join(known)}")


def known_profile(profile: str) -> str:
    """Raises InputError for an unknown profile."""
    if profile not in PROFILES:
        raise InputError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    return profile


def under(request: RequestTruth | None, contract: str | None, session: str | None) -> RequestTruth | None:
    """The request under another contract and session. None keeps its own. Raises InputError for an unknown name."""
    for what, given, known in (("contract", contract, CONTRACTS), ("session", session, SESSIONS)):
        if given is not None and given not in known:
            raise InputError(f"unknown {what} {given!r}: expected one of {', '.join(known)}")
    if request is None:
        return None
    return replace(request, contract=contract or request.contract, session=session or request.session)


def patterns(names: str | Iterable[str]) -> tuple[str, ...]:
    """The patterns of ``select`` or ``skip``. A text is one pattern."""
    return (names,) if isinstance(names, str) else tuple(names)
