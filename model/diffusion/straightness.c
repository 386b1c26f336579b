/* The midpoint rule with sums of the slopes and of their squares. */
#include "model/diffusion/straightness.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>

typedef struct path {
    float *slope, *middle; /* [batch*n]: v; z in the middle of a step */
    double *sum;           /* [batch*n] of the steps' v */
    double *square;        /* [batch] of their |v|^2 */
} path;

static status path_alloc(path *s, int64_t batch, int64_t n) {
    status st = ST_OK;
    int64_t count = 0;
    if (!size_mul(batch, n, &count)) TRY(status_memory("paths", batch));
    TRY(array_alloc(&s->slope, count, sizeof *s->slope, "paths"));
    TRY(array_alloc(&s->middle, count, sizeof *s->middle, "paths"));
    TRY(array_alloc(&s->sum, count, sizeof *s->sum, "paths"));
    TRY(array_alloc(&s->square, batch, sizeof *s->square, "paths"));
done:
    return st;
}

static void path_free(path *s) {
    free(s->slope);
    free(s->middle);
    free(s->sum);
    free(s->square);
}

/* Moves z by a step of length h against the time along its slope, and adds that. */
static void move(path *s, double h, int64_t batch, int64_t n, float *z) {
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            const double v = (double)s->slope[i];
            z[i] = (float)((double)z[i] - h * v);
            s->sum[i] += h * v;
            s->square[b] += h * v * v;
        }
}

status straightness_measure(const process *p, denoise_fn denoise, void *context, int64_t steps,
                            int64_t batch, int64_t n, float *z, double *straightness) {
    status st = ST_OK;
    path s = {0};
    const double h = 1 / (double)steps;
    if (p->set.kind != PROCESS_FLOW || steps < 1)
        TRY(status_fail(ST_USAGE,
                        "straightness is that of process flow in 1 or more steps, not of "
                        "%s in %" PRId64,
                        named_table_name(&process_kinds, (int)p->set.kind), steps));
    TRY(path_alloc(&s, batch, n));
    for (int64_t k = 0; k < steps; k++) {
        const noise_level at = process_level(p, (double)(steps - k) / (double)steps);
        const noise_level half = process_level(p, at.t - h / 2);
        TRY(denoise(context, z, &at, 1, s.slope));
        for (int64_t i = 0; i < batch * n; i++) s.middle[i] = (float)(z[i] - h / 2 * s.slope[i]);
        TRY(denoise(context, s.middle, &half, 1, s.slope));
        move(&s, h, batch, n, z);
    }
    for (int64_t b = 0; b < batch; b++) {
        double square = s.square[b];
        for (int64_t i = b * n; i < (b + 1) * n; i++) square -= s.sum[i] * s.sum[i];
        if (!isfinite(square))
            TRY(status_fail(ST_DIVERGED, "a path of the flow is not finite; the network's "
                                         "parameters are not usable"));
        straightness[b] = square > 0 ? square / (double)n : 0;
    }
done:
    path_free(&s);
    return st;
}
