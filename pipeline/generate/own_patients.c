/* Makes the pseudonym that ingest would give the patient of each file. */
#include "pipeline/generate/own_patients.h"

#include "io/alloc.h"
#include "io/patients.h"
#include "io/pseudonym.h"

#include <string.h>

/* Opens the key if there is one; a new one would know nobody. Collective. */
static status open_key(const stage_context *s, pseudonym_key *key, bool *known) {
    status st = ST_OK;
    char path[PATH_SIZE] = "";
    int64_t found = 0;
    bool made = false;
    if (s->study->ingest.key[0])
        st = path_join(path, "", s->study->ingest.key);
    else if (comm_rank(s->comm) == 0 && pseudonym_key_place(path) != ST_OK)
        path[0] = '\0';
    TRY(comm_agree(s->comm, st));
    found = comm_rank(s->comm) == 0 && path[0] && file_exists(path);
    TRY(comm_sum_i64(s->comm, &found, 1));
    *known = found > 0;
    if (*known) TRY(pseudonym_key_open(s->comm, path, s->study->out, key, &made));
done:
    return st;
}

/* Whether a volume of the patient with this pseudonym has slices that networks are tested on. */
static bool is_held_out(const store *real, const split *sp, const char *pseudonym) {
    static const split_part parts[] = {SPLIT_VALIDATION, SPLIT_TEST};
    for (int p = 0; p < 2; p++)
        for (int64_t i = 0; i < sp->run_count[parts[p]]; i++)
            if (split_same_patient(pseudonym, store_at(real, sp->runs[parts[p]][i].volume)->id))
                return true;
    return false;
}

/* held_out[i] = whether header i is of such a patient. Local. */
static status find_held_out(archive *files, const store *real, const split *sp,
                            const pseudonym_key *key, bool *held_out) {
    status st;
    patient_merge *merges = NULL;
    int64_t merged = 0;
    char pseudonym[VOLUME_ID];
    TRY(patients_find(files->headers, files->count, &merges, &merged));
    for (int64_t i = 0; i < files->count; i++) {
        const dicom_header *h = &files->headers[i];
        if (h->kind == DICOM_NIFTI || h->kind == DICOM_OTHER) continue;
        TRY(pseudonym_make(key, h->person, h->series_uid, pseudonym));
        held_out[i] = is_held_out(real, sp, pseudonym);
    }
done:
    free(merges);
    return st;
}

/* Whether mask i, or the series that it lies beside, is of such a patient. */
static bool is_of_held_out(const own_masks *m, const bool *held_out, int64_t i) {
    const series *beside = own_masks_series(m, i);
    bool found = held_out[i];
    for (int64_t k = 0; k < m->found.count && beside && !found; k++)
        found = held_out[k] && strcmp(m->found.headers[k].path, beside->slices[0].path) == 0;
    return found;
}

/* Local, with the same result on all ranks. */
static status leave_out(own_masks *m, const store *real, const split *sp,
                        const pseudonym_key *key) {
    status st;
    bool *held_out = NULL;
    TRY(array_alloc(&held_out, m->found.count, sizeof *held_out, "masks"));
    TRY(find_held_out(&m->found, real, sp, key, held_out));
    for (int64_t i = 0; i < m->found.count; i++) {
        const dicom_header *h = &m->found.headers[i];
        if (h->kind == DICOM_CT || h->kind == DICOM_OTHER || m->files[i].faulty ||
            !is_of_held_out(m, held_out, i))
            continue;
        m->files[i].faulty = 1;
        TRY(fault_add(
            &m->faults,
            &(fault){.scope = FAULT_SEG,
                     .files = 1,
                     .text = {[FAULT_PATH] = h->path,
                              [FAULT_REASON] = "of a patient in the validation or the test part: "
                                               "synthetic volumes would show what is tested"}}));
    }
done:
    free(held_out);
    return st;
}

status own_patients_leave_out(own_masks *m, const store *real, const split *sp) {
    status st;
    const stage_context *s = m->stage;
    pseudonym_key key = {{0}};
    bool known = false;
    TRY(open_key(s, &key, &known));
    if (!known && comm_rank(s->comm) == 0)
        log_warning(s->log, "generate.masks: the key of the pseudonyms is not there: masks of "
                            "patients whom the networks are tested on would not be noticed");
    if (known && !sp->by_blocks) TRY(comm_agree(s->comm, leave_out(m, real, sp, &key)));
done:
    pseudonym_key_forget(&key);
    return st;
}
