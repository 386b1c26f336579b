/* The names travel between the ranks; a segmentation that cannot be read costs its series. */
#include "pipeline/ingest/label_names.h"

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

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* Adds the segment labels of a series to `mine`; a SEG that cannot be read is a fault, and then
 * none is added. Local. */
static status series_labels(const series *one, label_set *mine, fault_list *found) {
    status st = ST_OK;
    label_set *own = NULL;
    bool sound = true;
    TRY(array_alloc(&own, 1, sizeof *own, "segment labels"));
    for (int64_t j = 0; j < one->segmentation_count; j++) {
        const char *path = one->segmentations[j];
        st = dicom_seg_labels(path, own);
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
    for (int k = 1, label = 0; sound && k < own->count; k++)
        TRY(label_add(mine, own->name[k], &label));
done:
    free(own);
    return st;
}

status labels_of_segs(const comm *c, series_list *list, label_set *out) {
    label_set mine = label_background();
    fault_list found = {0};
    const char(*names)[LABEL_NAME] = NULL;
    void *gathered = NULL;
    int64_t bytes = 0;
    status st = ST_OK;
    for (int64_t i = comm_rank(c); i < list->count && st == ST_OK; i += comm_size(c))
        if (!series_is_unlabelled(&list->items[i]))
            st = series_labels(&list->items[i], &mine, &found);
    TRY(comm_agree(c, st));
    TRY(series_share_faults(c, list, &found));
    /* Only the names that are there travel, not the array with room for LABELS_MAX. */
    TRY(comm_all_gather(c, mine.name[1], (mine.count - 1) * (int64_t)LABEL_NAME, &gathered, &bytes,
                        NULL));
    names = gathered;
    *out = label_background();
    for (int64_t k = 0; k < bytes / LABEL_NAME; k++) {
        int label = 0;
        TRY(label_add(out, names[k], &label));
    }
    qsort(out->name[1], (size_t)out->count - 1, LABEL_NAME, by_name);
done:
    faults_free(&found);
    free(gathered);
    return st;
}
