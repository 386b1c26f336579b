/* Fingerprints: one SHA-256 over everything that determines the output of a stage, that is, keys of
 * the study and the content of the stage's inputs (the seals of their manifests, io/manifest.h). A
 * stage compares it with the fingerprint of the published output; a later stage finds its input by
 * it. (The fingerprint of ingest covers the archive: pipeline/ingest/ingest.c.)
 */
#ifndef CTAUG_PIPELINE_COMMON_FINGERPRINT_H
#define CTAUG_PIPELINE_COMMON_FINGERPRINT_H

#include "pipeline/stage.h"

/* Fingerprint of the referee trained on the store with the seal `store`. Of evaluate it covers the
 * keys of a segmenter's training alone, not those of the arms. Local. */
status fingerprint_of_referee(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the pseudo-labels that this referee gives the unlabelled volumes. Local. */
status fingerprint_of_pseudo(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of a training on the store with the seal `store`, with train.pseudo_labels on its
 * pseudo-labels, with model.space latent on latents of its autoencoder, and from the parameters in
 * the file train.start, which is read. Local. */
status fingerprint_of_training(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the autoencoder trained on the store with the seal `store`. It does not depend on
 * which labels are used (data.labelled): they do not count. Local. */
status fingerprint_of_autoencoder(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the text encoder trained on the store with the seal `store`, and on the user's
 * captions, if there are any. Local. */
status fingerprint_of_text(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the latents of the slices in the store with the seal `store` that the autoencoder
 * with the seal `autoencoder` makes. Local. */
status fingerprint_of_latents(const study *s, const char *store, const char *autoencoder,
                              char hex[SHA256_HEX]);

/* Fingerprint of the distillation of a denoiser; training: that of its training. Local. */
status fingerprint_of_distillation(const study *s, const char *training, char hex[SHA256_HEX]);

/* Fingerprint of the training whose checkpoints sample the store with the seal `store`: of the
 * distillation, or without one of the training. Local. */
status fingerprint_of_denoiser(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the training of the GAN; training: that of the diffusion model, with which it
 * shares data, network and the settings of `train`. Local. */
status fingerprint_of_gan(const study *s, const char *training, char hex[SHA256_HEX]);

/* Fingerprint of the choice of generate.guidance: auto; upstream: of the training, of its
 * checkpoints and of the referee. Local. */
status fingerprint_of_guidance(const study *s, const char *upstream, char hex[SHA256_HEX]);

/* Fingerprint of the synthetic store sampled from a checkpoint of a training with this fingerprint;
 * checkpoint: its seal; guidance: the seal of the choice of generate.guidance: auto, and with
 * generate.ground: captions that of the referee, "" without either. Local. */
status fingerprint_of_synthetic(const study *s, const char *training, const char *checkpoint,
                                const char *guidance, char hex[SHA256_HEX]);

/* Fingerprint of the store that the painter `gaussian` paints from the store with the seal `store`,
 * with train.pseudo_labels also from its pseudo-labels. Local. */
status fingerprint_of_gaussian(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of the held-out volumes (pipeline/common/held_out.h) of what has the fingerprint
 * `made`: the store of a painter, or the maps. Local. */
status fingerprint_of_held_out(const study *s, const char *made, char hex[SHA256_HEX]);

/* Fingerprint of the label maps made from the store with the seal `store`, with
 * train.pseudo_labels also from its pseudo-labels. Local. */
status fingerprint_of_maps(const study *s, const char *store, char hex[SHA256_HEX]);

/* Fingerprint of what has the fingerprint `made`, the store of a painter or the maps, if it is made
 * on the user's own masks (generate.masks) with the fingerprint `masks`. Local. */
status fingerprint_of_own_masks(const char *made, const char *masks, char hex[SHA256_HEX]);

/* Names how evaluate.obedience measures (pipeline/evaluate/obedience.h). Another way has another
 * name, so that its figures are not taken for those of this one. */
#define OBEDIENCE_FORM "balanced, told"

/* Fingerprint of the metrics of a real store and synthetic stores; synthetic: their seals, in one
 * text. Local. */
status fingerprint_of_metrics(const study *s, const char *real, const char *synthetic,
                              char hex[SHA256_HEX]);

/* Fingerprint of the gate's findings on the stores with these seals. Local. */
status fingerprint_of_gate(const study *s, const char *real, const char *synthetic,
                           char hex[SHA256_HEX]);

/* ST_INPUT unless the synthetic store was generated for this study from this real store. Sets
 * *checkpoint_step to the step of the sampled checkpoint; 0 for a painter that has none. Local. */
status fingerprint_check_synthetic(const study *s, const store *real, const store *synthetic,
                                   int64_t *checkpoint_step);

/* The same for a store of held-out volumes, or of in-painted ones. Local. */
status fingerprint_check_held_out(const study *s, const store *real, const store *synthetic);
status fingerprint_check_inpainted(const study *s, const store *real, const store *synthetic);

#endif
