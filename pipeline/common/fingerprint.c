/* The chain of fingerprints: store, referee, pseudo-labels, training, distillation, synthetic
 * store, metrics. Each includes those it follows from. */
#include "pipeline/common/fingerprint.h"

#include "model/net/autoencoder.h"
#include "model/net/segnet.h"
#include "model/net/text_encoder.h"
#include "model/net/unet.h"
#include "model/text/grammar.h"

#include "pipeline/common/codec.h"
#include "pipeline/common/volume_kind.h"
#include "pipeline/data/slice_numbers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

status fingerprint_of_referee(const study *s, const char *store, char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed",           "engine",         "data",
                                       "evaluate.steps", "evaluate.batch", "evaluate.lr",
                                       "evaluate.base"};
    char upstream[SHA256_HEX + 64];
    snprintf(upstream, sizeof upstream, "referee %s loss %s", store, SEGNET_LOSS);
    return study_fingerprint(s, keys, sizeof keys / sizeof *keys, upstream, hex);
}

status fingerprint_of_pseudo(const study *s, const char *store, char hex[SHA256_HEX]) {
    char referee[SHA256_HEX], upstream[SHA256_HEX + 16];
    status st = fingerprint_of_referee(s, store, referee);
    if (st != ST_OK) return st;
    snprintf(upstream, sizeof upstream, "pseudo %s", referee);
    return study_fingerprint(s, NULL, 0, upstream, hex);
}

/* train.micro_batch is inert and therefore in no section. With train.reproducible it decides the
 * order of additions and thus the last bits, so it is added here. */
status fingerprint_of_training(const study *s, const char *store, char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "model", "diffusion", "train"};
    char pseudo[SHA256_HEX] = "", start[SHA256_HEX] = "", micro_batch[64] = "";
    char autoencoder[SHA256_HEX] = "", text[SHA256_HEX] = "", upstream[5 * SHA256_HEX + 184];
    status st = ST_OK;
    if (s->train.reproducible == SWITCH_ON)
        snprintf(micro_batch, sizeof micro_batch, " micro_batch %" PRId64, s->train.micro_batch);
    if (s->train.pseudo_labels == SWITCH_ON) TRY(fingerprint_of_pseudo(s, store, pseudo));
    if (*s->train.start) TRY(file_sha256(s->train.start, start));
    if (s->model.space == SPACE_LATENT) TRY(fingerprint_of_autoencoder(s, store, autoencoder));
    if (s->model.text == SWITCH_ON) TRY(fingerprint_of_text(s, store, text));
    snprintf(upstream, sizeof upstream, "%s%s%s%s%s%s%s%s%s%s%s", store, micro_batch,
             *pseudo ? " pseudo " : "", pseudo, *start ? " start " : "", start,
             *autoencoder ? " autoencoder " : "", autoencoder,
             *text ? " text form " UNET_TEXT_FORM " " : "", text,
             s->model.numbers == SWITCH_ON ? " numbers form " NUMBERS_FORM : "");
    TRY(study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex));
done:
    return st;
}

/* As in fingerprint_of_training(), train.micro_batch decides the last bits with
 * train.reproducible. */
status fingerprint_of_autoencoder(const study *s, const char *store, char hex[SHA256_HEX]) {
    static const char *const keys[] = {
        "seed",       "engine",     "data.size",       "data.split",         "data.rotate",
        "data.zoom",  "data.shift", "data.elastic",    "data.flip",          "autoencode",
        "train.clip", "train.ema",  "train.precision", "train.reproducible", "train.gradient_wire"};
    char micro_batch[64] = "", upstream[SHA256_HEX + 160];
    if (s->train.reproducible == SWITCH_ON)
        snprintf(micro_batch, sizeof micro_batch, " micro_batch %" PRId64, s->train.micro_batch);
    snprintf(upstream, sizeof upstream, "autoencoder %s form %s%s", store, AUTOENCODER_FORM,
             micro_batch);
    return study_fingerprint(s, keys, sizeof keys / sizeof *keys, upstream, hex);
}

