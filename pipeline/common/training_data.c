/* Opens the store, the split and the slices of a training. */
#include "pipeline/common/training_data.h"

#include "pipeline/common/pseudo_store.h"

/* Adds the slices of unlabelled patients, if there are any. Local. */
static status open_unlabelled(const stage_context *stage, training_data *d) {
    status st = ST_OK;
    const study *s = stage->study;
    slice_source source = {.from = d->store,
                           .runs = d->split.runs[SPLIT_UNLABELLED],
                           .run_count = d->split.run_count[SPLIT_UNLABELLED]};
    if (source.run_count == 0 || s->train.unlabelled == 0) goto done;
    if (s->train.pseudo_labels == SWITCH_ON) TRY(pseudo_store_open(stage, d->store, &d->pseudo));
    TRY(slices_open_unlabelled(s, &source, d->pseudo, &d->unlabelled));
done:
    return st;
}

status training_data_open(const stage_context *stage, training_data *out) {
    status st = ST_OK;
    training_data *d = out;
    const study *s = stage->study;
    char path[PATH_SIZE];
    *d = (training_data){0};
    TRY(stage_path(stage, "store", path));
    TRY(store_open(path, &d->store));
    TRY(split_create(d->store, s, &d->split));
    slice_source train = {d->store, d->split.runs[SPLIT_TRAIN], d->split.run_count[SPLIT_TRAIN]};
    slice_source validation = {d->store, d->split.runs[SPLIT_VALIDATION],
                               d->split.run_count[SPLIT_VALIDATION]};
    TRY(slices_open(s, &train, 1, &d->train));
    TRY(slices_open(s, &validation, 1, &d->validation));
    TRY(open_unlabelled(stage, d));
done:
    return st;
}

void training_data_close(training_data *d) {
    slices_close(d->train);
    slices_close(d->validation);
    slices_close(d->unlabelled);
    store_close(d->pseudo);
    split_free(&d->split);
    store_close(d->store);
    *d = (training_data){0};
}
