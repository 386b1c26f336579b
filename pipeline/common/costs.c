/* Keeps <out>/costs.json. */
#include "pipeline/common/costs.h"

#include "io/seal.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COSTS_BYTES = 64 * 1024 };

/* *costs: a new reference, empty if there is no file. Local. */
static status read_file(const char *path, json_t **costs) {
    status st = ST_OK;
    char *text = NULL, seal[SHA256_HEX];
    int64_t bytes = 0;
    json_error_t error;
    *costs = NULL;
    if (file_exists(path)) {
        TRY(file_read(path, COSTS_BYTES, &text, &bytes));
        *costs = json_loadb(text, (size_t)bytes, 0, &error);
        if (!*costs) {
            st = status_fail(ST_INTEGRITY, "%s:%d: %s", path, error.line, error.text);
            goto done;
        }
        TRY(seal_check(*costs, path, seal));
    } else if (!(*costs = json_object())) {
        st = status_memory("the costs", 0);
    }
done:
    if (st != ST_OK) {
        json_decref(*costs);
        *costs = NULL;
    }
    free(text);
    return st;
}

/* Adds to one entry of the file. Local; called on rank 0. */
static status add(const stage_context *stage, const char *name, double seconds) {
    status st = ST_OK;
    char path[PATH_SIZE], *text = NULL;
    json_t *costs = NULL;
    TRY(stage_path(stage, "costs.json", path));
    st = read_file(path, &costs);
    if (st == ST_INTEGRITY) {
        log_warning(stage->log, "%s: the costs are counted anew", status_message());
        st = (costs = json_object()) ? ST_OK : status_memory("the costs", 0);
    }
    TRY(st);
    seconds += json_number_value(json_object_get(costs, name));
    if (json_object_set_new(costs, name, json_real(seconds)) != 0) {
        st = status_memory("the costs", 0);
        goto done;
    }
    TRY(seal_put(costs));
    if (!(text = json_dumps(costs, JSON_COMPACT | JSON_SORT_KEYS))) {
        st = status_memory("the costs", 0);
        goto done;
    }
    st = file_write_atomic(path, text, (int64_t)strlen(text));
done:
    free(text);
    json_decref(costs);
    return st;
}

status costs_run(const stage_context *stage, const char *name,
                 status (*run)(const stage_context *)) {
    const double start = log_seconds();
    bool worked = false;
    stage_context watched = *stage;
    watched.worked = &worked;
    status st = run(&watched), added = ST_OK;
    if ((st != ST_OK && st != ST_STOPPED) || !worked) return st;
    const double cores = (double)comm_size(stage->comm) * omp_get_max_threads();
    if (comm_rank(stage->comm) == 0) added = add(stage, name, (log_seconds() - start) * cores);
    return st == ST_OK ? comm_agree(stage->comm, added) : st;
}

void costs_of_painting(const char *painter, const char *fingerprint, char name[COSTS_NAME]) {
    snprintf(name, COSTS_NAME, "painting %s %.16s", painter, fingerprint);
}

status costs_add(const stage_context *stage, const char *name, double seconds) {
    status st = ST_OK;
    seconds *= omp_get_max_threads();
    TRY(comm_sum_f64(stage->comm, &seconds, 1));
    TRY(comm_agree(stage->comm, comm_rank(stage->comm) == 0 ? add(stage, name, seconds) : ST_OK));
done:
    return st;
}

status costs_read(const stage_context *stage, const char *name, double *seconds) {
    status st = ST_OK;
    char path[PATH_SIZE];
    json_t *costs = NULL;
    *seconds = 0;
    TRY(stage_path(stage, "costs.json", path));
    TRY(read_file(path, &costs));
    *seconds = json_number_value(json_object_get(costs, name));
done:
    json_decref(costs);
    return st;
}
