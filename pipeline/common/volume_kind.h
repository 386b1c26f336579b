/* The kinds of volumes that `generate` makes, each with stores of its own.
 *
 * VOLUMES_SYNTHETIC: on deformed label maps, or on the user's own masks. VOLUMES_HELD_OUT:
 * pipeline/common/held_out.h. VOLUMES_INPAINTED (generate.inpaint): labelled training volumes as
 * they are, with the structures of generate.insert sampled into them; the surroundings of these
 * stay real. Only the painter `diffusion` makes them. */
#ifndef CTAUG_PIPELINE_COMMON_VOLUME_KIND_H
#define CTAUG_PIPELINE_COMMON_VOLUME_KIND_H

#include "io/file.h"
#include "pipeline/study/study.h"

typedef enum volume_kind {
    VOLUMES_SYNTHETIC,
    VOLUMES_HELD_OUT,
    VOLUMES_INPAINTED,
    VOLUME_KINDS
} volume_kind;

/* What follows the name of a painter's folder: "", "-heldout", "-inpaint". Static storage. Local.
 */
const char *volume_kind_suffix(volume_kind kind);

/* How messages call the volumes: "synthetic", "held-out", "in-painted". Static storage. Local. */
const char *volume_kind_name(volume_kind kind);

/* Whether the study has volumes of this kind by this painter. Local. */
bool volume_kind_wanted(const study *s, volume_kind kind, painter_kind by);

/* For random numbers the volumes are counted from here on, so that no two kinds share a number:
 * generate.volumes and held_out are at most 10^6. Local. */
int64_t volume_kind_first(volume_kind kind);

/* The fingerprint of what has the fingerprint `made`, a store of a painter or the label maps, if it
 * is of this kind. The keys that switch kinds on are inert and therefore in no section. Local. */
status volume_kind_fingerprint(const study *s, volume_kind kind, const char *made,
                               char hex[SHA256_HEX]);

#endif
