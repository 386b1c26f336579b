/* The painter `diffusion`: samples the denoiser with the EMA parameters of the newest checkpoint
 * (pipeline/common/denoiser_source.h);
 * with generate.guidance: auto with those, and with the guidance and the steps, that are chosen on
 * validation patients (pipeline/generate/guidance.h). With model.text each slice has the prompt of
 * its volume (pipeline/common/prompts.h), or a caption of what its label map shows.
 */
#include "pipeline/generate/appearance.h"

#include "io/alloc.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/common/denoiser_source.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/prompts.h"
#include "pipeline/common/text_model.h"
#include "pipeline/generate/guidance.h"
#include "pipeline/segmenter/referee.h"
#include "pipeline/trainer/trainer.h"

#include <inttypes.h>
#include <string.h>

typedef struct diffusion_painter {
    const painter_inputs *in;
    denoiser_source from;
    int64_t step;                /* of the checkpoint */
    char checkpoint[SHA256_HEX]; /* its seal */
    int64_t steps;               /* of the sampler */
    double guidance;
    int64_t evaluations;      /* of the network for a slice */
    guidance_choice choice;   /* record NULL: the study gives the guidance */
    char referee[SHA256_HEX]; /* its seal, with generate.ground: captions; else "" */
    denoiser *denoiser;       /* NULL until opened */
    appearances looks;        /* measured if generate.appearance is not 0 */
    float grey[LABELS_MAX];   /* of the present volume */
    prompts prompts;          /* count 0: none */
    slice_sample *prompted;   /* [batch]: conditions with their prompts */
} diffusion_painter;

/* Local. */
static status create(const painter_inputs *in, void **self) {
    status st = ST_OK;
    diffusion_painter *p = NULL;
    TRY(array_alloc(&p, 1, sizeof *p, "a painter"));
    p->in = in;
    *self = p;
    TRY(denoiser_source_of(in->stage, store_manifest(in->stores.real)->seal, &p->from));
    if (in->stage->study->generate.prompts[0])
        TRY(prompts_read(in->stage->study->generate.prompts, &p->prompts));
done:
    return st;
}

static status find(const painter_inputs *in, void **self, char fingerprint[SHA256_HEX]) {
    status st = ST_OK;
    const stage_context *s = in->stage;
    checkpoint_choice found;
    *self = NULL;
    TRY(comm_agree(s->comm, create(in, self)));
    diffusion_painter *p = *self;
    const denoiser_source *from = &p->from;
    TRY(trainer_find(s->comm, from->folder, from->fingerprint, s->log, &found));
    p->step = found.step;
    memcpy(p->checkpoint, found.seal, sizeof p->checkpoint);
    if (p->step < 0) {
        st = status_fail(ST_INPUT, "%s holds no checkpoint of this study: run ctaug %s first",
                         from->folder, from->verb);
        goto done;
    }
    if (p->step < from->steps && comm_rank(s->comm) == 0)
        log_warning(s->log,
                    "the newest checkpoint is of step %" PRId64 " of %" PRId64
                    ": training is not finished",
                    p->step, from->steps);
    p->steps = s->study->generate.steps;
    p->guidance = s->study->generate.guidance;
    if (s->study->generate.ground == GROUND_CAPTIONS)
        TRY(comm_agree(s->comm, published_seal(s, &referee_published, p->referee)));
    if (study_chooses_guidance(s->study)) {
        TRY(guidance_choose(in, from->folder, from->fingerprint, &p->choice));
        p->step = p->choice.step;
        memcpy(p->checkpoint, p->choice.checkpoint, sizeof p->checkpoint);
        p->steps = p->choice.steps;
        p->guidance = p->choice.guidance;
    }
    TRY(comm_agree(s->comm, fingerprint_of_synthetic(s->study, from->fingerprint, p->checkpoint,
                                                     *p->referee ? p->referee : p->choice.seal,
                                                     fingerprint)));
done:
    return st;
}

/* Says on rank 0 how many prompts are cut. Local. */
static status warn_of_cut_prompts(const diffusion_painter *p) {
    status st = ST_OK;
    const stage_context *s = p->in->stage;
    bpe *tokens = NULL;
    int64_t cut = 0;
    if (p->prompts.count == 0 || comm_rank(s->comm) != 0) goto done;
    TRY(text_tokens_read(s, &tokens));
    for (int64_t i = 0; i < p->prompts.count; i++) cut += text_is_cut(tokens, p->prompts.line[i]);
    if (cut > 0)
        log_warning(s->log,
                    "generate: %" PRId64 " of %" PRId64
                    " prompts have more than %d tokens: their ends are cut off",
                    cut, p->prompts.count, TEXT_SENTENCE - 2);
done:
    bpe_free(tokens);
    return st;
}

