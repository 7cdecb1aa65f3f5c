"""Names the system of a target by its version, build and product."""

from __future__ import annotations

from typing import Final

from .tables import numbered, toml

WORKSTATION: Final = 1
"""ProductType: VER_NT_WORKSTATION, winnt.h."""
WINDOWS_NT: Final = 2
"""PlatformId: VER_PLATFORM_WIN32_NT, winnt.h."""


def product(number: int) -> str | None:
    """``workstation``, ``domain controller`` or ``server``; None for another ProductType."""
    return numbered("systems", "products").get(number)


def platform(number: int) -> str | None:
    """The name of a system other than Windows NT, by PlatformId."""
    return numbered("systems", "platforms").get(number)


def windows(version: tuple[int, int] | None, build: int, product_type: int, *, kernel: bool = False) -> str | None:
    """``Windows 11 24H2``; None if nothing is known of the version and the build.

    ``version`` is None if only the build is known. ``kernel``: the build is the kernel's own, which several systems
    share. An unknown ProductType counts as a workstation, unless the build has no client.
    """
    build &= 0xFFFF  # old writers set the bits 0xF0000000 of a final build
    server = product(product_type) is not None and product_type != WORKSTATION
    row = numbered("systems", "builds").get(build)
    if row is not None and version != (0, 0):
        client: str | None = row.get("core" if kernel else "client") or row.get("client")
        of_server: str | None = row.get("server")
        return (of_server or client) if server else (client or of_server)
    if version is None:
        version = _version_of(build)
    for first, *names in toml("systems")["versions"].get("{}.{}".format(*version), ()):
        if build >= first:
            return f"{names[server]}, build {build}"
    return None


def _version_of(build: int) -> tuple[int, int]:
    return (10, 0) if build >= 10240 else (0, 0)
