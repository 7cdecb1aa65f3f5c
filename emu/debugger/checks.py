"""What a contract refuses, in the engine's order of checks (docs/format/write-dump-file.md#order-of-checks)."""

from __future__ import annotations

from ..constants import FormatFlag, Hresult, MinidumpType, Qualifier
from ..plan.flags import FLAG_ROWS, TOP_BITS
from ..request import DumpRefused, Request, Session, format_flag_names
from .contract import EngineContract, Output, Refusal


class EngineRefused(DumpRefused):
    """A refusal of the engine. ``printed`` are the lines that the engine prints."""

    def __init__(self, refusal: Refusal, message: str, head: str = "") -> None:
        super().__init__(refusal.hresult, message)
        self.printed = refusal.text
        self.head = head
        """What stands behind ``Creating X - ``, if that is printed first."""


def output_of(contract: EngineContract, request: Request, *, kernel: bool, command: bool) -> Output:
    """Return what the qualifier gives. Raises EngineRefused for a qualifier or for flags that are not accepted.

    ``command``: the request comes from the command ``.dump``.
    """
    outputs = contract.kernel if kernel else contract.user
    session = "kernel" if kernel else "user"
    taken = {number: output for number, output in outputs.items() if command or not output.command_only}
    output = taken.get(request.qualifier)
    if output is None:
        *others, last = (Qualifier(number).name for number in taken)
        raise EngineRefused(
            Refusal(Hresult.E_INVALIDARG),
            f"Qualifier {request.qualifier_name}: a {session}-mode target needs {', '.join(others)} or {last}",
        )
    flags = request.format_flags
    if not 0 <= flags < 1 << 32:
        raise EngineRefused(output.wrong_flags, f"FormatFlags {flags:#x}: more than 32 bits")
    foreign = flags & ~(output.flags | TOP_BITS)
    if foreign:
        names = ", ".join(format_flag_names(foreign))
        raise EngineRefused(
            output.wrong_flags,
            f"FormatFlags {flags:#x}: {names}: not for {request.qualifier_name} of a {session}-mode target",
        )
    return output


def check_opened(
    contract: EngineContract,
    output: Output,
    request: Request,
    *,
    kernel: bool,
    target_type: int | None,
    symbols: bool,
) -> None:
    """Raise EngineRefused for what the engine refuses when the file is open already."""
    asked, head = request.qualifier_name, f"{output.text}\n"
    if output.never is not None:
        raise EngineRefused(output.never, f"{asked}: this engine writes no such dump")
    if output.from_dump is not None and request.session is Session.DUMP:
        raise EngineRefused(output.from_dump, f"{asked}: only for a live target", head)
    if output.with_comment is not None and request.comment is not None:
        raise EngineRefused(output.with_comment, f"{asked}: the file has no place for a comment", head)
    if output.sources is not None and target_type is not None and target_type not in output.sources:
        assert output.wrong_source is not None
        raise EngineRefused(
            output.wrong_source, f"{asked}: a dump of type {target_type} does not hold all of memory", "\n"
        )
    if output.without_symbols is not None and not symbols:
        raise EngineRefused(output.without_symbols, f"{asked}: needs symbols of the kernel", head)
    if kernel:
        return
    for bits, refusal in contract.exclusive:
        if request.format_flags & bits == bits:
            text = refusal.text.format(flags=_header_flags(request.format_flags))
            names = " and ".join(format_flag_names(bits))
            raise EngineRefused(Refusal(refusal.hresult, text), f"FormatFlags: {names} exclude each other", head)


def _header_flags(format_flags: int) -> int:
    """Return the header's flags before any bit is cancelled; the engine adds the token bit.

    docs/format/format-flags.md#token-bit
    """
    flags = MinidumpType.MiniDumpWithTokenInformation
    for row in FLAG_ROWS:
        if format_flags & row.flag and row.flag != FormatFlag.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES:
            flags |= row.minidump_type
    return int(flags)
