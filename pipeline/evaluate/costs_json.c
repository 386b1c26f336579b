/* Sums the costs of all cells. */
#include "pipeline/evaluate/costs_json.h"

#include "pipeline/cells/cells.h"
#include "pipeline/common/costs.h"

/* Appends an entry unless it is 0. Local. */
static status append(json_t *list, const char *what, double seconds) {
    if (seconds <= 0) return ST_OK;
    json_t *entry = json_pack("{s:s, s:f}", "what", what, "core_hours", seconds / 3600);
    return json_array_append_new(list, entry) == 0 ? ST_OK : status_memory("metrics.json", 0);
}

/* The sum of an entry over the cells. Local. */
static status sum_of_cells(const stage_context *stage, const char *name, double *sum) {
    status st = ST_OK;
    *sum = 0;
    for (int64_t i = 0; i < cells_count(stage->study); i++) {
        cell c;
        double seconds;
        TRY(cell_open(stage, i, &c));
        st = costs_read(&c.stage, name, &seconds);
        if (st == ST_INTEGRITY) {
            log_warning(stage->log, "%s: its costs are left out", status_message());
            continue;
        }
        TRY(st);
        *sum += seconds;
    }
    st = ST_OK;
done:
    return st;
}

status costs_json(const stage_context *stage, const all_results *all, const distances *results,
                  const likelihood *likelihoods, const obedience *obediences, json_t *metrics) {
    static const struct {
        const char *entry, *what;
    } parts[] = {{"referee", "referee"},
                 {"text", "training of the text encoder"},
                 {"train", "training of the diffusion model"},
                 {"distil", "distillation"},
                 {"gan", "training of the GAN"},
                 {"generate", "sampling"}};
    status st = ST_OK;
    double seconds = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        TRY(sum_of_cells(stage, parts[i].entry, &seconds));
        TRY(append(list, parts[i].what, seconds));
    }
    seconds = 0;
    for (int64_t i = 0; i < all->sizes * all->sets * all->arms * all->seeds; i++)
        seconds += all->result[i].seconds;
    TRY(append(list, "segmenters", seconds));
    seconds = 0;
    for (int64_t i = 0; i < distances_count(all->study); i++) seconds += results[i].seconds;
    TRY(append(list, "distributions", seconds));
    seconds = 0;
    for (int64_t i = 0; i < likelihood_count(all->study); i++) seconds += likelihoods[i].seconds;
    TRY(append(list, "bits per pixel", seconds));
    seconds = 0;
    for (int64_t i = 0; i < obedience_count(all->study); i++) seconds += obediences[i].seconds;
    TRY(append(list, "obedience to captions", seconds));
    if (json_object_set(metrics, "costs", list) != 0) st = status_memory("metrics.json", 0);
done:
    json_decref(list);
    return st;
}
