/* Compares facts. */
#include "pipeline/evaluate/obedience_match.h"

#include "io/alloc.h"
#include "model/metric/bootstrap.h"
#include "pipeline/data/caption.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double SIZE_SHARE = 0.25, LEVEL = 0.95;

void obedience_names_of(const label_set *labels, obedience_names *out) {
    *out = (obedience_names){.of = {-1}};
    for (int k = 1; k < labels->count; k++) {
        caption_structure s;
        int at = 0;
        caption_name(labels->name[k], &s);
        while (at < out->count && strcmp(out->name[at], s.name) != 0) at++;
        out->of[k] = s.name[0] ? at : -1;
        if (s.name[0] && at == out->count)
            snprintf(out->name[out->count++], CAPTION_NAME, "%s", s.name);
    }
    for (int k = labels->count; k < LABELS_MAX; k++) out->of[k] = -1;
}

/* The tallies that an answer is added to. */
typedef struct tallies {
    int64_t *right, *all;
} tallies;

static void tally(const tallies *t, int item, int answer, bool right) {
    t->all[item * OBEY_ANSWERS + answer]++;
    t->right[item * OBEY_ANSWERS + answer] += right;
}

static void answer_structures(const obedience_names *names, const shown *asked, const shown *got,
                              const tallies *to) {
    bool wanted[LABELS_MAX] = {false}, there[LABELS_MAX] = {false};
    for (int k = 1; k < LABELS_MAX; k++) {
        if (names->of[k] < 0) continue;
        wanted[names->of[k]] |= asked->labels[k];
        there[names->of[k]] |= got->labels[k];
    }
    for (int i = 0; i < names->count; i++) tally(to, i, wanted[i], wanted[i] == there[i]);
}

/* The sides on which facts have a structure: a bit each, 0 if they are unknown. */
static int sides_of(const caption_facts *f, const char *name) {
    static const int bits[] = {
        [SIDE_UNKNOWN] = 0, [SIDE_LEFT] = 1, [SIDE_RIGHT] = 2, [SIDE_BOTH] = 3};
    int sides = 0;
    for (int i = 0; i < f->structures; i++)
        if (strcmp(f->structure[i].name, name) == 0) sides |= bits[f->structure[i].side];
    return sides;
}