status fingerprint_of_text(const study *s, const char *store, char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed",
                                       "engine",
                                       "data",
                                       "text",
                                       "train.clip",
                                       "train.ema",
                                       "train.weight_decay",
                                       "train.unlabelled",
                                       "train.reproducible",
                                       "train.gradient_wire"};
    char pseudo[SHA256_HEX] = "", captions[SHA256_HEX] = "", upstream[3 * SHA256_HEX + 192];
    char micro_batch[64] = "";
    status st = ST_OK;
    if (s->train.reproducible == SWITCH_ON)
        snprintf(micro_batch, sizeof micro_batch, " micro_batch %" PRId64, s->train.micro_batch);
    if (s->train.pseudo_labels == SWITCH_ON) TRY(fingerprint_of_pseudo(s, store, pseudo));
    if (*s->text.captions) TRY(file_sha256(s->text.captions, captions));
    snprintf(upstream, sizeof upstream, "text %s form %s %s%s%s%s%s%s", store, GRAMMAR_FORM,
             TEXT_ENCODER_FORM, micro_batch, *pseudo ? " pseudo " : "", pseudo,
             *captions ? " captions " : "", captions);
    TRY(study_fingerprint(s, keys, sizeof keys / sizeof *keys, upstream, hex));
done:
    return st;
}

status fingerprint_of_latents(const study *s, const char *store, const char *autoencoder,
                              char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed",         "engine",       "data",
                                       "model.tissue", "train.copies", "train.precision"};
    char pseudo[SHA256_HEX] = "", upstream[3 * SHA256_HEX + 48];
    status st = ST_OK;
    if (s->train.pseudo_labels == SWITCH_ON) TRY(fingerprint_of_pseudo(s, store, pseudo));
    snprintf(upstream, sizeof upstream, "latents %s %s%s%s%s", store, autoencoder,
             s->train.unlabelled > 0 ? " with unlabelled" : "", *pseudo ? " pseudo " : "", pseudo);
    TRY(study_fingerprint(s, keys, sizeof keys / sizeof *keys, upstream, hex));
done:
    return st;
}

status fingerprint_of_distillation(const study *s, const char *training, char hex[SHA256_HEX]) {
    static const char *const sections[] = {"distil"};
    return study_fingerprint(s, sections, 1, training, hex);
}

status fingerprint_of_denoiser(const study *s, const char *store, char hex[SHA256_HEX]) {
    status st = ST_OK;
    char training[SHA256_HEX];
    TRY(fingerprint_of_training(s, store, training));
    if (s->distil.kind == DISTIL_OFF)
        memcpy(hex, training, sizeof training);
    else
        TRY(fingerprint_of_distillation(s, training, hex));
done:
    return st;
}

status fingerprint_of_gan(const study *s, const char *training, char hex[SHA256_HEX]) {
    static const char *const sections[] = {"gan"};
    return study_fingerprint(s, sections, 1, training, hex);
}

status fingerprint_of_guidance(const study *s, const char *upstream, char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed",
                                       "generate.sampler",
                                       "generate.steps",
                                       "generate.guidance",
                                       "generate.eta",
                                       "generate.appearance",
                                       "generate.batch",
                                       "generate.grid",
                                       "generate.interval",
                                       "generate.rescale",
                                       "generate.text_guidance",
                                       "generate.negative",
                                       "generate.noise",
                                       "generate.residual"};
    return study_fingerprint(s, keys, sizeof keys / sizeof *keys, upstream, hex);
}

status fingerprint_of_synthetic(const study *s, const char *training, const char *checkpoint,
                                const char *guidance, char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "generate"};
    const bool tiles = s->model.space == SPACE_LATENT && s->data.size >= CODEC_TILED;
    char prompts[SHA256_HEX] = "", upstream[4 * SHA256_HEX + 40];
    status st = ST_OK;
    if (*s->generate.prompts) TRY(file_sha256(s->generate.prompts, prompts));
    snprintf(upstream, sizeof upstream, "%s %s%s%s%s%s%s", training, checkpoint,
             *guidance ? " guidance " : "", guidance, *prompts ? " prompts " : "", prompts,
             tiles ? " tiles" : "");
    TRY(study_fingerprint(s, sections, 2, upstream, hex));
done:
    return st;
}

/* Of what follows from the training volumes and their pseudo-labels alone; what: its name. */
static status fingerprint_of_training_volumes(const study *s, const char *store, const char *what,
                                              char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "data", "generate"};
    char pseudo[SHA256_HEX] = "", upstream[2 * SHA256_HEX + 32];
    status st = ST_OK;
    if (s->train.pseudo_labels == SWITCH_ON) TRY(fingerprint_of_pseudo(s, store, pseudo));
    snprintf(upstream, sizeof upstream, "%s %s%s%s", store, what, *pseudo ? " pseudo " : "",
             pseudo);
    TRY(study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex));
done:
    return st;
}

status fingerprint_of_gaussian(const study *s, const char *store, char hex[SHA256_HEX]) {
    return fingerprint_of_training_volumes(s, store, "gaussian", hex);
}

status fingerprint_of_maps(const study *s, const char *store, char hex[SHA256_HEX]) {
    return fingerprint_of_training_volumes(s, store, "maps", hex);
}

