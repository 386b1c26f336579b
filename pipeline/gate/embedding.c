/* Training of the embedding with pipeline/trainer/trainer.h, and inference. */
#include "pipeline/gate/embedding.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BASE = 16, BATCH = 32, BATCH_MAX = 16, LOG_EVERY = 10, SAVE_EVERY = 500 };

enum { LABEL_VALUES = 256 };
static const double LEARNING_RATE = 2e-3, TEXTURE_HU = 40, NOISE_HU = 15;

/* The plan for inference and the buffers. Local. */
static status open_inference(embedding *e) {
    status st = ST_OK;
    const int64_t pixels = e->config.size * e->config.size;
    plan_options options = {.engine = e->stage->engine,
                            .batch = e->batch,
                            .outputs = &e->nodes.embedding,
                            .output_count = 1};
    TRY(plan_create(e->graph, trainer_params(e->trainer), &options, &e->plan));
    TRY(array_alloc(&e->sample.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&e->sample.labels, pixels, 1, "a label map"));
    TRY(array_alloc(&e->blurred, pixels, sizeof(float), "a slice"));
done:
    return st;
}

status embedding_open(const stage_context *stage, int64_t classes, embedding *out) {
    status st = ST_OK;
    const study *s = stage->study;
    const int64_t micro_batch = s->train.micro_batch;
    embedding *e = out;
    *e = (embedding){.stage = stage,
                     .config = {.size = s->data.size, .classes = classes, .base = BASE},
                     /* A micro-batch is known to fit into a rank's memory. */
                     .batch = micro_batch < BATCH_MAX ? micro_batch : BATCH_MAX};
    TRY(comm_agree(stage->comm, graph_create(&e->graph)));
    e->nodes = embednet_build(e->graph, &e->config);
    trainer_settings set = {.steps = s->gate.steps,
                            .batch = BATCH,
                            .micro_batch = micro_batch,
                            .lr = LEARNING_RATE,
                            .warmup = s->gate.steps / 20,
                            .weight_decay = 0.01,
                            .clip = 1.0,
                            .seed = (uint64_t)s->seed};
    TRY(trainer_create(stage->comm, &set, e->graph, e->nodes.loss, stage->engine, &e->trainer));
    TRY(comm_agree(stage->comm, open_inference(e)));
done:
    return st;
}

void embedding_close(embedding *e) {
    plan_destroy(e->plan);
    trainer_destroy(e->trainer);
    graph_destroy(e->graph);
    free(e->sample.image);
    free(e->sample.labels);
    free(e->blurred);
    *e = (embedding){0};
}

/* Mixes the share `weight` of a slice blurred by (1, 2, 1) / 4 along rows and columns into it.
 * blurred[size * size]: scratch. */
static void blur(float *image, int64_t size, float weight, float *blurred) {
    for (int64_t y = 0; y < size; y++) {
        const float *row = image + y * size;
        const float *above = y > 0 ? row - size : row, *below = y + 1 < size ? row + size : row;
        for (int64_t x = 0; x < size; x++)
            blurred[y * size + x] = (above[x] + 2 * row[x] + below[x]) / 4;
    }
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++) {
            const float *at = blurred + y * size + x;
            const float left = x > 0 ? at[-1] : *at, right = x + 1 < size ? at[1] : *at;
            image[y * size + x] += weight * ((left + 2 * *at + right) / 4 - image[y * size + x]);
        }
}

/* Whether a neighbour of pixel (y, x) has another label: the pixel may hold both structures. */
static bool on_edge(const uint8_t *labels, int64_t size, int64_t y, int64_t x) {
    const uint8_t *at = labels + y * size + x;
    return (y > 0 && at[-size] != *at) || (y + 1 < size && at[size] != *at) ||
           (x > 0 && at[-1] != *at) || (x + 1 < size && at[1] != *at);
}

/* Leaves of a slice what its label map does not say: the difference from the mean of each
 * structure, 0 at the edges of structures, compressed so that strong contrasts do not hide texture.
 */
