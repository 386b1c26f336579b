/* One rank that lacks bf16 arithmetic decides for all: they are as fast as the slowest. */
#include "pipeline/precision.h"
#include <string.h>

status precision_choose(const comm *c, const char *key, const kernels *engine, tensor_type *out) {
    bool bf16 = strcmp(key, "bf16") == 0;
    *out = bf16 ? TYPE_BF16 : TYPE_F32;
    if (strcmp(key, "auto") != 0) return ST_OK;
    int64_t without = engine->bf16 && kernels_bf16_native() ? 0 : 1;
    status st = comm_sum_i64(c, &without, 1);
    if (st == ST_OK && without == 0) *out = TYPE_BF16;
    return st;
}

const char *precision_name(tensor_type type) { return type == TYPE_BF16 ? "bf16" : "f32"; }
