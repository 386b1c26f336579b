/* The measures of pipeline/evaluate/distribution.h for every generator, cell and feature network of
 * a study. Each is one piece of the evaluation's work, whose result is kept as a part file.
 *
 * The reference is the held-out test slices; the floor, real slices of all training patients. A
 * generator is measured on its held-out volumes (pipeline/common/held_out.h) if the study has any,
 * else on the slices that the arms take.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_DISTANCES_H
#define CTAUG_PIPELINE_EVALUATE_DISTANCES_H

#include "pipeline/evaluate/distribution.h"
#include "pipeline/evaluate/feature_network.h"
#include "pipeline/evaluate/statistics.h"

/* One piece of the work. */
typedef struct distances_id {
    network_kind network;
    int64_t cell;
    arm_source source;
} distances_id;

typedef struct distances {
    distribution measured;
    char hash[SHA256_HEX]; /* of the network */
    bool held_out;         /* the label maps are those of held-out patients */
    double seconds;        /* of all cores, in the launch that finished it */
} distances;

/* The pieces of a study by number: those of Inception, which take longest, come first, and with
 * each network the cells in their order. distances_early() pieces do not need the evaluation's
 * trainings, and come before the others. Local. */
int64_t distances_count(const study *s);
int64_t distances_early(const study *s);
distances_id distances_at(const study *s, int64_t i);

/* The number of the piece that stands for the study where one has to: slices of the diffusion model
 * in the first cell (cells_first()), domain network. Local. */
int64_t distances_first(const study *s);

/* Reads the result of a piece of the open cell. ST_INPUT or ST_INTEGRITY if it has to be made
 * (again). Local. */
status distances_read(const comparison *c, distances_id id, distances *out);

/* Measures a piece of the open cell and writes its result. Collective on the ranks of the cell's
 * stage. */
status distances_run(const comparison *c, distances_id id);

/* Adds "distribution" (pipeline/report/METRICS.md); results: of all pieces. Local. */
status distances_json(const all_results *all, const distances *results, json_t *metrics);

#endif
