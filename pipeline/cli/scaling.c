/* Times steps in rounds: all ranks together, each for itself at once, and each alone. */
#include "pipeline/cli/scaling.h"

#include "io/alloc.h"
#include "pipeline/cli/median.h"

enum { WARM_UP = 1, ROUNDS = 9 };

/* Times one step of t; *rate in images/s. Collective on the comm of t. */
static status time_step(trainer *t, const trainer_feed *feed, int64_t batch, double *rate) {
    trainer_report report;
    status st = trainer_step(t, feed, false, &report);
    *rate = st == ST_OK ? (double)batch / report.total : 0;
    return st;
}

/* *rate = the minimum over the ranks: a step ends when its last rank does. Collective. */
static status min_over_ranks(const comm *c, double *rate) {
    double negative = -*rate;
    status st = comm_max_f64(c, &negative, 1);
    *rate = -negative;
    return st;
}

/* Every rank makes a step of a trainer of its own, all at the same time; *rate of all ranks.
 * Collective on c. */
static status time_apart(const comm *c, trainer *t, const trainer_feed *feed, int64_t batch,
                         double *rate) {
    status st;
    TRY(comm_wait(c));
    TRY(comm_agree(c, time_step(t, feed, batch, rate)));
    TRY(min_over_ranks(c, rate));
    *rate *= comm_size(c);
done:
    return st;
}

/* One rank after the other makes a step of its own trainer while the others sleep; *rate of this
 * rank. Collective on c. */
static status time_alone(const comm *c, trainer *t, const trainer_feed *feed, int64_t batch,
                         double *rate) {
    status st = ST_OK, local = ST_OK;
    for (int r = 0; r < comm_size(c); r++) {
        TRY(comm_wait(c));
        if (comm_rank(c) == r) local = time_step(t, feed, batch, rate);
    }
    TRY(comm_wait(c));
    TRY(comm_agree(c, local));
done:
    return st;
}

status scaling_measure(const comm *c, const trainer_settings *set, const graph *g, node loss,
                       const kernels *engine, const trainer_feed *feed, scaling *out) {
    status st = ST_OK;
    comm *self = NULL;
    trainer *all = NULL, *one = NULL;
    trainer_settings own = *set;
    double together[ROUNDS], apart[ROUNDS], alone[ROUNDS], share[ROUNDS], machine[ROUNDS];
    double best = 0;
    own.batch = set->batch / comm_size(c);
    TRY(comm_split(c, comm_rank(c), &self));
    TRY(trainer_create(c, set, g, loss, engine, &all));
    TRY(comm_agree(c, trainer_create(self, &own, g, loss, engine, &one)));
    for (int i = -WARM_UP; i < ROUNDS; i++) {
        double both = 0, each = 0, mine = 0, sum = 0;
        TRY(comm_wait(c));
        TRY(time_step(all, feed, set->batch, &both));
        TRY(time_apart(c, one, feed, own.batch, &each));
        TRY(time_alone(c, one, feed, own.batch, &mine));
        TRY(min_over_ranks(c, &both));
        sum = mine;
        TRY(comm_sum_f64(c, &sum, 1));
        if (i < 0) continue;
        together[i] = both;
        apart[i] = each;
        alone[i] = sum;
        share[i] = together[i] / sum;
        machine[i] = each / sum;
        if (mine > best) best = mine;
    }
    TRY(comm_sum_f64(c, &best, 1));
    *out = (scaling){.together = median(together, ROUNDS),
                     .together_best = together[ROUNDS - 1],
                     .alone = median(alone, ROUNDS),
                     .alone_best = best,
                     .efficiency = median(share, ROUNDS),
                     .apart = median(apart, ROUNDS),
                     .machine = median(machine, ROUNDS)};
    out->efficiency_best = out->together_best / out->alone_best;
done:
    trainer_destroy(one);
    trainer_destroy(all);
    comm_free(self);
    return st;
}
