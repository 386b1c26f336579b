/* Makes the studies of the arms and groups those that share a training. */
#include "pipeline/sweep/arms.h"

#include "io/alloc.h"
#include "io/manifest.h"
#include "pipeline/common/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

status sweep_arm_open(const stage_context *stage, int64_t i, sweep_arm *out) {
    status st = ST_OK;
    const study *s = stage->study;
    int64_t points, seeds;
    char folder[SWEEP_KEY + 8];
    *out = (sweep_arm){.stage = *stage};
    TRY(sweep_size(s, &points, &seeds));
    out->at = i / seeds;
    out->seed = i % seeds;
    sweep_point_of(s, out->at, &out->point);
    snprintf(out->name, sizeof out->name, "p%02" PRId64 "-s%" PRId64, out->at, out->seed);
    TRY(sweep_study(s, &out->point, sweep_seed(s, out->seed), &out->study));
    snprintf(folder, sizeof folder, "arms/%s", out->name);
    TRY(stage_path(stage, folder, out->study.out));
    out->stage.study = &out->study;
    out->stage.chained = true;
    out->stage.task = out->stage.tasks = 0;
done:
    if (st != ST_OK) st = status_fail(st, "arm %s: %s", out->name, status_message());
    return st;
}

/* What the models of arm i follow from. With labelled sets an arm has many, and shares none. Local.
 */
static status find_fingerprints(const sweep_arm *a, int64_t i, sweep_groups *g) {
    status st = ST_OK;
    const study *s = &a->study;
    const bool distilled = s->distil.kind != DISTIL_OFF;
    if (s->evaluate.labelled.count > 0) {
        TRY(bytes_sha256(a->name, sizeof a->name, g->training[i]));
        if (distilled) memcpy(g->distillation[i], g->training[i], SHA256_HEX);
        goto done;
    }
    TRY(fingerprint_of_training(s, g->store, g->training[i]));
    if (distilled) TRY(fingerprint_of_distillation(s, g->training[i], g->distillation[i]));
    if (study_needs_referee(s)) TRY(fingerprint_of_referee(s, g->store, g->referee[i]));
    if (s->train.pseudo_labels == SWITCH_ON) TRY(fingerprint_of_pseudo(s, g->store, g->pseudo[i]));
done:
    return st;
}

status sweep_groups_make(const stage_context *stage, sweep_groups *out) {
    status st = ST_OK;
    int64_t points, seeds;
    char path[PATH_SIZE];
    manifest m = {0};
    *out = (sweep_groups){0};
    TRY(sweep_size(stage->study, &points, &seeds));
    out->arms = points * seeds;
    TRY(array_alloc(&out->group, out->arms, sizeof *out->group, "arms"));
    TRY(array_alloc(&out->referee, out->arms, sizeof *out->referee, "arms"));
    TRY(array_alloc(&out->pseudo, out->arms, sizeof *out->pseudo, "arms"));
    TRY(array_alloc(&out->training, out->arms, sizeof *out->training, "arms"));
    TRY(array_alloc(&out->distillation, out->arms, sizeof *out->distillation, "arms"));
    TRY(stage_path(stage, "store", path));
    TRY(manifest_read(path, "store", &m));
    memcpy(out->store, m.seal, sizeof out->store);
    for (int64_t i = 0; i < out->arms; i++) {
        sweep_arm a;
        TRY(sweep_arm_open(stage, i, &a));
        TRY(find_fingerprints(&a, i, out));
        out->group[i] = out->groups;
        for (int64_t k = 0; k < i && out->group[i] == out->groups; k++)
            if (strcmp(out->training[k], out->training[i]) == 0) out->group[i] = out->group[k];
        out->groups += out->group[i] == out->groups;
    }
done:
    manifest_free(&m);
    return st;
}

void sweep_groups_free(sweep_groups *g) {
    free(g->group);
    free(g->training);
    free(g->referee);
    free(g->pseudo);
    free(g->distillation);
    *g = (sweep_groups){0};
}

int64_t sweep_group_first(const sweep_groups *g, int64_t group) {
    int64_t i = 0;
    while (g->group[i] != group) i++;
    return i;
}
