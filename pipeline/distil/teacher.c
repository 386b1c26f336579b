/* Runs the teacher's network once for Euler's step and again for Heun's. */
#include "pipeline/distil/teacher.h"

#include "io/alloc.h"
#include "model/net/unet.h"

struct teacher {
    const process *process;
    unet_config config;
    graph *graph;
    params *params;
    plan *plan;
    node predicted;
    denoiser_inputs in;
    int64_t batch, pixels;
    float *first, *second; /* [batch][pixels]: the noise that is seen at t, at r */
};

status teacher_open(const distil_inputs *in, const process *p, int64_t batch, teacher **out) {
    status st = ST_OK;
    teacher *t = NULL;
    const study *s = in->stage->study;
    *out = NULL;
    TRY(array_alloc(&t, 1, sizeof *t, "the teacher"));
    t->process = p;
    t->batch = batch;
    t->pixels = s->data.size * s->data.size;
    TRY(denoiser_config(s, store_labels(in->data->store), &t->config));
    TRY(graph_create(&t->graph));
    t->predicted = unet_build(t->graph, &t->config);
    TRY(params_create(t->graph, &t->params));
    TRY(trainer_load_ema(in->teacher, in->teacher_step, t->params));
    plan_options options = {.engine = in->stage->engine,
                            .batch = batch,
                            .compute = in->stage->precision,
                            .outputs = &t->predicted,
                            .output_count = 1};
    TRY(plan_create(t->graph, t->params, &options, &t->plan));
    TRY(denoiser_inputs_of(s, t->plan, &t->config, &t->in));
    TRY(array_alloc(&t->first, batch * t->pixels, sizeof(float), "directions of the teacher"));
    TRY(array_alloc(&t->second, batch * t->pixels, sizeof(float), "directions of the teacher"));
    *out = t;
    t = NULL;
done:
    teacher_close(t);
    return st;
}

void teacher_close(teacher *t) {
    if (!t) return;
    plan_destroy(t->plan);
    params_destroy(t->params);
    graph_destroy(t->graph);
    free(t->first);
    free(t->second);
    free(t);
}

/* Fills eps[count][pixels] with the noise that the network sees: at x_r if `at_r`, else at x_t. */
static status see(teacher *t, const teacher_sample *samples, int64_t count, bool at_r, float *eps) {
    status st = ST_OK;
    for (int64_t b = 0; b < count; b++) {
        const teacher_sample *s = &samples[b];
        const noise_level *at = at_r ? &s->pair->to : &s->pair->at;
        denoiser_fill(&t->in, b, at_r ? s->x_r : s->x_t, at, s->condition, s->conditional);
    }
    TRY(plan_forward(t->plan, NULL));
    const float *predicted = plan_output(t->plan, t->predicted).at;
    for (int64_t b = 0; b < count; b++) {
        const teacher_sample *s = &samples[b];
        const int64_t from = b * t->pixels;
        process_split(t->process, at_r ? &s->pair->to : &s->pair->at, at_r ? s->x_r : s->x_t,
                      predicted + from, NULL, eps + from, t->pixels);
    }
done:
    return st;
}

/* Whether a sample is not at the data yet. */
static bool is_under_way(const teacher_sample *samples, int64_t count) {
    for (int64_t b = 0; b < count; b++)
        if (!samples[b].pair->is_data) return true;
    return false;
}

status teacher_step(teacher *t, const teacher_sample *samples, int64_t count) {
    status st = ST_OK;
    TRY(see(t, samples, count, false, t->first));
    for (int64_t b = 0; b < count; b++)
        consistency_solve(samples[b].pair, samples[b].x_t, t->first + b * t->pixels, samples[b].x_r,
                          t->pixels);
    if (!is_under_way(samples, count)) goto done;
    TRY(see(t, samples, count, true, t->second));
    for (int64_t b = 0; b < count; b++) {
        const int64_t from = b * t->pixels;
        if (samples[b].pair->is_data) continue;
        for (int64_t i = from; i < from + t->pixels; i++)
            t->first[i] = (t->first[i] + t->second[i]) / 2;
        consistency_solve(samples[b].pair, samples[b].x_t, t->first + from, samples[b].x_r,
                          t->pixels);
    }
done:
    return st;
}
