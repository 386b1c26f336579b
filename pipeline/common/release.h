/* Whether synthetic data may leave a run directory: what the gate has found (gate/gate.json) and
 * what the study wants done about it (gate.release). */
#ifndef CTAUG_PIPELINE_COMMON_RELEASE_H
#define CTAUG_PIPELINE_COMMON_RELEASE_H

#include "io/file.h"
#include "pipeline/study/study.h"

typedef struct release {
    release_kind wanted;
    bool passed;
    char gate[PATH_SIZE];          /* the directory of the finding */
    char finding[PATH_SIZE + 128]; /* a sentence for the user, without its full stop */
} release;

/* Reads the finding in the directory `gate` on the synthetic store with this seal. A finding that
 * is missing or about another store is no pass. `wanted` is that of the finding, or `otherwise`
 * without one. ST_INTEGRITY if the finding is damaged. Local. */
status release_read(const char *gate, const char *synthetic_seal, release_kind otherwise,
                    release *out);

/* ST_INTEGRITY with the finding and what to do, if the data are blocked. Local. */
status release_check(const release *r);

#endif
