"""Makes AVX state for scenarios, because Unicorn 2.1.4 executes no AVX instruction.

The values depend only on the thread id, so every run has the same bytes.
"""

from __future__ import annotations

import struct

_MASK64 = (1 << 64) - 1

AVX_COMPONENT = 2  # Intel SDM vol. 1, 13.4.3: the upper halves of YMM0 to YMM15


def avx_state(seed: int) -> bytes:
    """An AVX component of 256 bytes. Every register has a different value that is not zero."""
    return b"".join(
        struct.pack("<QQ", (seed << 32 | number) & _MASK64, ~(seed << 8 | number) & _MASK64) for number in range(16)
    )
