/* The table of samplers and the loop that they share: the levels of a time grid from noise to data,
 * one step between two neighbours. The steps are in sampler_line.c, sampler_slope.c and
 * sampler_exponential.c, the evaluation of the network in sampler_evaluate.c. */
#include "model/diffusion/sampler.h"
#include "io/alloc.h"
#include "model/diffusion/sampler_step.h"
#include "model/diffusion/shortcut.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* For draw_normal(). Passes of a step at most. */
enum { BACK = 1 << 23, PASS = 1 << 24, PASSES_MAX = 100 };

enum { DDPM = 1 << PROCESS_DDPM, EDM = 1 << PROCESS_EDM, FLOW = 1 << PROCESS_FLOW };

static const struct row {
    const char *name;
    sampler_step step;
    int kept; /* arrays of sampler_state.kept */
    int fits; /* bit k: process_kind k */
} TABLE[] = {
    [SAMPLER_DDPM] = {"ddpm", sampler_ddpm, 0, DDPM},
    [SAMPLER_DDIM] = {"ddim", sampler_ddim, 0, DDPM},
    [SAMPLER_EULER] = {"euler", sampler_euler, 0, DDPM | EDM | FLOW},
    [SAMPLER_EULER_ANCESTRAL] = {"euler-ancestral", sampler_euler_ancestral, 0, DDPM | EDM},
    [SAMPLER_HEUN] = {"heun", sampler_heun, 1, DDPM | EDM | FLOW},
    [SAMPLER_MIDPOINT] = {"midpoint", sampler_midpoint, 2, DDPM | EDM | FLOW},
    [SAMPLER_PLMS] = {"plms", sampler_plms, SAMPLER_KEPT, DDPM | EDM},
    [SAMPLER_DPM_2M] = {"dpm-solver++-2m", sampler_dpm_2m, 1, DDPM | EDM},
    [SAMPLER_DPM_2M_SDE] = {"dpm-solver++-2m-sde", sampler_dpm_2m_sde, 1, DDPM | EDM},
    [SAMPLER_UNIPC_2] = {"unipc-2", sampler_unipc_2, 3, DDPM | EDM},
    [SAMPLER_CONSISTENCY] = {"consistency", sampler_consistency, 0, DDPM | EDM | FLOW},
};

const named_table sampler_kinds = NAMED_TABLE("sampler", TABLE);

bool sampler_fits(sampler_kind kind, process_kind process) {
    return TABLE[kind].fits >> process & 1;
}

bool sampler_fits_grid(sampler_kind kind, time_grid_kind grid) {
    return (kind == SAMPLER_CONSISTENCY) == (grid == GRID_CONSISTENCY);
}

bool sampler_resamples(sampler_kind kind) { return TABLE[kind].kept == 0; }

static status check(const sampling *how) {
    status st = ST_OK;
    const double *interval = how->interval;
    const process_kind process = how->process->set.kind;
    if (!sampler_fits(how->sampler, process))
        TRY(status_fail(ST_USAGE, "sampler %s does not fit process %s", TABLE[how->sampler].name,
                        named_table_name(&process_kinds, (int)process)));
    if (!sampler_fits_grid(how->sampler, how->grid))
        TRY(status_fail(ST_USAGE, "sampler %s does not fit time grid %s", TABLE[how->sampler].name,
                        named_table_name(&time_grid_kinds, (int)how->grid)));
    if (how->process->set.shortcut &&
        (how->sampler != SAMPLER_EULER || how->grid != GRID_UNIFORM || !shortcut_fits(how->steps)))
        TRY(status_fail(ST_USAGE,
                        "a shortcut model is sampled by euler on a uniform grid in 1, 2, 4, ... or "
                        "%d steps, not by %s on a %s grid in %" PRId64,
                        SHORTCUT_STEPS, TABLE[how->sampler].name,
                        named_table_name(&time_grid_kinds, (int)how->grid), how->steps));
    if (!(how->eta >= 0 && how->eta <= 1))
        TRY(status_fail(ST_USAGE, "eta %g: it must be between 0 and 1", how->eta));
    if (!isfinite(how->guidance))
        TRY(status_fail(ST_USAGE, "guidance %g: it must be a finite number", how->guidance));
    if (!(interval[0] >= 0 && interval[0] <= interval[1] && interval[1] <= 1))
        TRY(status_fail(ST_USAGE,
                        "guidance between noise levels %g and %g: they must be 0 to 1, the lower "
                        "one first",
                        interval[0], interval[1]));
    if (!(how->rescale >= 0 && how->rescale <= 1))
        TRY(status_fail(ST_USAGE, "rescale %g: it must be between 0 and 1", how->rescale));
    if (how->resample < 0 || how->resample > PASSES_MAX ||
        (how->resample > 1 && !sampler_resamples(how->sampler)))
        TRY(status_fail(ST_USAGE, "sampler %s cannot make each step %" PRId64 " times",
                        TABLE[how->sampler].name, how->resample));
    if (!(how->clip >= 0))
        TRY(status_fail(ST_USAGE, "clip %g: it must be positive, or 0 for no clamping", how->clip));
done:
    return st;
}

/* Noise of one sample: k = 0 for x_T, k + 1 for step k; plus PASS times the pass of a step that is
 * made again, and BACK for the noise that leads back to its beginning. */
static void draw_normal(const sampling *how, uint64_t index, int64_t k, float *out, int64_t n) {
    rng_stream r = rng_open(how->seed, RNG_SAMPLE, index, (uint32_t)k);
    rng_fill_normal(&r, out, n);
}

