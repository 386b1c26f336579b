/* The training problem of the text encoder: pairs of a training slice and its caption
 * (pipeline/data/slice_caption.h), and the loss over all pairs of a batch (model/net/clip_loss.h).
 *
 * A step runs its pairs twice: first for the vectors of all pairs, which the ranks gather, then for
 * the gradient. Every rank computes the loss of the whole batch, so that it has the same bits for
 * any number of ranks. A pair follows from its global index alone.
 */
#ifndef CTAUG_PIPELINE_TEXT_PAIRING_H
#define CTAUG_PIPELINE_TEXT_PAIRING_H

#include "model/text/bpe.h"
#include "pipeline/common/training_data.h"
#include "pipeline/trainer/trainer.h"

typedef struct pairing pairing;

/* Learns the tokens on captions of training slices and creates the networks with their trainer.
 * What it is given must outlive *out. Collective. */
status pairing_open(const stage_context *stage, training_data *data, pairing **out);
void pairing_close(pairing *p); /* Collective */

trainer *pairing_trainer(pairing *p);
const trainer_feed *pairing_feed(const pairing *p);
const bpe *pairing_tokens(const pairing *p);

/* How well texts and slices find each other among the pairs of validation slices. */
typedef struct pairing_result {
    int64_t pairs;
    double loss;
    double images, texts; /* share of images whose most similar text is their own; and of texts */
    double scale;         /* of the loss */
} pairing_result;

/* Measures it with the parameters `values` on at most 64 slices. Collective. */
status pairing_measure(pairing *p, const float *values, pairing_result *out);

#endif
