/* Publishes the referee's parameters and loads them. */
#include "pipeline/segmenter/referee.h"

#include "io/manifest.h"
#include "pipeline/common/fingerprint.h"

#include <stdlib.h>
#include <string.h>

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
    TRY(path_join(path, directory, PUBLISHED_PARAMETERS));
    TRY(trainer_arrays(s->params, GROUP, s->params->value, &arrays));
    TRY(checkpoint_write_arrays(path, arrays, s->params->count));
    TRY(manifest_add_file(&m, directory, PUBLISHED_PARAMETERS));
    TRY(manifest_write(&m, directory));
done:
    manifest_free(&m);
    free(arrays);
    return st;
}

const published_network referee_published = {REFEREE_KIND, "referee", "referee",
                                             fingerprint_of_referee};

status referee_open(const stage_context *stage, const label_set *labels, segmenter *out) {
    status st = ST_OK;
    char path[PATH_SIZE];
    *out = (segmenter){0};
    TRY(published_file(stage, &referee_published, PUBLISHED_PARAMETERS, path));
    TRY(segmenter_open_inference(stage, labels, out));
    TRY(published_parameters(path, out->params));
    segmenter_params_changed(out);
done:
    return st;
}
