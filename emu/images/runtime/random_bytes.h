/* Random bytes from a fixed seed: every run of a program is the same. The generator is SplitMix64 (public domain, by
   Sebastiano Vigna). */
#pragma once
#include <windows.h>

static inline void random_bytes(void *buffer, SIZE_T size, LONG64 volatile *state)
{
    BYTE *out = buffer;
    while (size != 0) {
        ULONG64 z = (ULONG64)InterlockedExchangeAdd64(state, (LONG64)0x9E3779B97F4A7C15) + 0x9E3779B97F4A7C15;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        z ^= z >> 31;
        for (int i = 0; i < 8 && size != 0; i++, size--, z >>= 8)
            *out++ = (BYTE)z;
    }
}
