/* Reads the parameters by their names. */
#include "pipeline/common/weights_file.h"

#include "io/safetensors.h"

#include <inttypes.h>

status weights_read(const char *path, params *p) {
    status st = ST_OK;
    safetensors *file = NULL;
    TRY(safetensors_open(path, &file));
    for (int64_t i = 0; i < p->count; i++) {
        const param *one = &p->list[i];
        TRY(safetensors_read(file, one->name, one->rank, one->shape, p->value + one->offset));
    }
    if (safetensors_count(file) != p->count)
        st = status_fail(ST_INPUT,
                         "%s: it has %" PRId64 " tensors, and the network has %" PRId64
                         " parameters: it is of another network",
                         path, safetensors_count(file), p->count);
done:
    safetensors_close(file);
    return st;
}
