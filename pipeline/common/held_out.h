/* Held-out volumes: generate.held_out volumes of each painter, on label maps of test patients.
 *
 * They are for measures of distributions alone (FID and the like), whose conditions should not be
 * those of the training. No segmenter is trained on them. The maps are those of the volumes of
 * SPLIT_TEST in turn, with the slices of the test set, neither deformed nor changed otherwise. The
 * painters are the same, except that they know nothing of the patients' grey values; only
 * `gaussian` sees the image, whose background it divides into classes. The store of a painter that
 * writes <out>/F has the name <out>/F-heldout. For random numbers, held-out volume v has the number
 * HELD_OUT_FIRST + v: no other synthetic volume has it, since generate.volumes is at most 10^6. */
#ifndef CTAUG_PIPELINE_COMMON_HELD_OUT_H
#define CTAUG_PIPELINE_COMMON_HELD_OUT_H

#include "pipeline/stage.h"

/* What follows the name of a painter's folder. */
#define HELD_OUT "-heldout"

enum { HELD_OUT_FIRST = 1 << 20 };

/* Opens the held-out volumes of the painter that writes to `folder` ("synthetic", ...). *out is
 * NULL if generate.held_out is 0. ST_INPUT, naming the command, if they are missing or of another
 * study. real: the store of the run. The caller calls store_close(). Local. */
status held_out_open(const stage_context *stage, const store *real, const char *folder,
                     store **out);

#endif
