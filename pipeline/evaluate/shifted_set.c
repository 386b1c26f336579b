/* Finds the test patients in the store of another scanner. */
#include "pipeline/evaluate/shifted_set.h"

#include "io/alloc.h"
#include "pipeline/data/shift.h"

const char *shifted_set_description(const study *s) {
    return s->evaluate.shifted[0] ? "the test patients as another scanner showed them"
                                  : shift_description();
}

/* Number of the test patient with this volume id; -1: none. */
static int64_t test_patient(const store *real, const int64_t *patient_of, const char *id) {
    for (int64_t i = 0; i < store_count(real); i++)
        if (patient_of[i] >= 0 && split_same_patient(store_at(real, i)->id, id))
            return patient_of[i];
    return -1;
}

/* Whether a volume before volume i is of the same test patient. */
static bool is_seen(const shifted_set *s, int64_t i) {
    for (int64_t k = 0; k < i; k++)
        if (s->patient_of[k] == s->patient_of[i]) return true;
    return false;
}

/* Fills runs and patient_of. Local. */
static status find_patients(const study *s, const store *real, const int64_t *patient_of,
                            shifted_set *out) {
    status st = ST_OK;
    const int64_t volumes = store_count(out->from);
    TRY(array_alloc(&out->runs, volumes, sizeof *out->runs, "slice runs"));
    TRY(array_alloc(&out->patient_of, volumes, sizeof *out->patient_of, "patients"));
    for (int64_t i = 0; i < volumes; i++) {
        const store_entry *entry = store_at(out->from, i);
        out->patient_of[i] = entry->unlabelled ? -1 : test_patient(real, patient_of, entry->id);
        if (out->patient_of[i] < 0) continue;
        out->runs[out->run_count++] = (split_run){i, 0, entry->space.shape[0]};
        out->patients += !is_seen(out, i);
    }
    if (out->run_count == 0)
        st = status_fail(ST_INPUT,
                         "evaluate.shifted: %s holds no labelled volume of a test patient: make it "
                         "from the same patients, with the same ingest.key",
                         s->evaluate.shifted);
done:
    return st;
}

status shifted_set_open(const study *s, const store *real, const split *sp,
                        const int64_t *patient_of, shifted_set *out) {
    status st = ST_OK;
    char path[PATH_SIZE];
    *out = (shifted_set){.run_count = 0};
    if (!s->evaluate.shifted[0]) return ST_OK;
    if (sp->by_blocks)
        return status_fail(ST_INPUT,
                           "evaluate.shifted needs several patients: %s holds one, who "
                           "is in training and test",
                           s->out);
    TRY(path_join(path, s->evaluate.shifted, "store"));
    TRY(store_open(path, &out->from));
    TRY(store_check_same_labels(real, out->from));
    TRY(find_patients(s, real, patient_of, out));
done:
    return st;
}

void shifted_set_close(shifted_set *set) {
    free(set->runs);
    free(set->patient_of);
    store_close(set->from);
    *set = (shifted_set){.run_count = 0};
}
