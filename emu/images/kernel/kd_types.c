/* Types for the PDB alone. Readers that walk a dump with symbols (volatility3 is one) refuse a kernel whose symbols do
   not know these, although this kernel has no such objects. Leading fields only, as public symbols have them. */
#include "ntos.h"

typedef struct _TOKEN {
    UCHAR TokenSource[16];
    LUID TokenId;
    LUID AuthenticationId;
    LUID ParentTokenId;
    LARGE_INTEGER ExpirationTime;
} TOKEN;

typedef struct _OBJECT_HEADER {
    LONG64 PointerCount;
    LONG64 HandleCount;
    ULONG64 Lock;
    UCHAR TypeIndex;
    UCHAR TraceFlags;
    UCHAR InfoMask;
    UCHAR Flags;
    ULONG Reserved;
    PVOID ObjectCreateInfo;
    PVOID SecurityDescriptor;
    QUAD Body;
} OBJECT_HEADER;

typedef struct _HHIVE {
    ULONG Signature;
} HHIVE;

typedef struct _CMHIVE {
    HHIVE Hive;
} CMHIVE;

typedef struct _CM_KEY_BODY {
    ULONG Type;
    PVOID KeyControlBlock;
    PVOID NotifyBlock;
    HANDLE ProcessID;
} CM_KEY_BODY;

typedef struct _CM_KEY_NODE {
    USHORT Signature;
    USHORT Flags;
} CM_KEY_NODE;

typedef struct _CM_KEY_VALUE {
    USHORT Signature;
    USHORT NameLength;
    ULONG DataLength;
    ULONG Data;
    ULONG Type;
} CM_KEY_VALUE;

typedef struct _HMAP_ENTRY {
    ULONG64 BlockOffset;
    ULONG64 PermanentBinAddress;
    ULONG MemAlloc;
} HMAP_ENTRY;

typedef struct _MMVAD_SHORT {
    RTL_BALANCED_NODE VadNode;
    ULONG StartingVpn;
    ULONG EndingVpn;
    UCHAR StartingVpnHigh;
    UCHAR EndingVpnHigh;
} MMVAD_SHORT;

typedef struct _MMVAD {
    MMVAD_SHORT Core;
} MMVAD;

typedef struct _OBJECT_SYMBOLIC_LINK {
    LARGE_INTEGER CreationTime;
    UNICODE_STRING LinkTarget;
} OBJECT_SYMBOLIC_LINK;

typedef struct _CONTROL_AREA {
    PVOID Segment;
    LIST_ENTRY ListHead;
} CONTROL_AREA;

typedef struct _SHARED_CACHE_MAP {
    SHORT NodeTypeCode;
    SHORT NodeByteSize;
    ULONG OpenCount;
    LARGE_INTEGER FileSize;
} SHARED_CACHE_MAP;

typedef struct _VACB {
    PVOID BaseAddress;
    SHARED_CACHE_MAP *SharedCacheMap;
} VACB;

typedef struct _LDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks;
    LIST_ENTRY InMemoryOrderLinks;
    LIST_ENTRY InInitializationOrderLinks;
    PVOID DllBase;
    PVOID EntryPoint;
    ULONG SizeOfImage;
    UNICODE_STRING FullDllName;
    UNICODE_STRING BaseDllName;
    ULONG Flags;
} LDR_DATA_TABLE_ENTRY;

/* What makes the compiler describe them. */
struct _KD_TYPES {
    TOKEN *Token;
    OBJECT_HEADER *ObjectHeader;
    CMHIVE *Hive;
    CM_KEY_BODY *KeyBody;
    CM_KEY_NODE *KeyNode;
    CM_KEY_VALUE *KeyValue;
    HMAP_ENTRY *MapEntry;
    MMVAD *Vad;
    OBJECT_SYMBOLIC_LINK *SymbolicLink;
    CONTROL_AREA *ControlArea;
    VACB *Vacb;
    LDR_DATA_TABLE_ENTRY *UserModule;
    KMUTANT *Mutant;
    KTIMER *Timer;
    KUSER_SHARED_DATA *UserShared;
} KdTypes;
