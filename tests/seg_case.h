/* Reading a SEG into a label map, with every segment under its own label.
 *
 * Included by C tests. */
#ifndef CTAUG_TESTS_SEG_CASE_H
#define CTAUG_TESTS_SEG_CASE_H

#include "io/dicom.h"

#include <stdio.h>
#include <stdlib.h>

/* Adds the labels of a SEG to `set`, which begins as {0}. */
static inline status seg_labels(const char *path, label_set *set) {
    status st;
    structure_texts texts = {0};
    TRY(dicom_seg_texts(path, &texts));
    if (set->count == 0) snprintf(set->name[set->count++], LABEL_NAME, "background");
    for (int64_t i = 0; i < texts.count && set->count < LABELS_MAX; i++)
        if (label_find(set, texts.at[i]) < 0)
            snprintf(set->name[set->count++], LABEL_NAME, "%.*s", LABEL_NAME - 1, texts.at[i]);
done:
    structure_texts_free(&texts);
    return st;
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

/* The label map of a SEG, with labels as seg_labels() gives them. */
static inline status seg_read(const char *path, const seg_target *to, label_set *set,
                              uint8_t *labels) {
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    status st;
    structure_names names = {0};
    masks *all = NULL;
    int64_t overlapped = 0;
    TRY(seg_labels(path, set));
    TRY(seg_names(set, &names));
    TRY(masks_new(to->space, &all));
    TRY(dicom_read_seg(path, to, &names, all));
    TRY(masks_join(all, &smaller, set, labels, &overlapped));
done:
    masks_free(all);
    structure_names_free(&names);
    return st;
}

#endif
