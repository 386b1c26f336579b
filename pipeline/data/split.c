/* Splits a store into training, validation and test: by patient, or one patient by blocks of
 * slices; and hides the labels of training patients.
 *
 * Patients are sorted by a Philox draw keyed by the seed and a hash of the patient's pseudonym, so
 * a new patient does not change the draws of the others; only the cuts between the parts move with
 * the number of patients. From the lowest draw on: test, validation, training. If patients differ
 * in the structures that they have, each part gets its share of each (pipeline/data/stratify.h).
 *
 * With one patient the blocks are contiguous, because neighbouring slices are nearly equal. A
 * single test block at one end would cover other anatomy than the training slices. Therefore every
 * volume is divided into BLOCK_PERIODS equal periods; in each, the slices nearest to its middle are
 * for test, those around them for validation, the rest for training. Each part then covers lower,
 * middle and upper anatomy, and validation slices separate test from training if there are enough
 * of them.
 *
 * The draws, cuts and blocks are those of the labelled patients and volumes alone: volumes without
 * labels that join an archive move nobody.
 */
#include "pipeline/data/split.h"
#include "model/rng.h"
#include "pipeline/data/stratify.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    BLOCK_PERIODS = 3,
    SHARES = 3,            /* of data.split: training, validation, test */
    LEFT_OUT = SPLIT_PARTS /* no part */
};

/* The item that is sorted and cut into parts: a volume (by its patient's draw) or, with one
 * patient, a slice (by its distance from the middle of its period). */
typedef struct member {
    uint64_t draw; /* of the patient; for a slice its number in the store */
    double distance;
    char patient[VOLUME_ID];
    int64_t volume, slice;
} member;

static int by_draw(const void *left, const void *right) {
    const member *a = left, *b = right;
    if (a->draw != b->draw) return a->draw < b->draw ? -1 : 1;
    int names = strcmp(a->patient, b->patient);
    if (names != 0) return names;
    return (a->volume > b->volume) - (a->volume < b->volume);
}

static int by_distance(const void *left, const void *right) {
    const member *a = left, *b = right;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    if (a->volume != b->volume) return a->volume < b->volume ? -1 : 1;
    return (a->slice > b->slice) - (a->slice < b->slice);
}

/* Distributes n >= 2 items over the parts: shares rounded half up, at least one item for test, one
 * for validation if n >= 3, and one for training. Training gets the rest; if there is none, it
 * takes from the larger of the other two. */
static void cut(const double share[SHARES], int64_t n, int64_t count[SHARES]) {
    double sum = share[SPLIT_TRAIN] + share[SPLIT_VALIDATION] + share[SPLIT_TEST];
    int64_t validation = llround((double)n * share[SPLIT_VALIDATION] / sum);
    int64_t test = llround((double)n * share[SPLIT_TEST] / sum);
    if (n < 3)
        validation = 0;
    else if (validation < 1)
        validation = 1;
    if (test < 1) test = 1;
    while (test + validation >= n) *(test >= validation ? &test : &validation) -= 1;
    count[SPLIT_TRAIN] = n - validation - test;
    count[SPLIT_VALIDATION] = validation;
    count[SPLIT_TEST] = test;
}

/* Part of the k-th item in sorted order: test first, then validation, then training. */
static split_part part_at(const int64_t count[SHARES], int64_t k) {
    if (k < count[SPLIT_TEST]) return SPLIT_TEST;
    return k < count[SPLIT_TEST] + count[SPLIT_VALIDATION] ? SPLIT_VALIDATION : SPLIT_TRAIN;
}

/* Adds slices to a part, extending its last run if they continue it. The arrays are large enough.
 */
static void add_run(split *sp, split_part part, int64_t volume, int64_t first, int64_t count) {
    split_run *last = sp->run_count[part] > 0 ? &sp->runs[part][sp->run_count[part] - 1] : NULL;
    if (last && last->volume == volume && last->first + last->count == first)
        last->count += count;
    else
        sp->runs[part][sp->run_count[part]++] = (split_run){volume, first, count};
    sp->slices[part] += count;
}

bool split_same_patient(const char *id, const char *other) {
    const char *a = strrchr(id, '-'), *b = strrchr(other, '-');
    size_t n = a ? (size_t)(a - id) : strlen(id), m = b ? (size_t)(b - other) : strlen(other);
    return n == m && memcmp(id, other, n) == 0;
}