static void keep_texture(const study *s, float *image, const uint8_t *labels) {
    const int64_t size = s->data.size;
    const float unit = (float)(2 * TEXTURE_HU / (s->data.window[1] - s->data.window[0]));
    double sum[LABEL_VALUES] = {0};
    int64_t n[LABEL_VALUES] = {0};
    for (int64_t i = 0; i < size * size; i++) {
        if (on_edge(labels, size, i / size, i % size)) continue;
        sum[labels[i]] += (double)image[i];
        n[labels[i]]++;
    }
    for (int64_t i = 0; i < size * size; i++) {
        const double mean = n[labels[i]] > 0 ? sum[labels[i]] / (double)n[labels[i]] : 0;
        image[i] =
            on_edge(labels, size, i / size, i % size) ? 0 : tanhf((image[i] - (float)mean) / unit);
    }
}

/* Changes intensities, sharpness and noise of the training slice with the global index `index`. */
static void change_look(embedding *e, int64_t index) {
    rng_stream r = rng_open((uint64_t)e->stage->study->seed, RNG_EMBED, (uint64_t)index, 0);
    const int64_t pixels = e->config.size * e->config.size;
    float *image = e->sample.image;
    const double *window = e->stage->study->data.window, hu = 2 / (window[1] - window[0]);
    const double gain = rng_between(&r, 0.95, 1.05);
    const double noise = rng_between(&r, 0, NOISE_HU) * hu, weight = rng_uniform(&r);
    blur(image, e->config.size, (float)weight, e->blurred);
    for (int64_t i = 0; i < pixels; i++)
        image[i] = (float)(gain * (double)image[i] + noise * rng_normal(&r));
}

/* The number of the exemplar at (volume, slice); -1 if there is none. */
static int64_t class_of(const exemplars *from, int64_t volume, int64_t slice) {
    int64_t low = 0, high = from->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const split_run *at = &from->runs[middle];
        if (at->volume < volume || (at->volume == volume && at->first < slice))
            low = middle + 1;
        else
            high = middle;
    }
    return low < from->count && from->runs[low].volume == volume && from->runs[low].first == slice
               ? low
               : -1;
}

/* The context of fill(). */
typedef struct fill_context {
    embedding *embedding;
    const exemplars *from;
} fill_context;

/* The function `fill` of a trainer_feed. Local. */
static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    const fill_context *f = context;
    embedding *e = f->embedding;
    const int64_t pixels = e->config.size * e->config.size;
    tensor x, truth;
    TRY(plan_input(pl, "x", &x));
    TRY(plan_input(pl, "class", &truth));
    for (int64_t b = 0; b < count; b++) {
        TRY(slices_draw(f->from->slices, (uint64_t)e->stage->study->seed, first + b, &e->sample));
        change_look(e, first + b);
        keep_texture(e->stage->study, e->sample.image, e->sample.labels);
        memcpy((float *)x.at + b * pixels, e->sample.image, (size_t)pixels * sizeof(float));
        ((float *)truth.at)[b] = (float)class_of(f->from, e->sample.volume, e->sample.slice);
    }
done:
    return st;
}

/* Removes checkpoints that are all damaged: they are only kept to save time. Collective. */
static status begin_again(const embedding *e, const char *directory, checkpoint_choice *found) {
    const comm *c = e->stage->comm;
    if (comm_rank(c) == 0)
        log_warning(e->stage->log, "%s is removed and the embedding trained again", directory);
    *found = (checkpoint_choice){.step = -1};
    return comm_agree(c, comm_rank(c) == 0 ? file_remove_tree(directory) : ST_OK);
}

