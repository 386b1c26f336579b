/* The graph: a network described once by calling builders.
 *
 *     graph *g;  graph_create(&g);
 *     node x = graph_input(g, "x", TYPE_F32, 64, 64, 3);
 *     node h = graph_conv(g, "in", x, 32, 3, 1, INIT_UNIFORM);
 *     ...
 *     params_create(g, &p);                      (model/nn/params.h)
 *     plan_create(g, p, &options, &plan);        (model/nn/plan.h)
 *
 * A graph has no batch size and no memory for values. Builders report no errors: the first fault
 * (shapes that do not fit, out of memory) is kept and returned by graph_check(), params_create()
 * and plan_create(), so that the code of a network reads as the list of its layers. Shapes below
 * are height, width, channels of one sample. What an op computes, and the literature, is in
 * model/nn/ops/op_*.c.
 */
#ifndef CTAUG_MODEL_NN_GRAPH_H
#define CTAUG_MODEL_NN_GRAPH_H

#include "io/status.h"
#include "model/named_table.h"
#include "model/nn/tensor.h"

#include <stdbool.h>

typedef struct graph graph;
typedef int32_t node; /* index of an op's output; NODE_NONE: no node */
enum { NODE_NONE = -1 };

/* Initial weights. UNIFORM: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for convolutions
 * and linear layers. ZERO: for the last layer of a residual branch (Ho et al. 2020). */
typedef enum weight_init { INIT_UNIFORM, INIT_ZERO } weight_init;

typedef enum loss_kind { LOSS_L1, LOSS_L2, LOSS_HUBER } loss_kind;

extern const named_table loss_kinds;

status graph_create(graph **out);
void graph_destroy(graph *g);
status graph_check(const graph *g);

/* Begins a block: the ops added from here to the next call. A training plan may keep only values
 * that are read outside their block, and recompute the others before the block's backward
 * (plan_options.recompute). Values of ops added before the first call are always kept. */
void graph_block(graph *g);

/* Parameters added while `on` are frozen: backward leaves their gradients 0, and an optimiser step
 * with these gradients leaves their values. Convolutions alone can be frozen. */
void graph_freeze(graph *g, bool on);

/* Norms added while `on` do not measure their groups: mean and variance are those of a larger
 * image, of which the graph has a tile, and come from an input <name>.given [1,1,2 groups], means
 * first. Such a graph cannot be trained. */
void graph_given(graph *g, bool on);

/* The norm number i >= 0, in the order of the graph, whose statistics are given; x: what it
 * normalises. False: there are not so many. */
typedef struct graph_given_norm {
    node x;
    const char *input; /* owned by the graph */
    int64_t groups;
} graph_given_norm;
bool graph_given_at(const graph *g, int i, graph_given_norm *out);

/* A named tensor that the caller fills before each run. */
node graph_input(graph *g, const char *name, tensor_type type, int64_t h, int64_t w, int64_t c);

/* [h,w,ci] -> [(h-1)/stride+1, (w-1)/stride+1, out]; kernel 3 with stride 1 or 2, or kernel 1 with
 * stride 1.
 * Parameters name.weight [out,ci,k,k], name.bias [out]. */
node graph_conv(graph *g, const char *name, node x, int64_t out, int kernel, int stride,
                weight_init init);
/* The same with initial weights INIT_UNIFORM and a third, frozen parameter name.u [out]: the state
 * of the power iteration of model/net/spectral.h, which divides the weights by their spectral
 * norm. */
node graph_conv_spectral(graph *g, const char *name, node x, int64_t out, int kernel, int stride);
/* [1,1,ci] -> [1,1,out]. Parameters name.weight [out,ci], name.bias [out]. */
node graph_linear(graph *g, const char *name, node x, int64_t out, weight_init init);
/* Group norm, with NORM_EPSILON added to the variance; scale_shift: NODE_NONE or [1,1,2c]; silu:
 * apply SiLU afterwards. Parameters name.weight, name.bias [c]. */