void sampler_draw(sampler_state *s) {
    for (int64_t b = 0; b < s->batch; b++)
        draw_normal(s->how, s->index[b], s->pass * PASS + s->step + 1, s->noise + b * s->n, s->n);
}

/* x at s->to becomes a draw from q(x at s->at | x at s->to). */
static void go_back(sampler_state *s) {
    const double along = s->at.alpha / s->to.alpha, kept = along * s->to.sigma;
    const double spread = sqrt(fmax(0, s->at.sigma * s->at.sigma - kept * kept));
    for (int64_t b = 0; b < s->batch; b++)
        draw_normal(s->how, s->index[b], s->pass * PASS + BACK + s->step, s->noise + b * s->n,
                    s->n);
    const sampler_term terms[] = {{along, s->x}, {spread, s->noise}};
    sampler_sum(s, terms, 2, s->x);
}

/* Makes the present step as often as it is to be made; the last one once. */
static status make_step(sampler_state *s) {
    const bool last = s->step + 1 == s->how->steps;
    const int64_t passes = s->how->resample > 1 && !last ? s->how->resample : 1;
    for (s->pass = 0; s->pass < passes; s->pass++) {
        status st = TABLE[s->how->sampler].step(s);
        if (st != ST_OK) return st;
        if (s->pass + 1 < passes) go_back(s);
    }
    return ST_OK;
}

void sampler_sum(const sampler_state *s, const sampler_term *terms, int n, float *out) {
    for (int64_t i = 0; i < s->count; i++) {
        double sum = 0;
        for (int k = 0; k < n; k++) sum += terms[k].factor * (double)terms[k].array[i];
        out[i] = (float)sum;
    }
}

void sampler_line(const sampler_state *s, const noise_level *at, float *out) {
    const sampler_term terms[] = {{at->alpha, s->x0}, {at->sigma, s->eps}};
    sampler_sum(s, terms, 2, out);
}

static status check_finite(const sampler_state *s) {
    for (int64_t i = 0; i < s->count; i++)
        if (!isfinite(s->x[i]))
            return status_fail(ST_DIVERGED,
                               "sampling produced a value that is not finite at t = %g; the "
                               "network's parameters are not usable",
                               s->at.t);
    return ST_OK;
}

/* Allocates the arrays; the caller frees them with state_free(), also after a failure. */
static status state_open(sampler_state *s) {
    status st = ST_OK;
    if (!size_mul(s->batch, s->n, &s->count))
        TRY(status_fail(ST_USAGE,
                        "a batch of %" PRId64 " samples of %" PRId64 " values is too large",
                        s->batch, s->n));
    float **arrays[] = {&s->predicted, &s->x0, &s->eps, &s->noise};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++)
        TRY(array_alloc(arrays[k], s->count, sizeof(float), "sampling"));
    if (s->how->guidance != 1)
        TRY(array_alloc(&s->unconditional, s->count, sizeof(float), "sampling"));
    for (int k = 0; k < TABLE[s->how->sampler].kept; k++)
        TRY(array_alloc(&s->kept[k], s->count, sizeof(float), "sampling"));
done:
    return st;
}

static void state_free(sampler_state *s) {
    free(s->predicted);
    free(s->unconditional);
    free(s->x0);
    free(s->eps);
    free(s->noise);
    for (int k = 0; k < SAMPLER_KEPT; k++) free(s->kept[k]);
}

/* x at the first level: noise alone, of standard deviation sigma. That of a ddpm is taken for 1,
 * which its last level misses by as little as its schedule leaves of the data. */
static void begin(sampler_state *s, const noise_level *first) {
    const double spread = s->how->process->set.kind == PROCESS_DDPM ? 1 : first->sigma;
    for (int64_t b = 0; b < s->batch; b++)
        draw_normal(s->how, s->index[b], 0, s->x + b * s->n, s->n);
    for (int64_t i = 0; spread != 1 && i < s->count; i++)
        s->x[i] = (float)(spread * (double)s->x[i]);
}

status sampler_run(const sampling *how, denoise_fn denoise, void *context, const uint64_t *index,
                   int64_t batch, int64_t n, float *x) {
    status st = ST_OK;
    double *times = NULL;
    const process *p = how->process;
    sampler_state s = {.how = how,
                       .denoise = denoise,
                       .context = context,
                       .index = index,
                       .batch = batch,
                       .n = n,
                       .x = x};
    TRY(check(how));
    TRY(array_alloc(&times, how->steps >= 0 ? how->steps + 1 : 1, sizeof *times, "times"));
    TRY(time_grid_fill(p, how->grid, how->steps, times));
    TRY(state_open(&s));
    s.to = process_level(p, times[0]);
    begin(&s, &s.to);
    for (; s.step < how->steps; s.step++) {
        s.earlier = s.before;
        s.before = s.at;
        s.at = s.to;
        if (p->set.shortcut) s.at.step = shortcut_size(how->steps);
        s.to = process_level(p, times[s.step + 1]);
        TRY(make_step(&s));
        TRY(check_finite(&s));
    }
done:
    free(times);
    state_free(&s);
    return st;
}

/* A denoise_fn that counts its calls. */
static status count_call(void *context, const float *x_t, const noise_level *at, int conditional,
                         float *predicted) {
    (void)x_t, (void)at, (void)conditional;
    ++*(int64_t *)context;
    *predicted = 0;
    return ST_OK;
}

status sampler_evaluations(const sampling *how, int64_t *evaluations) {
    const uint64_t index = 0;
    const float output = 0;
    float x;
    sampling counted = *how;
    counted.correct = NULL;
    counted.output = &output;
    *evaluations = 0;
    return sampler_run(&counted, count_call, evaluations, &index, 1, 1, &x);
}
