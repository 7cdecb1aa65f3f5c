"""AVX state, which a scenario sets: Unicorn 2.1.4 executes no AVX instruction and keeps no upper halves of registers.

What a thread that used AVX would have left there is made up here, from its id, so that every run agrees to the bit.
"""

from __future__ import annotations

import struct

_MASK64 = (1 << 64) - 1

AVX_COMPONENT = 2  # Intel SDM vol. 1, 13.4.3: the upper halves of YMM0 to YMM15


def avx_state(seed: int) -> bytes:
    """The AVX component of 256 bytes: each register another value, none of them zero."""
    return b"".join(
        struct.pack("<QQ", (seed << 32 | number) & _MASK64, ~(seed << 8 | number) & _MASK64) for number in range(16)
    )
