/* The autoencoder of a latent diffusion model (Rombach et al. 2022): an encoder to the moments of a
 * normal distribution of latents, a decoder back, and a discriminator that its training has beside
 * it. Images are HU by model/hu_map.h.
 *
 * With c = base, a level of the encoder has residual blocks (`blocks` of them; model/net/blocks.h)
 * and a convolution of stride 2 to the next one; the lowest level has a residual block, attention
 * and another residual block; norm, SiLU and a convolution to 2 z channels follow. The decoder is
 * its mirror, with one block more a level and upsampling (nearest, then a convolution) between
 * levels. Channels are c, 2c, 4c for factor 4, and c, 2c, 4c, 4c for factor 8.
 *
 * What encoder and decoder compute is added to graph_haar_moments() and graph_haar_inverse(), and
 * their last convolutions begin with 0 and count a tenth, as much as detail differs from the mean
 * of its cell: the training starts as the Haar coefficients of cells, and the network learns what
 * they lack. (Chen et al. 2025 give autoencoders shortcuts of this kind between levels.)
 *
 * No parameter depends on `size`: graphs of different sizes have the same list of parameters, so
 * that a network trained on patches takes whole slices. Parameters of the encoder come first, then
 * those of the decoder, then those of the discriminator; a graph of one part has its share of the
 * list, in the same order.
 *
 * Inputs: image [size, size, 1]; noise [size / factor, size / factor, z], of the sample of the
 * latents (0: their mean).
 */
#ifndef CTAUG_MODEL_NET_AUTOENCODER_H
#define CTAUG_MODEL_NET_AUTOENCODER_H

#include "model/nn/graph.h"

/* Names what this network computes and what it is trained for. Another one has another name, so
 * that its parameters are not taken for those of this one; "residual": what is published with them.
 */
#define AUTOENCODER_FORM "haar, squares, rounded, residual"

typedef struct autoencoder_config {
    int64_t size;   /* pixels along y and x, a multiple of factor; for a training at least 16 */
    int64_t factor; /* pixels a latent, along each axis: 4 or 8 */
    int64_t z;      /* channels of the latents */
    int64_t base;   /* channels of the first level, a multiple of 8 */
    int blocks;     /* residual blocks a level of the encoder */
} autoencoder_config;

/* Nodes that a graph does not have are NODE_NONE. */
typedef struct autoencoder_graph {
    graph *g;
    node moments;  /* [size / factor, size / factor, 2 z]: means, then log-variances */
    node features; /* [size, size, base]: what the decoder's last convolution reads */
    node coarse;   /* [size, size, 1]: graph_haar_inverse(), which is added to it */
    node image;    /* [size, size, 1]: reconstructed */
    /* Losses of a sample, [1,1,1], each times its weight. */
    node reconstruction, kl, adversarial;
    node loss; /* their sum, or that of the discriminator */
} autoencoder_graph;

/* Encoder and decoder. */
status autoencoder_describe(const autoencoder_config *c, autoencoder_graph *out);

/* The encoder alone. */
status autoencoder_describe_encoder(const autoencoder_config *c, autoencoder_graph *out);

/* The decoder alone, of the input latent [size / factor, size / factor, z]. */
status autoencoder_describe_decoder(const autoencoder_config *c, autoencoder_graph *out);

/* The decoder in pieces, for images that are decoded in tiles (model/net/autoencoder_tiles.h).
 * Level 0 has all pixels, each further one half as many along each axis; autoencoder_channels() are
 * the channels at its end. Parameters of pieces are parts of the decoder's list.
 *
 * autoencoder_describe_top: from the input latent to the end of a level, the node features. The
 * image, too, if the level is 0.
 *
 * autoencoder_describe_piece: piece 0 .. blocks of a level is upsampling (piece 0, not of the
 * lowest level) and one residual block; level 0 has one more, from its end to the image. All are of
 * a tile of `tile` pixels of that level along each axis, with given norms (graph_given()). Inputs:
 * below [tile, tile, channels], the end of the piece before; of piece 0 [tile / 2, tile / 2,
 * channels of the level below]; for the image also latent [tile / factor, tile / factor, z].
 * Output: features, or the image. ST_INTERNAL if there is no such piece. */
int autoencoder_levels(const autoencoder_config *c);
int64_t autoencoder_channels(const autoencoder_config *c, int level);
status autoencoder_describe_top(const autoencoder_config *c, int level, autoencoder_graph *out);
status autoencoder_describe_piece(const autoencoder_config *c, int level, int piece, int64_t tile,
                                  autoencoder_graph *out);

/* Encoder and decoder, and behind them the discriminator with frozen parameters. Inputs besides
 * those above, [1,1,1]:
 *
 *   weight              of 10 times the mean square of the difference of image and reconstruction
 *   weight_features     of graph_pyramid_loss() with 4 levels + graph_window_loss()
 *   weight_kl           of graph_kl_loss(), a mean over latents
 *   weight_adversarial  of minus the discriminator's mean score
 *
 * The weight of the divergence in Rombach et al. (1e-6) is one of sums: here it is that times z /
 * factor^2, the latents a pixel. */
status autoencoder_describe_training(const autoencoder_config *c, autoencoder_graph *out);

/* The discriminator (gan_discriminator() with 2 base channels, without labels) and its hinge loss.
 * Inputs: image, sign [1,1,1] (1: real, -1: reconstructed), weight [1,1,1]. */
status autoencoder_describe_discriminator(const autoencoder_config *c, autoencoder_graph *out);

/* The last layer of the decoder and the discriminator, frozen, as in the training's graph: the same
 * weights, losses and names from the inputs features [size, size, base] and coarse [size, size, 1]
 * on; the image that is compared with is the input image. For model/net/adaptive_weight.h. */
status autoencoder_describe_last_layer(const autoencoder_config *c, autoencoder_graph *out);

/* Also after a failure. All are Local. */
void autoencoder_graph_free(autoencoder_graph *graph);

#endif