static status open_denoiser(void *self, int64_t batch) {
    status st = ST_OK;
    diffusion_painter *p = self;
    const stage_context *s = p->in->stage;
    TRY(denoiser_open(s, store_labels(p->in->stores.real), batch, &p->denoiser));
    TRY(denoiser_load(p->denoiser, p->from.folder, p->step));
    denoiser_choose(p->denoiser, p->steps, p->guidance);
    TRY(array_alloc(&p->prompted, batch, sizeof *p->prompted, "prompts"));
    if (s->study->generate.ground == GROUND_CAPTIONS)
        denoiser_words(p->denoiser, study_text_guidance(s->study));
    else if (s->study->generate.appearance > 0)
        TRY(appearances_measure(p->in, &p->looks));
    TRY(denoiser_evaluations(p->denoiser, &p->evaluations));
    TRY(warn_of_cut_prompts(p));
done:
    return st;
}

static status paint(void *self, const slice_sample *conditions, const uint64_t *index,
                    const float *keep, int64_t count, float *images) {
    diffusion_painter *p = self;
    const study *s = p->in->stage->study;
    denoiser_keep(p->denoiser, keep);
    if (s->generate.appearance > 0 && !keep && !*p->referee) { /* a real volume has its own */
        appearances_draw(&p->looks, (uint64_t)s->seed, index[0] >> 20, conditions[0].volume,
                         conditions[0].contrast, p->grey);
        denoiser_steer(p->denoiser, p->grey, s->generate.appearance);
    }
    for (int64_t b = 0; b < count; b++) {
        p->prompted[b] = conditions[b];
        if (p->prompts.count > 0)
            p->prompted[b].caption = prompts_of(&p->prompts, (int64_t)(index[b] >> 20));
    }
    return denoiser_sample(p->denoiser, p->prompted, index, count, images);
}

/* What the provenance says of captions. 0, or a failure. */
static int describe_text(const diffusion_painter *p, json_t *all) {
    const study *s = p->in->stage->study;
    if (s->model.text == SWITCH_OFF) return 0;
    json_t *text = json_pack(
        "{s:s, s:f, s:s}", "captions", p->prompts.count > 0 ? "prompts" : "maps", "guidance",
        s->generate.text_guidance > 0 ? s->generate.text_guidance : p->guidance, "negative",
        s->generate.negative);
    int failed = !text;
    if (p->prompts.count > 0)
        failed |= json_object_set_new(text, "prompts", json_integer(p->prompts.count)) |
                  json_object_set_new(text, "sha256", json_string(p->prompts.sha256));
    failed |= json_object_set_new(all, "text", text);
    if (*p->referee) failed |= json_object_set_new(all, "referee", json_string(p->referee));
    return failed;
}

static json_t *provenance(const void *self) {
    const diffusion_painter *p = self;
    const study *s = p->in->stage->study;
    json_t *all =
        json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:f}", "checkpoint_step",
                  (json_int_t)p->step, "checkpoint", p->checkpoint, "process",
                  named_table_name(&process_kinds, s->diffusion.process), "sampler",
                  named_table_name(&sampler_kinds, s->generate.sampler), "grid",
                  named_table_name(&time_grid_kinds, s->generate.grid), "sampler_steps",
                  (json_int_t)p->steps, "evaluations", (json_int_t)p->evaluations, "guidance",
                  p->guidance, "appearance", *p->referee ? 0 : s->generate.appearance);
    int failed = !all || describe_text(p, all) != 0;
    if (s->model.space == SPACE_LATENT)
        failed |=
            json_object_set_new(all, "residual", json_boolean(s->generate.residual == SWITCH_ON));
    if (p->choice.record)
        failed |= json_object_set_new(all, "guidance_record", json_string(p->choice.seal)) |
                  json_object_set(all, "guidance_choice", p->choice.record);
    if (!failed) return all;
    json_decref(all);
    return NULL;
}

static void close_painter(void *self) {
    diffusion_painter *p = self;
    if (!p) return;
    denoiser_close(p->denoiser);
    appearances_free(&p->looks);
    prompts_free(&p->prompts);
    free(p->prompted);
    guidance_choice_free(&p->choice);
    free(p);
}

const painter painter_diffusion = {.folder = "synthetic",
                                   .find = find,
                                   .open = open_denoiser,
                                   .paint = paint,
                                   .provenance = provenance,
                                   .close = close_painter};