status embedding_train(embedding *e, const exemplars *from, const char *directory,
                       const char *fingerprint) {
    status st = ST_OK;
    checkpoint_choice found;
    fill_context f = {.embedding = e, .from = from};
    const trainer_feed feed = {.fill = fill, .context = &f};
    const int64_t steps = e->stage->study->gate.steps;
    st = trainer_find(e->stage->comm, directory, fingerprint, e->stage->log, &found);
    if (st == ST_INTEGRITY) TRY(begin_again(e, directory, &found));
    TRY(st);
    if (found.step >= 0) TRY(trainer_restore(e->trainer, directory, found.step));
    while (trainer_step_count(e->trainer) < steps) {
        trainer_report r;
        char note[64];
        TRY(trainer_step(e->trainer, &feed, *e->stage->stop_requested != 0, &r));
        const int64_t at = trainer_step_count(e->trainer);
        activity_step(at);
        if (at % LOG_EVERY == 0) {
            snprintf(note, sizeof note, "embedding, loss %.3f", r.loss);
            log_progress_set(e->stage->log, at, note);
        }
        if (at % SAVE_EVERY == 0 || at == steps || r.stop) {
            TRY(trainer_check_equal(e->trainer));
            TRY(trainer_save(e->trainer, directory, fingerprint, 1));
        }
        if (r.stop && at < steps)
            TRY(status_fail(ST_STOPPED,
                            "stopped after a checkpoint of the embedding in %s; run again to "
                            "resume",
                            directory));
    }
    plan_params_changed(e->plan);
done:
    return st;
}

status embedding_images(embedding *e, const float *images, const uint8_t *labels, int64_t count,
                        double *vector) {
    status st = ST_OK;
    const int64_t pixels = e->config.size * e->config.size;
    tensor x;
    TRY(plan_input(e->plan, "x", &x));
    memcpy(x.at, images, (size_t)(count * pixels) * sizeof(float));
    for (int64_t b = 0; b < count; b++)
        keep_texture(e->stage->study, (float *)x.at + b * pixels, labels + b * pixels);
    TRY(plan_forward(e->plan, NULL));
    activity_progress();
    const float *raw = plan_output(e->plan, e->nodes.embedding).at;
    for (int64_t b = 0; b < count; b++) {
        double square = 0;
        for (int k = 0; k < EMBEDDING; k++)
            square += (double)raw[b * EMBEDDING + k] * (double)raw[b * EMBEDDING + k];
        const double scale = square > 0 ? 1 / sqrt(square) : 0;
        for (int k = 0; k < EMBEDDING; k++)
            vector[b * EMBEDDING + k] = scale * (double)raw[b * EMBEDDING + k];
    }
done:
    return st;
}

/* The share of a rank in embedding_slices(). Local. */
static status embed_share(embedding *e, slices *from, const int64_t *which, int64_t n,
                          double *vector) {
    status st = ST_OK;
    const int64_t pixels = e->config.size * e->config.size, step = comm_size(e->stage->comm);
    double *some = NULL;
    float *images = NULL;
    uint8_t *labels = NULL;
    TRY(array_alloc(&labels, e->batch * pixels, 1, "label maps"));
    TRY(array_alloc(&images, e->batch * pixels, sizeof *images, "slices"));
    TRY(array_alloc(&some, e->batch * EMBEDDING, sizeof *some, "vectors"));
    for (int64_t i = comm_rank(e->stage->comm); i < n;) {
        int64_t count = 0, first = i;
        for (; count < e->batch && i < n; count++, i += step) {
            TRY(slices_get(from, which ? which[i] : i, &e->sample));
            memcpy(labels + count * pixels, e->sample.labels, (size_t)pixels);
            memcpy(images + count * pixels, e->sample.image, (size_t)pixels * sizeof(float));
        }
        TRY(embedding_images(e, images, labels, count, some));
        for (int64_t b = 0; b < count; b++)
            memcpy(vector + (first + b * step) * EMBEDDING, some + b * EMBEDDING,
                   EMBEDDING * sizeof *some);
    }
done:
    free(images);
    free(labels);
    free(some);
    return st;
}

status embedding_slices(embedding *e, slices *from, const int64_t *which, int64_t n,
                        double *vector) {
    status st = ST_OK;
    const comm *c = e->stage->comm;
    memset(vector, 0, (size_t)(n * EMBEDDING) * sizeof *vector);
    TRY(comm_agree(c, embed_share(e, from, which, n, vector)));
    TRY(comm_sum_f64(c, vector, n * EMBEDDING));
done:
    return st;
}
