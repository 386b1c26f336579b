/* Iterative stratification, without chance: ties go to the part that lacks most patients, then to
 * the last part. */
#include "pipeline/data/stratify.h"

#include "io/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct strata {
    const structure_bits *has;
    int64_t n;
    int *part;                               /* -1: not assigned */
    int64_t left[STRATA_PARTS];              /* patients that a part lacks */
    double wanted[STRATA_PARTS][LABELS_MAX]; /* patients with a structure that a part lacks */
    int64_t open[LABELS_MAX];                /* patients with a structure that are not assigned */
} strata;

static bool has_label(const structure_bits bits, int label) {
    return bits[label / 64] >> (label % 64) & 1;
}

static void assign(strata *s, int64_t i, int part) {
    s->part[i] = part;
    s->left[part]--;
    for (int k = 0; k < LABELS_MAX; k++) {
        if (!has_label(s->has[i], k)) continue;
        s->wanted[part][k]--;
        s->open[k]--;
    }
}

/* The part that lacks most patients with structure k. */
static int neediest(const strata *s, int k) {
    int best = -1;
    for (int p = STRATA_PARTS - 1; p >= 0; p--) {
        if (s->left[p] == 0) continue;
        if (best < 0 || s->wanted[p][k] > s->wanted[best][k] ||
            (s->wanted[p][k] == s->wanted[best][k] && s->left[p] > s->left[best]))
            best = p;
    }
    return best;
}

/* The structure of the fewest patients that are not assigned; -1: none is left. */
static int rarest(const strata *s) {
    int best = -1;
    for (int k = 0; k < LABELS_MAX; k++)
        if (s->open[k] > 0 && (best < 0 || s->open[k] < s->open[best])) best = k;
    return best;
}

static void assign_by_structure(strata *s) {
    for (int k = rarest(s); k >= 0; k = rarest(s))
        for (int64_t i = 0; i < s->n; i++)
            if (s->part[i] < 0 && has_label(s->has[i], k)) assign(s, i, neediest(s, k));
}

/* Those without any structure, or all if none tells patients apart. */
static void assign_by_draw(strata *s) {
    int p = STRATA_PARTS - 1;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->part[i] >= 0) continue;
        while (p > 0 && s->left[p] == 0) p--;
        assign(s, i, p);
    }
}

status stratify(const structure_bits *has, int64_t n, const int64_t count[STRATA_PARTS],
                int *part) {
    strata *s = NULL;
    bool alike = true;
    status st = array_alloc(&s, 1, sizeof *s, "the split");
    if (st != ST_OK) return st;
    *s = (strata){.has = has, .n = n, .part = part};
    for (int p = 0; p < STRATA_PARTS; p++) s->left[p] = count[p];
    for (int64_t i = 0; i < n; i++) {
        part[i] = -1;
        alike = alike && memcmp(has[i], has[0], sizeof has[i]) == 0;
        for (int k = 0; k < LABELS_MAX; k++) s->open[k] += has_label(has[i], k);
    }
    for (int p = 0; p < STRATA_PARTS; p++)
        for (int k = 0; k < LABELS_MAX; k++)
            s->wanted[p][k] = (double)s->open[k] * (double)count[p] / (double)n;
    if (!alike) assign_by_structure(s);
    assign_by_draw(s);
    free(s);
    return ST_OK;
}
