/* The labels of volumes from files of label masks: SEG, RT Structure Sets or NIfTI, with the names
 * and the rule for overlaps that the study gives. */
#ifndef CTAUG_PIPELINE_INGEST_MASK_LABELS_H
#define CTAUG_PIPELINE_INGEST_MASK_LABELS_H

#include "io/label_file.h"
#include "io/log.h"
#include "io/series.h"
#include "pipeline/study/study.h"

typedef struct mask_labels {
    const study *study;    /* borrowed */
    dicom_kind kind;       /* of the files */
    structure_names names; /* of the structures in all files */
    overlap_rule overlap;
    const char *rules[STRUCTURES_MAX], *order[STRUCTURES_MAX]; /* texts of the study */
    int64_t overlapped; /* voxels in two or more structures, of all volumes so far */
    rtstruct_tally contours;
} mask_labels;

/* Takes the rules from the study, which must outlive *out. It is used where it lies, and never
 * copied. Local. */
void mask_labels_begin(const study *study, mask_labels *out);
void mask_labels_free(mask_labels *m);

/* Makes m->names from the files of the list, as names_of_segs() does, and warns on rank 0 of names
 * of the study that no structure has. Collective. */
status mask_labels_plan(const comm *c, journal *log, series_list *list, mask_labels *m);

/* Reads the labels of a volume of geometry `source`. ST_INPUT: found->file is the segmentation at
 * fault. Local. */
status mask_labels_read(const mask_labels *m, const series *one, volume *v, label_tally *found);

/* Sums the counts over the ranks. Collective. */
status mask_labels_sum(const comm *c, mask_labels *m);

/* Warns on rank 0 of overlaps, and of contours that were not painted. Local. */
void mask_labels_warn(const comm *c, journal *log, const mask_labels *m);

#endif
