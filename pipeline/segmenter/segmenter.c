/* Trains a segmenter with pipeline/trainer/trainer.h, and runs it on slices. */
#include "pipeline/segmenter/segmenter.h"

#include "io/alloc.h"

#include "io/activity.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BATCH_MAX = 16, LOG_EVERY = 10, SAVE_EVERY = 500 };

/* The graph of the network. Local. */
static status open_graph(segmenter *s, const stage_context *stage, const label_set *labels) {
    const study *study = stage->study;
    const int64_t micro_batch = study->train.micro_batch;
    *s = (segmenter){.stage = stage,
                     .config = {.size = study->data.size,
                                .labels = labels->count,
                                .base = study->evaluate.base}};
    /* A micro-batch is known to fit into a rank's memory. */
    s->batch = micro_batch < BATCH_MAX ? micro_batch : BATCH_MAX;
    status st = graph_create(&s->graph);
    if (st == ST_OK) s->nodes = segnet_build(s->graph, &s->config);
    return st;
}

/* The plan for inference and the buffer of a slice. Local. */
static status open_plan(segmenter *s) {
    status st = ST_OK;
    int64_t pixels = s->config.size * s->config.size;
    plan_options options = {.engine = s->stage->engine,
                            .batch = s->batch,
                            .outputs = (node[]){s->nodes.logits, s->nodes.features},
                            .output_count = 2};
    TRY(plan_create(s->graph, s->params, &options, &s->plan));
    TRY(array_alloc(&s->sample.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&s->sample.labels, pixels, 1, "a label map"));
done:
    return st;
}

status segmenter_open(const stage_context *stage, const label_set *labels, uint64_t seed,
                      segmenter *out) {
    status st = ST_OK;
    const study *study = stage->study;
    segmenter *s = out;
    TRY(comm_agree(stage->comm, open_graph(s, stage, labels)));
    trainer_settings set = {.steps = study->evaluate.steps,
                            .batch = study->evaluate.batch,
                            .micro_batch = study->train.micro_batch,
                            .lr = study->evaluate.lr,
                            .warmup = study->evaluate.steps / 20,
                            .weight_decay = 0.01,
                            .clip = 1.0,
                            .seed = seed};
    TRY(trainer_create(stage->comm, &set, s->graph, s->nodes.loss, stage->engine, &s->trainer));
    s->params = trainer_params(s->trainer);
    TRY(comm_agree(stage->comm, open_plan(s)));
done:
    return st;
}

status segmenter_open_inference(const stage_context *stage, const label_set *labels,
                                segmenter *out) {
    status st = ST_OK;
    TRY(open_graph(out, stage, labels));
    TRY(params_create(out->graph, &out->params));
    TRY(open_plan(out));
done:
    return st;
}

void segmenter_params_changed(segmenter *s) { plan_params_changed(s->plan); }

void segmenter_close(segmenter *s) {
    plan_destroy(s->plan);
    if (s->trainer)
        trainer_destroy(s->trainer);
    else
        params_destroy(s->params);
    graph_destroy(s->graph);
    free(s->sample.image);
    free(s->sample.labels);
    *s = (segmenter){0};
}

/* The context of fill(). */
typedef struct fill_context {
    segmenter *segmenter;
    const training_slices *train;
    uint64_t seed;
} fill_context;

/* The function `fill` of a trainer_feed. Local. */
static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    fill_context *f = context;
    slice_sample *sample = &f->segmenter->sample;
    int64_t pixels = f->segmenter->config.size * f->segmenter->config.size;
    tensor x, labels;
    TRY(plan_input(pl, "x", &x));
    TRY(plan_input(pl, "labels", &labels));
    for (int64_t b = 0; b < count; b++) {
        int64_t draw;
        const bool synthetic = mixture_at(&f->train->mixture, first + b, &draw);
        /* With the same seed, copies of the real slices would have their augmentation, too. */
        TRY(synthetic ? slices_draw(f->train->synthetic, ~f->seed, draw, sample)
                      : slices_draw(f->train->real, f->seed, draw, sample));
        memcpy((float *)x.at + b * pixels, sample->image, (size_t)pixels * sizeof(float));
        memcpy((uint8_t *)labels.at + b * pixels, sample->labels, (size_t)pixels);
    }
