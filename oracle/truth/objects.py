"""Function tables, handle operations and access tokens of a truth, and user streams of a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from .members import U32, Bytes, Wide, array, byte_string, fail, number, shown, wide


@dataclass(frozen=True, slots=True)
class FunctionEntryTruth:
    """winnt.h RUNTIME_FUNCTION of amd64: addresses relative to the table's base."""

    begin_address: U32
    end_address: U32
    unwind_data: U32


@dataclass(frozen=True, slots=True)
class FunctionTableTruth:
    """A table of functions that a program generated and registered with the system."""

    minimum_address: Wide
    maximum_address: Wide
    base_address: Wide
    native: Bytes
    """The bytes of the system's own descriptor, DYNAMIC_FUNCTION_TABLE of ntdll."""
    entries: tuple[FunctionEntryTruth, ...]


@dataclass(frozen=True, slots=True)
class HandleOperationTruth:
    """avrfsdk.h AVRF_HANDLE_OPERATION."""

    handle: Wide
    process_id: U32
    thread_id: U32
    # avrfsdk.h eHANDLE_TRACE_OPERATIONS: OperationDbOPEN 1, OperationDbCLOSE 2, OperationDbBADREF 3
    operation_type: Annotated[int, number(32, among=(1, 2, 3))]
    index: U32
    # avrfsdk.h AVRF_MAX_TRACES
    return_addresses: Annotated[tuple[int, ...], array(wide, most=32)]


@dataclass(frozen=True, slots=True)
class SidTruth:
    """winnt.h SID_AND_ATTRIBUTES."""

    sid: Bytes
    attributes: U32


@dataclass(frozen=True, slots=True)
class PrivilegeTruth:
    """winnt.h LUID_AND_ATTRIBUTES."""

    luid: Wide
    attributes: U32


@dataclass(frozen=True, slots=True)
class TokenTruth:
    """An access token."""

    token_id: U32
    """The process id for a primary token, the thread id for an impersonation token."""
    handle: Wide
    token_type: Annotated[int, number(32, among=(1, 2))]
    """winnt.h TOKEN_TYPE: TokenPrimary 1, TokenImpersonation 2."""
    user: SidTruth
    groups: tuple[SidTruth, ...]
    privileges: tuple[PrivilegeTruth, ...]
    # winnt.h TOKEN_STATISTICS
    statistics: Annotated[bytes, byte_string(56)]


@dataclass(frozen=True, slots=True)
class UserStreamTruth:
    """minidumpapiset.h MINIDUMP_USER_STREAM: a stream that the caller passed."""

    type: U32
    data: Bytes


def check_function_tables(tables: tuple[FunctionTableTruth, ...], architecture: str, where: str) -> None:
    """Raises TruthError for tables that no process can have."""
    if tables and architecture != "amd64":
        fail(where, f"none on {architecture}: the entries have the layout of amd64", str(len(tables)))
    for index, table in enumerate(tables):
        if table.maximum_address < table.minimum_address:
            expected = f"at least minimum_address, {table.minimum_address:#x}"
            fail(f"{where}[{index}].maximum_address", expected, f"{table.maximum_address:#x}")
    for index, (before, table) in enumerate(pairwise(tables), 1):
        if len(table.native) != len(before.native):
            fail(f"{where}[{index}].native", f"{len(before.native)} bytes, as in all tables", str(len(table.native)))


def check_image_files(bases: Sequence[int] | None, known: Iterable[int], of: str, where: str) -> None:
    """Raises TruthError unless each base is in ``known`` and occurs once. ``of`` is ``module`` or ``driver``."""
    every = set(known)
    left = set(every)
    for index, base in enumerate(bases or ()):
        if base not in every:
            fail(f"{where}[{index}]", f"the base of a {of}", f"{base:#x}")
        if base not in left:
            fail(f"{where}[{index}]", "each base once", f"{base:#x} again")
        left.remove(base)


def check_tokens(tokens: tuple[TokenTruth, ...], where: str) -> None:
    """Raises TruthError for a malformed SID."""
    for index, token in enumerate(tokens):
        check_sid(token.user.sid, f"{where}[{index}].user.sid")
        for at, group in enumerate(token.groups):
            check_sid(group.sid, f"{where}[{index}].groups[{at}].sid")


def check_sid(sid: bytes, where: str) -> None:
    """Raises TruthError unless ``sid`` is a SID of winnt.h: Revision 1, SubAuthorityCount up to 15,
    IdentifierAuthority[6], then the sub-authorities.
    """
    if len(sid) < 8 or sid[0] != 1 or sid[1] > 15 or len(sid) != 8 + 4 * sid[1]:
        found = shown(sid.hex()) if sid else "no bytes"
        fail(where, "a SID of revision 1 whose length matches its SubAuthorityCount", found)
