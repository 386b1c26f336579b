/* The table of the kinds of distillation. */
#include "pipeline/distil/task.h"

static status (*const OPEN[])(const distil_inputs *in, distil_task *out) = {
    [DISTIL_CONSISTENCY_TUNING] = consistency_task_open,
    [DISTIL_CONSISTENCY_DISTILLATION] = consistency_task_open,
    [DISTIL_REFLOW] = reflow_task_open,
};

status distil_task_open(const distil_inputs *in, distil_task *out) {
    *out = (distil_task){.loss = NODE_NONE, .read = NODE_NONE};
    return OPEN[in->stage->study->distil.kind](in, out);
}

void distil_task_close(distil_task *t) {
    if (t->close) t->close(t->self);
    *t = (distil_task){.loss = NODE_NONE, .read = NODE_NONE};
}
