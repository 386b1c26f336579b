/* The referee: one segmenter trained on the labelled real training slices alone, with a seed that
 * no judged segmenter has. The stage of pipeline/referee/ trains it; stages after it label slices
 * with it.
 *
 * <out>/referee holds parameters.h5 (f32 arrays "parameters/<name>", io/checkpoint.h) and a
 * manifest of kind "referee" with the detail
 *
 *   {"steps": n, "patients": n of validation, "dice": {structure: mean over the patients who have
 *   it, or null}}
 */
#ifndef CTAUG_PIPELINE_SEGMENTER_REFEREE_H
#define CTAUG_PIPELINE_SEGMENTER_REFEREE_H

#include "pipeline/common/published.h"
#include "pipeline/segmenter/segmenter.h"

#include <jansson.h>

#define REFEREE_KIND "referee"
extern const published_network referee_published;

/* The seed of its initialisation and of its training samples. */
uint64_t referee_seed(const study *s);

/* Publishes the parameters of s in `directory`; detail: a new reference, which is stolen, or NULL
 * for lack of memory. Local; called on rank 0. */
status referee_publish(const segmenter *s, const char *directory, const char *fingerprint,
                       json_t *detail);

/* Opens the published referee of this study and of the store in <out>/store for inference; labels:
 * those of the store. ST_INPUT, naming the command, if there is none or it is that of another
 * study. The caller calls segmenter_close(), also after a failure. Local. */
status referee_open(const stage_context *stage, const label_set *labels, segmenter *out);

#endif
