/* Runs the teacher's network once for Euler's step and again for Heun's. */
#include "pipeline/distil/teacher.h"

#include "io/alloc.h"

struct teacher {
    const process *process;
    denoiser *denoiser;
    denoiser_query *queries; /* [batch] */
    int64_t pixels;
    float *first, *second; /* [batch][pixels]: the noise that is seen at t, at r */
};

status teacher_open(const distil_inputs *in, const process *p, int64_t batch, teacher **out) {
    status st = ST_OK;
    teacher *t = NULL;
    const int64_t size = in->stage->study->data.size;
    *out = NULL;
    TRY(array_alloc(&t, 1, sizeof *t, "the teacher"));
    t->process = p;
    t->pixels = size * size;
    TRY(denoiser_open(in->stage, store_labels(in->data->store), batch, &t->denoiser));
    TRY(denoiser_load(t->denoiser, in->teacher, in->teacher_step));
    TRY(array_alloc(&t->queries, batch, sizeof *t->queries, "the questions to the teacher"));
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
    denoiser_close(t->denoiser);
    free(t->queries);
    free(t->first);
    free(t->second);
    free(t);
}

/* Fills eps[count][pixels] with the noise that the network sees: at x_r if `at_r`, else at x_t. */
static status see(teacher *t, const teacher_sample *samples, int64_t count, bool at_r, float *eps) {
    for (int64_t b = 0; b < count; b++) {
        const teacher_sample *s = &samples[b];
        t->queries[b] = (denoiser_query){at_r ? s->x_r : s->x_t, at_r ? &s->pair->to : &s->pair->at,
                                         s->condition, s->conditional};
    }
    status st = denoiser_predict(t->denoiser, t->queries, count, eps, NULL);
    for (int64_t b = 0; b < count && st == ST_OK; b++) {
        float *seen = eps + b * t->pixels;
        process_split(t->process, t->queries[b].at, t->queries[b].x_t, seen, NULL, seen, t->pixels);
    }
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
