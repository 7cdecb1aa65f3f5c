/* The C runtime's heap is the process heap. */
#include "ucrt.h"

#define HEAP GetProcessHeap()
#define HEAP_MAX_REQUEST 0xFFFFFFFFFFFFFFE0ull

int _query_new_mode(void);
int _callnewh(size_t size);

static void *allocate(size_t size, DWORD flags)
{
    for (;;) {
        void *block = size <= HEAP_MAX_REQUEST ? HeapAlloc(HEAP, flags, size != 0 ? size : 1) : NULL;
        if (block != NULL)
            return block;
        if (_query_new_mode() == 0 || !_callnewh(size)) {
            *_errno() = ENOMEM;
            return NULL;
        }
    }
}

void *malloc(size_t size)
{
    return allocate(size, 0);
}

void *_malloc_base(size_t size)
{
    return malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (count != 0 && size > HEAP_MAX_REQUEST / count) {
        *_errno() = ENOMEM;
        return NULL;
    }
    return allocate(count * size, HEAP_ZERO_MEMORY);
}

void *_calloc_base(size_t count, size_t size)
{
    return calloc(count, size);
}

void free(void *block)
{
    if (block != NULL && !HeapFree(HEAP, 0, block))
        map_error(GetLastError());
}

void _free_base(void *block)
{
    free(block);
}

void *realloc(void *block, size_t size)
{
    if (block == NULL)
        return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    void *moved = size <= HEAP_MAX_REQUEST ? HeapReAlloc(HEAP, 0, block, size) : NULL;
    if (moved == NULL)
        *_errno() = ENOMEM;
    return moved;
}

void *_realloc_base(void *block, size_t size)
{
    return realloc(block, size);
}

size_t _msize(void *block)
{
    REQUIRE(block != NULL, EINVAL, (size_t)-1);
    return HeapSize(HEAP, 0, block);
}

size_t _msize_base(void *block)
{
    return _msize(block);
}

void *_recalloc(void *block, size_t count, size_t size)
{
    if (count != 0 && size > HEAP_MAX_REQUEST / count) {
        *_errno() = ENOMEM;
        return NULL;
    }
    size_t old = block != NULL ? _msize(block) : 0;
    void *moved = realloc(block, count * size);
    if (moved != NULL && count * size > old)
        memset((char *)moved + old, 0, count * size - old);
    return moved;
}

void *_expand(void *block, size_t size)
{
    REQUIRE(block != NULL, EINVAL, NULL);
    return HeapReAlloc(HEAP, HEAP_REALLOC_IN_PLACE_ONLY, block, size);
}

/* --- aligned blocks: the pointer to the heap's block is before them */
void *_aligned_offset_malloc(size_t size, size_t alignment, size_t offset)
{
    REQUIRE((alignment & (alignment - 1)) == 0 && (offset == 0 || offset < size), EINVAL, NULL);
    size_t align = (alignment > sizeof(void *) ? alignment : sizeof(void *)) - 1;
    size_t extra = align + sizeof(void *) + ((0 - offset) & (sizeof(void *) - 1));
    if (size > HEAP_MAX_REQUEST - extra) {
        *_errno() = ENOMEM;
        return NULL;
    }
    char *block = malloc(size + extra + sizeof(void *));
    if (block == NULL)
        return NULL;
    uintptr_t at = (((uintptr_t)block + extra + offset) & ~(uintptr_t)align) - offset;
    void **slot = (void **)((at & ~(uintptr_t)(sizeof(void *) - 1)) - sizeof(void *));
    *slot = block;
    return (void *)at;
}

void *_aligned_malloc(size_t size, size_t alignment)
{
    return _aligned_offset_malloc(size, alignment, 0);
}

static void **block_slot(void *aligned)
{
    return (void **)(((uintptr_t)aligned & ~(uintptr_t)(sizeof(void *) - 1)) - sizeof(void *));
}

void _aligned_free(void *aligned)
{
    if (aligned != NULL)
        free(*block_slot(aligned));
}

size_t _aligned_msize(void *aligned, size_t alignment, size_t offset)
{
    UNREFERENCED_PARAMETER(offset);
    REQUIRE(aligned != NULL, EINVAL, (size_t)-1);
    char *block = *block_slot(aligned);
    size_t align = (alignment > sizeof(void *) ? alignment : sizeof(void *)) - 1;
    return _msize(block) - align - 2 * sizeof(void *) - ((0 - offset) & (sizeof(void *) - 1));
}

void *_aligned_offset_realloc(void *aligned, size_t size, size_t alignment, size_t offset)
{
    if (aligned == NULL)
        return _aligned_offset_malloc(size, alignment, offset);
    if (size == 0) {
        _aligned_free(aligned);
        return NULL;
    }
    void *moved = _aligned_offset_malloc(size, alignment, offset);
    if (moved != NULL) {
        size_t old = _aligned_msize(aligned, alignment, offset);
        memcpy(moved, aligned, old < size ? old : size);
        _aligned_free(aligned);
    }
    return moved;
}

void *_aligned_realloc(void *aligned, size_t size, size_t alignment)
{
    return _aligned_offset_realloc(aligned, size, alignment, 0);
}

int _heapchk(void)
{
    return HeapValidate(HEAP, 0, NULL) ? -2 : -4; /* _HEAPOK, _HEAPBADNODE */
}

intptr_t _get_heap_handle(void)
{
    return (intptr_t)HEAP;
}
