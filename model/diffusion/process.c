/* The table of processes. What differs between them is in one row each: the level of a time and its
 * inverse, the distribution of training times, and the meaning of a prediction. */
#include "model/diffusion/process.h"

#include "model/metric/normal.h"

#include <inttypes.h>
#include <math.h>

/* Karras et al. 2022, table 1: ln sigma ~ N(P_MEAN, P_STD^2) in training; range of sampling. */
static const double P_MEAN = -1.2, P_STD = 1.2, EDM_LOW = 0.002, EDM_HIGH = 80;

/* Samplers that choose levels by sigma / alpha begin no higher than here: where ln(alpha / sigma)
 * is -5.1, as implementations of DPM-Solver do for the cosine schedule (Lu et al. 2022). */
static const double LOG_SNR_LOW = -5.1;

static const double GAMMA = 5;

/* Times 0..1 of a flow reach the network as 0..1000, the range of DDPM's. */
static const double FLOW_TIME = 1000;

static noise_level level_of(double t, double alpha, double sigma) {
    return (noise_level){.t = t,
                         .alpha = alpha,
                         .sigma = sigma,
                         .signal = alpha * alpha,
                         .noise = sigma * sigma,
                         .scale = 1};
}

/* out = first * a + second * b. */
static void combine(double first, const float *a, double second, const float *b, float *out,
                    int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(first * a[i] + second * b[i]);
}

/* ---- ddpm ---- */

/* ln(alpha / sigma) at a whole time. */
static double log_ratio(const schedule *s, int64_t t) {
    const double bar = schedule_alpha_bar(s, t);
    return (log(bar) - log1p(-bar)) / 2;
}

/* alpha_bar at t = 1..T, and 1 at t = 0. */
static double alpha_bar_at(const schedule *s, double t) {
    const int64_t below = (int64_t)floor(t);
    if ((double)below == t || below < 1)
        return schedule_alpha_bar(s, below < 1 && t > 0 ? 1 : below);
    const double along = t - (double)below;
    const double ratio = (1 - along) * log_ratio(s, below) + along * log_ratio(s, below + 1);
    return 1 / (1 + exp(-2 * ratio));
}

static noise_level ddpm_level(const process *p, double t) {
    const double bar = alpha_bar_at(&p->schedule, t);
    return (noise_level){.t = t,
                         .alpha = sqrt(bar),
                         .sigma = sqrt(1 - bar),
                         .signal = bar,
                         .noise = 1 - bar,
                         .scale = 1,
                         .time = t - 1}; /* the network counts from 0 */
}

static double ddpm_draw(const process *p, rng_stream *r) {
    return (double)(1 + (int64_t)rng_below(r, (uint64_t)p->schedule.steps));
}

static double ddpm_spread(const process *p, int64_t k, int64_t n) {
    const int64_t t = 1 + (2 * k + 1) * p->schedule.steps / (2 * n);
    return (double)(t < p->schedule.steps ? t : p->schedule.steps);
}

static double ddpm_quantile(const process *p, double share) {
    return (double)(1 + (int64_t)(share * (double)(p->schedule.steps - 1)));
}

static double ddpm_time_of(const process *p, double ratio) {
    const schedule *s = &p->schedule;
    const double wanted = -log(ratio);
    int64_t low = 1, high = s->steps; /* log_ratio falls with t */
    if (wanted >= log_ratio(s, low)) return (double)low;
    if (wanted <= log_ratio(s, high)) return (double)high;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (log_ratio(s, middle) >= wanted)
            low = middle;
        else
            high = middle;
    }
    const double at_low = log_ratio(s, low), at_high = log_ratio(s, high);
    return (double)low + (at_low - wanted) / (at_low - at_high);
}

static void ddpm_target(const process *p, const noise_level *at, const float *x0, const float *eps,
                        float *target, int64_t n) {
    p->objective->target(at->signal, x0, eps, target, n);
}

static void ddpm_split(const process *p, const noise_level *at, const float *x_t,
                       const float *predicted, float *x0, float *eps, int64_t n) {
    p->objective->split(at->signal, x_t, predicted, x0, eps, n);
}

/* ---- edm ---- */

