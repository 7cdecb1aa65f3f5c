"""Reads and writes the registers of an amd64 processor by their names in CONTEXT (winnt.h).

Plain registers use Unicorn's API. Segments, privilege level, debug registers and x87 use a saved context
(context_blob.py).
"""

from collections.abc import Mapping
from typing import Any, Protocol

from .context_blob import GENERAL, SEGMENTS, ContextBlob, Descriptor

# Selectors of 64-bit Windows, winnt.h KGDT64_*: kernel code and stack, user code, user data, TEB of 32-bit code.
KERNEL_CS, KERNEL_SS, USER_CS, USER_DS, USER_FS = 0x10, 0x18, 0x33, 0x2B, 0x53

# Descriptor flags (high word of a GDT entry), without the privilege level at bit 13: AMD64 manual vol. 2, 4.7.
_CODE64_FLAGS, _DATA_FLAGS = 0x00A0_9B00, 0x00C0_9300
_DPL_SHIFT = 13

INITIAL_EFLAGS = 0x202  # IF and bit 1, which is always set
INITIAL_MXCSR = 0x1F80  # winnt.h INITIAL_MXCSR
INITIAL_FPCW = 0x027F  # winnt.h INITIAL_FPCSR

MSR_KERNEL_GS_BASE = 0xC000_0102  # AMD64 manual vol. 2, 6.1.1

CONTROL = ("Cr0", "Cr2", "Cr3", "Cr4", "Cr8")
DESCRIPTOR_TABLES = ("Gdtr", "Idtr", "Ldtr", "Tr")
_DEBUG = {f"Dr{number}": number for number in (0, 1, 2, 3, 6, 7)}
_PLAIN = frozenset(("Rip", *GENERAL, "EFlags", "MxCsr", "FsBase", "GsBase", *CONTROL))

# Names of CONTEXT (winnt.h) that `registers` returns and `load` accepts.
CONTEXT_REGISTERS = ("Rip", *GENERAL, "EFlags", "MxCsr", *SEGMENTS, *_DEBUG)


class Registers(Protocol):
    """The part of Unicorn's class that register access needs."""

    def reg_read(self, reg_id: int) -> Any: ...
    def reg_write(self, reg_id: int, value: Any) -> None: ...
    def msr_read(self, msr_id: int) -> int: ...
    def msr_write(self, msr_id: int, value: int) -> None: ...
    def context_update(self, context: Any) -> None: ...
    def context_restore(self, context: Any) -> None: ...


