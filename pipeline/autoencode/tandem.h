/* The training of an autoencoder: two trainers, that of encoder and decoder and that of the
 * discriminator, and what a step of both consists of.
 *
 * A step draws the patches step * batch .. of the training slices. Patch and noise depend on the
 * seed and the number of the sample alone. In the first third of the steps the discriminator takes
 * no part: it is not trained, and the weight of its loss is 0; with autoencode.cap 0 it never does.
 * Then it sees each patch and a reconstruction, sample 2k of its batch of 2 * batch real and 2k + 1
 * reconstructed, and the autoencoder makes its step against the new discriminator, whose weights,
 * divided by their spectral norms, are copied to the frozen parameters of its graph.
 *
 * The weight of the adversarial loss (model/net/adaptive_weight.h) is measured every TANDEM_EVERY
 * steps by rank 0, for the first TANDEM_PATCHES of the step's patches, and belongs to the
 * checkpoint.
 */
#ifndef CTAUG_PIPELINE_AUTOENCODE_TANDEM_H
#define CTAUG_PIPELINE_AUTOENCODE_TANDEM_H

#include "model/net/autoencoder.h"
#include "pipeline/data/batch.h"
#include "pipeline/stage.h"
#include "pipeline/trainer/trainer.h"

enum { TANDEM_EVERY = 10, TANDEM_PATCHES = 8 };

typedef struct tandem tandem;

/* train: slices with slices_map_hu(), which must outlive *out. Collective. */
status tandem_open(const stage_context *stage, slices *train, tandem **out);
void tandem_close(tandem *t); /* Collective */

/* The trainer of the autoencoder; its feed, valid as long as the tandem. Local. */
trainer *tandem_trainer(const tandem *t);
const trainer_feed *tandem_feed(const tandem *t);

/* What comes before a step of the autoencoder: the discriminator's, and the adversarial weight.
 * Collective. */
status tandem_before(tandem *t);

/* Writes a checkpoint of the discriminator to `directory`, if it has made a step. Collective. */
status tandem_save(tandem *t, const char *directory, const char *fingerprint);

/* Finds the newest step of which there are good checkpoints of both networks, restores the
 * discriminator, and says which step of the autoencoder in `directory` is to be restored; step -1:
 * none. Collective. */
status tandem_restore(tandem *t, const char *directory, const char *discriminator,
                      const char *fingerprint, checkpoint_choice *out);

#endif
