/* The plan of a sweep: which values of which keys its arms have.
 *
 * sweep.grid has entries "key: value | value": the points are all combinations, the last entry
 * varying fastest. sweep.points adds points of their own, "key: value; key: value". Every point is
 * run with every seed of sweep.seeds, or with the study's own seed. What decides how the archive is
 * read (ingest.*) is the same in all arms, which share one store.
 */
#ifndef CTAUG_PIPELINE_STUDY_SWEEP_PLAN_H
#define CTAUG_PIPELINE_STUDY_SWEEP_PLAN_H

#include "pipeline/study/study.h"

enum { SWEEP_KEY = 64 /* bytes of a key */, SWEEP_POINTS_MAX = 4096 };

typedef struct sweep_setting {
    char key[SWEEP_KEY], value[STUDY_TEXT];
} sweep_setting;

typedef struct sweep_point {
    sweep_setting set[STUDY_LIST];
    int count;
} sweep_point;

/* Checks of sweep.grid and sweep.points. ST_USAGE names the entry: its form, an unknown key, one
 * that must not vary, or a value that the key cannot have. Local. */
status sweep_grid_check(const char *const *texts, int64_t n);
status sweep_points_check(const char *const *texts, int64_t n);

/* Number of points, of seeds (at least 1), and of arms, points * seeds. ST_USAGE if the study has
 * no points, or more than SWEEP_POINTS_MAX. Local. */
status sweep_size(const study *s, int64_t *points, int64_t *seeds);

/* The settings of point i. Local. */
void sweep_point_of(const study *s, int64_t i, sweep_point *out);

/* "train.lr 1e-4, generate.steps 50", cut to the size. Local. */
void sweep_title(const sweep_point *p, char *out, size_t size);

/* Seed i of the sweep. Local. */
int64_t sweep_seed(const study *s, int64_t i);

/* The study of a point and a seed: that of the sweep with these settings, without a plan of its
 * own. ST_USAGE if the settings contradict each other. Local. */
status sweep_study(const study *s, const sweep_point *p, int64_t seed, study *out);

#endif
