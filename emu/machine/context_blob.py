"""Reads and writes the processor state for which Unicorn 2.1.4 has no API.

The error code, the exception in flight, segment descriptors, the privilege level and the x87 stack exist only in a
saved `uc_context` (docs/format/emulation.md#context-blob, docs/format/emulation.md#floating-point-state).
Its layout is that of QEMU 5.0.1's CPUX86State (target/i386/cpu.h). Markers written through the API show where the
fields are. An unexpected layout raises BlobLayoutError.
"""

import ctypes
import struct
from dataclasses import dataclass

# Markers written through the API before the blob is searched. The values are arbitrary but occur nowhere else.
MARK_RAX = 0xA5A5_0001_C3C3_7E57
MARK_DR = (0xD00D_0000_BEEF_0001, 0xD00D_0000_BEEF_0002, 0xD00D_0000_BEEF_0003, 0xD00D_0000_BEEF_0004)
MARK_FP0 = (0x9122_3344_5566_7788, 0x4ABC)  # (mantissa, sign and exponent) of physical x87 register 0
MARK_FPCW = 0x0272
MARK_FPSW_TOP = 5
MARK_XMM0 = 0x1ABB_CCDD_EEFF_0011_2233_4455_6677_8899
MARK_MXCSR = 0x1F87

# Order of `regs` and `segs` in CPUX86State: R_EAX.., R_ES.. in target/i386/cpu.h.
GENERAL = ("Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15")
SEGMENTS = ("SegEs", "SegCs", "SegSs", "SegDs", "SegFs", "SegGs")

# Offsets from `regs`.
_EIP, _HFLAGS, _SEGS, _SEGMENT_SIZE = 128, 176, 184, 24
# Offsets from `dr[0]`. error_code and exception_is_int come before it. old_exception, which Unicorn added, comes after.
_ERROR_CODE, _IS_INT, _OLD_EXCEPTION, _DR6, _DR7 = -16, -12, 96, 48, 56
# Offsets from `fpregs`.
_FPSTT, _FPUS, _FPUC, _FPTAGS = -20, -16, -14, -12
_FPOP, _FPIP, _FPDP = 128, 136, 144  # fpop, fpcs, fpds are three words in a row
_XMM_STRIDE = 64  # ZMMReg

# hflags: HF_CPL_MASK in target/i386/cpu.h.
_CPL_MASK = 3

# FXSAVE image: Intel SDM vol. 1, table 10-2; winnt.h XSAVE_FORMAT.
FXSAVE_SIZE = 512
_FX_ST, _FX_XMM = 32, 160
MXCSR_MASK = 0xFFFF


class BlobLayoutError(RuntimeError):
    """The saved context of the installed Unicorn does not have the layout of version 2.1.4."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A segment register with its cached descriptor. `flags` is the high word of the GDT entry."""

    selector: int
    base: int
    limit: int
    flags: int


