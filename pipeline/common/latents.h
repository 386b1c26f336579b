/* The store of latents of a latent model: what its training takes in place of slices. Made once and
 * kept, a set of files (pipeline/common/file_set.h) in <out>/latents/<16 digits of the
 * fingerprint>.
 *
 * A file holds records (io/record_file.h) "latent" [side][side][z], f32, by the published
 * autoencoder (pipeline/common/codec.h), and "codes" [size][size][1], u8, the conditions of its
 * pixels: the label, or with model.tissue, where the label is 0, the number of labels + the tissue
 * (pipeline/data/tissue.h; air: 0).
 *
 * Slice k of n training slices has the records k * (1 + train.copies) + c: c = 0 as it is, c > 0
 * augmented as the training sample (c - 1) * n + k; then follow those of the unlabelled slices in
 * the same way, and those of the validation slices, without copies.
 */
#ifndef CTAUG_PIPELINE_COMMON_LATENTS_H
#define CTAUG_PIPELINE_COMMON_LATENTS_H

#include "pipeline/common/training_data.h"

typedef struct latents latents;

/* data must outlive *out. ST_INPUT if there is no autoencoder of this study yet. The caller calls
 * latents_close() after the last use of the slices of data. Local. */
status latents_open(const stage_context *stage, training_data *data, latents **out);
void latents_close(latents *l);

/* Makes the records unless they are published. ST_STOPPED after a file if a rank was asked to stop:
 * finished files are kept. Collective. */
status latents_make(latents *l);

/* The same for records that were published and are damaged now; others are left alone. Collective.
 */
status latents_mend(latents *l);

/* From now on the slices of data are latents (slices_replace()). Local. */
void latents_use(latents *l);

#endif
