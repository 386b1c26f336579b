/* The card of an exported data set, README.md for people and card.json for programs: where the data
 * come from, how many they are, what model made them, what may be said of them. */
#ifndef CTAUG_PIPELINE_CLI_EXPORT_CARD_H
#define CTAUG_PIPELINE_CLI_EXPORT_CARD_H

#include "io/store.h"

/* What the gate of the run has found about synthetic data. */
typedef enum gate_finding { GATE_NOT_ASKED, GATE_PASSED, GATE_NOT_PASSED } gate_finding;

/* What the volumes of a store show. In-painted ones show real patients with sampled structures
 * (pipeline/common/volume_kind.h). */
typedef enum store_content { CONTENT_REAL, CONTENT_SYNTHETIC, CONTENT_INPAINTED } store_content;

/* From the provenance of the store. Local. */
store_content export_content(const store *s);

/* What the store does not say of an exported data set. */
typedef struct export_about {
    const char *format;
    gate_finding gate;
    bool native; /* synthetic volumes at the matrix of their series (data/native_matrix.h) */
} export_about;

/* Writes both files into `directory`. The card holds pseudonyms neither of patients nor of volumes,
 * no path and no time: the same store gives the same bytes. Local. */
status export_card_write(const store *s, const export_about *about, const char *directory);

/* SHA-256 of the checkpoint that painted a synthetic store, from its provenance; "" if a store is
 * real or was painted without a network. Owned by the store. Local. */
const char *export_model(const store *s);

#endif
