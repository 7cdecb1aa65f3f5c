"""Defines the access token of the program. The user is fixed, so that every run has the same bytes.

It is the token of a local standard user at medium integrity, as ``whoami /all`` shows it. Structures: winnt.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..snapshot.process import LuidAndAttributes, SidAndAttributes, Token
from .objects import KernelObject

TOKEN_PRIMARY, TOKEN_IMPERSONATION = 1, 2  # winnt.h TOKEN_TYPE
SECURITY_IMPERSONATION = 2  # winnt.h SECURITY_IMPERSONATION_LEVEL

_TOKEN_LUID, _LOGON_LUID, _MODIFIED_LUID = 0x31F4C7, 0x2B86D, 0x31F4D2
"""TOKEN_STATISTICS.TokenId, AuthenticationId, ModifiedId: locally unique numbers, which a real system counts up."""
_NEVER = 0x7FFF_FFFF_FFFF_FFFF
"""TOKEN_STATISTICS.ExpirationTime of a token that does not expire."""
_DYNAMIC_CHARGED = 0x1000
_SE_GROUP = 0x7  # winnt.h: MANDATORY, ENABLED_BY_DEFAULT, ENABLED
_SE_GROUP_LOGON_ID = 0xC0000000
_SE_GROUP_INTEGRITY = 0x60  # winnt.h: INTEGRITY, INTEGRITY_ENABLED
_SE_PRIVILEGE_ON = 0x3  # winnt.h: ENABLED_BY_DEFAULT, ENABLED

USER = "S-1-5-21-2127521184-1604012920-1887927527-1001"
_GROUPS = (  # winnt.h well-known SIDs
    ("S-1-5-21-2127521184-1604012920-1887927527-513", _SE_GROUP),  # the machine's "None"
    ("S-1-1-0", _SE_GROUP),  # Everyone
    ("S-1-5-32-545", _SE_GROUP),  # BUILTIN\Users
    ("S-1-5-4", _SE_GROUP),  # INTERACTIVE
    ("S-1-5-11", _SE_GROUP),  # Authenticated Users
    ("S-1-5-5-0-178284", _SE_GROUP | _SE_GROUP_LOGON_ID),
    ("S-1-2-0", _SE_GROUP),  # LOCAL
    ("S-1-16-8192", _SE_GROUP_INTEGRITY),  # medium
)
_PRIVILEGES = ((19, 0), (23, _SE_PRIVILEGE_ON), (25, 0), (33, 0), (34, 0))
"""wdm.h SE_*_PRIVILEGE: shutdown, change notify, undock, increase working set, time zone."""


def sid(text: str) -> bytes:
    """A binary SID (winnt.h SID): revision, count, authority (big-endian), sub-authorities. Raises ValueError."""
    letter, revision, authority, *sub_authorities = text.split("-")
    if letter != "S" or len(sub_authorities) > 15:
        raise ValueError(f"{text}: not a SID")
    return (
        struct.pack("<BB", int(revision), len(sub_authorities))
        + int(authority).to_bytes(6, "big")
        + struct.pack(f"<{len(sub_authorities)}I", *map(int, sub_authorities))
    )


@dataclass(eq=False)
class TokenObject(KernelObject):
    """An access token."""

    type_name = "Token"
    all_access = 0xF01FF
    read_access, write_access, execute_access = 0x20008, 0x200E0, 0x20000
    waitable = False


def token_of(owner: int, handle: int, token_type: int = TOKEN_PRIMARY) -> Token:
    """The token as a debugger reads it. ``owner`` is the id of the process or of the impersonating thread."""
    impersonation = SECURITY_IMPERSONATION if token_type == TOKEN_IMPERSONATION else 0
    statistics = struct.pack(
        "<QQqIIIIIIQ",
        _TOKEN_LUID, _LOGON_LUID, _NEVER, token_type, impersonation, _DYNAMIC_CHARGED, 0,
        len(_GROUPS), len(_PRIVILEGES), _MODIFIED_LUID,
    )  # fmt: skip
    return Token(
        token_id=owner,
        handle=handle,
        token_type=token_type,
        user=SidAndAttributes(sid(USER), 0),
        groups=tuple(SidAndAttributes(sid(text), attributes) for text, attributes in _GROUPS),
        privileges=tuple(LuidAndAttributes(luid, attributes) for luid, attributes in _PRIVILEGES),
        statistics=statistics,
    )
