"""Where the engine and the truth differ, and why: the disagreements and complaints that a run may have.

The first row that matches counts. A row of the engine names the version that has the fault; another version must not
have it. No row is a fault of this project.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from .engine_facts import Fact

E15063: Final = "15063"
ENGINE: Final = "engine"
"""Every version."""
HARNESS: Final = "harness"
"""The test gives the engine no symbols, images or extensions."""
BARE: Final = "bare"
"""A process that is made by hand has no loader lists. The engine looks for the modules of a USERDUMP there, and not in
the module list of the file."""
BARE_DUMPS: Final = ("by-hand/*", "legacy/*", "user/default-legacy/synthetic")
"""The USERDUMP files of such processes."""


@dataclass(frozen=True)
class Known:
    fact: str
    """A pattern of names of facts: * and ? and [...]."""
    whose: str
    reason: str
    dumps: str = "*"
    """A pattern of names of dumps."""
    beside: str = ""
    """Only in a dump in which this fact disagrees, too."""
    said: str = ".*"
    """A regular expression for what the engine says."""

    def matches(self, dump: str, fact: Fact, wrong: Collection[str], version: str) -> bool:
        return (
            fnmatchcase(fact.name, self.fact)
            and fnmatchcase(dump, self.dumps)
            and (not self.beside or self.beside in wrong)
            and (self.whose in (ENGINE, HARNESS, BARE) or f".{self.whose}." in version)
            and re.fullmatch(self.said, str(fact.said), re.DOTALL) is not None
        )


# docs/format/engine.md#what-a-target-must-have
DIFFERENCES: Final = (
    Known("thread.name", E15063, "it does not know the stream ThreadNames", said="None"),
    Known(
        "module.name", ENGINE, "empty, over-long or undecodable names get a name of its own", said="Unknown_Module_.*"
    ),
    Known("unloaded", ENGINE, "empty names get a name of its own", said=".*Unknown_Module_.*"),
    *(Known("modules.bases", BARE, "no loader lists", dumps=dumps, said=r"\[\]") for dumps in BARE_DUMPS),
    Known(
        "processor.context.fxsave",
        ENGINE,
        "KdSecondaryVersion 0 or fill: it takes the context for the form with the float area 0x100 further",
    ),
    Known("kdbg.0x2f8", ENGINE, "it sets the privilege level 3 in the user selectors"),
    Known("kdbg.0x300", ENGINE, "it sets the privilege level 3 in the user selectors"),
    *(
        Known(
            f"thread.{name}",
            ENGINE,
            "FILTER_TRIAGE fills EFlags with 0xAA, whose VM bit makes it read the addresses of virtual-8086 mode",
            dumps="user/flags/x86/*triage",
        )
        for name in ("instruction", "stack")
    ),
    Known("blobs", ENGINE, "an all-zero tag ends the list of build 9600, and it lists it", said=r"\[\('0{32}', ''\)\]"),
)

REFUSALS: Final = {
    "type-3": (ENGINE, "it refuses a header alone"),
    "type-8": (E15063, "it is older than types 8 to 10"),
    "type-9": (E15063, "it is older than types 8 to 10"),
    "type-10": (E15063, "it is older than types 8 to 10"),
}
"""Kind of a dump that is refused -> whose fault it is, and why."""

UNREAD: Final = (
    (
        "kernel/beyond/five-levels/*",
        E15063,
        "it walks four levels of page tables, and so finds nothing in virtual memory",
    ),
)
"""Dumps whose memory the engine cannot read, by a pattern of names: whose fault it is, and why. Nothing is compared."""

COMPLAINT: Final = re.compile(
    r"warning|error|unable|cannot|could not|fail|partially valid|is null|corrupt|missing|invalid", re.IGNORECASE
)
"""A line that may be a complaint."""
COMPLAINTS: Final = (
    (HARNESS, r"symbols? (could not|file could not)|Symbol (file|Loading Error)|symbol file could not", "no symbols"),
    (HARNESS, r"Module load completed but symbols could not be loaded", "no symbols"),
    (HARNESS, r"PDB not found|The system cannot find the file specified|Module name +Error", "no symbols"),
    (HARNESS, r"Unable to (verify timestamp|load image)", "no images"),
    (HARNESS, r"Unable to add extension DLL|LoadLibrary\(\w+\) failed|File not found", "no extensions"),
    (HARNESS, r"troubleshoot most symbol related issues", "no symbols"),
    (HARNESS, r"In-page I/O error", "the event itself"),
    (ENGINE, r"Cannot read PEB32 from WOW64 TEB32", "a small dump has no PEB of the 32-bit process"),
    (HARNESS, r"^Arguments |Bugcheck (code|Analysis)|code c0000409", "the event itself"),
    (E15063, r"unknown stream type 0x18", "it does not know the stream ThreadNames"),
    (ENGINE, r"unknown stream type 0x[0-9a-fA-F]+", "a user stream"),
    (ENGINE, r"Missing image name|Image path too long", "an empty or a very long name, as the vector wants"),
    (E15063, r"Invalid mini-dump Misellaneous information", "XSTATE features in MiscInfo; the cause is not known"),
    (BARE, r"Unable to get PEB pointer", "no PEB in the process's memory"),
    (BARE, r"PEB loader data|UserMode Module List Address is NULL", "no loader lists"),
)
"""Lines that it prints of sound dumps: whose fault, a regular expression, and the reason. Those of ``BARE`` are allowed
of ``BARE_DUMPS`` alone."""