static noise_level edm_level(const process *p, double t) {
    noise_level at = level_of(t, 1, t);
    at.scale = 1 / sqrt(at.noise + p->set.sigma_data * p->set.sigma_data); /* c_in */
    at.time = log(t) / 4;                                                  /* c_noise */
    return at;
}

static double edm_quantile(const process *p, double share) {
    (void)p;
    return exp(P_MEAN + P_STD * normal_quantile(share));
}

static double edm_time_of(const process *p, double ratio) {
    (void)p;
    return ratio;
}

/* (x_0 - c_skip (x_0 + sigma e)) / c_out, with c_skip = sd^2 / (sigma^2 + sd^2) and
 * c_out = sigma sd / sqrt(sigma^2 + sd^2). */
static void edm_target(const process *p, const noise_level *at, const float *x0, const float *eps,
                       float *target, int64_t n) {
    const double spread = p->set.sigma_data;
    combine(at->sigma / spread * at->scale, x0, -spread * at->scale, eps, target, n);
}

/* x_0 = c_skip x + c_out F; e = (x - x_0) / sigma, without the cancellation. */
static void edm_split(const process *p, const noise_level *at, const float *x_t,
                      const float *predicted, float *x0, float *eps, int64_t n) {
    const double spread = p->set.sigma_data, scale = at->scale;
    if (x0)
        combine(spread * spread * scale * scale, x_t, at->sigma * spread * scale, predicted, x0, n);
    if (eps) combine(at->sigma * scale * scale, x_t, -spread * scale, predicted, eps, n);
}

/* ---- flow ---- */

static noise_level flow_level(const process *p, double t) {
    (void)p;
    noise_level at = level_of(t, 1 - t, t);
    at.time = FLOW_TIME * t;
    return at;
}

static double flow_quantile(const process *p, double share) {
    const double t =
        p->set.times == FLOW_LOGIT_NORMAL ? 1 / (1 + exp(-normal_quantile(share))) : share;
    return process_shifted(p, t);
}

static double flow_time_of(const process *p, double ratio) {
    (void)p;
    return ratio / (1 + ratio);
}

static void flow_target(const process *p, const noise_level *at, const float *x0, const float *eps,
                        float *target, int64_t n) {
    (void)p, (void)at;
    combine(1, eps, -1, x0, target, n);
}

/* With v = e - x_0: x_0 = x_t - t v, e = x_t + (1 - t) v. */
static void flow_split(const process *p, const noise_level *at, const float *x_t,
                       const float *predicted, float *x0, float *eps, int64_t n) {
    (void)p;
    if (x0) combine(1, x_t, -at->sigma, predicted, x0, n);
    if (eps) combine(1, x_t, at->alpha, predicted, eps, n);
}

/* ---- the table ---- */

/* The middle of one of 2^32 equal parts: never 0 or 1. */
static double draw_share(rng_stream *r) { return rng_uniform(r) + 0x1p-33; }

static double draw_quantile(const process *p, rng_stream *r) {
    return process_quantile(p, draw_share(r));
}

static double spread_quantile(const process *p, int64_t k, int64_t n) {
    return process_quantile(p, ((double)k + 0.5) / (double)n);
}

static const struct row {
    const char *name;
    noise_level (*level)(const process *p, double t);
    double (*draw)(const process *p, rng_stream *r);
    double (*spread)(const process *p, int64_t k, int64_t n);
    double (*quantile)(const process *p, double share);
    double (*time_of)(const process *p, double ratio);
    void (*target)(const process *p, const noise_level *at, const float *x0, const float *eps,
                   float *target, int64_t n);
    void (*split)(const process *p, const noise_level *at, const float *x_t, const float *predicted,
                  float *x0, float *eps, int64_t n);
} TABLE[] = {
    [PROCESS_DDPM] = {"ddpm", ddpm_level, ddpm_draw, ddpm_spread, ddpm_quantile, ddpm_time_of,
                      ddpm_target, ddpm_split},
    [PROCESS_EDM] = {"edm", edm_level, draw_quantile, spread_quantile, edm_quantile, edm_time_of,
                     edm_target, edm_split},
    [PROCESS_FLOW] = {"flow", flow_level, draw_quantile, spread_quantile, flow_quantile,
                      flow_time_of, flow_target, flow_split},
};

