/* The store of pseudo-labels, for the stages that use them. */
#ifndef CTAUG_PIPELINE_COMMON_PSEUDO_STORE_H
#define CTAUG_PIPELINE_COMMON_PSEUDO_STORE_H

#include "pipeline/stage.h"

/* Opens <out>/pseudo, which holds label maps of the volumes of SPLIT_UNLABELLED under their ids
 * (pipeline/referee/pseudo.h). real: the store of the run. ST_INPUT, naming the command, if there
 * is none or it is that of another study. The caller calls store_close(). Local. */
status pseudo_store_open(const stage_context *stage, const store *real, store **out);

#endif
