"""Writes a compiled resource file (.res) with one version resource, because `zig rc` takes a minute to start.

Layout: Microsoft's reference pages "Resource File Formats" (RESOURCEHEADER) and "VS_VERSIONINFO". Constants: winver.h.
"""

from __future__ import annotations

import struct

RT_VERSION = 16
VS_FFI_SIGNATURE = 0xFEEF04BD
VS_FFI_STRUCVERSION = 0x00010000
VS_FFI_FILEFLAGSMASK = 0x3F
VOS_NT_WINDOWS32 = 0x00040004
VFT_APP, VFT_DLL, VFT_DRV = 1, 2, 3
LANGUAGE_US_ENGLISH = 0x0409
CODE_PAGE_UNICODE = 0x04B0


def version_resource(name: str, description: str, version: tuple[int, int, int, int], *, kind: int = VFT_DLL) -> bytes:
    """The .res file of the image `name`. `version` (four 16-bit numbers) is its file and product version."""
    text = ".".join(map(str, version))
    strings = [
        ("CompanyName", "The dumptruth authors"),
        ("FileDescription", description),
        ("FileVersion", text),
        ("InternalName", name),
        ("OriginalFilename", name),
        ("ProductName", "dumptruth synthetic system"),
        ("ProductVersion", text),
    ]
    table = b"".join(_padded(_text_node(key, value)) for key, value in strings)
    string_table = _node(f"{LANGUAGE_US_ENGLISH:04X}{CODE_PAGE_UNICODE:04X}", b"", table, text=True)
    translation = _node("Translation", struct.pack("<HH", LANGUAGE_US_ENGLISH, CODE_PAGE_UNICODE), b"", text=False)
    children = _padded(_node("StringFileInfo", b"", string_table, text=True))
    children += _node("VarFileInfo", b"", translation, text=True)
    high, low = version[0] << 16 | version[1], version[2] << 16 | version[3]
    fixed = struct.pack("<6I", VS_FFI_SIGNATURE, VS_FFI_STRUCVERSION, high, low, high, low)
    fixed += struct.pack("<7I", VS_FFI_FILEFLAGSMASK, 0, VOS_NT_WINDOWS32, kind, 0, 0, 0)
    data = _node("VS_VERSION_INFO", fixed, children, text=False)
    return _entry(0, 0, 0, b"") + _entry(RT_VERSION, 1, LANGUAGE_US_ENGLISH, data)


def _entry(kind: int, identifier: int, language: int, data: bytes) -> bytes:
    """A RESOURCEHEADER of 32 bytes, with ordinals as names, and its data. A .res file begins with an empty entry."""
    flags = 0x30 if data else 0  # MOVEABLE | PURE, as resource compilers write for versions
    head = struct.pack("<IIHHHHIHHII", len(data), 32, 0xFFFF, kind, 0xFFFF, identifier, 0, flags, language, 0, 0)
    return _padded(head + data)


def _text_node(key: str, value: str) -> bytes:
    raw = (value + "\0").encode("utf-16-le")
    return _node(key, raw, b"", text=True)


def _node(key: str, value: bytes, children: bytes, *, text: bool) -> bytes:
    """One block of VS_VERSIONINFO: lengths, type, key, value, children. A text's length counts characters."""
    body = _padded(struct.pack("<HHH", 0, 0, text) + (key + "\0").encode("utf-16-le")) + value
    if children:
        body = _padded(body) + children
    return struct.pack("<HH", len(body), len(value) // 2 if text else len(value)) + body[4:]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