/* generate.held_out is inert and therefore in no section. */
status fingerprint_of_held_out(const study *s, const char *made, char hex[SHA256_HEX]) {
    char upstream[SHA256_HEX + 64];
    snprintf(upstream, sizeof upstream, "%s held out %" PRId64, made, s->generate.held_out);
    return study_fingerprint(s, NULL, 0, upstream, hex);
}

status fingerprint_of_own_masks(const char *made, const char *masks, char hex[SHA256_HEX]) {
    char text[2 * SHA256_HEX + 16];
    const int bytes = snprintf(text, sizeof text, "%s own masks %s", made, masks);
    return bytes_sha256(text, bytes, hex);
}

status fingerprint_of_metrics(const study *s, const char *real, const char *synthetic,
                              char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "evaluate"};
    char *upstream = NULL;
    const char *form = s->evaluate.obedience > 0 ? " obedience " OBEDIENCE_FORM : "";
    if (asprintf(&upstream, "%s %s%s", real, synthetic, form) < 0)
        return status_memory("a fingerprint", 0);
    status st = study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex);
    free(upstream);
    return st;
}

/* The synthetic store's own fingerprint covers the training and its settings. */
status fingerprint_of_gate(const study *s, const char *real, const char *synthetic,
                           char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data", "gate"};
    char upstream[2 * SHA256_HEX + 32];
    snprintf(upstream, sizeof upstream, "%s %s%s", real, synthetic,
             *s->generate.prompts ? " control slices with prompts" : "");
    return study_fingerprint(s, sections, sizeof sections / sizeof *sections, upstream, hex);
}

/* ST_INPUT unless the store of a painter has the fingerprint that follows from its provenance. */
static status check_painted(const study *s, const store *real, const store *synthetic,
                            volume_kind kind, int64_t *checkpoint_step) {
    status st = ST_OK;
    char training[SHA256_HEX], expected[SHA256_HEX];
    const json_t *from = json_object_get(store_manifest(synthetic)->detail, "provenance");
    const char *checkpoint = json_string_value(json_object_get(from, "checkpoint"));
    const char *guidance = json_string_value(json_object_get(from, "guidance_record"));
    const char *referee = json_string_value(json_object_get(from, "referee"));
    const char *masks = json_string_value(json_object_get(from, "masks"));
    const char *by = json_string_value(json_object_get(from, "painter"));
    bool gaussian = by && strcmp(by, named_table_name(&painter_kinds, PAINTER_GAUSSIAN)) == 0;
    bool gan = by && strcmp(by, named_table_name(&painter_kinds, PAINTER_GAN)) == 0;
    *checkpoint_step = json_integer_value(json_object_get(from, "checkpoint_step"));
    if (gan) {
        TRY(fingerprint_of_training(s, store_manifest(real)->seal, training));
        TRY(fingerprint_of_gan(s, training, training));
    } else
        TRY(fingerprint_of_denoiser(s, store_manifest(real)->seal, training));
    if (gaussian)
        TRY(fingerprint_of_gaussian(s, store_manifest(real)->seal, expected));
    else
        TRY(fingerprint_of_synthetic(s, training, checkpoint ? checkpoint : "",
                                     guidance  ? guidance
                                     : referee ? referee
                                               : "",
                                     expected));
    if (masks && kind == VOLUMES_SYNTHETIC)
        TRY(fingerprint_of_own_masks(expected, masks, expected));
    TRY(volume_kind_fingerprint(s, kind, expected, expected));
    const bool own = s->generate.masks[0] != 0 && kind == VOLUMES_SYNTHETIC;
    if (own != (masks != NULL) || strcmp(expected, store_manifest(synthetic)->fingerprint) != 0)
        st = status_fail(ST_INPUT,
                         "%s/synthetic%s%s was generated from another store or study: run ctaug "
                         "train and ctaug generate first",
                         s->out,
                         gaussian ? "-gaussian"
                         : gan    ? "-gan"
                                  : "",
                         volume_kind_suffix(kind));
done:
    return st;
}

status fingerprint_check_synthetic(const study *s, const store *real, const store *synthetic,
                                   int64_t *checkpoint_step) {
    return check_painted(s, real, synthetic, VOLUMES_SYNTHETIC, checkpoint_step);
}

status fingerprint_check_held_out(const study *s, const store *real, const store *synthetic) {
    int64_t step;
    return check_painted(s, real, synthetic, VOLUMES_HELD_OUT, &step);
}

status fingerprint_check_inpainted(const study *s, const store *real, const store *synthetic) {
    int64_t step;
    return check_painted(s, real, synthetic, VOLUMES_INPAINTED, &step);
}