done:
    return st;
}

/* Removes the checkpoints of a segmenter that are all damaged: unlike those of the denoiser they
 * are only kept to save time. Collective. */
static status begin_again(const segmenter *s, const char *directory, checkpoint_choice *found) {
    const comm *c = s->stage->comm;
    if (comm_rank(c) == 0)
        log_warning(s->stage->log, "%s is removed and the segmenter trained again", directory);
    *found = (checkpoint_choice){.step = -1};
    return comm_agree(c, comm_rank(c) == 0 ? file_remove_tree(directory) : ST_OK);
}

status segmenter_train(segmenter *s, const training_slices *train, uint64_t seed,
                       const char *directory, const char *fingerprint, int64_t base,
                       int64_t until) {
    status st = ST_OK;
    checkpoint_choice found = {.step = -1};
    fill_context f = {.segmenter = s, .train = train, .seed = seed};
    const trainer_feed feed = {.fill = fill, .context = &f};
    int64_t steps = s->stage->study->evaluate.steps;
    if (trainer_step_count(s->trainer) == 0)
        st = trainer_find(s->stage->comm, directory, fingerprint, s->stage->log, &found);
    if (st == ST_INTEGRITY) TRY(begin_again(s, directory, &found));
    TRY(st);
    if (found.step >= 0) {
        TRY(trainer_restore(s->trainer, directory, found.step));
        if (found.step < until)
            log_info(s->stage->log, "segmenter: resuming from step %" PRId64 " of %" PRId64,
                     found.step, steps);
    }
    while (trainer_step_count(s->trainer) < until) {
        trainer_report r;
        char note[64];
        TRY(trainer_step(s->trainer, &feed, *s->stage->stop_requested != 0, &r));
        int64_t at = trainer_step_count(s->trainer);
        activity_step(base + at);
        if (at % LOG_EVERY == 0) {
            snprintf(note, sizeof note, "loss %.3f", r.loss);
            log_progress_set(s->stage->log, base + at, note);
        }
        if (at % SAVE_EVERY == 0 || at == steps || r.stop) {
            TRY(trainer_check_equal(s->trainer));
            TRY(trainer_save(s->trainer, directory, fingerprint, 1));
        }
        if (r.stop && at < steps) {
            st = status_fail(
                ST_STOPPED,
                "stopped after a checkpoint of the segmenter in %s; run again to resume",
                directory);
            goto done;
        }
    }
    log_progress_set(s->stage->log, base + until, "");
    plan_params_changed(s->plan);
done:
    return st;
}

/* labels[i] = the class with the largest logit; of equals the first. */
static void argmax_labels(const float *logits, int64_t pixels, int64_t classes, uint8_t *labels) {
    for (int64_t i = 0; i < pixels; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < classes; k++)
            if (logits[i * classes + k] > logits[i * classes + best]) best = k;
        labels[i] = (uint8_t)best;
    }
}

/* The softmax probability of label k; k has the largest logit, so that no exponent is above 0. */
static float softmax_of(const float *logits, int64_t classes, int64_t k) {
    float sum = 0;
    for (int64_t i = 0; i < classes; i++) sum += expf(logits[i] - logits[k]);
    return 1 / sum;
}

status segmenter_labels(segmenter *s, const float *images, int64_t count, uint8_t *labels,
                        float *confidence) {
    status st = ST_OK;
    const int64_t pixels = s->config.size * s->config.size, classes = s->config.labels;
    tensor x;
    TRY(plan_input(s->plan, "x", &x));
    for (int64_t first = 0; first < count; first += s->batch) {
        const int64_t left = count - first, part = (left < s->batch ? left : s->batch) * pixels;
        memcpy(x.at, images + first * pixels, (size_t)part * sizeof(float));
        TRY(plan_forward(s->plan, NULL));
        activity_progress();
        const float *logits = plan_output(s->plan, s->nodes.logits).at;
        uint8_t *to = labels + first * pixels;
        argmax_labels(logits, part, classes, to);
        for (int64_t i = 0; confidence && i < part; i++)
            confidence[first * pixels + i] = softmax_of(logits + i * classes, classes, to[i]);
    }
done:
    return st;
}

