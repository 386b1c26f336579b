/* The GAN stage: trains the baseline of the diffusion model on the same slices and publishes its
 * checkpoints in <out>/gan.
 *
 * By default the training takes as many floating-point operations as that of the diffusion model.
 * The state after a step depends on the state before it, the study and the step's number alone, so
 * that a training resumes from its newest checkpoint.
 */
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/generator.h"
#include "pipeline/common/preview_sheet.h"
#include "pipeline/gan/adversaries.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LOG_EVERY = 10, CHECK_EVERY = 50 }; /* steps */

typedef struct gan {
    const stage_context *stage;
    store *store;
    split split;
    slices *train, *validation;
    adversaries *pair;
    int64_t steps; /* of the whole training */
    char fingerprint[SHA256_HEX];
    char generator[PATH_SIZE], discriminator[PATH_SIZE]; /* folders of checkpoints */
    /* Sums over the steps since the last "gan" event. */
    adversaries_report sum;
    int64_t sum_count, second_count;
    /* Where this process began. */
    double start_seconds;
    int64_t start_step;
} gan;

/* Opens the store, the split and the slices; computes fingerprint and paths. Local. */
static status open_data(gan *g) {
    status st = ST_OK;
    const study *s = g->stage->study;
    char path[PATH_SIZE], training[SHA256_HEX];
    TRY(stage_path(g->stage, "store", path));
    TRY(store_open(path, &g->store));
    TRY(fingerprint_of_training(s, store_manifest(g->store)->seal, training));
    TRY(fingerprint_of_gan(s, training, g->fingerprint));
    TRY(generator_checkpoints(g->stage, g->fingerprint, g->generator, g->discriminator));
    TRY(split_create(g->store, s, &g->split));
    slice_source train = {g->store, g->split.runs[SPLIT_TRAIN], g->split.run_count[SPLIT_TRAIN]};
    slice_source validation = {g->store, g->split.runs[SPLIT_VALIDATION],
                               g->split.run_count[SPLIT_VALIDATION]};
    TRY(slices_open(s, &train, 1, &g->train));
    TRY(slices_open(s, &validation, 1, &g->validation));
done:
    return st;
}

/* Sets the number of steps, and logs where it comes from. Local. */
static status choose_steps(gan *g) {
    status st = ST_OK;
    const study *s = g->stage->study;
    int64_t equal = 0, generator = 0, discriminator = 0;
    TRY(adversaries_equal_steps(g->stage, store_labels(g->store), &equal, &generator,
                                &discriminator));
    g->steps = s->gan.steps > 0 ? s->gan.steps : equal;
    log_info(g->stage->log,
             "gan: %" PRId64 " steps; %" PRId64 " cost as much as %" PRId64
             " steps of the diffusion model (forward %.3f GFLOP a slice, generator %.3f, "
             "discriminator %.3f)",
             g->steps, equal, s->train.steps, (double)generator / 1e9, (double)generator / 1e9,
             (double)discriminator / 1e9);
done:
    return st;
}

/* Collective. */
static void close_gan(gan *g) {
    adversaries_close(g->pair);
    slices_close(g->train);
    slices_close(g->validation);
    split_free(&g->split);
    store_close(g->store);
}

/* Adds a step to the running sums. Every LOG_EVERY steps their means go to the event log and the
 * progress line. Local. */
static void log_step(gan *g, const adversaries_report *r) {
    const int64_t step = adversaries_step_count(g->pair);
    g->sum.seconds += r->seconds;
    g->second_count++;
    if (!r->skipped) {
        g->sum.generator += r->generator;
        g->sum.discriminator += r->discriminator;
        g->sum_count++;
    } else if (comm_rank(g->stage->comm) == 0)
        log_warning(g->stage->log, "gan: step %" PRId64 " skipped: losses %g and %g", step,
                    r->generator, r->discriminator);
    if (step % LOG_EVERY != 0 && step != g->steps) return;
    const double n = (double)g->sum_count;
    const double rate = (double)((step - g->start_step) * g->stage->study->train.batch) /
                        (log_seconds() - g->start_seconds);
    char note[96];
    snprintf(note, sizeof note, "generator %.3f discriminator %.3f  %.1f slices/s",
             g->sum.generator / n, g->sum.discriminator / n, rate);
    log_progress_set(g->stage->log, step, note);
    log_event(g->stage->log, "gan",
              json_pack("{s:I, s:o, s:o, s:f, s:f}", "step", (json_int_t)step, "generator",
                        log_number(g->sum.generator / n), "discriminator",
                        log_number(g->sum.discriminator / n), "slices_per_s", rate, "step_s",
                        g->sum.seconds / (double)g->second_count));
    g->sum = (adversaries_report){0};
    g->sum_count = g->second_count = 0;
}

/* The sample function of a preview: slice `index` of volume 0. */
static status sample(void *context, const slice_sample *condition, uint64_t index, float *out) {
    status st = ST_OK;
    generator *net = context;
    float *noise = NULL;
    TRY(array_alloc(&noise, generator_pixels(net), sizeof *noise, "noise"));
    rng_stream r = rng_open(0, RNG_GAN, 0, (uint32_t)index);
    rng_fill_normal(&r, noise, generator_pixels(net));
    TRY(generator_sample(net, condition, noise, 1, out));
done:
    free(noise);
    return st;
}

