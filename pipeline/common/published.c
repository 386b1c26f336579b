/* Finds what was published by its manifest. */
#include "pipeline/common/published.h"

#include "io/checkpoint.h"
#include "io/manifest.h"
#include "io/part_file.h"
#include "pipeline/trainer/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Its manifest; the caller frees it, also after a failure. */
static status find(const stage_context *stage, const published_network *n, char folder[PATH_SIZE],
                   manifest *out) {
    status st = ST_OK;
    manifest store = {0};
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    TRY(stage_path(stage, "store", path));
    TRY(manifest_read_alone(path, "store", &store));
    TRY(n->fingerprint(stage->study, store.seal, fingerprint));
    TRY(stage_path(stage, n->name, folder));
    st = manifest_read(folder, n->name, out);
    if (st == ST_INPUT)
        st = status_fail(ST_INPUT, "%s holds no %s of this study: run ctaug %s first", folder,
                         n->what, n->verb);
    if (st == ST_OK && strcmp(out->fingerprint, fingerprint) != 0)
        st = status_fail(ST_INPUT, "%s is the %s of another store or study: run ctaug %s first",
                         folder, n->what, n->verb);
done:
    manifest_free(&store);
    return st;
}

status published_seal(const stage_context *stage, const published_network *n,
                      char seal[SHA256_HEX]) {
    manifest m = {0};
    char folder[PATH_SIZE];
    const status st = find(stage, n, folder, &m);
    if (st == ST_OK) memcpy(seal, m.seal, sizeof m.seal);
    manifest_free(&m);
    return st;
}

status published_file(const stage_context *stage, const published_network *n, const char *name,
                      char path[PATH_SIZE]) {
    status st = ST_OK;
    manifest m = {0};
    char folder[PATH_SIZE];
    int64_t at = 0;
    TRY(find(stage, n, folder, &m));
    TRY(path_join(path, folder, name));
    while (at < m.count && strcmp(m.files[at].name, name) != 0) at++;
    if (at == m.count) TRY(status_fail(ST_INTEGRITY, "%s: its manifest does not list it", path));
    TRY(manifest_check_file(&m, folder, at));
done:
    manifest_free(&m);
    return st;
}

status published_parameters(const char *path, params *p) {
    status st = ST_OK;
    checkpoint_array *arrays = NULL;
    TRY(trainer_arrays(p, "parameters", p->value, &arrays));
    TRY(checkpoint_read_arrays(path, arrays, p->count));
done:
    free(arrays);
    return st;
}

/* The file of the note. */
static status mark_path(const published_network *n, const char *directory, char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "%s.part", n->name);
    return path_join(path, directory, name);
}

status published_mark(const stage_context *stage, const published_network *n,
                      const char *directory) {
    status st = ST_OK;
    char path[PATH_SIZE], seal[SHA256_HEX];
    TRY(published_seal(stage, n, seal));
    TRY(mark_path(n, directory, path));
    TRY(part_write(path, seal, seal, sizeof seal));
done:
    return st;
}

status published_check(const stage_context *stage, const published_network *n,
                       const char *directory) {
    status st = ST_OK;
    char path[PATH_SIZE], seal[SHA256_HEX], found[SHA256_HEX];
    TRY(published_seal(stage, n, seal));
    TRY(mark_path(n, directory, path));
    if (part_read(path, seal, found, sizeof found) != ST_OK)
        st = status_fail(ST_INPUT,
                         "the checkpoints in %s were not trained with the present %s: remove them "
                         "and run ctaug train again",
                         directory, n->what);
done:
    return st;
}
