/* Checked arithmetic on 64-bit sizes, and allocation whose failure is a status. Code that
 * multiplies numbers read from a file uses these functions. */
#ifndef CTAUG_IO_ALLOC_H
#define CTAUG_IO_ALLOC_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* *out = a * b; false if either is negative or the product does not fit. */
static inline bool size_mul(int64_t a, int64_t b, int64_t *out) {
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, out);
}

/* *out = a + b; false if either is negative or the sum does not fit. */
static inline bool size_add(int64_t a, int64_t b, int64_t *out) {
    return a >= 0 && b >= 0 && !__builtin_add_overflow(a, b, out);
}

/* Zeroed memory for n elements of `size` bytes in *(void **)out, which the caller frees with
 * free(); n = 0 gives a non-null pointer. On failure *out is NULL. Local. */
static inline status array_alloc(void *out, int64_t n, int64_t size, const char *what) {
    int64_t bytes = 0;
    void *memory = NULL;
    if (size_mul(n, size, &bytes)) memory = calloc(bytes > 0 ? (size_t)bytes : 1, 1);
    __builtin_memcpy(out, &memory, sizeof memory);
    return memory ? ST_OK : status_memory(what, bytes);
}

/* `bytes` uninitialised bytes, page-aligned, in *(void **)out, which the caller frees with free().
 * No page is touched: the system places each one on the NUMA node of the thread that writes it
 * first. Large blocks request huge pages to reduce TLB misses. 0 gives a non-null pointer. On
 * failure *out is NULL. Local. */
static inline status pages_alloc(void *out, int64_t bytes, const char *what) {
    const int64_t huge = 1 << 21, page = bytes < huge ? 4096 : huge;
    int64_t rounded = 0;
    void *memory = NULL;
    if (bytes >= 0 && size_add(bytes, page, &rounded))
        memory = aligned_alloc((size_t)page, (size_t)(rounded / page * page));
    /* Only a hint: failure changes nothing but speed. */
    if (memory && page == huge)
        (void)madvise(memory, (size_t)(rounded / page * page), MADV_HUGEPAGE);
    __builtin_memcpy(out, &memory, sizeof memory);
    return memory ? ST_OK : status_memory(what, bytes);
}

/* The same, zeroed by the calling thread. Local. */
static inline status pages_zeroed(void *out, int64_t bytes, const char *what) {
    void *memory = NULL;
    status st = pages_alloc(&memory, bytes, what);
    if (memory) __builtin_memset(memory, 0, (size_t)bytes);
    __builtin_memcpy(out, &memory, sizeof memory);
    return st;
}

#endif
