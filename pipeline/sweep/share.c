/* Links stores and models from one run directory into another. */
#include "pipeline/sweep/share.h"

#include "io/checkpoint.h"
#include "io/link_tree.h"
#include "io/manifest.h"
#include "pipeline/common/denoiser_source.h"
#include "pipeline/common/fingerprint.h"

#include <stdio.h>
#include <stdlib.h>
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
    TRY(link_tree(source, target));
done:
    return st;
}

/* Links what is published with this fingerprint, if only the other arm has it. Local. */
static status give_published(const study *from, const study *to, const char *folder,
                             const char *fingerprint) {
    if (!*fingerprint || has(to, folder, fingerprint) || !has(from, folder, fingerprint))
        return ST_OK;
    return give(from, to, folder);
}

/* The number of good checkpoints of a training in <out>/<folder>; 0 if there is no such folder.
 * Local. */
static status count_checkpoints(const study *s, const char *folder, const char *training,
                                int64_t *count) {
    status st = ST_OK;
    char path[PATH_SIZE];
    checkpoint_kept *kept = NULL;
    *count = 0;
    TRY(path_join(path, s->out, folder));
    if (file_exists(path)) TRY(checkpoint_list(path, training, &kept, count));
done:
    free(kept);
    return st;
}

/* Moves <out>/<folder> to the first free <folder>.earlier-N, N = 1, 2, ...: as the stage does that
 * finds models of other settings. Local. */
static status set_aside(const study *s, const char *folder) {
    status st = ST_OK;
    char path[PATH_SIZE], aside[PATH_SIZE + 32];
    TRY(path_join(path, s->out, folder));
    if (!file_exists(path)) goto done;
    for (int n = 1;; n++) {
        snprintf(aside, sizeof aside, "%s.earlier-%d", path, n);
        if (!file_exists(aside)) break;
    }
    TRY(file_publish(path, aside));
done:
    return st;
}

/* Links the networks that the other arm's checkpoints were trained with, in place of this arm's
 * own, which may have other bits. Local. */
static status give_upstream(const study *from, const study *to) {
    static const char *const names[] = {"autoencoder", "text"};
    status st = ST_OK;
    char path[PATH_SIZE];
    for (int i = 0; i < 2; i++) {
        TRY(path_join(path, from->out, names[i]));
        if (!file_exists(path)) continue;
        TRY(set_aside(to, names[i]));
        TRY(give(from, to, names[i]));
    }
done:
    return st;
}

/* Links checkpoints of this training, if only the other arm has some. Local. */
static status give_checkpoints(const study *from, const study *to, const char *folder,
                               const char *training) {
    status st = ST_OK;
    int64_t mine = 0, theirs = 0;
    TRY(count_checkpoints(to, folder, training, &mine));
    TRY(count_checkpoints(from, folder, training, &theirs));
    if (mine > 0 || theirs == 0) goto done;
    TRY(give_upstream(from, to));
    TRY(set_aside(to, folder));
    TRY(give(from, to, folder));
done:
    return st;
}

/* Links the checkpoints of this arm's distillation, if the other arm has the same. Local. */
static status give_distilled(const study *from, const study *to, const char *training) {
    status st = ST_OK;
    char fingerprint[SHA256_HEX], folder[DISTIL_FOLDER];
    if (to->distil.kind == DISTIL_OFF) return ST_OK;
    TRY(fingerprint_of_distillation(to, training, fingerprint));
    distil_folder(fingerprint, folder);
    TRY(give_checkpoints(from, to, folder, fingerprint));
done:
    return st;
}

/* Links the GAN of an arm of the same training, which keeps each in a folder of its own. Local. */
static status give_gan(const study *from, const study *to) {
    char path[PATH_SIZE];
    status st = path_join(path, to->out, "gan");
    if (st != ST_OK || file_exists(path)) return st;
    st = path_join(path, from->out, "gan");
    return st == ST_OK && file_exists(path) ? give(from, to, "gan") : st;
}

/* Fingerprints of the networks that an arm publishes besides the referee; "": none. */
typedef struct networks {
    char autoencoder[SHA256_HEX], text[SHA256_HEX];
} networks;

/* With labelled sets the text encoders are those of the sets. Local. */
static status networks_of(const study *s, const char *store, networks *out) {
    status st = ST_OK;
    *out = (networks){{0}, {0}};
    if (s->model.space == SPACE_LATENT) TRY(fingerprint_of_autoencoder(s, store, out->autoencoder));
    if (s->model.text == SWITCH_ON && s->evaluate.labelled.count == 0)
        TRY(fingerprint_of_text(s, store, out->text));
done:
    return st;
}

status share_models(const stage_context *sweep, const sweep_groups *g, int64_t i) {
    status st = ST_OK;
    sweep_arm mine, other;
    networks own;
    TRY(sweep_arm_open(sweep, i, &mine));
    TRY(networks_of(&mine.study, g->store, &own));
    for (int64_t k = 0; k < g->arms; k++) {
        const bool same = g->group[k] == g->group[i];
        if (k == i) continue;
        TRY(sweep_arm_open(sweep, k, &other));
        TRY(give_published(&other.study, &mine.study, "autoencoder", own.autoencoder));
        TRY(give_published(&other.study, &mine.study, "text", own.text));
        TRY(give_published(&other.study, &mine.study, "referee", g->referee[i]));
        TRY(give_published(&other.study, &mine.study, "pseudo", g->pseudo[i]));
        if (!same || k > i) continue;
        TRY(give_checkpoints(&other.study, &mine.study, "checkpoints", g->training[i]));
        TRY(give_distilled(&other.study, &mine.study, g->training[i]));
        TRY(give_gan(&other.study, &mine.study));
    }
done:
    return st;
}
