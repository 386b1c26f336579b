/* The table of kinds. */
#include "pipeline/common/volume_kind.h"

#include "pipeline/common/fingerprint.h"
#include "pipeline/common/held_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *suffix, *name;
    int64_t first;
} table[VOLUME_KINDS] = {[VOLUMES_SYNTHETIC] = {"", "synthetic", 0},
                         [VOLUMES_HELD_OUT] = {HELD_OUT, "held-out", HELD_OUT_FIRST},
                         [VOLUMES_INPAINTED] = {"-inpaint", "in-painted", 2 * HELD_OUT_FIRST}};

const char *volume_kind_suffix(volume_kind kind) { return table[kind].suffix; }
const char *volume_kind_name(volume_kind kind) { return table[kind].name; }
int64_t volume_kind_first(volume_kind kind) { return table[kind].first; }

bool volume_kind_wanted(const study *s, volume_kind kind, painter_kind by) {
    if (!(s->generate.painters >> by & 1)) return false;
    if (kind == VOLUMES_HELD_OUT) return s->generate.held_out > 0;
    if (kind == VOLUMES_INPAINTED)
        return s->generate.inpaint == SWITCH_ON && by == PAINTER_DIFFUSION;
    return true;
}

status volume_kind_fingerprint(const study *s, volume_kind kind, const char *made,
                               char hex[SHA256_HEX]) {
    char upstream[SHA256_HEX + 64];
    if (kind == VOLUMES_HELD_OUT) return fingerprint_of_held_out(s, made, hex);
    if (kind == VOLUMES_SYNTHETIC) {
        memmove(hex, made, SHA256_HEX);
        return ST_OK;
    }
    snprintf(upstream, sizeof upstream, "%s inpaint resample %" PRId64, made, s->generate.resample);
    return study_fingerprint(s, NULL, 0, upstream, hex);
}