static void answer_sides(const obedience_names *names, const caption_facts *asked,
                         const caption_facts *got, const tallies *to) {
    for (int i = 0; i < names->count; i++) {
        const int wanted = sides_of(asked, names->name[i]), there = sides_of(got, names->name[i]);
        if (wanted != 0 && there != 0) tally(to, i, wanted, wanted == there);
    }
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

static int item_of(const obedience_names *names, const char *name) {
    int i = 0;
    while (i < names->count && strcmp(names->name[i], name) != 0) i++;
    return i < names->count ? i : -1;
}

static void answer_sizes(const obedience_names *names, const caption_facts *asked,
                         const caption_facts *got, const tallies *to) {
    for (int i = 0; i < asked->structures; i++) {
        const caption_structure *a = &asked->structure[i], *g = find(got, a->name, a->side);
        const int item = item_of(names, a->name);
        if (item < 0 || !g || !(a->size > 0) || !(g->size > 0)) continue;
        if (a->side != SIDE_UNKNOWN && a->side != g->side) continue;
        tally(to, item, 0, fabs(g->size - a->size) <= SIZE_SHARE * a->size);
    }
}

/* 0: low, 1: moderate, 2: high, as captions say it. */
static int level_of(double noise) {
    const double rounded = round(noise);
    return rounded < 10 ? 0 : rounded < 20 ? 1 : 2;
}

void obedience_answer(const obedience_names *names, const shown *asked, const shown *got,
                      obedience_attribute attribute, int64_t right[OBEY_QUESTIONS],
                      int64_t all[OBEY_QUESTIONS]) {
    const caption_facts *a = &asked->facts, *g = &got->facts;
    const tallies to = {right, all};
    switch (attribute) {
    case OBEY_STRUCTURES:
        answer_structures(names, asked, got, &to);
        break;
    case OBEY_SIDES:
        answer_sides(names, a, g, &to);
        break;
    case OBEY_SIZES:
        answer_sizes(names, a, g, &to);
        break;
    case OBEY_PHASE:
        if (a->contrast != CONTRAST_UNKNOWN && g->contrast != CONTRAST_UNKNOWN)
            tally(&to, 0, (int)a->contrast, a->contrast == g->contrast);
        break;
    case OBEY_NOISE:
        if (a->noise > 0 && g->noise > 0)
            tally(&to, 0, level_of(a->noise), level_of(a->noise) == level_of(g->noise));
        break;
    case OBEY_ATTRIBUTES:
        break;
    }
}

/* share[question] = right / all, NAN where nothing was asked; both are 0 afterwards. */
static void take_shares(int64_t *right, int64_t *all, double *share) {
    for (int q = 0; q < OBEY_QUESTIONS; q++) {
        share[q] = all[q] > 0 ? (double)right[q] / (double)all[q] : (double)NAN;
        right[q] = all[q] = 0;
    }
}

/* How many of the patients were asked a question. share[patients][OBEY_QUESTIONS]. */
static int64_t patients_asked(const double *share, int64_t patients, int question) {
    int64_t asked = 0;
    for (int64_t p = 0; p < patients; p++) asked += !isnan(share[p * OBEY_QUESTIONS + question]);
    return asked;
}

/* Writes the questions that count, of those that were asked, to question[OBEY_QUESTIONS]; returns
 * their number. alone: those that are their item's only one count, too. */
static int choose(const double *asked, int64_t patients, int64_t least, bool alone,
                  int32_t *question) {
    int count = 0;
    for (int item = 0; item < LABELS_MAX; item++) {
        const int before = count;
        for (int q = item * OBEY_ANSWERS; q < (item + 1) * OBEY_ANSWERS; q++)
            if (patients_asked(asked, patients, q) >= least) question[count++] = q;
        if (!alone && count - before < 2) count = before;
    }
    return count;
}

/* share[patients][OBEY_QUESTIONS]: what slices got[] say of what was asked of them. */
static void take_patients(const obedience_names *names, const shown *asked, const shown *got,
                          int64_t n, obedience_attribute attribute, int64_t patients,
                          const tallies *to, double *share) {
    for (int64_t p = 0; p < patients; p++) {
        for (int64_t i = 0; i < n; i++)
            if (asked[i].patient == p)
                obedience_answer(names, &asked[i], &got[i], attribute, to->right, to->all);
        take_shares(to->right, to->all, share + p * OBEY_QUESTIONS);
    }
}

/* 2, or 1 if all slices are of one patient. */
static int64_t least_patients(const shown *asked, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (asked[i].patient != asked[0].patient) return 2;
    return 1;
}

/* Adds the pairs of what is asked for in slice i with slices of other patients. */
static void add_others(const obedience_names *names, const shown *asked, const shown *got,
                       int64_t n, int64_t i, obedience_attribute attribute, const tallies *to) {
    const int64_t step = (n + OBEY_OTHERS - 1) / OBEY_OTHERS;
    for (int64_t k = 0; k < n; k += step) {
        const int64_t other = (i + k) % n;
        if (asked[i].patient != asked[other].patient)
            obedience_answer(names, &asked[i], &got[other], attribute, to->right, to->all);
    }
}

status obedience_table_make(const obedience_names *names, const shown *asked, const shown *got,
                            int64_t n, obedience_attribute attribute, int64_t patients,
                            obedience_table *out) {
    status st = ST_OK;
    int64_t *tally_of = NULL, shares = 0;
    double *share = NULL, of_pairs[OBEY_QUESTIONS];
    *out = (obedience_table){.patients = patients};
    if (!size_mul(patients, OBEY_QUESTIONS, &shares))
        TRY(status_memory("shares of patients", INT64_MAX));
    TRY(array_alloc(&share, shares, sizeof *share, "shares of patients"));
    TRY(array_alloc(&tally_of, 2 * (int64_t)OBEY_QUESTIONS, sizeof *tally_of, "tallies"));
    TRY(array_alloc(&out->question, OBEY_QUESTIONS, sizeof *out->question, "questions"));
    const tallies to = {tally_of, tally_of + OBEY_QUESTIONS};
    take_patients(names, asked, asked, n, attribute, patients, &to, share);
    out->count =
        choose(share, patients, least_patients(asked, n), attribute == OBEY_SIZES, out->question);
    take_patients(names, asked, got, n, attribute, patients, &to, share);
    for (int64_t i = 0; i < n; i++) add_others(names, asked, got, n, i, attribute, &to);
    take_shares(to.right, to.all, of_pairs);
    TRY(array_alloc(&out->value, out->count * patients, sizeof *out->value, "shares of patients"));
    TRY(array_alloc(&out->chance, out->count, sizeof *out->chance, "shares of pairs"));
    for (int64_t k = 0; k < out->count; k++) {
        for (int64_t p = 0; p < patients; p++)
            out->value[k * patients + p] = share[p * OBEY_QUESTIONS + out->question[k]];
        out->chance[k] = of_pairs[out->question[k]];
    }
done:
    free(share);
    free(tally_of);
    return st;
}

void obedience_table_free(obedience_table *t) {
    free(t->question);
    free(t->value);
    free(t->chance);
    *t = (obedience_table){.count = 0};
}

double obedience_balanced(const obedience_table *t, const double *share, int64_t stride) {
    double all = 0;
    int64_t items = 0;
    for (int64_t k = 0; k < t->count;) {
        const int32_t item = t->question[k] / OBEY_ANSWERS;
        const int64_t first = k;
        double sum = 0;
        for (; k < t->count && t->question[k] / OBEY_ANSWERS == item; k++) sum += share[k * stride];
        if (isnan(sum)) continue;
        all += sum / (double)(k - first);
        items++;
    }
    return items > 0 ? all / (double)items : (double)NAN;
}

static bootstrap_array array_of(const obedience_table *t) {
    return (bootstrap_array){
        .value = t->value, .measures = t->count, .sets = 1, .seeds = 1, .patients = t->patients};
}

/* Means over patients, mean[t->count], which the caller frees. */
static status means_of(const obedience_table *t, double **mean) {
    status st = ST_OK;
    const bootstrap_array of = array_of(t);
    TRY(array_alloc(mean, t->count, sizeof **mean, "means of questions"));
    if (t->count > 0) TRY(bootstrap_mean(&of, *mean));
done:
    return st;
}

status obedience_find_blind(const obedience_table *of_real, bool *blind) {
    status st = ST_OK;
    double *mean = NULL;
    memset(blind, 0, LABELS_MAX * sizeof *blind);
    TRY(means_of(of_real, &mean));
    for (int64_t k = 0; k < of_real->count;) {
        obedience_table one = {.question = of_real->question + k};
        const int32_t item = one.question[0] / OBEY_ANSWERS;
        while (k + one.count < of_real->count && one.question[one.count] / OBEY_ANSWERS == item)
            one.count++;
        blind[item] = !(obedience_balanced(&one, mean + k, 1) >= OBEY_TOLD);
        k += one.count;
    }
done:
    free(mean);
    return st;
}

void obedience_leave_out(obedience_table *t, const bool *blind) {
    int64_t kept = 0;
    for (int64_t k = 0; k < t->count; k++) {
        if (blind[t->question[k] / OBEY_ANSWERS]) continue;
        t->question[kept] = t->question[k];
        t->chance[kept] = t->chance[k];
        memmove(t->value + kept * t->patients, t->value + k * t->patients,
                (size_t)t->patients * sizeof *t->value);
        kept++;
    }
    t->count = kept;
}

/* The interval of a table's balanced accuracy, by resamples of patients. */
static status interval_of(const obedience_table *t, uint64_t seed, bootstrap_interval *out) {
    status st = ST_OK;
    const bootstrap_array of = array_of(t);
    const int64_t resamples = statistics_resamples();
    double *drawn = NULL, *balanced = NULL;
    TRY(array_alloc(&drawn, t->count * resamples, sizeof *drawn, "resamples"));
    TRY(array_alloc(&balanced, resamples, sizeof *balanced, "resamples"));
    TRY(bootstrap_draw(&of, seed, resamples, drawn));
    for (int64_t i = 0; i < resamples; i++)
        balanced[i] = obedience_balanced(t, drawn + i, resamples);
    TRY(bootstrap_percentile(balanced, resamples, LEVEL, out));
done:
    free(drawn);
    free(balanced);
    return st;
}

/* Number of patients of whom a question of a table can be said. */
static int64_t patients_of(const obedience_table *t) {
    int64_t asked = 0;
    for (int64_t p = 0; p < t->patients; p++) {
        bool any = false;
        for (int64_t k = 0; k < t->count; k++) any |= !isnan(t->value[k * t->patients + p]);
        asked += any;
    }
    return asked;
}

status obedience_estimate(const obedience_table *t, uint64_t seed, obedience_value *out) {
    status st = ST_OK;
    double *mean = NULL;
    bootstrap_interval interval;
    *out = (obedience_value){.accuracy = {(double)NAN, (double)NAN, (double)NAN, 0},
                             .chance = obedience_balanced(t, t->chance, 1)};
    if (t->count == 0) return ST_OK;
    TRY(means_of(t, &mean));
    TRY(interval_of(t, seed, &interval));
    out->accuracy.value = obedience_balanced(t, mean, 1);
    out->accuracy.patients = patients_of(t);
    if (out->accuracy.patients >= 2) {
        out->accuracy.low = interval.low;
        out->accuracy.high = interval.high;
    }
done:
    free(mean);
    return st;
}
