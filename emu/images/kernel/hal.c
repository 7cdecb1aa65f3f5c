/* The hardware layer: what stands between the kernel and the machine that the loader plays. */
#define _NTHALDLL_
#include "ntos_ddk.h"
#include "ntos_boot.h"

static ULONG HalpProcessors;
static LARGE_INTEGER HalpInterruptCount;

VOID HalpHypercall(ULONG Code, ULONG64 Argument1, ULONG64 Argument2);

VOID HalInitSystem(ULONG Processors)
{
    HalpProcessors = Processors;
    DbgPrint("hal: %u processor(s)\n", Processors);
}

/* An interprocessor interrupt to each processor of the mask that exists. */
VOID HalRequestInterrupt(ULONG64 Processors, ULONG Vector)
{
    HalpInterruptCount.QuadPart++;
    if (HalpProcessors < 64)
        Processors &= (1ull << HalpProcessors) - 1;
    HalpHypercall(HYPERCALL_INTERRUPT, Processors, Vector);
}

LARGE_INTEGER KeQueryPerformanceCounter(PLARGE_INTEGER Frequency)
{
    LARGE_INTEGER counter = { .QuadPart = (LONGLONG)__rdtsc() };
    if (Frequency)
        Frequency->QuadPart = 3000000000;
    return counter;
}

VOID KeStallExecutionProcessor(ULONG MicroSeconds)
{
    ULONG64 end = __rdtsc() + (ULONG64)MicroSeconds * 3000;
    while (__rdtsc() < end)
        YieldProcessor();
}