class ContextBlob:
    """A view of one saved context of `size` bytes at host address `address`.

    The caller refreshes the context before reading and restores it into the processor after writing.
    Raises BlobLayoutError if a marker is missing, occurs twice, or has unexpected values around it.
    """

    def __init__(self, address: int, size: int) -> None:
        self._bytes = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
        blob = bytes(self._bytes)
        self._regs = _find(blob, struct.pack("<Q", MARK_RAX), "RAX")
        self._dr = _find(blob, struct.pack("<4Q", *MARK_DR), "DR0")
        self._fp = _find(blob, struct.pack("<QH", *MARK_FP0), "FP0")
        self._xmm = _find(blob, MARK_XMM0.to_bytes(16, "little"), "XMM0")
        expected = {
            "old_exception": (self._get("<i", self._dr + _OLD_EXCEPTION), -1),
            "FPCW": (self._get("<H", self._fp + _FPUC), MARK_FPCW),
            "TOP": (self._get("<I", self._fp + _FPSTT), MARK_FPSW_TOP),
            "MXCSR": (self._get("<I", self._xmm - 8), MARK_MXCSR),
        }
        for name, (found, wanted) in expected.items():
            if found != wanted:
                raise BlobLayoutError(f"uc_context: {name} is {found:#x}, expected {wanted:#x} (needs unicorn 2.1.4)")

    # --- the exception in flight -----------------------------------------------------------------------------------

    @property
    def error_code(self) -> int:
        """Error code of the last exception (32 bits). Meaningful only for vectors in ERROR_CODE_VECTORS."""
        return self._get("<I", self._dr + _ERROR_CODE)

    @property
    def is_software_interrupt(self) -> bool:
        """Whether an INT instruction caused the last exception."""
        return self._get("<i", self._dr + _IS_INT) != 0

    def forget_exception(self) -> None:
        """Clears `old_exception`, which Unicorn never does (docs/format/emulation.md#exception-in-flight)."""
        self._set("<i", self._dr + _OLD_EXCEPTION, -1)

    # --- registers -------------------------------------------------------------------------------------------------

    def general(self) -> tuple[int, ...]:
        """The 16 general registers in the order of GENERAL."""
        return struct.unpack_from("<16Q", self._bytes, self._regs)

    def set_general(self, index: int, value: int) -> None:
        """Set the general register GENERAL[index]."""
        self._set("<Q", self._regs + 8 * index, value)

    @property
    def rip(self) -> int:
        return self._get("<Q", self._regs + _EIP)

    def debug(self) -> dict[str, int]:
        """Dr0 to Dr3, Dr6 and Dr7. Unicorn stores them but never breaks (docs/format/emulation.md#not-emulated)."""
        values = struct.unpack_from("<8Q", self._bytes, self._dr)
        return {f"Dr{number}": values[number] for number in (0, 1, 2, 3, 6, 7)}

    def set_debug(self, number: int, value: int) -> None:
        """Set debug register Dr`number`."""
        self._set("<Q", self._dr + 8 * number, value)

    def segment(self, index: int) -> Descriptor:
        """The segment register SEGMENTS[index]."""
        selector, base, limit, flags = struct.unpack_from("<I4xQII", self._bytes, self._segment_at(index))
        return Descriptor(selector, base, limit, flags)

    def set_segment(self, index: int, new: Descriptor) -> None:
        """Set the segment register SEGMENTS[index] and its descriptor."""
        struct.pack_into("<I4xQII", self._bytes, self._segment_at(index), new.selector, new.base, new.limit, new.flags)

    @property
    def cpl(self) -> int:
        """Current privilege level, 0 to 3."""
        return self._get("<I", self._regs + _HFLAGS) & _CPL_MASK

    @cpl.setter
    def cpl(self, value: int) -> None:
        hflags = self._get("<I", self._regs + _HFLAGS) & ~_CPL_MASK
        self._set("<I", self._regs + _HFLAGS, hflags | value)

    # --- x87, SSE --------------------------------------------------------------------------------------------------

    def fxsave(self) -> bytes:
        """The 512-byte image that FXSAVE stores, in the form with 32-bit x87 pointers and selectors."""
        image = bytearray(FXSAVE_SIZE)
        top = self._get("<I", self._fp + _FPSTT) & 7
        status = self._get("<H", self._fp + _FPUS) & ~(7 << 11) | top << 11
        # Both tags go by physical register. In fptags 1 means empty; in the abridged tag a set bit means not empty.
        empty = struct.unpack_from("<8B", self._bytes, self._fp + _FPTAGS)
        tag = sum(1 << number for number in range(8) if not empty[number])
        struct.pack_into("<HHBx", image, 0, self._get("<H", self._fp + _FPUC), status, tag)
        opcode, code_selector, data_selector = struct.unpack_from("<3H", self._bytes, self._fp + _FPOP)
        code, data = self._get("<I", self._fp + _FPIP), self._get("<I", self._fp + _FPDP)
        struct.pack_into("<HIHxxIH", image, 6, opcode, code, code_selector, data, data_selector)
        struct.pack_into("<II", image, 24, self._get("<I", self._xmm - 8), MXCSR_MASK)
        for number in range(8):
            source = self._fp + 16 * ((top + number) & 7)
            image[_FX_ST + 16 * number : _FX_ST + 16 * number + 10] = self._bytes[source : source + 10]
        for number in range(16):
            source = self._xmm + _XMM_STRIDE * number
            image[_FX_XMM + 16 * number : _FX_XMM + 16 * number + 16] = self._bytes[source : source + 16]
        return bytes(image)

    def load_fxsave(self, image: bytes) -> tuple[int, int]:
        """Loads an FXSAVE image, except the x87 control word and MXCSR.

        Returns (control word, MXCSR). The caller writes these two through the API, which also sets the rounding modes.
        Raises ValueError unless the image has 512 bytes.
        """
        if len(image) != FXSAVE_SIZE:
            raise ValueError(f"FXSAVE image of {len(image)} bytes: expected {FXSAVE_SIZE}")
        control, status, tag = struct.unpack_from("<HHB", image, 0)
        top = status >> 11 & 7
        self._set("<I", self._fp + _FPSTT, top)
        self._set("<H", self._fp + _FPUS, status & ~(7 << 11))
        opcode, code, code_selector, data, data_selector = struct.unpack_from("<HIHxxIH", image, 6)
        struct.pack_into("<3H", self._bytes, self._fp + _FPOP, opcode, code_selector, data_selector)
        self._set("<Q", self._fp + _FPIP, code)
        self._set("<Q", self._fp + _FPDP, data)
        for number in range(8):
            self._set("<B", self._fp + _FPTAGS + number, not tag >> number & 1)
            low, high = struct.unpack_from("<QH", image, _FX_ST + 16 * number)
            struct.pack_into("<QH6x", self._bytes, self._fp + 16 * ((top + number) & 7), low, high)
        for number in range(16):
            target = self._xmm + _XMM_STRIDE * number
            self._bytes[target : target + 16] = image[_FX_XMM + 16 * number : _FX_XMM + 16 * number + 16]
        return control, struct.unpack_from("<I", image, 24)[0]

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _segment_at(self, index: int) -> int:
        return self._regs + _SEGS + _SEGMENT_SIZE * index

    def _get(self, form: str, offset: int) -> int:
        value: int = struct.unpack_from(form, self._bytes, offset)[0]
        return value

    def _set(self, form: str, offset: int, value: int) -> None:
        struct.pack_into(form, self._bytes, offset, value)


def _find(blob: bytes, marker: bytes, name: str) -> int:
    if blob.count(marker) != 1:
        raise BlobLayoutError(f"uc_context: {name} found {blob.count(marker)} times, expected 1 (needs unicorn 2.1.4)")
    return blob.index(marker)
