/* The VAD tree of a process: a balanced tree of the ranges of its user half. Readers walk it to find its memory. */
#include "ntos.h"

#define VAD_IMAGE_MAP 2 /* MI_VAD_TYPE.VadImageMap */

static MMVAD_SHORT *MiCreateVad(EPROCESS *Process, const BOOT_REGION *Region)
{
    BOOLEAN image = Region->Type == BOOT_REGION_IMAGE;
    MMVAD_SHORT *vad = ExAllocatePool2(
        POOL_FLAG_NON_PAGED, image ? sizeof(MMVAD) : sizeof(MMVAD_SHORT), image ? ' daV' : 'SdaV');
    if (!vad)
        KiFatal("nonpaged pool is too small");
    ULONG64 first = Region->Start / PAGE_SIZE, last = Region->End / PAGE_SIZE - 1;
    vad->StartingVpn = (ULONG)first;
    vad->StartingVpnHigh = (UCHAR)(first >> 32);
    vad->EndingVpn = (ULONG)last;
    vad->EndingVpnHigh = (UCHAR)(last >> 32);
    vad->u.VadFlags.Protection = Region->Protection & 0x1F;
    vad->u.VadFlags.VadType = image ? VAD_IMAGE_MAP : 0;
    vad->u.VadFlags.PrivateMemory = !image;
    vad->u1.VadFlags1.MemCommit = !image;
    vad->u1.VadFlags1.CommitCharge = (ULONG)(last - first + 1) & 0x7FFFFFFF;
    if (image) {
        MMVAD *full = (MMVAD *)vad;
        KiListInitialize(&full->ViewLinks);
        full->VadsProcess = Process;
    }
    return vad;
}

/* The tree of `Count` regions under `Parent`. The low bits of ParentValue are the balance: here no side is deeper by
   more than one, and the left one never. */
static RTL_BALANCED_NODE *MiBuildVads(
    EPROCESS *Process, const BOOT_REGION *Regions, ULONG Count, RTL_BALANCED_NODE *Parent)
{
    if (!Count)
        return NULL;
    ULONG middle = (Count - 1) / 2;
    RTL_BALANCED_NODE *node = &MiCreateVad(Process, &Regions[middle])->VadNode;
    node->Left = MiBuildVads(Process, Regions, middle, node);
    node->Right = MiBuildVads(Process, Regions + middle + 1, Count - middle - 1, node);
    ULONG left = middle, right = Count - middle - 1;
    while (left && right)
        left /= 2, right /= 2;
    node->ParentValue = (ULONG64)Parent | (right ? 1 : 0);
    return node;
}

VOID MmInitializeVads(EPROCESS *Process, const BOOT_REGION *Regions, ULONG Count)
{
    Process->VadRoot.Root = MiBuildVads(Process, Regions, Count, NULL);
    Process->VadHint = Process->VadRoot.Root;
    Process->VadCount = Count;
}