#define NORM_EPSILON 1e-5f
node graph_norm(graph *g, const char *name, node x, int64_t groups, node scale_shift, bool silu);
node graph_silu(graph *g, node x);
node graph_leaky_relu(graph *g, node x); /* x for x > 0, else x / 5 */
node graph_tanh(graph *g, node x);
node graph_scale(graph *g, node x, double factor); /* factor * x */
/* qkv [h,w,3c] -> [h,w,c], softmax attention over the h*w pixels. */
node graph_attention(graph *g, node qkv, int64_t heads);
/* q [h,w,c], kv [n,1,2c] (keys, then values), mask f32 [n,1,1] -> [h,w,c]: softmax attention of the
 * h*w pixels to those of the n tokens whose mask is not 0; 0 if there is none. */
node graph_cross_attention(graph *g, node q, node kv, node mask, int64_t heads);
node graph_add(graph *g, node a, node b);
node graph_concat(graph *g, node a, node b);    /* along channels */
node graph_upsample(graph *g, node x);          /* twice as high and wide, nearest */
node graph_dropout(graph *g, node x, double p); /* identity unless the plan is for training */
/* [1,1,1] -> [1,1,dim]: cos, then sin of x * scale * 10000^(-i/(dim/2)) (Vaswani et al. 2017,
 * section 3.5). */
node graph_sinusoid(graph *g, node x, int64_t dim, double scale);
/* [h,w,c] -> [1,1,c]: mean over pixels. */
node graph_mean(graph *g, node x);
/* moments [h,w,2z]: means, then log-variances, which are clamped to -30..20; noise [h,w,z], without
 * a gradient -> [h,w,z]: mean + exp(log-variance / 2) * noise (model/nn/ops/op_gaussian.c). */
node graph_gaussian_sample(graph *g, node moments, node noise);

/* A coarse encoder and decoder without parameters (model/nn/ops/op_haar.c): x [h,w,1] ->
 * [h/factor,w/factor,2z], moments whose means are the Haar coefficients of cells, in the first four
 * of z channels, and whose log-variances are HAAR_LOG_VARIANCE; and z [h,w,z] -> [h*factor,
 * w*factor,1], the image that these coefficients give. */
enum { HAAR_LOG_VARIANCE = -8 };
node graph_haar_moments(graph *g, node x, int64_t factor, int64_t z);
node graph_haar_inverse(graph *g, node z, int64_t factor);

/* A sequence of n tokens is a tensor [n,1,c]: a convolution with kernel 1 is a linear layer of each
 * token. */

/* f32 [n,1,1] with values 0..rows-1 -> [n,1,width]: row of a table + vector of the place.
 * Parameters name.weight [rows,width], at first U(-1, 1), and name.place [n,width]. */
enum { EMBEDDING_ROWS_MAX = 1 << 24 /* which f32 counts exactly */ };
node graph_embedding(graph *g, const char *name, node tokens, int64_t rows, int64_t width);
/* Layer norm of each pixel over its channels. Parameters name.weight, name.bias [c]. */
node graph_layer_norm(graph *g, const char *name, node x);
/* x [h,w,c], mask f32 [h,w,1] -> [1,1,c]: sum of mask * x over the sum of mask; 0 if that is 0. */
node graph_masked_mean(graph *g, node x, node mask);

/* Losses return one value per sample, [1,1,1], multiplied by weight [1,1,1]. The loss is the sum
 * over the batch, so that a global batch is summed over ranks and a padded sample has weight 0. */

/* Mean over h*w*c of |d|, d^2 or Huber(d) (delta 1), d = predicted - target; each times the weight
 * of its pixel, if target has a channel more, [h,w,c+1], which holds it. */
