/* Conversion between plain weights [out,in,k,k] and blocked layouts that oneDNN chooses, for those
 * layouts whose reorder in oneDNN is several times slower than memory. Private to the oneDNN
 * engine. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_WEIGHT_LAYOUT_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_WEIGHT_LAYOUT_H

#include <oneapi/dnnl/dnnl_types.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether weight_layout_write() supports this layout: f32 with the first dimension innermost in
 * blocks (Acdb64a, ...), or bf16 with pairs of the second dimension inside these blocks (AcdB64a2b,
 * ...). Blocks must divide the dimensions. */
bool weight_layout_can_write(const dnnl_memory_desc_t *layout);

/* Writes `to`, in a supported layout with dimensions [a,b,k,k], from plain weights: element (a, b,
 * tap) is weight[a * step_a + b * step_b + tap]; flipped: with tap replaced by k*k - 1 - tap. */
void weight_layout_write(const dnnl_memory_desc_t *layout, const float *weight, int64_t step_a,
                         int64_t step_b, bool flipped, void *to);

/* Whether weight_layout_add() supports this layout: f32, with blocks that divide the dimensions. */
bool weight_layout_can_read(const dnnl_memory_desc_t *layout);

/* plain [a,b,k,k] += from, which is in a supported layout. */
void weight_layout_add(const dnnl_memory_desc_t *layout, const float *from, float *plain);

#endif
