/* The cells of a study with labelled sets: one run for each number of labelled patients and each
 * draw of them (evaluate.labelled, evaluate.sets).
 *
 * The cell of N patients and draw K has the run directory <out>/sets/n<N>-s<K>. It is an ordinary
 * study with data.labelled N and data.labelled_set K that reads the store of the whole study, so
 * that its generator sees the labels of its own patients alone. A study without labelled sets has
 * one cell, itself.
 */
#ifndef CTAUG_PIPELINE_CELLS_CELLS_H
#define CTAUG_PIPELINE_CELLS_CELLS_H

#include "pipeline/stage.h"

typedef struct cell {
    study study;            /* of the cell */
    stage_context stage;    /* of the cell; its study is the one above */
    int64_t labelled, draw; /* 0, 0: the study itself */
    char name[32];          /* "n4-s0"; "" for the study itself */
} cell;

/* Number of cells of a study, at least 1. Local. */
int64_t cells_count(const study *s);

/* Cell i, from 0, with the ranks of stage->comm. Cells with more labelled patients come first: the
 * others have less work. *out must not be moved. ST_INPUT if a path is too long. Local. */
status cell_open(const stage_context *stage, int64_t i, cell *out);

/* The number of the cell that stands for the study where one has to: the fewest labelled patients,
 * draw 0. Local. */
int64_t cells_first(const study *s);

/* Fingerprint of the metrics of a study: its keys, the store with the seal `real`, the synthetic
 * stores that the arms of all cells take, those of held-out label maps beside them, and the content
 * of evaluate.inception. ST_INPUT or ST_INTEGRITY if a store that an arm takes is not published, or
 * that file cannot be read. Local. */
status cells_fingerprint(const stage_context *stage, const char *real, char hex[SHA256_HEX]);

/* Whether this launch handles cell i, and the first cell that it handles or, without tasks,
 * cells_first(). Local. */
bool cells_is_mine(const stage_context *stage, int64_t i);
int64_t cells_first_mine(const stage_context *stage);

/* Whether an arm of the study takes slices of this source; those of the diffusion model are always
 * needed. Local. */
bool cells_need(const study *s, arm_source source);

/* Runs a stage for every cell: groups of ranks take the cells from a queue
 * (pipeline/common/work_queue.h). A group whose cell fails takes no more; the others go on, and the
 * failure is returned at the end. A study that is its only cell runs on all ranks. Collective. */
status cells_each(const stage_context *stage, status (*run)(const stage_context *));

#endif
