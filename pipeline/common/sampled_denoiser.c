/* Finds the checkpoint by the provenance of the store. */
#include "pipeline/common/sampled_denoiser.h"

#include "pipeline/common/denoiser_source.h"
#include "pipeline/trainer/trainer.h"

#include <inttypes.h>
#include <string.h>

/* ST_INPUT unless the checkpoint is among those of this training. Collective. */
static status find_checkpoint(const stage_context *s, const denoiser_source *from, int64_t step,
                              const char *seal) {
    status st = ST_OK;
    checkpoint_kept *kept = NULL;
    int64_t count = 0;
    bool there = false;
    TRY(trainer_kept(s->comm, from->folder, from->fingerprint, &kept, &count));
    for (int64_t k = 0; k < count && seal; k++)
        there |= kept[k].step == step && strcmp(kept[k].seal, seal) == 0;
    if (!there)
        st = status_fail(ST_INPUT,
                         "%s lacks the checkpoint of step %" PRId64
                         " that painted the synthetic volumes: run ctaug generate first",
                         from->folder, step);
done:
    free(kept);
    return st;
}

status sampled_denoiser_open(const stage_context *s, const store *real, const store *synthetic,
                             int64_t batch, denoiser **out) {
    status st = ST_OK;
    denoiser *d = NULL;
    denoiser_source source;
    const json_t *from = json_object_get(store_manifest(synthetic)->detail, "provenance");
    const int64_t step = json_integer_value(json_object_get(from, "checkpoint_step"));
    *out = NULL;
    TRY(comm_agree(s->comm, denoiser_source_of(s, store_manifest(real)->seal, &source)));
    TRY(find_checkpoint(s, &source, step, json_string_value(json_object_get(from, "checkpoint"))));
    st = denoiser_open(s, store_labels(real), batch, &d);
    if (st == ST_OK) st = denoiser_load(d, source.folder, step);
    TRY(comm_agree(s->comm, st));
    if (study_chooses_guidance(s->study))
        denoiser_choose(d, json_integer_value(json_object_get(from, "sampler_steps")),
                        json_number_value(json_object_get(from, "guidance")));
    if (s->study->generate.ground == GROUND_CAPTIONS)
        denoiser_words(d, study_text_guidance(s->study));
    *out = d;
    d = NULL;
done:
    denoiser_close(d);
    return st;
}
