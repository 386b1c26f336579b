/* For tests/test_report.py: writes an output folder as the stages before the report leave it.
 * Usage: tool_run OUT METRICS.json PATIENTS NAME [KEY=VALUE ...], keys of the study.
 *
 * Each slice has one HU value, which identifies it: -900 + 90 z + 7 v for slice z of real volume v;
 * a synthetic slice has that of its source slice + 40. The window is [-1000, 1000], the working
 * size 24. The store has two structures whose names contain markup.
 */
#include "io/manifest.h"
#include "pipeline/data/deform.h"
#include "pipeline/common/history.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/stage.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 9, HEIGHT = 20, WIDTH = 24, MADE = 3, STEP = 40 };

static const label_set labels = {
    .count = 3,
    .name = {"background", "<script>alert(\"x\")</script>", "bone & 'marrow' </svg></table>"}};

static int16_t real_hu(int64_t v, int64_t z) { return (int16_t)(-900 + 90 * z + 7 * v); }

static status put_store(const comm *c, const char *directory, const char *fingerprint,
                        const store_entry *entries, int64_t count, const json_t *provenance,
                        const deformed *made) {
    status st = ST_OK;
    store_writer *w = NULL;
    store_plan plan = {.directory = directory,
                       .fingerprint = fingerprint,
                       .labels = &labels,
                       .provenance = provenance,
                       .entries = entries,
                       .count = count,
                       .shard_bytes = 1 << 20};
    TRY(store_writer_open(c, &plan, &w));
    for (int64_t i = 0; i < count && st == ST_OK; i++) {
        volume v = {.space = entries[i].space, .contrast = entries[i].contrast};
        if (!store_writer_is_mine(w, i)) continue;
        memcpy(v.id, entries[i].id, sizeof v.id);
        st = volume_alloc(&v);
        int64_t pixels = v.space.shape[1] * v.space.shape[2];
        for (int64_t k = 0; st == ST_OK && k < v.space.shape[0] * pixels; k++) {
            int64_t z = k / pixels;
            v.hu[k] =
                made ? (int16_t)(real_hu(made[i].source, made[i].slices[z]) + 40) : real_hu(i, z);
            v.labels[k] = (uint8_t)(k % pixels < pixels / 4 ? 1 + z % 2 : 0);
        }
        if (st == ST_OK) st = store_writer_put(w, i, &v);
        volume_free(&v);
    }
    TRY(store_writer_finish(w, st));
done:
    return st;
}

static status put_history(const char *path) {
    status st = ST_OK;
    history h = {0};
    for (int k = 1; k <= 800; k++) TRY(history_add(&h.train, k, k == 400 ? (double)NAN : 1.0 / k));
    TRY(history_add(&h.validation, 200, 1.0));
    TRY(history_add(&h.validation, 400, 0.1));
    TRY(history_add(&h.validation, 500, NAN));
    TRY(history_add(&h.validation, 600, 0));
    TRY(history_add(&h.validation, 800, 0.01));
    TRY(history_write(&h, path));
done:
    history_free(&h);
    return st;
}

static status put_metrics(const study *s, const char *fingerprint, const char *from) {
    status st = ST_OK;
    manifest m = {.kind = "metrics"};
    char directory[PATH_SIZE], path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", fingerprint);
    TRY(path_join(directory, s->out, "metrics"));
    TRY(path_join(path, directory, "metrics.json"));
    TRY(file_make_dirs(directory));
    TRY(file_read(from, 1 << 20, &text, &bytes));
    TRY(file_write_atomic(path, text, bytes));
    TRY(manifest_add_file(&m, directory, "metrics.json"));
    TRY(manifest_write(&m, directory));
done:
    manifest_free(&m);
    free(text);
    return st;
}

static status put_study(const study *s) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(path_join(path, s->out, "asked.yaml"));
    FILE *f = fopen(path, "w");
    if (!f) return status_fail(ST_STORAGE, "%s: %m", path);
    st = study_write(s, f, false);
    if (fclose(f) != 0 && st == ST_OK) st = status_fail(ST_STORAGE, "%s: %m", path);
