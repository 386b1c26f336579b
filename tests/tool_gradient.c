/* For tests/test_train.py: the gradient of a batch of a study, reduced over the ranks. Usage:
 * tool_gradient STUDY.yaml OUT. Rank 0 writes OUT: raw f32 in the order of the parameters. */
#include "io/alloc.h"
#include "pipeline/train/noising.h"
#include "pipeline/trainer/trainer.h"

#include <stdio.h>

static status first_gradient(const comm *c, const char *study_path, const char *out) {
    status st = ST_OK;
    study s;
    store *data = NULL;
    split sp = {0};
    slices *train = NULL;
    noising n = {0};
    trainer *t = NULL;
    trainer_report report;
    const kernels *engine = NULL;
    char path[PATH_SIZE];
    TRY(study_read(c, study_path, NULL, 0, &s));
    TRY(path_join(path, s.out, "store"));
    TRY(store_open(path, &data));
    TRY(split_create(data, &s, &sp));
    slice_source source = {data, sp.runs[SPLIT_TRAIN], sp.run_count[SPLIT_TRAIN]};
    TRY(slices_open(&s, &source, 1, &train));
    TRY(noising_open(&s, store_labels(data), train, train, &n));
    engine = kernels_of(s.engine);
    const trainer_feed feed = {.fill = noising_fill, .context = &n};
    trainer_settings set = {.steps = 10,
                            .batch = s.train.batch,
                            .micro_batch = s.train.micro_batch,
                            .lr = 1e-3,
                            .clip = 1e30,
                            .seed = (uint64_t)s.seed};
    TRY(trainer_create(c, &set, n.graph, n.loss, engine, &t));
    /* The gradient of the second step: the last layers, which start at zero, have changed, so no
     * gradient is zero. */
    TRY(trainer_step(t, &feed, false, &report));
    TRY(trainer_step(t, &feed, false, &report));
    TRY(trainer_check_equal(t));
    const params *p = trainer_params(t);
    if (comm_rank(c) == 0) st = file_write_atomic(out, p->grad, p->total * (int64_t)sizeof(float));
done:
    trainer_destroy(t);
    noising_close(&n);
    slices_close(train);
    split_free(&sp);
    store_close(data);
    return st;
}

int main(int argc, char **argv) {
    comm *c = NULL;
    status st = comm_start(&argc, &argv, &c);
    if (st == ST_OK) st = argc == 3 ? first_gradient(c, argv[1], argv[2]) : ST_USAGE;
    if (st != ST_OK) fprintf(stderr, "%s\n", status_message());
    if (c) comm_stop(c);
    return st;
}