class RegisterFile:
    """Registers of the processor `uc`. `ids` maps every plain register and descriptor table to Unicorn's number.

    `context` is a saved context of that processor, kept for reuse. `blob` is a view of it.
    """

    def __init__(self, uc: Registers, ids: Mapping[str, int], context: object, blob: ContextBlob) -> None:
        self._registers = uc
        self._ids = ids
        self._context = context
        self._blob = blob

    def get(self, name: str) -> int:
        """The register of that name in CONTEXT (winnt.h), or FsBase, GsBase, KernelGsBase, Cr0, Cr2, Cr3, Cr4, Cr8.

        Raises KeyError for another name.
        """
        if name in _PLAIN:
            value: int = self._registers.reg_read(self._ids[name])
            return value
        if name == "KernelGsBase":
            return self.read_msr(MSR_KERNEL_GS_BASE)
        blob = self._fresh_blob()
        if name in _DEBUG:
            return blob.debug()[name]
        if name in SEGMENTS:
            return blob.segment(SEGMENTS.index(name)).selector
        raise KeyError(f"register {name!r}: not one of this processor's")

    def set(self, name: str, value: int) -> None:
        """Sets a register; names as for `get`. SegCs also sets the privilege level (its low two bits).

        Raises KeyError for another name, ValueError for a segment selector of level 1 or 2.
        """
        if name in _PLAIN:
            self._registers.reg_write(self._ids[name], value)
        elif name == "KernelGsBase":
            self.write_msr(MSR_KERNEL_GS_BASE, value)
        elif name in _DEBUG:
            self._fresh_blob().set_debug(_DEBUG[name], value)
            self._put_back()
        elif name in SEGMENTS:
            self._fresh_blob()
            self._put_segment(name, value)
            self._put_back()
        else:
            raise KeyError(f"register {name!r}: not one of this processor's")

    def registers(self) -> dict[str, int]:
        """The values of all CONTEXT_REGISTERS by name."""
        blob = self._fresh_blob()
        values = {"Rip": blob.rip, **dict(zip(GENERAL, blob.general(), strict=True))}
        values["EFlags"] = self.get("EFlags")
        values["MxCsr"] = self.get("MxCsr")
        values.update({name: blob.segment(index).selector for index, name in enumerate(SEGMENTS)})
        return values | blob.debug()

    def load(self, registers: Mapping[str, int]) -> None:
        """Sets `registers`, with the names of `set`. Other registers keep their values."""
        blob = self._fresh_blob()
        late = {}
        for name, value in registers.items():
            if name in GENERAL:
                blob.set_general(GENERAL.index(name), value)
            elif name in SEGMENTS:
                self._put_segment(name, value)
            elif name in _DEBUG:
                blob.set_debug(_DEBUG[name], value)
            else:
                late[name] = value
        self._put_back()
        for name, value in late.items():
            self.set(name, value)

    def fxsave(self) -> bytes:
        """The 512-byte FXSAVE image: x87, MXCSR, XMM0 to XMM15. MxCsr_Mask is 0xFFFF; x87 pointers have 32 bits."""
        return self._fresh_blob().fxsave()

    def load_fxsave(self, image: bytes) -> None:
        """Loads an FXSAVE image. Raises ValueError unless it has 512 bytes."""
        control, mxcsr = self._fresh_blob().load_fxsave(image)
        self._put_back()
        self._registers.reg_write(self._ids["FpuControl"], control)
        self._registers.reg_write(self._ids["MxCsr"], mxcsr)

    @property
    def cpl(self) -> int:
        """Current privilege level, 0 or 3."""
        return self._fresh_blob().cpl

    def set_privilege(self, cpl: int, cs: int | None = None, ss: int | None = None) -> None:
        """Enters privilege level `cpl` (0 or 3) with 64-bit code and flat data. Default: the Windows selectors."""
        self._fresh_blob()
        self._put_segment("SegCs", (KERNEL_CS if cpl == 0 else USER_CS) if cs is None else cs, cpl)
        self._put_segment("SegSs", (KERNEL_SS if cpl == 0 else USER_DS) if ss is None else ss, cpl)
        self._put_back()

    def descriptor_table(self, name: str) -> tuple[int, int]:
        """(base, limit) of Gdtr, Idtr, Ldtr or Tr."""
        _, base, limit, _ = self._registers.reg_read(self._ids[name])
        return base, limit

    def set_descriptor_table(self, name: str, base: int, limit: int, *, selector: int = 0, flags: int = 0) -> None:
        """Loads Gdtr, Idtr, Ldtr or Tr. `selector` and `flags` (high word of the GDT entry) are for Ldtr and Tr."""
        self._registers.reg_write(self._ids[name], (selector, base, limit, flags))

    def read_msr(self, number: int) -> int:
        """Reads a model-specific register."""
        value: int = self._registers.msr_read(number)
        return value

    def write_msr(self, number: int, value: int) -> None:
        """Writes a model-specific register."""
        self._registers.msr_write(number, value)

    def take_exception(self) -> tuple[int, bool]:
        """Clears the exception in flight. Returns its error code and whether an INT instruction raised it.

        The error code is valid only for vectors in ERROR_CODE_VECTORS. See
        docs/format/emulation.md#exception-in-flight.
        """
        blob = self._fresh_blob()
        taken = blob.error_code, blob.is_software_interrupt
        blob.forget_exception()
        self._put_back()
        return taken

    # --- inside ----------------------------------------------------------------------------------------------------

    def _enter_user_mode(self) -> None:
        """Enters CPL 3 with the Windows selectors, clean x87 and SSE, and all other registers 0."""
        blob = self._fresh_blob()
        for index in range(len(GENERAL)):
            blob.set_general(index, 0)
        for name, selector in zip(SEGMENTS, (USER_DS, USER_CS, USER_DS, USER_DS, USER_FS, USER_DS), strict=True):
            self._put_segment(name, selector)
        for number in _DEBUG.values():
            blob.set_debug(number, 0)  # the value in a CONTEXT while no debug register is in use
        self._put_back()
        self._registers.reg_write(self._ids["EFlags"], INITIAL_EFLAGS)
        self._registers.reg_write(self._ids["MxCsr"], INITIAL_MXCSR)
        self._registers.reg_write(self._ids["FpuControl"], INITIAL_FPCW)

    def _fresh_blob(self) -> ContextBlob:
        self._registers.context_update(self._context)
        return self._blob

    def _put_back(self) -> None:
        """Loads the changed blob into the processor."""
        self._registers.context_restore(self._context)

    def _put_segment(self, name: str, selector: int, cpl: int | None = None) -> None:
        """Writes a selector and a flat descriptor into the blob.

        The API writes the selector only: docs/format/emulation.md#privilege-level.
        """
        blob, index = self._blob, SEGMENTS.index(name)
        level = selector & 3 if cpl is None else cpl
        if level not in (0, 3):
            raise ValueError(f"{name} = {selector:#x}: privilege level {level}, expected 0 or 3")
        if name == "SegCs":
            blob.cpl = level
        flags = (_CODE64_FLAGS if name == "SegCs" else _DATA_FLAGS) | level << _DPL_SHIFT
        base = blob.segment(index).base if name in ("SegFs", "SegGs") else 0
        blob.set_segment(index, Descriptor(selector, base, 0xFFFF_FFFF, flags))