node graph_regression_loss(graph *g, node predicted, node target, node weight, loss_kind kind);
/* The same of the first channel of predicted [h,w,2] against that of target [h,w,2], plus a term of
 * the variational bound for the second channel (model/nn/ops/op_hybrid_loss.c). The target's second
 * channel is x_0. step [1,1,HYBRID_STEP] describes the time step of each sample. */
enum {
    HYBRID_LOG_SMALL, /* ln of the variance for output -1 and +1 (model/diffusion/variance.h) */
    HYBRID_LOG_LARGE,
    HYBRID_ERROR,  /* x_0 - its prediction = this times (target - predicted) */
    HYBRID_MEAN,   /* factor of x_0 in the mean */
    HYBRID_HALF,   /* half the distance of two levels of x_0 */
    HYBRID_FIRST,  /* 1: the term L_0; 0: a divergence */
    HYBRID_WEIGHT, /* of the mean of the term over the pixels, in nats */
    HYBRID_STEP
};
node graph_hybrid_loss(graph *g, node predicted, node target, node step, node weight,
                       loss_kind kind);
/* Loss of a consistency model: rate * (sqrt(|d|^2 + c^2) - c), d = slope * predicted + rest, |.|
 * over all values of a sample (model/nn/ops/op_consistency_loss.c). predicted and rest [h,w,c];
 * step [1,1,CONSISTENCY_STEP] has the numbers of each sample (model/diffusion/consistency.h). */
enum { CONSISTENCY_SLOPE, CONSISTENCY_C, CONSISTENCY_RATE, CONSISTENCY_STEP };
node graph_consistency_loss(graph *g, node predicted, node rest, node step, node weight);
/* Cross-entropy (mean over pixels) + mean of -ln(soft Dice) over the classes that the labels hold
 * (Milletari et al. 2016, with plain sums in the denominator and +1 above and below); logits
 * [h,w,k], labels u8 [h,w,1]. */
node graph_dice_ce_loss(graph *g, node logits, node labels, node weight);
/* Hinge loss of a discriminator: mean over h*w*c of max(0, 1 - sign * score); sign [1,1,1] is 1 for
 * a real sample and -1 for a generated one. */
node graph_hinge_loss(graph *g, node score, node sign, node weight);
/* Loss of its generator: -(mean over h*w*c of score). */
node graph_score_loss(graph *g, node score, node weight);
/* Divergence of the normal distribution with these moments [h,w,2z] (those of
 * graph_gaussian_sample()) from the standard one, in nats: mean over its h*w*z values. */
node graph_kl_loss(graph *g, node moments, node weight);
/* Sum over the levels of a Laplacian pyramid of the mean rounded absolute difference of their bands
 * (model/nn/ops/op_pyramid_loss.c); predicted and target [h,w,1]. The last level has at least 2
 * pixels along each side. */
node graph_pyramid_loss(graph *g, node predicted, node target, node weight, int levels);
/* Difference of the edges of two CT images in a window of lungs, of soft tissue and of bone
 * (model/nn/ops/op_window_loss.c); predicted and target [h,w,1] are HU by model/hu_map.h. */
node graph_window_loss(graph *g, node predicted, node target, node weight);
/* Cross-entropy of one class per sample; logits [1,1,k], k at most CLASS_LOSS_MAX, so that the
 * class 0..k-1 in truth f32 [1,1,1] is exact. */
enum { CLASS_LOSS_MAX = 1 << 24 };
node graph_class_loss(graph *g, node logits, node truth, node weight);
/* A loss that the caller computes from x (model/net/clip_loss.h): after a plan_forward() for x the
 * caller writes the value of its loss to the input `value` [1,1,1] and its gradient by x to
 * `gradient`, of the shape of x, runs the plan forward again, and backward. The loss of a sample is
 * weight * value. */
node graph_gradient_loss(graph *g, node x, node gradient, node value, node weight);

/* The shape of a node with batch 1. */
void graph_shape(const graph *g, node x, int64_t shape[4]);

#endif
