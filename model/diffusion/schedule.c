/* The table of noise schedules. A row is a name and a function that fills beta_t; alpha_bar is
 * computed from beta for every row, so that the two are always consistent. */
#include "model/diffusion/schedule.h"
#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>

static const double PI = 3.14159265358979323846;

/* The cap on beta keeps alpha_bar above 0 (Nichol & Dhariwal 2021, section 3.2). */
static const double BETA_MAX = 0.999;

static const int64_t STEPS_MAX = 1000000;

/* Ho et al. chose their betas for T = 1000; for other T they are scaled by 1000 / T. */
static const double STEPS_OF_HO = 1000, BETA_FIRST = 1e-4, BETA_LAST = 0.02;

static double cap(double beta) { return beta < BETA_MAX ? beta : BETA_MAX; }

static void linear(int64_t steps, double *beta) {
    double scale = STEPS_OF_HO / (double)steps;
    for (int64_t t = 1; t <= steps; t++) {
        double along = steps > 1 ? (double)(t - 1) / (double)(steps - 1) : 1;
        beta[t - 1] = cap(scale * (BETA_FIRST + (BETA_LAST - BETA_FIRST) * along));
    }
}

static void cosine(int64_t steps, double *beta) {
    const double s = 0.008;
    double before = cos(s / (1 + s) * PI / 2);
    for (int64_t t = 1; t <= steps; t++) {
        double now = cos(((double)t / (double)steps + s) / (1 + s) * PI / 2);
        beta[t - 1] = cap(1 - now / before * (now / before));
        before = now;
    }
}

/* beta_max is the last beta of the linear schedule, so that both add about the same total noise. */
static void raised_cosine(int64_t steps, double *beta) {
    double beta_max = BETA_LAST * STEPS_OF_HO / (double)steps;
    for (int64_t t = 1; t <= steps; t++)
        beta[t - 1] = cap(beta_max * (1 - cos(PI * (double)t / (double)steps)) / 2);
}

static const struct row {
    const char *name;
    void (*fill)(int64_t steps, double *beta);
} TABLE[] = {[SCHEDULE_LINEAR] = {"linear", linear},
             [SCHEDULE_COSINE] = {"cosine", cosine},
             [SCHEDULE_RAISED_COSINE] = {"raised-cosine", raised_cosine}};

const named_table schedule_kinds = NAMED_TABLE("noise schedule", TABLE);

status schedule_create(schedule_kind kind, int64_t steps, schedule *out) {
    status st = ST_OK;
    *out = (schedule){0};
    if (steps < 1 || steps > STEPS_MAX)
        TRY(status_fail(ST_USAGE,
                        "a noise schedule of %" PRId64
                        " steps: the number of steps must be 1 to %" PRId64,
                        steps, STEPS_MAX));
    TRY(array_alloc(&out->beta, 2 * steps, sizeof *out->beta, "noise schedule"));
    out->steps = steps;
    out->alpha_bar = out->beta + steps;
    TABLE[kind].fill(steps, out->beta);
    double product = 1;
    for (int64_t i = 0; i < steps; i++) out->alpha_bar[i] = product *= 1 - out->beta[i];
done:
    return st;
}

void schedule_free(schedule *s) {
    free(s->beta);
    *s = (schedule){0};
}

double schedule_alpha_bar(const schedule *s, int64_t t) { return t > 0 ? s->alpha_bar[t - 1] : 1; }

/* Between any two times s < t the process is a single Gaussian step with
 * 1 - beta = alpha_bar_t / alpha_bar_s, so the formulas for t - 1 apply. */
void schedule_posterior(const schedule *s, int64_t t, int64_t to, double *a, double *b,
                        double *variance) {
    double bar = schedule_alpha_bar(s, t), bar_to = schedule_alpha_bar(s, to);
    double beta = to == t - 1 ? s->beta[t - 1] : 1 - bar / bar_to;
    *a = sqrt(bar_to) * beta / (1 - bar);
    *b = sqrt(1 - beta) * (1 - bar_to) / (1 - bar);
    *variance = (1 - bar_to) / (1 - bar) * beta;
}
