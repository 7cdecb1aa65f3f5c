"""The contracts: what each engine accepts, what it writes for it, and what it returns and prints.

A contract is data. ``client`` reads it for WriteDumpFile, ``engine_line`` for the command ``.dump``. The measured facts
are in docs/format/write-dump-file.md and docs/format/dot-dump.md.

Where ``DebugClient`` does not do what a contract's engine does
(docs/format/write-dump-file.md#what-ours-does-otherwise): an existing file is kept when a write fails after opening,
both engines delete it; a cabinet is compressed with MSZIP, not LZX, and is written without a temporary file; a cabinet
whose folder is missing is an error; a handle that is open for appending is refused, the engines write a file there that
no reader opens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..constants import FormatFlag, Hresult, Qualifier
from ..request import Contract, KernelProfile, Profile
from .dot_dump import LETTERS

_F, _Q, _H = FormatFlag, Qualifier, Hresult

ERROR_IN_LINE = 0x80040205
"""What Execute returns for a wrong command line (docs/format/dot-dump.md#parsing-of-the-line)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not met: the HRESULT, and the lines that the engine prints."""

    hresult: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What one qualifier gives in one class of session."""

    text: str
    """Printed behind "Creating X - "."""
    profile: str | None = None
    """The profile that writes the engine's kind of file. None: the client's own profile."""
    flags: int = 0
    """The DEBUG_FORMAT_USER_SMALL_* flags that are accepted, besides ``TOP_BITS``."""
    wrong_flags: Refusal = Refusal(_H.E_INVALIDARG)
    sources: frozenset[int] | None = None
    """The DumpTypes of kernel dumps that it can be written from. None: any."""
    wrong_source: Refusal | None = None
    """For a target that is not among ``sources``; the file is open by then."""
    from_dump: Refusal | None = None
    """For a user-mode target that is a dump or an image file; the file is open by then."""
    with_comment: Refusal | None = None
    """For any comment, even an empty one; the file is open by then."""
    never: Refusal | None = None
    """For every request; the file is open by then."""
    unopened: Refusal | None = None
    """For every request; no file is touched."""
    without_symbols: Refusal | None = None
    """If the debugger has no symbols of the kernel."""
    command_only: bool = False
    """Whether only the command ``.dump`` writes it; the methods return E_INVALIDARG."""
    cabinet_warning: str = ""
    """Printed first if the file goes into a cabinet."""
    failed: str = "Dump creation failed, Win32 error 0n{code}\n"
    """Printed when a write fails."""


@dataclass(frozen=True, slots=True)
class Letters:
    """The forms of ``.dump`` (docs/format/dot-dump.md#letters-of-a-user-minidump)."""

    kinds: Mapping[str, int]
    """From ``m``, ``f``, ``k`` and ``ka`` to the qualifier. Another kind is an unknown option."""
    user: Mapping[str, int]
    """The letters after ``/m`` in a user session; another letter starts the file name."""
    syntax_error: frozenset[str] = frozenset()
    """Options that are a syntax error, not unknown."""
    user_full: str = ""
    """Printed for ``/f`` in a user session."""
    user_full_refused: bool = False
    """Whether the usage follows ``user_full`` and the command ends."""


@dataclass(frozen=True, slots=True)
class EngineContract:
    """The answers of one engine."""

    user: Mapping[int, Output]
    """By qualifier. Every other qualifier is E_INVALIDARG, and nothing is printed."""
    kernel: Mapping[int, Output]
    exclusive: tuple[tuple[int, Refusal], ...] = ()
    """Flags that must not be given together in a user session; the file is open by then."""
    sensitive: Refusal | None = None
    """With the engine option DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA. None: no effect."""
    letters: Letters | None = None
    """None: the documented forms (``dot_dump``)."""
    used_images: bool = False
    """Whether CAB_SECONDARY_FILES packs the images that the session used. An engine without symbols packs images only
    with CAB_SECONDARY_ALL_IMAGES, and those of a live target."""
    cabinet_in_handle: bool = False
    """Whether a cabinet can go to a file handle, as the reference page says."""
    cabinet_protected: bool = False
    """Whether NO_OVERWRITE protects an existing cabinet, as the reference page says."""
    secure: Refusal = field(default=Refusal(_H.ERROR_ACCESS_DENIED, "SECURE: Dump writing disallowed\n"))


# docs/format/write-dump-file.md#flags-accepted-for-a-user-minidump: the masks.
_FLAGS_15063 = 0x0803FFFF
_FLAGS_29507 = 0x0C07FFFF
_NOT_HERE = Refusal(_H.E_INVALIDARG, "Invalid arguments - can not create dump file\n")
"""docs/format/write-dump-file.md#user-flags-in-a-kernel-session"""
_AVX_IN_TRIAGE = (
    int(_F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE | _F.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT),
    Refusal(
        _H.E_INVALIDARG,
        "AVX XState info is not allowed in Triage dump files due to potential PII exposure.\n"
        "Triage dumps cannot contain PII. {flags:#x}\n"
        "Dump creation failed, Win32 error 0n87\n",
    ),
)
_IGNORE_AND_NOT = (
    int(_F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM | _F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM),
    Refusal(_H.E_INVALIDARG, "Dump creation failed, Win32 error 0n87\n"),
)
_SENSITIVE = Refusal(
    _H.E_FAIL,
    "This dump file contains sensitive data.\n"
    "Gathering a dump of this data has been disabled and your dump could not be saved.\n",
)
_LARGE_CABINET = (
    "Please avoid compressing kernel full memory dump in a CAB if the debugged target has more than 2GB of memory.\n"
    "The debugger cannot compress dump files larger than 2GB due to CAB max file size limitations.\n"
)
_KERNEL_FAILED = "Error writing to dump file - Win32 error 0n{code}\n"
_RANGES_FAILED = _KERNEL_FAILED + "Failed to write kernel range dump, Win32 error 0n{code}.\n"
_WITH_ALL_RAM = frozenset({1, 5, 9, 10})
"""docs/format/write-dump-file.md#default-and-full-in-a-kernel-session"""
_NO_RANGES = Refusal(
    _H.E_INVALIDARG,
    "Kernel Range dumps can only be written when all of physical memory is accessible - aborting now\n"
    "Failed to write kernel range dump, Win32 error 0n87.\n",
)
_NO_SYMBOLS = Refusal(_H.E_FAIL, "Failed to write kernel range dump, HRESULT 0x80004005.\n")


def _kernel(text: str, **more: object) -> Output:
    values: dict[str, object] = {"wrong_flags": _NOT_HERE, "failed": _KERNEL_FAILED, **more}
    return Output(text, **values)  # type: ignore[arg-type]


def _ranges(text: str, **more: object) -> Output:
    values: dict[str, object] = {
        "profile": KernelProfile.RANGES,
        "sources": _WITH_ALL_RAM,
        "wrong_source": _NO_RANGES,
        "failed": _RANGES_FAILED,
        **more,
    }
    return _kernel(text, **values)


# docs/format/dot-dump.md#letters-of-a-user-minidump and #letters-that-are-not-documented
_LETTERS_15063 = {
    **LETTERS,
    "W": _F.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS,  # of the program only; no flag of the method says so
    "M": _F.DEBUG_FORMAT_USER_SMALL_NO_AUXILIARY_STATE,
}
_A_15063 = 0xC07
"""``fFhut`` (docs/format/dot-dump.md#the-letters-a-and-a)."""
_A_29507 = 0x60C07
"""``fFhut``, ADD_AVX_XSTATE_CONTEXT and IPT_TRACE."""
_IGNORE = int(_F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM)

CONTRACTS: Mapping[Contract, EngineContract] = {
    Contract.DOCUMENTED: EngineContract(
        user={
            _Q.DEBUG_DUMP_SMALL: Output("mini user dump", flags=_FLAGS_29507),
            _Q.DEBUG_DUMP_DEFAULT: Output("user full dump"),
        },
        kernel={
            _Q.DEBUG_DUMP_SMALL: _kernel("mini kernel dump"),
            _Q.DEBUG_DUMP_DEFAULT: _kernel("Kernel bitmap dump"),
            _Q.DEBUG_DUMP_FULL: _kernel("Full kernel dump", cabinet_warning=_LARGE_CABINET),
            _Q.DEBUG_DUMP_ACTIVE: _kernel("Active kernel and user memory bitmap dump"),
        },
        exclusive=(_AVX_IN_TRIAGE, _IGNORE_AND_NOT),
        sensitive=_SENSITIVE,
        used_images=True,
        cabinet_in_handle=True,
        cabinet_protected=True,
    ),
    Contract.E15063: EngineContract(
        user={
            _Q.DEBUG_DUMP_SMALL: Output("mini user dump", flags=_FLAGS_15063, profile=Profile.MODERN),
            _Q.DEBUG_DUMP_DEFAULT: Output(
                "user full dump",
                profile=Profile.LEGACY,
                from_dump=Refusal(_H.E_UNEXPECTED, "User full dumps can only be written in live user-mode sessions\n"),
                with_comment=Refusal(_H.E_INVALIDARG, "User full dumps do not support comments\n"),
            ),
        },
        kernel={
            _Q.DEBUG_DUMP_SMALL: _kernel("mini kernel dump", profile=KernelProfile.PORTABLE),
            _Q.DEBUG_DUMP_DEFAULT: _kernel("", unopened=Refusal(_H.E_INVALIDARG)),
            _Q.DEBUG_DUMP_FULL: _kernel(
                "Full kernel dump",
                profile=KernelProfile.PORTABLE,
                sources=frozenset({1, 5}),
                wrong_source=Refusal(
                    _H.E_INVALIDARG,
                    "Kernel full dumps can only be written when all of physical memory is accessible - aborting now\n",
                ),
                cabinet_warning=_LARGE_CABINET,
            ),
        },
        exclusive=(_AVX_IN_TRIAGE,),
        letters=Letters(
            kinds={"m": _Q.DEBUG_DUMP_SMALL, "f": _Q.DEBUG_DUMP_FULL},
            user={**_LETTERS_15063, "a": _A_15063, "A": _A_15063 | _IGNORE},
            syntax_error=frozenset("x"),
            user_full="/ma is the better way to a complete dump of a process.\n",
        ),
    ),
    Contract.E29507: EngineContract(
        user={
            _Q.DEBUG_DUMP_SMALL: Output("mini user dump", flags=_FLAGS_29507, profile=Profile.MODERN),
            _Q.DEBUG_DUMP_DEFAULT: Output("", never=Refusal(_H.E_NOTIMPL, "Dump file type does not support writing\n")),
        },
        kernel={
            _Q.DEBUG_DUMP_SMALL: _kernel("mini kernel dump", profile=KernelProfile.RANGES),
            _Q.DEBUG_DUMP_DEFAULT: _ranges("Kernel range dump"),
            _Q.DEBUG_DUMP_FULL: _ranges("Full memory range dump", cabinet_warning=_LARGE_CABINET),
            _Q.DEBUG_DUMP_ACTIVE: _ranges(
                "Active kernel and user memory range dump", command_only=True, without_symbols=_NO_SYMBOLS
            ),
        },
        exclusive=(_AVX_IN_TRIAGE, _IGNORE_AND_NOT),
        sensitive=_SENSITIVE,
        letters=Letters(
            kinds={
                "m": _Q.DEBUG_DUMP_SMALL,
                "f": _Q.DEBUG_DUMP_FULL,
                "k": _Q.DEBUG_DUMP_DEFAULT,
                "ka": _Q.DEBUG_DUMP_ACTIVE,
            },
            user={
                **_LETTERS_15063,
                "a": _A_29507,
                "A": _A_29507 | _IGNORE,
                "e": _F.DEBUG_FORMAT_USER_SMALL_MODULE_HEADERS,
                "s": _F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE,
                "T": _F.DEBUG_FORMAT_USER_SMALL_IPT_TRACE,
                "N": _F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM,
                "P": _F.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES,
                "C": 0,  # MiniDumpScanMemory, a bit of the header that no flag of the method sets
                "D": 0,
            },
            syntax_error=frozenset("xi"),
            user_full="/f is not for a process; /ma makes a complete dump of it.\n",
            user_full_refused=True,
        ),
    ),
}
"""The contract of each name."""
