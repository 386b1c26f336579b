/* Opens a store of held-out volumes after a check that it belongs to the study. */
#include "pipeline/common/held_out.h"

#include "pipeline/common/fingerprint.h"

#include <stdio.h>

status held_out_open(const stage_context *stage, const store *real, const char *folder,
                     store **out) {
    status st = ST_OK;
    char name[64], path[PATH_SIZE];
    store *made = NULL;
    *out = NULL;
    if (stage->study->generate.held_out == 0) return ST_OK;
    snprintf(name, sizeof name, "%s" HELD_OUT, folder);
    TRY(stage_path(stage, name, path));
    st = store_open(path, &made);
    if (st == ST_INPUT)
        st = status_fail(st, "%s holds no held-out volumes: run ctaug generate first", path);
    TRY(st);
    TRY(fingerprint_check_held_out(stage->study, real, made));
    *out = made;
    made = NULL;
done:
    store_close(made);
    return st;
}
