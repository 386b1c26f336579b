/* Opens the store of pseudo-labels after a check that it belongs to the study. */
#include "pipeline/common/pseudo_store.h"

#include "pipeline/common/fingerprint.h"

#include <string.h>

status pseudo_store_open(const stage_context *stage, const store *real, store **out) {
    status st = ST_OK;
    char path[PATH_SIZE], expected[SHA256_HEX];
    store *pseudo = NULL;
    *out = NULL;
    TRY(stage_path(stage, "pseudo", path));
    st = store_open(path, &pseudo);
    if (st == ST_INPUT)
        st = status_fail(st, "%s holds no pseudo-labels: run ctaug referee first", path);
    TRY(st);
    TRY(fingerprint_of_pseudo(stage->study, store_manifest(real)->seal, expected));
    if (strcmp(store_manifest(pseudo)->fingerprint, expected) != 0)
        TRY(status_fail(ST_INPUT,
                        "%s holds the pseudo-labels of another store or study: run ctaug referee "
                        "first",
                        path));
    *out = pseudo;
    pseudo = NULL;
done:
    store_close(pseudo);
    return st;
}
