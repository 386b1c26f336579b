/* Makes the studies of the labelled sets, and runs stages on them. */
#include "pipeline/cells/cells.h"

#include "io/manifest.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/held_out.h"
#include "pipeline/common/work_queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int64_t cells_count(const study *s) {
    return s->evaluate.labelled.count > 0 ? s->evaluate.labelled.count * s->evaluate.sets : 1;
}

status cell_open(const stage_context *stage, int64_t i, cell *out) {
    status st = ST_OK;
    char name[64];
    const study *s = stage->study;
    *out = (cell){.study = *s, .stage = *stage};
    out->stage.study = &out->study;
    if (s->evaluate.labelled.count == 0) return ST_OK;
    out->labelled = s->evaluate.labelled.at[s->evaluate.labelled.count - 1 - i / s->evaluate.sets];
    out->draw = i % s->evaluate.sets;
    snprintf(out->name, sizeof out->name, "n%" PRId64 "-s%" PRId64, out->labelled, out->draw);
    snprintf(name, sizeof name, "sets/%s", out->name);
    TRY(stage_path(stage, name, out->study.out));
    out->study.data.labelled = out->labelled;
    out->study.data.labelled_set = out->draw;
    out->study.evaluate.labelled.count = 0;
    out->stage.archive = s->out;
    out->stage.chained = true;
done:
    return st;
}

int64_t cells_first(const study *s) {
    return s->evaluate.labelled.count > 0 ? cells_count(s) - s->evaluate.sets : 0;
}

bool cells_is_mine(const stage_context *stage, int64_t i) {
    return stage->tasks == 0 || i % stage->tasks == stage->task;
}

int64_t cells_first_mine(const stage_context *stage) {
    return stage->tasks == 0 ? cells_first(stage->study) : stage->task;
}

bool cells_need(const study *s, arm_source source) {
    bool needed = source == SOURCE_SYNTHETIC;
    for (int i = 0; i < study_arm_count(s); i++)
        needed |= evaluation_arm_mixture(study_arm(s, i)).source == source;
    return needed;
}

/* Writes the seal of the store at `path`. Local. */
static status put_seal_at(const char *path, FILE *f) {
    manifest m = {0};
    status st = manifest_read(path, "store", &m);
    if (st == ST_OK) fprintf(f, "%s%s", ftell(f) > 0 ? " " : "", m.seal);
    manifest_free(&m);
    return st;
}

/* Writes the seal of the store <out>/<directory><suffix>. Local. */
static status put_seal(const stage_context *stage, const char *directory, const char *suffix,
                       FILE *f) {
    status st = ST_OK;
    char name[64], path[PATH_SIZE];
    snprintf(name, sizeof name, "%s%s", directory, suffix);
    TRY(stage_path(stage, name, path));
    TRY(put_seal_at(path, f));
done:
    return st;
}

/* Writes the seal of the store of evaluate.shifted. Local. */
static status put_shifted_seal(const study *s, FILE *f) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(path_join(path, s->evaluate.shifted, "store"));
    TRY(put_seal_at(path, f));
done:
    return st;
}

/* Writes the seals of a cell's synthetic stores. Local. */
static status put_seals(const stage_context *stage, int64_t i, FILE *f) {
    status st = ST_OK;
    cell c;
    TRY(cell_open(stage, i, &c));
    for (int k = 0; k < SOURCES; k++) {
        const char *directory = arm_source_directory((arm_source)k);
        if (!directory || !cells_need(stage->study, (arm_source)k)) continue;
        TRY(put_seal(&c.stage, directory, "", f));
        if (stage->study->generate.held_out > 0 && k != SOURCE_INPAINTED)
            TRY(put_seal(&c.stage, directory, HELD_OUT, f));
    }
done:
    return st;
}

status cells_fingerprint(const stage_context *stage, const char *real, char hex[SHA256_HEX]) {
    status st = ST_OK;
    char *text = NULL, inception[SHA256_HEX];
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return status_memory("a fingerprint", 0);
    for (int64_t i = 0; i < cells_count(stage->study) && st == ST_OK; i++)
        st = put_seals(stage, i, f);
    if (st == ST_OK && *stage->study->evaluate.inception) {
        st = file_sha256(stage->study->evaluate.inception, inception);
        if (st == ST_OK) fprintf(f, " inception %s", inception);
    }
    if (st == ST_OK && *stage->study->evaluate.shifted) st = put_shifted_seal(stage->study, f);
    if (fclose(f) != 0 && st == ST_OK) st = status_memory("a fingerprint", (int64_t)bytes);
    if (st == ST_OK) st = fingerprint_of_metrics(stage->study, real, text, hex);
    free(text);
    return st;
}

/* Runs the stage for one cell. Collective on the ranks of the group. */
static status run_cell(const stage_context *group, int64_t i,
                       status (*run)(const stage_context *)) {
    status st = ST_OK;
    cell c;
    const int64_t n = cells_count(group->study);
    TRY(comm_agree(group->comm, cell_open(group, i, &c)));
    log_info(group->log, "-- %s: set %" PRId64 " of %" PRId64, c.name, i + 1, n);
    TRY(comm_agree(group->comm, comm_rank(group->comm) == 0 ? file_make_dirs(c.study.out) : ST_OK));
    TRY(run(&c.stage));
done:
    return st;
}

status cells_each(const stage_context *stage, status (*run)(const stage_context *)) {
    status st = ST_OK;
    work_queue queue = {0};
    const int64_t first = stage->tasks > 0 ? stage->task : 0,
                  step = stage->tasks > 0 ? stage->tasks : 1;
    const int64_t mine = (cells_count(stage->study) - first + step - 1) / step;
    int64_t i = 0;
    if (stage->study->evaluate.labelled.count == 0) return run(stage);
    TRY(work_queue_open(stage, mine, &queue));
    const stage_context group = work_queue_stage(&queue);
    for (;;) {
        bool stop = false;
        TRY(stage_should_stop(&group, &stop));
        if (stop) TRY(status_fail(ST_STOPPED, "stopped between two labelled sets; run again"));
        TRY(work_queue_next(&queue, &i));
        if (i < 0) break;
        TRY(run_cell(&group, first + i * step, run));
    }
done:
    return work_queue_close(&queue, st);
}
