/* Who is compared with whom: the patients of the real store on two sides, their slices, and which
 * synthetic slices are measured.
 *
 * Members are the patients on whose slices the diffusion model was trained, the others are the
 * held-out ones: test and validation, whose slices only served to watch the training.
 */
#ifndef CTAUG_PIPELINE_GATE_SETS_H
#define CTAUG_PIPELINE_GATE_SETS_H

#include "pipeline/gate/embedding.h"
#include "pipeline/stage.h"

typedef struct gate_sets {
    const study *study;
    store *real, *synthetic;
    split split;
    int64_t members, others; /* patients */
    int64_t *patient_of;     /* by volume of the real store: 0..members-1, then others; -1: none */
    int64_t *source_of;      /* by synthetic volume: patient of its label map; -1: not recorded */
    split_run *runs;         /* whole volumes of all these patients, sorted by volume */
    int64_t run_count;
    split_run *other_runs; /* those of the others */
    int64_t other_count;
    split_run *exemplar_runs;
    exemplars exemplars; /* evenly spaced slices of all these patients */
    slices *reference;   /* all slices of all these patients */
    split_run *made_runs;
    slices
        *made; /* evenly spaced slices of evenly spaced synthetic volumes, gate.slices or fewer */
    char reason[256]; /* why nothing can be measured; "" if it can */
} gate_sets;

/* Numbers the patients and opens the slices. The stores remain the caller's and must outlive *out.
 * If there are too few patients, *out has the reason and no slices. The caller calls
 * gate_sets_close(), also after a failure. Local. */
status gate_sets_open(const study *s, store *real, store *synthetic, gate_sets *out);
void gate_sets_close(gate_sets *g);

/* The synthetic volume that is the i-th of those measured, of which there are *volumes, and how
 * many slices are taken of one with `depth` slices. Local. */
int64_t gate_sets_volume(const gate_sets *g, int64_t i, int64_t *volumes);
int64_t gate_sets_slices(const gate_sets *g, int64_t depth);

#endif
