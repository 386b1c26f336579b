/* A conditional GAN for slices, the baseline of the diffusion model.
 *
 * The generator is the denoiser's U-Net (model/net/unet.h) with a tanh behind it. Its input x has
 * normal noise in place of the noised slice, and t is 0. All conditions are those of the denoiser,
 * so the two networks have the same number of parameters.
 *
 * The discriminator scores patches of (slice, one-hot label map): the PatchGAN of Isola et al. 2017
 * with spectral normalisation (Miyato et al. 2018) in place of batch norm, and 3x3 convolutions:
 * channels c, 2c, 4c with stride 2, then 4c and 1 with stride 1, leaky ReLU between them. A score
 * sees 47 x 47 pixels.
 */
#ifndef CTAUG_MODEL_NET_GAN_H
#define CTAUG_MODEL_NET_GAN_H

#include "model/net/unet.h"

typedef struct gan_graph {
    graph *g;
    node image; /* [size, size, 1] in -1..1: of the generator */
    node loss;  /* [1,1,1] */
} gan_graph;

/* The generator alone; loss is NODE_NONE. */
status gan_describe_generator(const unet_config *c, gan_graph *out);

/* The generator, and behind it the discriminator with frozen parameters, which are the last in the
 * list and in the order of gan_describe_discriminator(). The loss is weight * (minus the mean
 * score)
 * + weight_l1 * (mean absolute difference from target), Isola et al. 2017, equation 4. Inputs
 * besides those of the U-Net: labels [size, size, labels], target [size, size, 1], weight and
 * weight_l1 [1,1,1]. */
status gan_describe_training(const unet_config *c, gan_graph *out);

/* The discriminator and its hinge loss; image is NODE_NONE. Inputs: image [size, size, 1], labels
 * [size, size, labels], sign [1,1,1] (1: real, -1: generated), weight [1,1,1]. */
status gan_describe_discriminator(const unet_config *c, gan_graph *out);

/* The layers of the discriminator, d.0 to d.4: from image [h, w, any], with c = channels, to scores
 * [h / 8, w / 8, 1], rounded up at each stride. Errors are reported by graph_check(). */
node gan_discriminator(graph *g, node image, int64_t channels);

/* Also after a failure. All are Local. */
void gan_graph_free(gan_graph *graph);

#endif
