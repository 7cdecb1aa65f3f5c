/* A processor's tables, and the way from the loader into the idle loop. */
#include "ntos_kd.h"

BOOT_PARAMETERS *KiBootParameters;
BOOT_PARAMETERS *KeLoaderBlock; /* NULL once the system has started */
volatile CCHAR KeNumberProcessors;
KPRCB *KiProcessorBlock[MAXIMUM_BOOT_PROCESSORS];
volatile KUSER_SHARED_DATA *const KiUserSharedData = (volatile KUSER_SHARED_DATA *)KUSER_KERNEL;
ULONG KeTimeIncrement = 156250; /* 100 ns units in a clock tick */

/* Descriptors of the 64-bit system, their high words as winnt.h's KGDT64_* selectors want them: AMD64 manual vol. 2,
   4.8. */
#define CODE64(dpl) (0x00209B0000000000ull | (ULONG64)(dpl) << 45)
#define CODE32(dpl) (0x00CF9B000000FFFFull | (ULONG64)(dpl) << 45)
#define DATA32(dpl) (0x00CF93000000FFFFull | (ULONG64)(dpl) << 45)
#define DATA16(dpl) (0x0040F3000000FFFFull | (ULONG64)(dpl) << 45)
#define GDT_ENTRIES 11 /* the last one used is KGDT64_R3_CMTEB */

/* In the second page of a processor's area: ntos_boot.h KPROCESSOR_PAGES. */
#define CONTEXT_AT 0x1000
#define GDT_AT 0x1600
#define TSS_AT 0x1700
#define IDT_AT 0x2000

#define MSR_STAR 0xC0000081
#define MSR_LSTAR 0xC0000082
#define MSR_FMASK 0xC0000084
#define MSR_GS_BASE 0xC0000101
#define MSR_KERNEL_GS_BASE 0xC0000102
#define FMASK 0x4700 /* TF, IF, DF, NT */

VOID KiFatal(PCSTR Message)
{
    KiHypercall(HYPERCALL_FATAL, (ULONG64)Message, 0, 0);
    for (;;)
        KiHypercall(HYPERCALL_YIELD, 0, 0, 0);
}

static void KiSetGate(KIDTENTRY64 *Idt, ULONG Vector, PVOID Handler, ULONG Ist, ULONG Dpl)
{
    ULONG64 address = (ULONG64)Handler;
    KIDTENTRY64 gate = {
        .OffsetLow = (USHORT)address,
        .Selector = KGDT64_R0_CODE,
        .IstIndex = Ist & 7,
        .Type = 0xE, /* interrupt gate */
        .Dpl = Dpl & 3,
        .Present = 1,
        .OffsetMiddle = (USHORT)(address >> 16),
        .OffsetHigh = (ULONG)(address >> 32),
    };
    Idt[Vector] = gate;
}

static void KiBuildIdt(KIDTENTRY64 *Idt)
{
    for (ULONG vector = 0; vector < sizeof KiTrapTable / sizeof *KiTrapTable; vector++) {
        ULONG ist = vector == 8 ? 1 : vector == NMI_VECTOR ? 3 : 0;
        ULONG dpl = vector == 3 || vector == 4 ? 3 : 0;
        if (KiTrapTable[vector])
            KiSetGate(Idt, vector, KiTrapTable[vector], ist, dpl);
    }
    KiSetGate(Idt, 0x29, KiRaiseSecurityCheckFailure, 0, 3);
    KiSetGate(Idt, CLOCK_VECTOR, KiClockInterrupt, 0, 0);
}

static void KiBuildGdt(ULONG64 *Gdt, const KTSS64 *Tss)
{
    ULONG64 tss = (ULONG64)Tss;
    Gdt[KGDT64_R0_CODE / 8] = CODE64(0);
    Gdt[KGDT64_R0_DATA / 8] = DATA32(0);
    Gdt[KGDT64_R3_CMCODE / 8] = CODE32(3);
    Gdt[KGDT64_R3_DATA / 8] = DATA32(3);
    Gdt[KGDT64_R3_CODE / 8] = CODE64(3);
    Gdt[KGDT64_SYS_TSS / 8] =
        (sizeof *Tss - 1) | (tss & 0xFFFFFF) << 16 | 0x89ull << 40 | (tss >> 24 & 0xFF) << 56;
    Gdt[KGDT64_SYS_TSS / 8 + 1] = tss >> 32;
    Gdt[KGDT64_R3_CMTEB / 8] = DATA16(3);
}