static const char *const WEIGHTS[] = {[WEIGHT_UNIFORM] = "uniform", [WEIGHT_MIN_SNR] = "min-snr"};
static const char *const TIMES[] = {
    [FLOW_UNIFORM] = "uniform", [FLOW_LOGIT_NORMAL] = "logit-normal"};

const named_table process_kinds = NAMED_TABLE("process", TABLE);
const named_table level_weights = NAMED_TABLE("weight", WEIGHTS);
const named_table flow_times_kinds = NAMED_TABLE("distribution of times", TIMES);

status process_open(const process_settings *set, process *out) {
    status st = ST_OK;
    *out = (process){.set = *set, .low = EDM_LOW, .high = EDM_HIGH};
    if (set->kind != PROCESS_DDPM && set->weight != WEIGHT_UNIFORM)
        TRY(status_fail(ST_USAGE, "weight %s: it is for process ddpm alone",
                        named_table_name(&level_weights, (int)set->weight)));
    if (set->kind == PROCESS_EDM && !(set->sigma_data > 0 && isfinite(set->sigma_data)))
        TRY(status_fail(ST_USAGE,
                        "the standard deviation of the data is %g: process edm needs data that "
                        "differ",
                        set->sigma_data));
    if (set->kind == PROCESS_FLOW && !(set->shift > 0 && isfinite(set->shift)))
        TRY(status_fail(ST_USAGE, "shift %g: it must be positive", set->shift));
    if (set->shortcut && (set->kind != PROCESS_FLOW || set->shift != 1))
        TRY(status_fail(ST_USAGE, "a shortcut model is for process flow with shift 1 alone"));
    if (set->kind != PROCESS_DDPM) goto done;
    TRY(schedule_create(set->schedule, set->steps, &out->schedule));
    out->objective = objective_of(set->objective);
    out->low = exp(-log_ratio(&out->schedule, 1));
    out->high = exp(-fmax(log_ratio(&out->schedule, set->steps), LOG_SNR_LOW));
done:
    return st;
}

void process_free(process *p) {
    schedule_free(&p->schedule);
    *p = (process){0};
}

noise_level process_level(const process *p, double t) { return TABLE[p->set.kind].level(p, t); }

double process_draw(const process *p, rng_stream *r) { return TABLE[p->set.kind].draw(p, r); }

double process_spread(const process *p, int64_t k, int64_t n) {
    return TABLE[p->set.kind].spread(p, k, n);
}

double process_quantile(const process *p, double share) {
    return TABLE[p->set.kind].quantile(p, share);
}

double process_time_of(const process *p, double ratio) {
    return TABLE[p->set.kind].time_of(p, ratio);
}

double process_shifted(const process *p, double t) {
    return p->set.shift * t / (1 + (p->set.shift - 1) * t);
}

void process_diffuse(const noise_level *at, const float *x0, const float *eps, float *x_t,
                     int64_t n) {
    combine(at->alpha, x0, at->sigma, eps, x_t, n);
}

void process_target(const process *p, const noise_level *at, const float *x0, const float *eps,
                    float *target, int64_t n) {
    TABLE[p->set.kind].target(p, at, x0, eps, target, n);
}

double process_weight(const process *p, const noise_level *at) {
    if (p->set.weight == WEIGHT_UNIFORM) return 1;
    const double snr = at->signal / at->noise, least = fmin(snr, GAMMA);
    if (p->set.objective == OBJECTIVE_X0) return least;
    return p->set.objective == OBJECTIVE_EPS ? least / snr : least / (snr + 1);
}

void process_split(const process *p, const noise_level *at, const float *x_t,
                   const float *predicted, float *x0, float *eps, int64_t n) {
    TABLE[p->set.kind].split(p, at, x_t, predicted, x0, eps, n);
}

process_frame process_frame_of(const process *p, const noise_level *at) {
    if (p->set.kind == PROCESS_EDM) return (process_frame){.scale = 1, .at = at->sigma};
    const double both = at->alpha + at->sigma; /* of a flow: 1 */
    return (process_frame){.scale = both, .at = at->sigma / both, .slope = -1};
}

double process_frame_ratio(const process *p, double at) {
    return p->set.kind == PROCESS_EDM ? at : at / (1 - at);
}
