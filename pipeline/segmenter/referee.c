/* Publishes the referee's parameters and loads them. */
#include "pipeline/segmenter/referee.h"

#include "io/manifest.h"
#include "pipeline/common/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETERS "parameters.h5"
#define GROUP "parameters"

/* Seeds of a study are below 2^53, and those of the evaluation little more: no segmenter that is
 * judged has this one. */
static const uint64_t SEED = UINT64_C(0x7265666572656500);

uint64_t referee_seed(const study *s) { return (uint64_t)s->seed ^ SEED; }

status referee_publish(const segmenter *s, const char *directory, const char *fingerprint,
                       json_t *detail) {
    status st = ST_OK;
    manifest m = {.kind = REFEREE_KIND, .detail = detail};
    char path[PATH_SIZE];
    checkpoint_array *arrays = NULL;
    if (!detail) TRY(status_memory("a manifest", 0));
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", fingerprint);
    TRY(file_make_dirs(directory));
    TRY(manifest_remove(directory));
    TRY(path_join(path, directory, PARAMETERS));
    TRY(trainer_arrays(s->params, GROUP, s->params->value, &arrays));
    TRY(checkpoint_write_arrays(path, arrays, s->params->count));
    TRY(manifest_add_file(&m, directory, PARAMETERS));
    TRY(manifest_write(&m, directory));
done:
    manifest_free(&m);
    free(arrays);
    return st;
}

/* ST_INPUT unless the referee was trained for this study on its store. Local. */
static status check_origin(const stage_context *stage, const manifest *m, const char *directory) {
    status st = ST_OK;
    char path[PATH_SIZE], expected[SHA256_HEX];
    manifest store = {0};
    TRY(stage_path(stage, "store", path));
    TRY(manifest_read(path, "store", &store));
    TRY(fingerprint_of_referee(stage->study, store.seal, expected));
    if (strcmp(m->fingerprint, expected) != 0)
        TRY(status_fail(ST_INPUT,
                        "%s was trained for another store or study: run ctaug referee first",
                        directory));
    if (m->count != 1 || strcmp(m->files[0].name, PARAMETERS) != 0)
        TRY(status_fail(ST_INTEGRITY, "%s: its manifest is not that of a referee", directory));
done:
    manifest_free(&store);
    return st;
}

/* Reads the parameters of the published referee. Local. */
static status load(const char *directory, const manifest *m, params *p) {
    status st = ST_OK;
    char path[PATH_SIZE];
    checkpoint_array *arrays = NULL;
    TRY(manifest_check_file(m, directory, 0));
    TRY(path_join(path, directory, PARAMETERS));
    TRY(trainer_arrays(p, GROUP, p->value, &arrays));
    TRY(checkpoint_read_arrays(path, arrays, p->count));
done:
    free(arrays);
    return st;
}

status referee_open(const stage_context *stage, const label_set *labels, segmenter *out) {
    status st = ST_OK;
    char directory[PATH_SIZE];
    manifest m = {0};
    *out = (segmenter){0};
    TRY(stage_path(stage, "referee", directory));
    st = manifest_read(directory, REFEREE_KIND, &m);
    if (st == ST_INPUT)
        st = status_fail(st, "%s holds no referee of this study: run ctaug referee first",
                         directory);
    TRY(st);
    TRY(check_origin(stage, &m, directory));
    TRY(segmenter_open_inference(stage, labels, out));
    TRY(load(directory, &m, out->params));
    segmenter_params_changed(out);
done:
    manifest_free(&m);
    return st;
}
