/* The arms of a sweep: one ordinary run for each point and seed.
 *
 * Arm i is point i / seeds with seed i % seeds, in the run directory <out>/arms/p<POINT>-s<SEED>
 * (both by number, from 0). Its store is the one of the sweep, by hard links; so are trained models
 * of an earlier arm with the same training (pipeline/sweep/share.h).
 */
#ifndef CTAUG_PIPELINE_SWEEP_ARMS_H
#define CTAUG_PIPELINE_SWEEP_ARMS_H

#include "pipeline/stage.h"
#include "pipeline/study/sweep_plan.h"

typedef struct sweep_arm {
    study study;         /* of the arm */
    stage_context stage; /* of the arm; its study is the one above */
    sweep_point point;
    int64_t at, seed;     /* numbers of point and seed */
    char name[SWEEP_KEY]; /* "p03-s0" */
} sweep_arm;

/* Arm i with the ranks of stage->comm. *out must not be moved. ST_USAGE if its settings contradict
 * each other. Local. */
status sweep_arm_open(const stage_context *stage, int64_t i, sweep_arm *out);

/* The plan of the work: arms with the same training form a group, which is one piece. */
typedef struct sweep_groups {
    int64_t arms, groups;
    int64_t *group; /* [arms]: its group; groups are numbered by their first arms */
    /* [arms]: fingerprints; "": none. */
    char (*training)[SHA256_HEX], (*referee)[SHA256_HEX], (*pseudo)[SHA256_HEX];
    char (*distillation)[SHA256_HEX];
    char store[SHA256_HEX]; /* the seal of the sweep's store */
} sweep_groups;

/* Opens every arm once and groups them. ST_INPUT if the sweep's store is not published. The caller
 * calls sweep_groups_free(). Local. */
status sweep_groups_make(const stage_context *stage, sweep_groups *out);
void sweep_groups_free(sweep_groups *g);

/* The first arm of a group. Local. */
int64_t sweep_group_first(const sweep_groups *g, int64_t group);

#endif
