/* Links stores and models from one run directory into another. */
#include "pipeline/sweep/share.h"

#include "io/link_tree.h"
#include "io/manifest.h"

#include <string.h>

status share_store(const stage_context *sweep, const sweep_arm *a) {
    status st = ST_OK;
    char from[PATH_SIZE], to[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    TRY(file_make_dirs(a->study.out));
    TRY(stage_path(sweep, "store", from));
    TRY(path_join(to, a->study.out, "store"));
    TRY(link_tree(from, to));
    TRY(study_text(&a->study, false, &text, &bytes));
    TRY(path_join(to, a->study.out, "study.yaml"));
    TRY(file_write_atomic(to, text, bytes));
done:
    free(text);
    return st;
}

/* Whether <out>/<folder> is published with this fingerprint. Local. */
static bool has(const study *s, const char *folder, const char *fingerprint) {
    char path[PATH_SIZE];
    manifest m = {0};
    bool found = path_join(path, s->out, folder) == ST_OK &&
                 manifest_read(path, NULL, &m) == ST_OK && strcmp(m.fingerprint, fingerprint) == 0;
    manifest_free(&m);
    return found;
}

/* Links a folder of one run directory into another. Local. */
static status give(const study *from, const study *to, const char *folder) {
    status st = ST_OK;
    char source[PATH_SIZE], target[PATH_SIZE];
    TRY(path_join(source, from->out, folder));
    TRY(path_join(target, to->out, folder));
    if (file_exists(source)) TRY(link_tree(source, target));
done:
    return st;
}

status share_models(const stage_context *sweep, const sweep_groups *g, int64_t i) {
    status st = ST_OK;
    sweep_arm mine, other;
    TRY(sweep_arm_open(sweep, i, &mine));
    for (int64_t k = 0; k < g->arms; k++) {
        const bool same = g->group[k] == g->group[i];
        if (k == i || (!same && strcmp(g->referee[k], g->referee[i]) != 0)) continue;
        TRY(sweep_arm_open(sweep, k, &other));
        if (*g->referee[i] && has(&other.study, "referee", g->referee[i]))
            TRY(give(&other.study, &mine.study, "referee"));
        if (*g->pseudo[i] && has(&other.study, "pseudo", g->pseudo[i]))
            TRY(give(&other.study, &mine.study, "pseudo"));
        if (same && k < i) TRY(give(&other.study, &mine.study, "checkpoints"));
    }
done:
    return st;
}
