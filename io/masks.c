/* Masks are kept as pieces: the bits of one structure in one slice, cut to the rows and columns
 * that it marks. The label map is painted from the structure that gives way to all others to the
 * one that has precedence over all. */
#include "io/masks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {
    mask_box box;
    int value;
    uint64_t *bits; /* of the rows and columns of the box, row by row; owned */
} piece;

struct masks {
    geometry space;
    int64_t voxels;
    piece *at;
    int64_t count, capacity;
};

status masks_new(const geometry *space, masks **out) {
    status st = array_alloc(out, 1, sizeof **out, "masks");
    if (st != ST_OK) return st;
    (*out)->space = *space;
    st = geometry_voxels(space, &(*out)->voxels);
    if (st == ST_OK) return ST_OK;
    free(*out);
    *out = NULL;
    return st;
}

void masks_free(masks *m) {
    for (int64_t i = 0; m && i < m->count; i++) free(m->at[i].bits);
    if (m) free(m->at);
    free(m);
}

/* ---- adding ---- */

static status grow(masks *m) {
    int64_t capacity = m->capacity ? 2 * m->capacity : 256, bytes = 0;
    void *grown = NULL;
    if (m->count < m->capacity) return ST_OK;
    if (size_mul(capacity, sizeof *m->at, &bytes)) grown = realloc(m->at, (size_t)bytes);
    if (!grown) return status_memory("the masks of a volume", bytes);
    m->at = grown;
    m->capacity = capacity;
    return ST_OK;
}

/* The smallest box around `value`, which occurs in values[] of `all`. */
static mask_box box_of(const mask_box *all, const uint8_t *values, int value) {
    int64_t top = all->rows, bottom = 0, left = all->columns, right = 0;
    for (int64_t y = 0; y < all->rows; y++)
        for (int64_t x = 0; x < all->columns; x++) {
            if (values[y * all->columns + x] != value) continue;
            if (y < top) top = y;
            if (x < left) left = x;
            if (x >= right) right = x + 1;
            bottom = y + 1;
        }
    return (mask_box){all->z, all->y0 + top, all->x0 + left, bottom - top, right - left};
}

static status add_value(masks *m, const mask_box *all, const uint8_t *values, int value) {
    piece p = {.box = box_of(all, values, value), .value = value};
    const int64_t top = p.box.y0 - all->y0, left = p.box.x0 - all->x0;
    status st = grow(m);
    if (st == ST_OK)
        st = array_alloc(&p.bits, (p.box.rows * p.box.columns + 63) / 64, sizeof *p.bits,
                         "the masks of a volume");
    if (st != ST_OK) return st;
    for (int64_t y = 0, bit = 0; y < p.box.rows; y++)
        for (int64_t x = 0; x < p.box.columns; x++, bit++)
            if (values[(top + y) * all->columns + left + x] == value)
                p.bits[bit >> 6] |= UINT64_C(1) << (bit & 63);
    m->at[m->count++] = p;
    return ST_OK;
}