/* Sets the patient's name and draw from a volume id; step: number of the draw. Local. */
static status member_name(member *m, const char *id, uint64_t seed, rng_purpose purpose,
                          int64_t step) {
    char hex[SHA256_HEX], *dash = NULL;
    memcpy(m->patient, id, sizeof m->patient);
    dash = strrchr(m->patient, '-');
    if (dash) *dash = 0;
    status st = bytes_sha256(m->patient, (int64_t)strlen(m->patient), hex);
    if (st != ST_OK) return st;
    hex[16] = 0;
    rng_stream r = rng_open(seed, purpose, strtoull(hex, NULL, 16), (uint32_t)step);
    m->draw = (uint64_t)rng_u32(&r) << 32;
    m->draw |= rng_u32(&r);
    return ST_OK;
}

/* Whether volume k of the sorted ones is the first of its patient. */
static bool new_patient(const member *sorted, int64_t k) {
    return k == 0 || strcmp(sorted[k].patient, sorted[k - 1].patient) != 0;
}

/* Sets known[volume]: the patient has a labelled volume. Returns the number of such patients.
 * sorted[volumes]: by draw. */
static int64_t find_known(const store *s, const member *sorted, bool *known) {
    int64_t patients = 0;
    for (int64_t k = 0, end; k < store_count(s); k = end) {
        bool any = false;
        for (end = k; end < store_count(s) && (end == k || !new_patient(sorted, end)); end++)
            any |= !store_at(s, sorted[end].volume)->unlabelled;
        for (int64_t i = k; i < end; i++) known[sorted[i].volume] = any;
        patients += any;
    }
    return patients;
}

/* The number of patients with a volume in SPLIT_UNLABELLED. sorted[volumes]: by draw. */
static int64_t count_unlabelled(const member *sorted, int64_t volumes, const split_part *part) {
    int64_t patients = 0;
    bool counted = false;
    for (int64_t k = 0; k < volumes; k++) {
        if (new_patient(sorted, k)) counted = false;
        if (counted || part[sorted[k].volume] != SPLIT_UNLABELLED) continue;
        counted = true;
        patients++;
    }
    return patients;
}

/* Moves all training patients but data.labelled of them to SPLIT_UNLABELLED. Local. */
static status hide_labels(split *sp, const store *s, const study *study, split_part *part) {
    const int64_t labelled = study->data.labelled, volumes = store_count(s);
    int64_t count = 0, patient = -1;
    member *members = NULL;
    status st = ST_OK;
    if (labelled == 0) return ST_OK;
    if (labelled > sp->patients[SPLIT_TRAIN])
        return status_fail(ST_INPUT,
                           "data.labelled is %" PRId64 ", but only %" PRId64
                           " patients with labels are for training: take more examinations, or "
                           "change data.split",
                           labelled, sp->patients[SPLIT_TRAIN]);
    TRY(array_alloc(&members, volumes, sizeof *members, "the split"));
    for (int64_t i = 0; i < volumes; i++) {
        if (part[i] != SPLIT_TRAIN) continue;
        members[count].volume = i;
        TRY(member_name(&members[count++], store_at(s, i)->id, (uint64_t)study->seed, RNG_LABELLED,
                        study->data.labelled_set));
    }
    qsort(members, (size_t)count, sizeof *members, by_draw);
    for (int64_t k = 0; k < count; k++) {
        patient += new_patient(members, k);
        if (patient >= labelled) part[members[k].volume] = SPLIT_UNLABELLED;
    }
    sp->patients[SPLIT_TRAIN] = labelled;
done:
    free(members);
    return st;
}

/* A volume and the side that it is on: what is trained on, chosen by, tested on. */
typedef struct sided {
    const char *id;
    int side;
} sided;

/* By patient, then side. */
static int by_patient(const void *left, const void *right) {
    const sided *a = left, *b = right;
    const char *end_a = strrchr(a->id, '-'), *end_b = strrchr(b->id, '-');
    const size_t n = end_a ? (size_t)(end_a - a->id) : strlen(a->id);
    const size_t m = end_b ? (size_t)(end_b - b->id) : strlen(b->id);
    int order = memcmp(a->id, b->id, n < m ? n : m);
    if (order == 0) order = (n > m) - (n < m);
    return order ? order : a->side - b->side;
}

/* Two patients: validation has the runs of the test patient. */
static bool is_shared(const split *sp) {
    const int64_t n = sp->run_count[SPLIT_TEST];
    return n == sp->run_count[SPLIT_VALIDATION] &&
           memcmp(sp->runs[SPLIT_TEST], sp->runs[SPLIT_VALIDATION],
                  (size_t)n * sizeof **sp->runs) == 0;
}

