/* The text encoder: a transformer (Vaswani et al. 2017) over the tokens of a sentence, as in CLIP
 * (Radford et al. 2021) but attending in both directions: learnt vectors of tokens and places; in
 * each block layer norm, multi-head self-attention over the tokens that are no pads, and layer
 * norm, two linear layers with SiLU and 4 times the width between them, each added to its input
 * (layer norm before the sum's branch, Xiong et al. 2020); a last layer norm. The mean of the
 * states of the tokens, through a linear layer, is the vector of the sentence.
 *
 * Inputs: tokens [tokens,1,1], the numbers of model/text/bpe.h as f32; mask [tokens,1,1], 1 for a
 * token and 0 for a pad. The state of a pad says nothing.
 */
#ifndef CTAUG_MODEL_NET_TEXT_ENCODER_H
#define CTAUG_MODEL_NET_TEXT_ENCODER_H

#include "model/nn/graph.h"

/* Grows whenever the network or its initial parameters change: part of fingerprints. */
#define TEXT_ENCODER_FORM "2"

typedef struct text_encoder_config {
    int64_t tokens;     /* of a sentence, with begin, end and pads */
    int64_t vocabulary; /* tokens that there are */
    int64_t width;      /* channels of a state */
    int64_t head;       /* channels of an attention head; divides width */
    int blocks;
    int64_t embedding; /* length of the vector of the sentence */
} text_encoder_config;

typedef struct text_encoder_nodes {
    node states;    /* [tokens, 1, width] */
    node embedding; /* [1, 1, embedding] */
} text_encoder_nodes;

/* 4 blocks of width 256 with heads of 64 channels, sentences of 96 tokens. Local. */
text_encoder_config text_encoder_default(int64_t vocabulary, int64_t embedding);

/* Describes the network in g; all names begin with "text.". Errors are reported by graph_check().
 * Local. */
text_encoder_nodes text_encoder_build(graph *g, const text_encoder_config *c);

#endif
