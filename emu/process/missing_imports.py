"""Imports that no image exports.

Windows refuses to start such a program. Here a program runs until it calls a missing function: many programs never call
all that they import. The error then names every missing import of the process, so that one run tells them all.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMED = 20
"""The most further imports that an error names."""


@dataclass(frozen=True, slots=True)
class MissingImport:
    """``importer`` imports ``imported`` (``KERNEL32.dll!Foo``), which no image exports."""

    importer: str
    imported: str
    dll_found: bool = True
    """Whether there is a DLL of that name at all."""

    @property
    def dll(self) -> str:
        return self.imported.partition("!")[0]

    def __str__(self) -> str:
        why = "which no image exports" if self.dll_found else f"but there is no {self.dll}"
        return f"{self.importer} imports {self.imported}, {why}"


def describe(missing: list[MissingImport], called: MissingImport) -> str:
    """One line for the import that the program called, and for the others that are missing."""
    others = [name for name in dict.fromkeys(one.imported for one in missing) if name != called.imported]
    if not others:
        return str(called)
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return f"{called}; missing as well: {', '.join(others[:NAMED])}{more}"
