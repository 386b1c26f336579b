/* Compares facts. */
#include "pipeline/evaluate/obedience_match.h"

#include "pipeline/data/caption.h"

#include <math.h>
#include <string.h>

static const double SIZE_SHARE = 0.25;

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

/* Whether an earlier label has the name. */
static bool is_named_before(const label_set *labels, int k, const char *name) {
    for (int other = 1; other < k; other++) {
        caption_structure s;
        caption_name(labels->name[other], &s);
        if (strcmp(s.name, name) == 0) return true;
    }
    return false;
}

static double match_structures(const label_set *labels, const caption_facts *asked,
                               const caption_facts *got) {
    int names = 0, right = 0;
    for (int k = 1; k < labels->count; k++) {
        caption_structure s;
        caption_name(labels->name[k], &s);
        if (!s.name[0] || is_named_before(labels, k, s.name)) continue;
        names++;
        right += (find(asked, s.name, SIDE_UNKNOWN) != NULL) ==
                 (find(got, s.name, SIDE_UNKNOWN) != NULL);
    }
    return names > 0 ? (double)right / names : (double)NAN;
}

/* Whether the structure has the side or the size that is asked for; *told: that can be said. */
static bool agrees(const caption_structure *asked, const caption_structure *got,
                   obedience_attribute attribute, bool *told) {
    if (attribute == OBEY_SIDES) {
        *told = asked->side != SIDE_UNKNOWN && got->side != SIDE_UNKNOWN;
        return asked->side == got->side;
    }
    *told = asked->size > 0 && got->size > 0;
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

double obedience_match(const label_set *labels, const caption_facts *asked,
                       const caption_facts *got, obedience_attribute attribute) {
    switch (attribute) {
    case OBEY_STRUCTURES:
        return match_structures(labels, asked, got);
    case OBEY_PHASE:
        if (asked->contrast == CONTRAST_UNKNOWN || got->contrast == CONTRAST_UNKNOWN)
            return (double)NAN;
        return asked->contrast == got->contrast;
    case OBEY_NOISE:
        if (!(asked->noise > 0) || !(got->noise > 0)) return (double)NAN;
        return level_of(asked->noise) == level_of(got->noise);
    case OBEY_SIDES:
    case OBEY_SIZES:
    case OBEY_ATTRIBUTES:
        break;
    }
    return match_parts(asked, got, attribute);
}

void obedience_shares(const label_set *labels, const shown *asked, const shown *got, int64_t n,
                      obedience_attribute attribute, int64_t patients, double *accuracy,
                      double *chance) {
    double others = 0;
    int64_t pairs = 0;
    for (int64_t p = 0; p < patients; p++) {
        double sum = 0;
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++) {
            if (asked[i].patient != p) continue;
            const double share = obedience_match(labels, &asked[i].facts, &got[i].facts, attribute);
            if (isnan(share)) continue;
            sum += share;
            count++;
        }
        accuracy[p] = count > 0 ? sum / (double)count : (double)NAN;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            if (asked[i].patient == asked[j].patient) continue;
            const double share = obedience_match(labels, &asked[i].facts, &got[j].facts, attribute);
            if (isnan(share)) continue;
            others += share;
            pairs++;
        }
    *chance = pairs > 0 ? others / (double)pairs : (double)NAN;
}