status segmenter_predict(segmenter *s, slice_getter get, void *context, int64_t first,
                         int64_t count, uint8_t *truth, uint8_t *predicted) {
    status st = ST_OK;
    const int64_t pixels = s->config.size * s->config.size, classes = s->config.labels;
    tensor x;
    TRY(plan_input(s->plan, "x", &x));
    for (int64_t done = 0; done < count;) {
        const int64_t left = count - done, n = left < s->batch ? left : s->batch;
        for (int64_t b = 0; b < n; b++) {
            TRY(get(context, first + done + b, &s->sample));
            memcpy((float *)x.at + b * pixels, s->sample.image, (size_t)pixels * sizeof(float));
            if (truth) memcpy(truth + (done + b) * pixels, s->sample.labels, (size_t)pixels);
        }
        TRY(plan_forward(s->plan, NULL));
        activity_progress();
        argmax_labels(plan_output(s->plan, s->nodes.logits).at, n * pixels, classes,
                      predicted + done * pixels);
        done += n;
    }
done:
    return st;
}

/* Every `step`-th slice from `first` on. */
typedef struct spread_slices {
    slices *from;
    int64_t first, step;
    int64_t *volumes; /* of the slices that were asked for, in their order */
} spread_slices;

/* A slice_getter of these. Local. */
static status get_spread(void *context, int64_t k, slice_sample *sample) {
    const spread_slices *s = context;
    status st = slices_get(s->from, s->first + k * s->step, sample);
    s->volumes[k] = sample->volume;
    return st;
}

status segmenter_dice(segmenter *s, slices *from, int64_t first, int64_t step,
                      const int64_t *patient_of, dice_counts *counts) {
    status st = ST_OK;
    const int64_t pixels = s->config.size * s->config.size, total = slices_count(from);
    const int64_t count = total > first ? (total - first + step - 1) / step : 0;
    spread_slices spread = {from, first, step, NULL};
    uint8_t *truth = NULL, *predicted = NULL;
    if (count == 0) return ST_OK;
    TRY(array_alloc(&spread.volumes, count, sizeof *spread.volumes, "slices"));
    TRY(array_alloc(&truth, count * pixels, 1, "label maps"));
    TRY(array_alloc(&predicted, count * pixels, 1, "label maps"));
    TRY(segmenter_predict(s, get_spread, &spread, 0, count, truth, predicted));
    for (int64_t k = 0; k < count; k++)
        dice_add(&counts[patient_of[spread.volumes[k]]], truth + k * pixels, predicted + k * pixels,
                 pixels);
done:
    free(spread.volumes);
    free(truth);
    free(predicted);
    return st;
}

status segmenter_features(segmenter *s, const float *images, int64_t count, float *features) {
    status st = ST_OK;
    const int64_t pixels = s->config.size * s->config.size, dim = segnet_feature_dim(&s->config);
    tensor x;
    TRY(plan_input(s->plan, "x", &x));
    for (int64_t first = 0; first < count; first += s->batch) {
        const int64_t left = count - first, part = left < s->batch ? left : s->batch;
        memcpy(x.at, images + first * pixels, (size_t)(part * pixels) * sizeof(float));
        TRY(plan_forward(s->plan, NULL));
        activity_progress();
        memcpy(features + first * dim, plan_output(s->plan, s->nodes.features).at,
               (size_t)(part * dim) * sizeof(float));
    }
done:
    return st;
}

status segmenter_hash(segmenter *s, char hex[SHA256_HEX]) {
    return bytes_sha256(s->params->value, s->params->total * (int64_t)sizeof(float), hex);
}
