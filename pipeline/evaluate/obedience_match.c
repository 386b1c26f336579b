/* Compares facts. */
#include "pipeline/evaluate/obedience_match.h"

#include "pipeline/data/caption.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double SIZE_SHARE = 0.25;

void obedience_names_of(const label_set *labels, obedience_names *out) {
    char seen[LABELS_MAX][CAPTION_NAME];
    *out = (obedience_names){.of = {-1}};
    for (int k = 1; k < labels->count; k++) {
        caption_structure s;
        int at = 0;
        caption_name(labels->name[k], &s);
        while (at < out->count && strcmp(seen[at], s.name) != 0) at++;
        out->of[k] = s.name[0] ? at : -1;
        if (s.name[0] && at == out->count) snprintf(seen[out->count++], CAPTION_NAME, "%s", s.name);
    }
    for (int k = labels->count; k < LABELS_MAX; k++) out->of[k] = -1;
}

static double match_structures(const obedience_names *names, const shown *asked, const shown *got) {
    bool wanted[LABELS_MAX] = {false}, there[LABELS_MAX] = {false};
    int right = 0;
    for (int k = 1; k < LABELS_MAX; k++) {
        if (names->of[k] < 0) continue;
        wanted[names->of[k]] |= asked->labels[k];
        there[names->of[k]] |= got->labels[k];
    }
    for (int i = 0; i < names->count; i++) right += wanted[i] == there[i];
    return names->count > 0 ? (double)right / names->count : (double)NAN;
}

/* The structure of this name in f, on this side if there is one; NULL: none. */
static const caption_structure *find(const caption_facts *f, const char *name, caption_side side) {
    const caption_structure *found = NULL;
    for (int i = 0; i < f->structures; i++) {
        const caption_structure *s = &f->structure[i];
        if (strcmp(s->name, name) != 0) continue;
        if (!found || s->side == side) found = s;
    }
    return found;
}

/* Whether the structure has the side or the size that is asked for; *told: that can be said. */
static bool agrees(const caption_structure *asked, const caption_structure *got,
                   obedience_attribute attribute, bool *told) {
    if (attribute == OBEY_SIDES) {
        *told = asked->side != SIDE_UNKNOWN && got->side != SIDE_UNKNOWN;
        return asked->side == got->side;
    }
    *told = asked->size > 0 && got->size > 0 &&
            (asked->side == SIDE_UNKNOWN || asked->side == got->side);
    return fabs(got->size - asked->size) <= SIZE_SHARE * asked->size;
}

static double match_parts(const caption_facts *asked, const caption_facts *got,
                          obedience_attribute attribute) {
    int all = 0, right = 0;
    for (int i = 0; i < asked->structures; i++) {
        const caption_structure *a = &asked->structure[i], *g = find(got, a->name, a->side);
        bool told = false;
        const bool agree = g && agrees(a, g, attribute, &told);
        all += told;
        right += told && agree;
    }
    return all > 0 ? (double)right / all : (double)NAN;
}

/* 0: low, 1: moderate, 2: high, as captions say it. */
static int level_of(double noise) {
    const double rounded = round(noise);
    return rounded < 10 ? 0 : rounded < 20 ? 1 : 2;
}

double obedience_match(const obedience_names *names, const shown *asked, const shown *got,
                       obedience_attribute attribute) {
    const caption_facts *a = &asked->facts, *g = &got->facts;
    switch (attribute) {
    case OBEY_STRUCTURES:
        return match_structures(names, asked, got);
    case OBEY_PHASE:
        if (a->contrast == CONTRAST_UNKNOWN || g->contrast == CONTRAST_UNKNOWN) return (double)NAN;
        return a->contrast == g->contrast;
    case OBEY_NOISE:
        if (!(a->noise > 0) || !(g->noise > 0)) return (double)NAN;
        return level_of(a->noise) == level_of(g->noise);
    case OBEY_SIDES:
    case OBEY_SIZES:
    case OBEY_ATTRIBUTES:
        break;
    }
    return match_parts(a, g, attribute);
}

/* Sums of shares that are known. */
typedef struct shares {
    double sum;
    int64_t count;
} shares;

static void add(shares *to, double share) {
    if (isnan(share)) return;
    to->sum += share;
    to->count++;
}

static double mean_of(const shares *s) {
    return s->count > 0 ? s->sum / (double)s->count : (double)NAN;
}

/* Adds the pairs of what is asked for in slice i with slices of other patients. */
static void add_others(const obedience_names *names, const shown *asked, const shown *got,
                       int64_t n, int64_t i, obedience_attribute attribute, shares *to) {
    const int64_t step = n > OBEY_OTHERS ? n / OBEY_OTHERS : 1;
    for (int64_t k = 0; k < n; k += step) {
        const int64_t other = (i + k) % n;
        if (asked[i].patient != asked[other].patient)
            add(to, obedience_match(names, &asked[i], &got[other], attribute));
    }
}

void obedience_shares(const obedience_names *names, const shown *asked, const shown *got, int64_t n,
                      obedience_attribute attribute, int64_t patients, double *accuracy,
                      double *chance) {
    shares others = {0};
    for (int64_t p = 0; p < patients; p++) {
        shares own = {0};
        for (int64_t i = 0; i < n; i++)
            if (asked[i].patient == p)
                add(&own, obedience_match(names, &asked[i], &got[i], attribute));
        accuracy[p] = mean_of(&own);
    }
    for (int64_t i = 0; i < n; i++) add_others(names, asked, got, n, i, attribute, &others);
    *chance = mean_of(&others);
}
