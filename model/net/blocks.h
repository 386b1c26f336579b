/* The blocks that denoiser and autoencoder are made of. Group norms have 8 groups. Layers are
 * called <name>.n1 and so on, after the PyTorch modules that the networks are compared with. All
 * are Local. */
#ifndef CTAUG_MODEL_NET_BLOCKS_H
#define CTAUG_MODEL_NET_BLOCKS_H

#include "model/nn/graph.h"

enum { BLOCK_GROUPS = 8, LAYER_NAME = 64 /* bytes, with the final 0 */ };

/* Writes "<prefix>.<layer>" to `out` and returns it. */
const char *layer_name(char out[LAYER_NAME], const char *prefix, const char *layer);

/* A residual block [h,w,c] -> [h,w,out]: norm, SiLU, conv; norm, with scale and shift by the
 * embedding [1,1,e] if there is one (NODE_NONE), SiLU, dropout (if its probability is not 0), conv;
 * the input is added, after a 1x1 conv if c is not `out`. */
node residual_block(graph *g, const char *name, node x, int64_t out, node embedding,
                    double dropout);

/* Group norm, multi-head self-attention over the pixels with `head` channels a head; the input is
 * added. No parameter depends on height and width. */
node attention_block(graph *g, const char *name, node x, int64_t head);

/* Group norm, multi-head attention of the pixels to the tokens [n,1,w] whose mask [n,1,1] is not 0,
 * with `head` channels a head; the input is added. */
node cross_attention_block(graph *g, const char *name, node x, node tokens, node mask,
                           int64_t head);

#endif
