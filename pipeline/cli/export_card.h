/* The card of an exported data set, README.md for people and card.json for programs: where the data
 * come from, how many they are, what model made them, what may be said of them. */
#ifndef CTAUG_PIPELINE_CLI_EXPORT_CARD_H
#define CTAUG_PIPELINE_CLI_EXPORT_CARD_H

#include "io/store.h"

/* What the gate of the run has found about synthetic data. */
typedef enum gate_finding { GATE_NOT_ASKED, GATE_PASSED, GATE_NOT_PASSED } gate_finding;

/* Writes both files into `directory`. The card holds pseudonyms neither of patients nor of volumes,
 * no path and no time: the same store gives the same bytes. Local. */
status export_card_write(const store *s, const char *format, gate_finding gate,
                         const char *directory);

/* SHA-256 of the checkpoint that painted a synthetic store, from its provenance; "" if a store is
 * real or was painted without a network. Owned by the store. Local. */
const char *export_model(const store *s);

#endif
