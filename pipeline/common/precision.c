/* Resolves train.precision: auto. One rank without bf16 arithmetic decides for all, because a step
 * takes as long as the slowest rank. */
#include "pipeline/common/precision.h"

status precision_choose(const comm *c, precision_kind precision, const kernels *engine,
                        tensor_type *out) {
    *out = precision == PRECISION_BF16 ? TYPE_BF16 : TYPE_F32;
    if (precision != PRECISION_AUTO) return ST_OK;
    int64_t without = engine->bf16 && kernels_bf16_native() ? 0 : 1;
    status st = comm_sum_i64(c, &without, 1);
    if (st == ST_OK && without == 0) *out = TYPE_BF16;
    return st;
}

static const char *const type_names[] = {[TYPE_F32] = "f32", [TYPE_BF16] = "bf16"};

const named_table compute_types = NAMED_TABLE("number type", type_names);
