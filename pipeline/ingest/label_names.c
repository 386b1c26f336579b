/* The names travel between the ranks; a segmentation that cannot be read costs its series. */
#include "pipeline/ingest/label_names.h"

#include "io/decoder.h"

#include <stdio.h>
#include <string.h>

status label_add(label_set *set, const char *name, int *index) {
    *index = label_find(set, name);
    if (*index >= 0) return ST_OK;
    if (set->count >= LABELS_MAX)
        return status_fail(ST_INPUT,
                           "label '%s' is one structure too many: a store holds at most %d; leave "
                           "some segments out",
                           name, STRUCTURES_MAX);
    *index = set->count++;
    snprintf(set->name[*index], LABEL_NAME, "%s", name);
    return ST_OK;
}

label_set label_background(void) {
    label_set set = {.count = 1, .name = {"background"}};
    return set;
}

/* Adds the names in the segmentations of a series to `mine`; one that cannot be read is a fault,
 * and then none is added. Local. */
static status series_texts(const series *one, dicom_kind kind, structure_texts *mine,
                           fault_list *found) {
    status st = ST_OK;
    structure_texts own = {0};
    bool sound = true;
    for (int64_t j = 0; j < one->segmentation_count; j++) {
        const char *path = one->segmentations[j];
        st = decoder_label_texts(path, kind, &own);
        sound &= st == ST_OK;
        if (st == ST_INPUT)
            st = fault_add_message(found,
                                   &(fault){.scope = FAULT_SEG,
                                            .files = 1,
                                            .text = {[FAULT_PATH] = path,
                                                     [FAULT_UID] = one->series_uid,
                                                     [FAULT_ADVICE] = "correct the segmentation"}});
        TRY(st);
    }
    for (int64_t k = 0; sound && k < own.count; k++) TRY(structure_texts_add(mine, own.at[k]));
done:
    structure_texts_free(&own);
    return st;
}

status names_of_segs(const comm *c, series_list *list, const char *const *rules, int64_t n,
                     structure_names *out) {
    structure_texts mine = {0}, all = {0};
    fault_list found = {0};
    const char(*texts)[STRUCTURE_TEXT] = NULL;
    void *gathered = NULL;
    int64_t bytes = 0;
    status st = ST_OK;
    for (int64_t i = comm_rank(c); i < list->count && st == ST_OK; i += comm_size(c))
        if (!series_is_unlabelled(&list->items[i]))
            st = series_texts(&list->items[i], list->masks, &mine, &found);
    TRY(comm_agree(c, st));
    TRY(series_share_faults(c, list, &found));
    TRY(comm_all_gather(c, mine.at, mine.count * STRUCTURE_TEXT, &gathered, &bytes, NULL));
    texts = gathered;
    for (int64_t k = 0; k < bytes / STRUCTURE_TEXT && st == ST_OK; k++)
        st = structure_texts_add(&all, texts[k]);
    if (st == ST_OK) st = structure_names_make(&all, rules, n, out);
    TRY(comm_agree(c, st)); /* ranks may differ only in lack of memory */
done:
    faults_free(&found);
    structure_texts_free(&mine);
    structure_texts_free(&all);
    free(gathered);
    return st;
}
