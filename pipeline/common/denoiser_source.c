/* Finds the folder and the fingerprint of the checkpoints to sample with. */
#include "pipeline/common/denoiser_source.h"

#include "pipeline/common/fingerprint.h"

#include <stdio.h>

void distil_folder(const char *fingerprint, char out[DISTIL_FOLDER]) {
    snprintf(out, DISTIL_FOLDER, "distil/%.16s", fingerprint);
}

status denoiser_source_of(const stage_context *s, const char *store, denoiser_source *out) {
    status st = ST_OK;
    char name[DISTIL_FOLDER] = "checkpoints";
    const bool distilled = s->study->distil.kind != DISTIL_OFF;
    TRY(fingerprint_of_denoiser(s->study, store, out->fingerprint));
    if (distilled) distil_folder(out->fingerprint, name);
    TRY(stage_path(s, name, out->folder));
    out->steps = distilled ? s->study->distil.steps : s->study->train.steps;
    out->verb = distilled ? "distil" : "train";
done:
    return st;
}
