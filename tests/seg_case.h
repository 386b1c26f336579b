/* Reading files of label masks into a label map, with every structure under its own name.
 *
 * Included by C tests. */
#ifndef CTAUG_TESTS_SEG_CASE_H
#define CTAUG_TESTS_SEG_CASE_H

#include "io/label_file.h"

#include <stdio.h>
#include <stdlib.h>

/* Adds the names in a file of label masks to `set`, which begins as {0}. */
static inline status mask_labels(const char *path, dicom_kind kind, label_set *set) {
    status st;
    structure_texts texts = {0};
    TRY(label_file_texts(path, kind, &texts));
    if (set->count == 0) snprintf(set->name[set->count++], LABEL_NAME, "background");
    for (int64_t i = 0; i < texts.count && set->count < LABELS_MAX; i++)
        if (label_find(set, texts.at[i]) < 0)
            snprintf(set->name[set->count++], LABEL_NAME, "%.*s", LABEL_NAME - 1, texts.at[i]);
done:
    structure_texts_free(&texts);
    return st;
}

static inline status seg_labels(const char *path, label_set *set) {
    return mask_labels(path, DICOM_SEG, set);
}

/* Names by which each label of `set` has its value there. */
static inline status seg_names(const label_set *set, structure_names *names) {
    status st = ST_OK;
    structure_texts texts = {0};
    for (int k = 1; k < set->count && st == ST_OK; k++)
        st = structure_texts_add(&texts, set->name[k]);
    if (st == ST_OK) st = structure_names_make(&texts, NULL, 0, names);
    structure_texts_free(&texts);
    if (st != ST_OK) return st;
    names->set = *set;
    for (int64_t i = 0; i < names->texts.count; i++)
        names->values[i] = label_find(set, names->texts.at[i]);
    return ST_OK;
}

/* The label map of a file of label masks, with labels as mask_labels() gives them. */
static inline status mask_read(const char *path, dicom_kind kind, const seg_target *to,
                               label_set *set, uint8_t *labels, rtstruct_tally *tally) {
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    status st;
    structure_names names = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    TRY(mask_labels(path, kind, set));
    TRY(seg_names(set, &names));
    TRY(masks_new(to->space, &all));
    TRY(label_file_read(path, kind, to, &names, all, tally));
    TRY(masks_join(all, &smaller, set, labels, &overlapped));
done:
    masks_free(all);
    structure_names_free(&names);
    return st;
}

static inline status seg_read(const char *path, const seg_target *to, label_set *set,
                              uint8_t *labels) {
    rtstruct_tally none = {0};
    return mask_read(path, DICOM_SEG, to, set, labels, &none);
}

#endif
