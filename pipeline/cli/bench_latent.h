/* `ctaug bench --latent`: what a training in latents saves against one in pixels. */
#ifndef CTAUG_PIPELINE_CLI_BENCH_LATENT_H
#define CTAUG_PIPELINE_CLI_BENCH_LATENT_H

#include "model/net/unet.h"
#include "pipeline/trainer/trainer.h"

/* Times training steps with these settings, whose batch is that of latents, and prints a table or
 * JSON on rank 0. Collective. */
status bench_latent(const comm *c, unet_kind net, const trainer_settings *set,
                    const kernels *engine, bool as_json);

#endif
