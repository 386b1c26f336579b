/* gate.json: what the gate has found. */
#ifndef CTAUG_PIPELINE_GATE_GATE_JSON_H
#define CTAUG_PIPELINE_GATE_GATE_JSON_H

#include "pipeline/gate/copying.h"
#include "pipeline/gate/membership.h"

#include <jansson.h>

typedef struct gate_findings {
    copying copies;
    membership membership;
} gate_findings;

/* The object of gate.json; without slices in *g, that nothing was measured and why. New reference;
 * NULL: out of memory. Local. */
json_t *gate_json(const study *s, const gate_sets *g, const gate_findings *f);

/* Whether the copies beyond the expected ones may be fewer than gate.margin. Local. */
bool gate_passed(const study *s, const gate_findings *f);

#endif