done:
    return st;
}

static status put_real(const comm *c, const study *s, int patients, store **out) {
    static const char fingerprint[] =
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    status st = ST_OK;
    store_entry entries[64] = {0};
    char path[PATH_SIZE];
    for (int i = 0; i < patients; i++) {
        snprintf(entries[i].id, VOLUME_ID, "p-%04x-%d", 0x1111 * (i + 1), i);
        entries[i].contrast = i % 2;
        entries[i].space = (geometry){.shape = {DEPTH, HEIGHT, WIDTH},
                                      .spacing = {2.5, 0.75, 0.75},
                                      .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
    }
    TRY(path_join(path, s->out, "store"));
    TRY(put_store(c, path, fingerprint, entries, patients, NULL, NULL));
    TRY(store_open(path, out));
done:
    return st;
}

/* The seal of a checkpoint that is not there. */
static const char CHECKPOINT[] = "5ea1";

static status put_synthetic(const comm *c, const study *s, store *real, char hex[SHA256_HEX]) {
    status st = ST_OK;
    deformed made[MADE] = {0};
    store_entry entries[MADE];
    char path[PATH_SIZE], training[SHA256_HEX];
    split sp = {0};
    json_t *from = json_pack("{s:i, s:s}", "checkpoint_step", STEP, "checkpoint", CHECKPOINT);
    TRY(split_create(real, s, &sp));
    for (int i = 0; i < MADE; i++) {
        TRY(deformed_plan(s, real, &sp, i, &made[i]));
        entries[i] = made[i].entry;
    }
    TRY(fingerprint_of_denoiser(s, store_manifest(real)->seal, training));
    TRY(fingerprint_of_synthetic(s, training, CHECKPOINT, "", hex));
    TRY(path_join(path, s->out, "synthetic"));
    TRY(put_store(c, path, hex, entries, MADE, from, made));
done:
    for (int i = 0; i < MADE; i++) deformed_free(&made[i]);
    split_free(&sp);
    json_decref(from);
    return st;
}

static status make_run(const comm *c, int argc, char **argv) {
    status st = ST_OK;
    study s;
    store *real = NULL, *made = NULL;
    char path[PATH_SIZE], synthetic[SHA256_HEX], metrics[SHA256_HEX];
    study_defaults(&s);
    snprintf(s.out, sizeof s.out, "%s", argv[1]);
    snprintf(s.name, sizeof s.name, "%s", argv[4]);
    s.seed = 77001;
    s.data.size = 24;
    s.train.steps = 800;
    s.train.warmup = 10;
    TRY(file_make_dirs(s.out));
    TRY(put_study(&s));
    TRY(path_join(path, s.out, "asked.yaml"));
    TRY(study_read(c, path, (const char *const *)argv + 5, argc - 5, &s));
    TRY(put_real(c, &s, (int)strtol(argv[3], NULL, 10), &real));
    TRY(put_synthetic(c, &s, real, synthetic));
    TRY(path_join(path, s.out, "checkpoints"));
    TRY(file_make_dirs(path));
    TRY(path_join(path, s.out, "checkpoints/history.json"));
    TRY(put_history(path));
    TRY(path_join(path, s.out, "synthetic"));
    TRY(store_open(path, &made));
    TRY(fingerprint_of_metrics(&s, store_manifest(real)->seal, store_manifest(made)->seal,
                               metrics));
    TRY(put_metrics(&s, metrics, argv[2]));
    TRY(put_study(&s));
done:
    store_close(real);
    store_close(made);
    return st;
}

int main(int argc, char **argv) {
    comm *c = NULL;
    if (argc < 5) return ST_USAGE;
    status st = comm_start(&argc, &argv, &c);
    if (st == ST_OK) st = make_run(c, argc, argv);
    if (st != ST_OK) fprintf(stderr, "tool_run: %s\n", status_message());
    comm_stop(c);
    return st;
}