static status on_two_sides(const char *id) {
    return status_fail(ST_INTEGRITY,
                       "the patient of %s would be on two sides of the split into training, "
                       "validation and test",
                       id);
}

status split_check(const store *s, const split *sp) {
    sided *list = NULL;
    int64_t n = 0;
    status st = ST_OK;
    if (sp->by_blocks) return ST_OK;
    for (int p = 0; p < SPLIT_PARTS; p++) n += sp->run_count[p];
    TRY(array_alloc(&list, n, sizeof *list, "the split"));
    n = 0;
    for (int p = 0; p < SPLIT_PARTS; p++)
        for (int64_t i = 0; i < sp->run_count[p] && !(p == SPLIT_VALIDATION && is_shared(sp)); i++)
            list[n++] = (sided){store_at(s, sp->runs[p][i].volume)->id,
                                p == SPLIT_UNLABELLED ? SPLIT_TRAIN : p};
    qsort(list, (size_t)n, sizeof *list, by_patient);
    for (int64_t i = 1; i < n; i++)
        if (list[i].side != list[i - 1].side && split_same_patient(list[i].id, list[i - 1].id))
            TRY(on_two_sides(list[i].id));
done:
    free(list);
    return st;
}

status split_check_sources(const store *s, const split *sp, const store *synthetic) {
    static const split_part held_out[] = {SPLIT_VALIDATION, SPLIT_TEST};
    const json_t *origin = json_object_get(store_manifest(synthetic)->detail, "provenance");
    const json_t *volumes = json_object_get(origin, "volumes");
    if (sp->by_blocks) return ST_OK;
    for (size_t k = 0; k < json_array_size(volumes); k++) {
        const json_t *volume = json_array_get(volumes, k);
        const char *source = json_string_value(json_object_get(volume, "source"));
        for (int p = 0; source && p < 2; p++)
            for (int64_t i = 0; i < sp->run_count[held_out[p]]; i++)
                if (split_same_patient(source, store_at(s, sp->runs[held_out[p]][i].volume)->id))
                    return on_two_sides(source);
    }
    return ST_OK;
}

/* Splits volumes by patient. sorted[volumes]: by draw; known: see find_known(); patients: those
 * with labels; part[volume]: scratch. With two patients validation shares the test patient. Local.
 */
static status split_patients(split *sp, const store *s, const study *study, const member *sorted,
                             const bool *known, int64_t patients, split_part *part) {
    int64_t count[SHARES], patient = -1;
    structure_bits *has = NULL;
    int *part_of = NULL;
    status st = ST_OK;
    cut(study->data.split, patients, count);
    TRY(array_alloc(&has, patients, sizeof *has, "the split"));
    TRY(array_alloc(&part_of, patients, sizeof *part_of, "the split"));
    for (int64_t k = 0; k < store_count(s); k++) {
        const store_entry *e = store_at(s, sorted[k].volume);
        patient += known[sorted[k].volume] && new_patient(sorted, k);
        for (int w = 0; w < STRATA_WORDS && known[sorted[k].volume]; w++)
            has[patient][w] |= e->structures[w];
    }
    TRY(stratify(has, patients, count, part_of));
    patient = -1;
    for (int64_t k = 0; k < store_count(s); k++) {
        const int64_t volume = sorted[k].volume;
        patient += known[volume] && new_patient(sorted, k);
        part[volume] = known[volume] ? (split_part)part_of[patient] : SPLIT_UNLABELLED;
    }
    for (int p = 0; p < SHARES; p++) sp->patients[p] = count[p];
    TRY(hide_labels(sp, s, study, part));
    for (int64_t i = 0; i < store_count(s); i++) {
        if (!store_at(s, i)->unlabelled || part[i] == SPLIT_UNLABELLED) continue;
        part[i] = part[i] == SPLIT_TRAIN ? SPLIT_UNLABELLED : (split_part)LEFT_OUT;
    }
    sp->patients[SPLIT_UNLABELLED] = count_unlabelled(sorted, store_count(s), part);
    for (int64_t i = 0; i < store_count(s); i++) {
        int64_t depth = store_at(s, i)->space.shape[0];
        if (part[i] == (split_part)LEFT_OUT) continue;
        add_run(sp, part[i], i, 0, depth);
        if (patients == 2 && part[i] == SPLIT_TEST) add_run(sp, SPLIT_VALIDATION, i, 0, depth);
    }
    if (patients == 2) sp->patients[SPLIT_VALIDATION] = sp->patients[SPLIT_TEST];
    st = split_check(s, sp);
done:
    free(part_of);
    free(has);
    return st;
}

