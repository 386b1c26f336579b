/* Plans the control volumes with the sides of the split exchanged, and samples their slices. */
#include "pipeline/gate/control.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "pipeline/common/prompts.h"
#include "pipeline/data/deform.h"

#include <string.h>

/* Control volumes have other numbers than synthetic ones: their noise differs. */
static const uint64_t FIRST_VOLUME = UINT64_C(1) << 32;

/* The samples of one batch, and the planned volumes. */
typedef struct painting {
    const gate_sets *sets;
    denoiser *denoiser;
    embedding *embedding;
    deformed *plans; /* [control.volumes] */
    int64_t *slice;  /* [control.n]: in its volume */
    int64_t batch;
    slice_sample *conditions; /* [batch] */
    uint8_t *labels;          /* [batch][size * size] */
    uint64_t *index;          /* [batch] */
    float *sources, *images;  /* [batch][size * size] */
    prompts prompts;          /* of the synthetic volumes; count 0: none */
} painting;

int64_t control_batches(const gate_sets *g) {
    const int64_t batch = g->study->generate.batch;
    return (g->study->gate.slices + batch - 1) / batch;
}

/* Plans the volumes and lists their slices. Local. */
static status plan_volumes(painting *p, control *c) {
    status st = ST_OK;
    const gate_sets *g = p->sets;
    const study *s = g->study;
    split exchanged = {0};
    exchanged.runs[SPLIT_TRAIN] = g->other_runs;
    exchanged.run_count[SPLIT_TRAIN] = g->other_count;
    gate_sets_volume(g, 0, &c->volumes);
    TRY(array_alloc(&p->plans, c->volumes, sizeof *p->plans, "control volumes"));
    TRY(array_alloc(&p->slice, s->gate.slices, sizeof *p->slice, "control slices"));
    TRY(array_alloc(&c->volume, s->gate.slices, sizeof *c->volume, "control slices"));
    TRY(array_alloc(&c->source, s->gate.slices, sizeof *c->source, "control slices"));
    TRY(array_alloc(&c->vector, s->gate.slices * EMBEDDING, sizeof *c->vector, "vectors"));
    for (int64_t i = 0; i < c->volumes; i++) {
        int64_t volumes = 0;
        TRY(deformed_plan(s, g->real, &exchanged, gate_sets_volume(g, i, &volumes), &p->plans[i]));
        const int64_t depth = p->plans[i].entry.space.shape[0], count = gate_sets_slices(g, depth);
        for (int64_t k = 0; k < count; k++, c->n++) {
            c->volume[c->n] = i;
            c->source[c->n] = g->patient_of[p->plans[i].source];
            p->slice[c->n] = (2 * k + 1) * depth / (2 * count);
        }
    }
done:
    return st;
}

/* Local. */
static status open_batch(painting *p) {
    status st = ST_OK;
    const int64_t pixels = p->sets->study->data.size * p->sets->study->data.size;
    TRY(array_alloc(&p->conditions, p->batch, sizeof *p->conditions, "conditions"));
    TRY(array_alloc(&p->labels, p->batch * pixels, 1, "label maps"));
    TRY(array_alloc(&p->sources, p->batch * pixels, sizeof *p->sources, "source slices"));
    TRY(array_alloc(&p->index, p->batch, sizeof *p->index, "sample indices"));
    TRY(array_alloc(&p->images, p->batch * pixels, sizeof *p->images, "sampled slices"));
    for (int64_t b = 0; b < p->batch; b++) {
        p->conditions[b].labels = p->labels + b * pixels;
        p->conditions[b].image = p->sources + b * pixels;
    }
done:
    return st;
}

static void painting_free(painting *p, int64_t volumes) {
    for (int64_t i = 0; p->plans && i < volumes; i++) deformed_free(&p->plans[i]);
    free(p->plans);
    free(p->slice);
    free(p->conditions);
    free(p->labels);
    free(p->sources);
    free(p->index);
    free(p->images);
    prompts_free(&p->prompts);
}

/* Samples and embeds the slices first..first+count-1. Local. */
static status paint(painting *p, control *c, int64_t first, int64_t count) {
    status st = ST_OK;
    const study *s = p->sets->study;
    const int64_t pixels = s->data.size * s->data.size;
    for (int64_t b = 0; b < count; b++) {
        const int64_t k = p->slice[first + b], v = c->volume[first + b];
        TRY(deformed_condition(s, &(map_stores){.real = p->sets->real}, &p->plans[v], k,
                               &p->conditions[b]));
        if (p->prompts.count > 0) {
            int64_t volumes = 0;
            const int64_t like = gate_sets_volume(p->sets, v, &volumes);
            p->conditions[b].caption = prompts_of(&p->prompts, like);
        }
        p->index[b] = ((FIRST_VOLUME + (uint64_t)v) << 20) + (uint64_t)k;
    }
    TRY(denoiser_sample(p->denoiser, p->conditions, p->index, count, p->images));
    for (int64_t at = 0; at < count; at += p->embedding->batch) {
        const int64_t left = count - at;
        TRY(embedding_images(p->embedding, p->images + at * pixels, p->labels + at * pixels,
                             left < p->embedding->batch ? left : p->embedding->batch,
                             c->vector + (first + at) * EMBEDDING));
    }
    activity_step(first);
done:
    return st;
}

status control_sample(const stage_context *stage, const gate_sets *g, denoiser *d, embedding *e,
                      int64_t base, control *out) {
    status st = ST_OK;
    control *c = out;
    const comm *ranks = stage->comm;
    bool stop = false;
    *c = (control){0};
    painting p = {.sets = g, .denoiser = d, .embedding = e, .batch = stage->study->generate.batch};
    st = plan_volumes(&p, c);
    if (st == ST_OK) st = open_batch(&p);
    if (st == ST_OK && stage->study->generate.prompts[0])
        st = prompts_read(stage->study->generate.prompts, &p.prompts);
    TRY(comm_agree(ranks, st));
    const int64_t batches = (c->n + p.batch - 1) / p.batch;
    for (int64_t round = 0; round < batches && !stop; round += comm_size(ranks)) {
        const int64_t first = (round + comm_rank(ranks)) * p.batch, left = c->n - first;
        st = left > 0 ? paint(&p, c, first, left < p.batch ? left : p.batch) : ST_OK;
        TRY(comm_agree(ranks, st));
        log_progress_set(stage->log, base + round, "control slices");
        TRY(stage_should_stop(stage, &stop));
    }
    if (stop) TRY(status_fail(ST_STOPPED, "stopped; run again to sample the control slices again"));
    TRY(comm_sum_f64(ranks, c->vector, c->n * EMBEDDING));
done:
    painting_free(&p, c->volumes);
    return st;
}

void control_free(control *c) {
    free(c->volume);
    free(c->source);
    free(c->vector);
    *c = (control){0};
}