status masks_add(masks *m, const mask_box *box, const uint8_t *values) {
    bool occurs[LABELS_MAX] = {false};
    const int64_t *shape = m->space.shape;
    if (box->z < 0 || box->z >= shape[0] || box->y0 < 0 || box->x0 < 0 || box->rows < 0 ||
        box->columns < 0 || box->rows > shape[1] - box->y0 || box->columns > shape[2] - box->x0)
        return status_fail(ST_INTERNAL, "a mask lies outside of its volume");
    for (int64_t i = 0; i < box->rows * box->columns; i++) occurs[values[i]] = true;
    for (int value = 1; value < LABELS_MAX; value++) {
        status st = occurs[value] ? add_value(m, box, values, value) : ST_OK;
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

/* ---- joining ---- */

typedef struct layer {
    int value, rank;      /* rank: place in the order of the rule */
    int64_t size;         /* voxels */
    int64_t first, count; /* its pieces, in the sorted list */
} layer;

/* What has precedence comes first. */
static int by_precedence(const void *left, const void *right) {
    const layer *a = left, *b = right;
    if (a->rank != b->rank) return (a->rank > b->rank) - (a->rank < b->rank);
    if (a->size != b->size) return (a->size > b->size) - (a->size < b->size);
    return (a->value > b->value) - (a->value < b->value);
}

static int by_value_and_slice(const void *left, const void *right) {
    const piece *a = *(const piece *const *)left, *b = *(const piece *const *)right;
    if (a->value != b->value) return a->value - b->value;
    return (a->box.z > b->box.z) - (a->box.z < b->box.z);
}

static bool is_set(const piece *p, int64_t bit) { return p->bits[bit >> 6] >> (bit & 63) & 1; }

/* Marks the voxels of a piece in a plane; returns how many were not marked yet. */
static int64_t mark(const masks *m, const piece *p, uint8_t *plane, uint8_t with) {
    int64_t fresh = 0;
    for (int64_t y = 0, bit = 0; y < p->box.rows; y++)
        for (int64_t x = 0; x < p->box.columns; x++, bit++) {
            if (!is_set(p, bit)) continue;
            uint8_t *at = &plane[(p->box.y0 + y) * m->space.shape[2] + p->box.x0 + x];
            fresh += *at != with;
            *at = with;
        }
    return fresh;
}

/* Voxels of a structure; parts that overlap count once. `plane` is zero before and after. */
static int64_t size_of(const masks *m, const piece *const *pieces, int64_t n, uint8_t *plane) {
    int64_t size = 0;
    for (int64_t first = 0, next; first < n; first = next) {
        for (next = first; next < n && pieces[next]->box.z == pieces[first]->box.z; next++)
            size += mark(m, pieces[next], plane, 1);
        for (int64_t i = first; i < next; i++) mark(m, pieces[i], plane, 0);
    }
    return size;
}

static int rank_of(const overlap_rule *rule, const char *name) {
    if (rule->kind != OVERLAP_ORDER) return 0;
    for (int i = 0; i < rule->order_count; i++)
        if (strcmp(rule->order[i], name) == 0) return i;
    return rule->order_count;
}

/* The pieces by structure, and the structures by precedence; returns their number. */
static int sort_layers(const masks *m, const overlap_rule *rule, const label_set *set,
                       const piece **sorted, uint8_t *plane, layer layers[LABELS_MAX]) {
    int n = 0;
    for (int64_t i = 0; i < m->count; i++) sorted[i] = &m->at[i];
    qsort(sorted, (size_t)m->count, sizeof *sorted, by_value_and_slice);
    for (int64_t first = 0, next; first < m->count; first = next) {
        const int value = sorted[first]->value;
        for (next = first; next < m->count && sorted[next]->value == value;) next++;
        layers[n++] = (layer){.value = value,
                              .rank = rank_of(rule, value < set->count ? set->name[value] : ""),
                              .size = size_of(m, sorted + first, next - first, plane),
                              .first = first,
                              .count = next - first};
    }
    qsort(layers, (size_t)n, sizeof *layers, by_precedence);
    return n;
}

/* What painting has to know of voxels that are marked twice. */
typedef struct overlaps {
    uint8_t *bits; /* one a voxel, set when it is counted */
    int64_t count;
    int one, other; /* the first two structures that met */
} overlaps;

static void paint(const masks *m, const piece *p, uint8_t *labels, overlaps *twice) {
    const int64_t rows = m->space.shape[1], columns = m->space.shape[2];
    for (int64_t y = 0, bit = 0; y < p->box.rows; y++)
        for (int64_t x = 0; x < p->box.columns; x++, bit++) {
            if (!is_set(p, bit)) continue;
            const int64_t at = (p->box.z * rows + p->box.y0 + y) * columns + p->box.x0 + x;
            const uint8_t flag = (uint8_t)(1 << (at & 7));
            if (labels[at] && labels[at] != p->value && !(twice->bits[at >> 3] & flag)) {
                if (twice->count++ == 0) twice->one = labels[at], twice->other = p->value;
                twice->bits[at >> 3] |= flag;
            }
            labels[at] = (uint8_t)p->value;
        }
}

status masks_join(const masks *m, const overlap_rule *rule, const label_set *set, uint8_t *labels,
                  int64_t *overlapped) {
    status st;
    const piece **sorted = NULL;
    uint8_t *plane = NULL;
    layer layers[LABELS_MAX];
    overlaps twice = {0};
    *overlapped = 0;
    memset(labels, 0, (size_t)m->voxels);
    TRY(array_alloc(&sorted, m->count, sizeof *sorted, "the masks of a volume"));
    TRY(array_alloc(&plane, m->space.shape[1] * m->space.shape[2], 1, "a slice"));
    TRY(array_alloc(&twice.bits, m->voxels / 8 + 1, 1, "the overlaps of structures"));
    for (int k = sort_layers(m, rule, set, sorted, plane, layers); k-- > 0;)
        for (int64_t i = 0; i < layers[k].count; i++)
            paint(m, sorted[layers[k].first + i], labels, &twice);
    *overlapped = twice.count;
    if (rule->kind == OVERLAP_REFUSE && twice.count > 0)
        TRY(status_fail(ST_INPUT,
                        "%" PRId64 " voxels lie in two or more structures, such as '%s' and '%s'; "
                        "ingest.overlap has rules for that",
                        twice.count, set->name[twice.one], set->name[twice.other]));
done:
    free(sorted);
    free(plane);
    free(twice.bits);
    return st;
}