VOID KiInitializeProcessor(const BOOT_PARAMETERS *Boot, ULONG Number)
{
    const BOOT_PROCESSOR *boot = &Boot->Processors[Number];
    KPCR *pcr = (KPCR *)boot->Area;
    KPRCB *prcb = &pcr->Prcb;

    pcr->GdtBase = (KGDTENTRY64 *)(boot->Area + GDT_AT);
    pcr->TssBase = (KTSS64 *)(boot->Area + TSS_AT);
    pcr->IdtBase = (KIDTENTRY64 *)(boot->Area + IDT_AT);
    pcr->Self = pcr;
    pcr->CurrentPrcb = prcb;
    pcr->Used_Self = pcr;
    pcr->MajorVersion = pcr->MinorVersion = 1;
    pcr->Irql = DISPATCH_LEVEL; /* no thread switches yet; interrupts are off */

    KiBuildGdt((ULONG64 *)pcr->GdtBase, pcr->TssBase);
    KiBuildIdt(pcr->IdtBase);
    pcr->TssBase->Rsp0 = boot->IdleStack;
    pcr->TssBase->Ist[1] = boot->DoubleFaultStack;
    pcr->TssBase->Ist[3] = boot->NmiStack;
    pcr->TssBase->IoMapBase = sizeof(KTSS64);

    KDESCRIPTOR gdtr = { .Limit = GDT_ENTRIES * 8 - 1, .Base = pcr->GdtBase };
    KDESCRIPTOR idtr = { .Limit = 0xFFF, .Base = pcr->IdtBase };
    KiLoadSegments(&gdtr, &idtr, KGDT64_SYS_TSS);
    __writemsr(MSR_GS_BASE, (ULONG64)pcr);
    __writemsr(MSR_KERNEL_GS_BASE, 0);
    __writemsr(MSR_STAR, (ULONG64)(KGDT64_R3_CMCODE | RPL_MASK) << 48 | (ULONG64)KGDT64_R0_CODE << 32);
    __writemsr(MSR_LSTAR, (ULONG64)KiSystemCall64);
    __writemsr(MSR_FMASK, FMASK);

    prcb->Number = Number;
    prcb->LegacyNumber = (UCHAR)Number;
    prcb->MxCsr = 0x1F80; /* winnt.h INITIAL_MXCSR */
    prcb->MajorVersion = prcb->MinorVersion = 1;
    prcb->MHz = 3000;
    prcb->Context = (CONTEXT *)(boot->Area + CONTEXT_AT);
    prcb->ContextFlagsInit = CONTEXT_FULL | CONTEXT_SEGMENTS;
    prcb->DpcStack = (PVOID)boot->DpcStack;
    prcb->IsrStack = (PVOID)boot->NmiStack;
    prcb->RspBase = (PVOID)boot->IdleStack;
    prcb->KernelDirectoryTableBase = Boot->SystemDirectoryTableBase;
    KiListInitialize(&prcb->DispatcherReadyListHead);

    int id[4];
    __cpuid(id, 0);
    RtlCopyMemory(prcb->VendorString, &id[1], 4);
    RtlCopyMemory(prcb->VendorString + 4, &id[3], 4);
    RtlCopyMemory(prcb->VendorString + 8, &id[2], 4);
    __cpuid(id, 1);
    prcb->CpuID = 1;
    prcb->CpuType = (CHAR)(id[0] >> 8 & 0xF);
    prcb->CpuStep = (USHORT)((id[0] >> 4 & 0xF) << 8 | (id[0] >> 16 & 0xF) << 12 | (id[0] & 0xF));

    KiProcessorBlock[Number] = prcb;
}

static void KiInitializeSharedData(const BOOT_PARAMETERS *Boot)
{
    volatile KUSER_SHARED_DATA *shared = KiUserSharedData;
    static const WCHAR root[] = L"C:\\Windows";
    for (ULONG i = 0; i < sizeof root / sizeof *root; i++)
        shared->NtSystemRoot[i] = root[i];
    shared->TickCountMultiplier = (ULONG)(((ULONG64)KeTimeIncrement << 24) / 10000);
    shared->ImageNumberLow = shared->ImageNumberHigh = IMAGE_FILE_MACHINE_AMD64;
    shared->LargePageMinimum = 0x200000;
    shared->NtProductType = (NT_PRODUCT_TYPE)Boot->ProductType;
    shared->ProductTypeIsValid = TRUE;
    shared->NtMajorVersion = Boot->NtMajorVersion;
    shared->NtMinorVersion = Boot->NtMinorVersion;
    *(volatile ULONG *)(KUSER_KERNEL + 0x260) = Boot->BuildNumber; /* NtBuildNumber, since Windows 10 */
    shared->SuiteMask = Boot->SuiteMask;
    *(volatile ULONG *)(KUSER_KERNEL + 0x3C0) = Boot->ProcessorCount; /* ActiveProcessorCount */
    KiUpdateTime();
}

/* The image's entry point: ntos_boot.h, Entry. */
DECLSPEC_NORETURN VOID KiSystemStartup(BOOT_PARAMETERS *Boot, ULONG Number)
{
    if (Boot->Version != BOOT_VERSION || Boot->Size != sizeof *Boot)
        KiFatal("boot parameters of another version or size");
    if (Number >= Boot->ProcessorCount || Boot->ProcessorCount > MAXIMUM_BOOT_PROCESSORS)
        KiFatal("more processors than the kernel can hold");
    KiBootParameters = KeLoaderBlock = Boot;
    KiInitializeProcessor(Boot, Number);
    if (Number == 0) {
        KdInitSystem(Boot);
        MmInitSystem(Boot);
        KiInitializeSharedData(Boot);
        HalInitSystem(Boot->ProcessorCount);
        PsInitSystem(Boot);
        PsLoadBootImages(Boot);
    }
    KiPcr()->KdVersionBlock = &KdVersionBlock;
    PsInitializeIdleThread(Number, &Boot->Processors[Number]);
    KeNumberProcessors = (CCHAR)(Number + 1);
    KiIdleLoop();
}
