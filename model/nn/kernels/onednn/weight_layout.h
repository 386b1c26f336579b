/* Between plain weights [out,in,k,k] and the blocked layouts that oneDNN chooses, for the layouts
 * where its own reorder is several times slower than memory. Private to model/nn. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_WEIGHT_LAYOUT_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_WEIGHT_LAYOUT_H

#include <oneapi/dnnl/dnnl_types.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether weight_layout_write() can write this layout: the first dimension innermost in blocks that
 * leave no rest, of f32, or of bf16 with pairs of the second dimension inside (Acdb64a, AcdB64a2b,
 * ...).
 */
bool weight_layout_can_write(const dnnl_memory_desc_t *layout);

/* to, of a layout that can be written with dimensions [a,b,k,k], from plain weights: element (a, b,
 * tap) is weight[a * step_a + b * step_b + tap], or, turned, that of tap k*k - 1 - tap. */
void weight_layout_write(const dnnl_memory_desc_t *layout, const float *weight, int64_t step_a,
                         int64_t step_b, bool turned, void *to);

/* Whether weight_layout_add() can read this layout: f32, blocked in any way without a rest. */
bool weight_layout_can_read(const dnnl_memory_desc_t *layout);

/* plain [a,b,k,k] += from, of a layout that can be read. */
void weight_layout_add(const dnnl_memory_desc_t *layout, const float *from, float *plain);

#endif