/* Splits the slices of one patient; other patients have no labels. known: see find_known();
 * slice[slices], part[slices]: scratch. */
static void split_blocks(split *sp, const store *s, const study *study, const bool *known,
                         member *slice, int64_t slices, split_part *part) {
    int64_t count[SHARES], k = 0, at = 0;
    for (int64_t i = 0; i < store_count(s); i++) {
        int64_t depth = store_at(s, i)->space.shape[0];
        if (store_at(s, i)->unlabelled) continue;
        for (int64_t z = 0; z < depth; z++, k++) {
            /* Centre of the slice within its period, in units of 1 / (2 depth) of the period: an
             * integer, so that slices at equal distances from the middle tie exactly. */
            int64_t phase = (2 * z + 1) * BLOCK_PERIODS % (2 * depth);
            slice[k].distance = (double)llabs(phase - depth) / (double)depth;
            slice[k].volume = i;
            slice[k].slice = z;
            slice[k].draw = (uint64_t)k;
        }
    }
    cut(study->data.split, slices, count);
    qsort(slice, (size_t)slices, sizeof *slice, by_distance);
    for (k = 0; k < slices; k++) part[slice[k].draw] = part_at(count, k);
    for (int64_t i = 0; i < store_count(s); i++) {
        int64_t depth = store_at(s, i)->space.shape[0];
        if (!known[i]) add_run(sp, SPLIT_UNLABELLED, i, 0, depth);
        if (store_at(s, i)->unlabelled) continue;
        for (int64_t z = 0; z < depth; z++) add_run(sp, part[at++], i, z, 1);
    }
    for (int p = 0; p < SHARES; p++) sp->patients[p] = 1;
    sp->by_blocks = true;
}

status split_create(const store *s, const study *study, split *out) {
    member *members = NULL;
    split_part *part = NULL;
    bool *known = NULL;
    int64_t volumes = store_count(s), slices = 0, labelled = 0, patients = 0;
    const double *share = study->data.split;
    status st = ST_OK;
    *out = (split){0};
    for (int64_t i = 0; i < volumes; i++) {
        slices += store_at(s, i)->space.shape[0];
        if (!store_at(s, i)->unlabelled) labelled += store_at(s, i)->space.shape[0];
    }
    if (labelled < SHARES)
        TRY(status_fail(ST_INPUT,
                        "the store has %" PRId64 " slices with labels: training, validation and "
                        "test need one each",
                        labelled));
    if (!(share[0] >= 0 && share[1] >= 0 && share[2] >= 0 && share[0] + share[1] + share[2] > 0))
        TRY(status_fail(ST_USAGE, "data.split: %g %g %g are no shares", share[0], share[1],
                        share[2]));
    TRY(array_alloc(&members, slices, sizeof *members, "the split"));
    TRY(array_alloc(&part, slices, sizeof *part, "the split"));
    TRY(array_alloc(&known, volumes, sizeof *known, "the split"));
    for (int p = 0; p < SPLIT_PARTS; p++)
        TRY(array_alloc(&out->runs[p], slices, sizeof **out->runs, "the split"));
    for (int64_t i = 0; i < volumes; i++) {
        members[i].volume = i;
        TRY(member_name(&members[i], store_at(s, i)->id, (uint64_t)study->seed, RNG_SPLIT, 0));
    }
    qsort(members, (size_t)volumes, sizeof *members, by_draw);
    patients = find_known(s, members, known);
    if (patients == 1 && study->data.labelled > 0)
        TRY(status_fail(ST_INPUT, "data.labelled hides labels of patients, and one patient alone "
                                  "has labels"));
    if (patients == 1) {
        for (int64_t k = 0; k < volumes; k++)
            out->patients[SPLIT_UNLABELLED] += !known[members[k].volume] && new_patient(members, k);
        split_blocks(out, s, study, known, members, labelled, part);
    } else
        TRY(split_patients(out, s, study, members, known, patients, part));
done:
    if (st != ST_OK) split_free(out);
    free(known);
    free(part);
    free(members);
    return st;
}

void split_free(split *sp) {
    for (int p = 0; p < SPLIT_PARTS; p++) free(sp->runs[p]);
    *sp = (split){0};
}