/* The generator with the parameters `ema`, on this rank. Local. */
static status open_generator(const gan *g, const float *ema, generator **out) {
    status st = ST_OK;
    TRY(generator_open(g->stage, store_labels(g->store), 1, out));
    memcpy(generator_params(*out)->value, ema, (size_t)generator_params(*out)->total * sizeof *ema);
    generator_params_changed(*out);
done:
    return st;
}

/* Writes <out>/previews/gan-<step>.png. Collective. */
static status preview(gan *g) {
    status st = ST_OK;
    generator *net = NULL;
    const float *ema = adversaries_ema(g->pair);
    const int64_t step = adversaries_step_count(g->pair);
    preview_sheet sheet = {
        .held = g->validation, .columns = PREVIEW_SLICES, .sample = sample, .step = step};
    char folder[PATH_SIZE], path[PATH_SIZE], name[64];
    snprintf(name, sizeof name, "gan-%08" PRId64 ".png", step);
    st = stage_path(g->stage, "previews", folder);
    if (st == ST_OK && comm_rank(g->stage->comm) == 0) st = file_make_dirs(folder);
    if (st == ST_OK) st = path_join(path, folder, name);
    if (st == ST_OK) st = open_generator(g, ema, &net);
    sheet.context = net;
    st = preview_sheet_write(g->stage, &sheet, st, path);
    generator_close(net);
    return st;
}

/* Writes a checkpoint. Collective. */
static status save(gan *g) {
    status st = ST_OK;
    TRY(adversaries_check_equal(g->pair));
    TRY(adversaries_save(g->pair, g->generator, g->discriminator, g->fingerprint));
    log_event(g->stage->log, "gan checkpoint",
              json_pack("{s:I}", "step", (json_int_t)adversaries_step_count(g->pair)));
done:
    return st;
}

/* Whether the current step is the last one or a multiple of `every`. Local. */
static bool due(const gan *g, int64_t every) {
    const int64_t step = adversaries_step_count(g->pair);
    return step % every == 0 || step == g->steps;
}

/* Makes the remaining steps. ST_STOPPED after a checkpoint if a rank was asked to stop. Collective.
 */
static status run_steps(gan *g) {
    status st = ST_OK;
    const study *s = g->stage->study;
    g->start_seconds = log_seconds();
    g->start_step = adversaries_step_count(g->pair);
    while (adversaries_step_count(g->pair) < g->steps) {
        adversaries_report report;
        TRY(adversaries_step(g->pair, *g->stage->stop_requested != 0, &report));
        const int64_t step = adversaries_step_count(g->pair);
        activity_step(step);
        log_step(g, &report);
        if (step % CHECK_EVERY == 0) TRY(adversaries_check_equal(g->pair));
        if (due(g, s->train.checkpoint_every) || report.stop) TRY(save(g));
        if (due(g, s->train.preview_every)) TRY(preview(g));
        if (report.stop && step < g->steps) {
            st = status_fail(ST_STOPPED,
                             "stopped after the checkpoint of step %" PRId64
                             " of the GAN; run again to resume",
                             step);
            goto done;
        }
    }
done:
    return st;
}

/* Collective. */
static status train(gan *g) {
    status st = ST_OK;
    const stage_context *stage = g->stage;
    TRY(adversaries_open(stage, store_labels(g->store), g->train, g->steps, &g->pair));
    TRY(adversaries_restore(g->pair, g->generator, g->discriminator, g->fingerprint));
    if (adversaries_step_count(g->pair) >= g->steps) {
        log_info(stage->log, "gan: %s is current (step %" PRId64 ")", g->generator, g->steps);
        goto done;
    }
    stage_works(stage);
    log_info(stage->log,
             "gan: generator %.2f M parameters, discriminator %.2f M; %" PRId64
             " slices of %" PRId64 " patients; %d ranks, batch %" PRId64,
             (double)adversaries_parameters(g->pair, true) / 1e6,
             (double)adversaries_parameters(g->pair, false) / 1e6, g->split.slices[SPLIT_TRAIN],
             g->split.patients[SPLIT_TRAIN], comm_size(stage->comm), stage->study->train.batch);
    if (adversaries_step_count(g->pair) > 0)
        log_info(stage->log, "gan: resuming from step %" PRId64, adversaries_step_count(g->pair));
    log_progress_begin(stage->log, "gan", g->steps);
    log_progress_set(stage->log, adversaries_step_count(g->pair), "");
    st = run_steps(g);
    log_progress_end(stage->log);
    if (st == ST_OK) log_info(stage->log, "gan: checkpoints in %s", g->generator);
done:
    return st;
}

status gan_stage(const stage_context *stage) {
    status st = ST_OK;
    gan g = {.stage = stage};
    TRY(stage_needs_pixels(stage, "gan"));
    TRY(comm_agree(stage->comm, open_data(&g)));
    TRY(comm_agree(stage->comm, choose_steps(&g)));
    TRY(train(&g));
    stage_log_next(stage, "generate");
done:
    close_gan(&g);
    return st;
}
