/* bcrypt and bcryptprimitives: random bytes only. */
#include "random_bytes.h"

static LONG64 volatile random_state;

LONG WINAPI BCryptGenRandom(PVOID algorithm, PUCHAR buffer, ULONG size, ULONG flags)
{
    UNREFERENCED_PARAMETER(algorithm);
    UNREFERENCED_PARAMETER(flags);
    random_bytes(buffer, size, &random_state);
    return 0;
}

BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size)
{
    random_bytes(buffer, size, &random_state);
    return TRUE;
}
