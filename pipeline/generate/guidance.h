/* generate.guidance: auto. Before the painter `diffusion` paints, it is chosen how to sample.
 *
 * Candidates sample the label maps of validation patients, as they are: at most 32 evenly spaced
 * slices. They are compared by the score of pipeline/generate/guidance_score.h. In order:
 *
 *   1. guidance 1, 1.5, 2 and 3, with the newest checkpoint and generate.steps; the best, of equals
 *      the smallest, stays;
 *   2. the other kept checkpoints with that guidance; the best, of equals the newest, stays;
 *   3. half of generate.steps, rounded down, with both; it is taken if its score is not lower by
 *      more than 0.01.
 *
 * Test patients are never looked at: where they are also those of validation (fewer than three
 * labelled patients) there is no choice. A slice z of volume i of the store is sample
 * (2^21 + i) * 2^20 + z for random numbers, which no synthetic volume is.
 *
 * <out>/guidance/guidance.json, with a manifest of kind "guidance", is the record:
 *
 *   {"formula": text, "slices": n, "sources": [id of each validation volume],
 *    "candidates": [{"checkpoint_step", "checkpoint", "guidance", "sampler_steps", "dice",
 *                    "noise_ratio" (null: no structure has noise), "score"}, ...],
 *    "chosen": index in candidates}
 */
#ifndef CTAUG_PIPELINE_GENERATE_GUIDANCE_H
#define CTAUG_PIPELINE_GENERATE_GUIDANCE_H

#include "pipeline/generate/painter.h"

typedef struct guidance_choice {
    int64_t step; /* of the checkpoint */
    char checkpoint[SHA256_HEX];
    double guidance;
    int64_t steps;         /* of the sampler */
    char seal[SHA256_HEX]; /* of the record */
    json_t *record;        /* guidance.json; owned */
} guidance_choice;

/* Chooses among the checkpoints of `directory` with the fingerprint `training`, at least one,
 * unless the published record is current. A stopped choice keeps the candidates that it has
 * measured. ST_INPUT without a referee or without validation patients. The caller calls
 * guidance_choice_free(), also after a failure. Collective. */
status guidance_choose(const painter_inputs *in, const char *directory, const char *training,
                       guidance_choice *out);
void guidance_choice_free(guidance_choice *c);

#endif
