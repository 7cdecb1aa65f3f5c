"""Loads what callers pass to ``check`` and ``read``: dumps, truths and requests, as paths, bytes or loaded objects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from .entitlement.flags import Format, Qualifier
from .memory.source import ByteSource
from .readers.cab import read_cabinet
from .readers.identify import CABINET, KERNEL_DUMP, Identity
from .readers.identify import identify as identify_source
from .truth.load import RequestTruth, Truth, load_any_truth, load_request, load_request_file, parse_request

PathLike = str | os.PathLike[str]
DumpInput = PathLike | bytes | bytearray | memoryview | ByteSource
"""A path, the bytes of the file, or an open source."""
TruthInput = PathLike | Truth
"""A directory in the truth format, or a loaded truth."""
RequestInput = PathLike | Mapping[str, Any] | RequestTruth
"""A request.json, its JSON object, or a loaded request."""

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


_PREFIXES: Final = frozenset({"DEBUG_DUMP", "DEBUG_FORMAT", "DEBUG_FORMAT_USER_SMALL"})


class InputError(ValueError):
    """An argument cannot be used; the message is one line."""


def open_source(dump: DumpInput) -> ByteSource:
    """The bytes of ``dump``. Raises OSError for a path that cannot be opened."""
    if isinstance(dump, ByteSource):
        return dump
    if isinstance(dump, bytes | bytearray | memoryview):
        return ByteSource(dump, "the bytes")
    return ByteSource.open(Path(dump))


def identify(dump: DumpInput) -> Identity:
    """What a file is, by its first bytes: its kind, a description, and a few facts. Raises OSError."""
    source = open_source(dump)
    try:
        return identify_source(source)
    finally:
        if source is not dump:
            source.close()


def truth_of(truth: TruthInput | None) -> Truth | None:
    """The loaded truth. Raises TruthError."""
    return load_any_truth(Path(truth)) if isinstance(truth, str | os.PathLike) else truth


def request_of(
    request: RequestInput | None,
    *,
    beside: TruthInput | None = None,
    qualifier: str | int | None = None,
    flags: int | Iterable[str] = 0,
    profile: str | None = None,
) -> RequestTruth | None:
    """The request: the one given, one made of ``qualifier`` and ``flags``, or the request.json of the truth directory.

    ``qualifier`` is a number, ``DEBUG_DUMP_SMALL`` or ``small``; ``flags`` a number, or names such as
    ``DEBUG_FORMAT_USER_SMALL_HANDLE_DATA`` or ``handle-data``. Raises InputError for an unknown name or a request that
    is given twice, TruthError for a request.json that cannot be read.
    """
    if qualifier is not None:
        if request is not None:
            raise InputError("both a request and a qualifier are given: pass one of them")
        return _request_for(qualifier, flags, profile)
    if flags:
        raise InputError("flags are given without a qualifier: pass qualifier='small', or a request")
    if isinstance(request, Mapping):
        return parse_request(request)
    if isinstance(request, str | os.PathLike):
        return load_request_file(Path(request))
    if request is None and isinstance(beside, str | os.PathLike):
        return load_request(Path(beside))
    return request


def _request_for(qualifier: str | int, flags: int | Iterable[str], profile: str | None) -> RequestTruth:
    number = qualifier if isinstance(qualifier, int) else _value(qualifier, QUALIFIERS, "qualifier")
    value = 0
    if isinstance(flags, int):
        value = flags
    else:
        for name in [flags] if isinstance(flags, str) else flags:
            value |= _value(name, FLAGS, "format flag")
    names = {number: name for name, number in QUALIFIERS.items()}
    return RequestTruth(
        qualifier=names.get(number, str(number)),
        qualifier_value=number,
        format_flags=tuple(name for name, bit in FLAGS.items() if value & bit),
        format_flags_value=value,
        comment=None,
        profile=profile or "",
        file="",
    )


def _value(name: str, known: Mapping[str, int], what: str) -> int:
    """The number of a name: the full one, or its last part in any case, with hyphens or underscores."""
    wanted = name.upper().replace("-", "_")
    for full, value in known.items():
        if wanted == full or full.removesuffix(f"_{wanted}") in _PREFIXES:
            return value
    raise InputError(f"unknown {what} {name!r}; there are {', '.join(known)}")


def default_profile(source: ByteSource) -> str:
    """The profile of a dump without a request: ``portable`` for a kernel dump, else ``modern``."""
    kind = identify_source(source).kind
    if kind == CABINET:
        kind = next((inside for _, inside in read_cabinet(source).dumps()), kind)
    return "portable" if kind == KERNEL_DUMP else "modern"
