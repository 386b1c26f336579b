/* Packing is the work of ingest that takes the most time after decoding. */
#include "io/store_pack.h"

#include "io/part_file.h"
#include "io/store_chunk.h"

#include <stdio.h>
#include <string.h>

/* The part file: slices, unlabelled and structures as 64-bit numbers, the sizes, the bytes. */
enum { NUMBERS = 2 + LABELS_MAX / 64 };

void pack_free(packed_volume *p) {
    free(p->sizes);
    free(p->bytes);
    *p = (packed_volume){0};
}

/* Notes the labels that occur. */
static void find_structures(const uint8_t *labels, int64_t voxels, uint64_t *structures) {
    bool occurs[LABELS_MAX] = {false};
    for (int64_t k = 0; k < voxels; k++) occurs[labels[k]] = true;
    for (int k = 1; k < LABELS_MAX; k++)
        if (occurs[k]) structures[k / 64] |= UINT64_C(1) << (k % 64);
}

/* Makes room for `more` bytes behind the chunks. */
static status grow(packed_volume *p, int64_t *capacity, int64_t more) {
    int64_t wanted = 0;
    if (!size_add(p->total, more, &wanted)) return status_memory("a packed volume", more);
    if (wanted <= *capacity) return ST_OK;
    wanted += wanted / 2;
    void *grown = realloc(p->bytes, (size_t)wanted);
    if (!grown) return status_memory("a packed volume", wanted);
    p->bytes = grown;
    *capacity = wanted;
    return ST_OK;
}

status pack_volume(const volume *v, bool unlabelled, packed_volume *out) {
    status st;
    const int64_t n = v->space.shape[0], pixels = v->space.shape[1] * v->space.shape[2];
    chunk_encoder e = {0};
    int64_t capacity = 0;
    *out = (packed_volume){.slices = n, .unlabelled = unlabelled};
    TRY(array_alloc(&out->sizes, 2 * n, sizeof *out->sizes, "a packed volume"));
    for (int64_t k = 0; k < 2 * n; k++) {
        const bool ct = k < n;
        const void *slice =
            ct ? (const void *)(v->hu + k * pixels) : (const void *)(v->labels + (k - n) * pixels);
        const int width = ct ? 2 : 1;
        TRY(grow(out, &capacity, chunk_bound(pixels, width)));
        TRY(chunk_encode(&e, slice, pixels, width, out->bytes + out->total, &out->sizes[k]));
        out->total += out->sizes[k];
    }
    find_structures(v->labels, n * pixels, out->structures);
done:
    chunk_encoder_free(&e);
    if (st != ST_OK) pack_free(out);
    return st;
}

/* ---- part files ---- */

status pack_save(const char *path, const char fingerprint[SHA256_HEX], const packed_volume *p) {
    int64_t numbers[NUMBERS] = {p->slices, p->unlabelled};
    char *text = NULL;
    size_t length = 0;
    FILE *f = open_memstream(&text, &length);
    if (!f) return status_memory("a part", p->total);
    memcpy(numbers + 2, p->structures, sizeof p->structures);
    fwrite(numbers, sizeof numbers, 1, f);
    fwrite(p->sizes, sizeof *p->sizes, (size_t)(2 * p->slices), f);
    fwrite(p->bytes, 1, (size_t)p->total, f);
    const bool failed = ferror(f);
    status st = ST_OK;
    if (fclose(f) != 0 || failed) st = status_memory("a part", p->total);
    if (st == ST_OK) st = part_write(path, fingerprint, text, (int64_t)length);
    free(text);
    return st;
}

/* Whether the sizes of the chunks come to p->total. */
static bool sizes_are_right(const packed_volume *p) {
    int64_t sum = 0;
    for (int64_t k = 0; k < 2 * p->slices; k++)
        if (p->sizes[k] < 1 || !size_add(sum, p->sizes[k], &sum)) return false;
    return sum == p->total;
}

status pack_load(const char *path, const char fingerprint[SHA256_HEX], int64_t slices,
                 packed_volume *out) {
    status st;
    int64_t numbers[NUMBERS] = {0}, bytes = 0;
    const int64_t sizes = 2 * slices * (int64_t)sizeof *out->sizes;
    void *data = NULL;
    const char *at;
    *out = (packed_volume){0};
    TRY(part_load(path, fingerprint, &data, &bytes));
    at = data;
    if (bytes >= (int64_t)sizeof numbers) memcpy(numbers, at, sizeof numbers);
    if (numbers[0] != slices || bytes < (int64_t)sizeof numbers + sizes)
        TRY(status_fail(ST_INTEGRITY, "%s: of another volume", path));
    out->slices = slices;
    out->unlabelled = numbers[1];
    memcpy(out->structures, numbers + 2, sizeof out->structures);
    out->total = bytes - (int64_t)sizeof numbers - sizes;
    TRY(array_alloc(&out->sizes, 2 * slices, sizeof *out->sizes, "a packed volume"));
    TRY(array_alloc(&out->bytes, out->total, 1, "a packed volume"));
    memcpy(out->sizes, at + sizeof numbers, (size_t)sizes);
    memcpy(out->bytes, at + sizeof numbers + sizes, (size_t)out->total);
    if (!sizes_are_right(out)) TRY(status_fail(ST_INTEGRITY, "%s: its sizes are wrong", path));
done:
    free(data);
    if (st != ST_OK) pack_free(out);
    return st;
}
