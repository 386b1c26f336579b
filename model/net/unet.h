/* The denoiser: the U-Net of Ho et al. 2020 (residual blocks with scale-shift time conditioning as
 * in Nichol & Dhariwal 2021, self-attention at low resolutions), conditioned on a label map, the
 * slice position and a class. Without conditions it is the network that tests compare with PyTorch.
 *
 * Inputs (a condition can be dropped for classifier-free guidance):
 *
 *   x         [size, size, channels + labels]: the noised slice, then the maps (all 0: dropped)
 *   t         [1,1,1]: diffusion time 0..T-1
 *   position  [1,1,1]: slice position in the volume, 0 (first) .. 1 (last); -1: dropped
 *   class     [1,1,classes + 1]: one-hot; the last element: dropped
 *   numbers   [1,1,2 * numbers]: for each number its value and 1, or 0 and 0: dropped or unknown
 *   d         [1,1,1]: size of a step of a shortcut model, 0..1 (model/diffusion/shortcut.h)
 *   codes     [size * factor, size * factor, bits]: bit k of the code of each pixel of the slice
 *             whose latent x is; all 0: dropped
 *   text      [tokens,1,width]: states of the text encoder (model/net/text_encoder.h); those of
 *             the text "": dropped
 *   text_mask [tokens,1,1]: 1 for a token, 0 for a pad
 *
 * `position`, `class`, `numbers`, `d`, `codes`, `text` and `text_mask` exist only if the
 * configuration asks for them. Codes go through convolutions of stride 2 to the size of x and are
 * concatenated with it. Text goes into attention behind each self-attention and, as the mean of
 * its states, into the time embedding (Saharia et al. 2022, Imagen).
 */
#ifndef CTAUG_MODEL_NET_UNET_H
#define CTAUG_MODEL_NET_UNET_H

#include "model/named_table.h"
#include "model/nn/graph.h"

enum { UNET_LEVELS = 6 };

typedef enum unet_kind {
    UNET_R64, /* base 64; mult 1 2 2 4, 2 blocks, attention at 16 and 8 */
    UNET_R32, /* the same with base 32 */
    UNET_R16  /* base 16; mult 1 2 2, 1 block, attention at 16: for tests and trial runs */
} unet_kind;

extern const named_table unet_kinds;

/* Changes when a network takes its text in another way; part of the fingerprints of such
 * trainings. */
#define UNET_TEXT_FORM "3"

/* The text that a network is conditioned on. */
typedef struct unet_text {
    int64_t tokens; /* of a sentence; 0: no text */
    int64_t width;  /* channels of a token's state */
} unet_text;

/* A map at the pixels of the slice, for a network of latents. */
typedef struct unet_codes {
    int64_t bits;   /* channels; 0: no codes */
    int64_t factor; /* pixels of the map for a pixel of x, along each axis: a power of two */
} unet_codes;

typedef struct unet_config {
    int64_t size;     /* pixels along y and x */
    int64_t channels; /* of a slice: 1, or those of its latent */
    int64_t labels;   /* channels of labels and tissues, one-hot or shares of area; 0: none */
    int64_t classes;  /* 0: no class input */
    bool position;    /* position input */
    int64_t numbers;  /* further numbers of a slice; 0: none */
    bool step_size;   /* input d */
    int64_t base;     /* channels at the first level; the time embedding has 4 * base */
    int levels;
    int64_t mult[UNET_LEVELS]; /* channels = base * mult at each level */
    int blocks;                /* residual blocks a level on the way down; one more on the way up */
    int64_t attention[UNET_LEVELS]; /* heights with attention, in pixels; 0 ends the list */
    int64_t head;                   /* channels an attention head */
    double dropout;                 /* probability, before the second convolution of a block */
    bool spread;                    /* a second output: the variance (model/diffusion/variance.h) */
    unet_text text;
    unet_codes codes;
} unet_config;

/* The configuration of a kind of network for slices of one channel; size, conditions and dropout
 * are 0. Local. */
unet_config unet_config_of(unet_kind kind);

/* Describes the network in g; returns the prediction [size, size, channels]; with `spread`, for one
 * channel alone, [size, size, 2]. Errors are reported by graph_check(). Local. */
node unet_build(graph *g, const unet_config *c);

#endif
