/* Names of structures: what the Segment Labels, ROI names or file names of an archive are called in
 * the store.
 *
 * Such texts are free: people write names of patients into them. A text becomes a name by a rule of
 * the study, or because it consists of known words (io/structure_words.h). Any other becomes
 * structure-N. Nothing else may show a text: messages name a segment by its number.
 */
#ifndef CTAUG_IO_STRUCTURES_H
#define CTAUG_IO_STRUCTURES_H

#include "io/status.h"
#include "io/volume.h"

/* 64 characters of UTF-8, terminated. */
enum { STRUCTURE_TEXT = 4 * 64 + 1 };

/* A sorted list of texts, each once. {0} is empty; structure_texts_free() frees it. */
typedef struct structure_texts {
    char (*at)[STRUCTURE_TEXT];
    int64_t count, capacity;
} structure_texts;

/* Adds a text that is not in the list. ST_INPUT, without showing it, if it is longer than
 * STRUCTURE_TEXT - 1 bytes. Local. */
status structure_texts_add(structure_texts *list, const char *text);

/* Whether a text would need a name more by structure_names_make() without rules: it is neither in
 * the list nor "background". Local. */
bool structure_is_new(const structure_texts *list, const char *text);
void structure_texts_free(structure_texts *list);

/* Rules of a study: "liver: Liver|LIVER|hepar", a name and the texts that get it, exactly as they
 * are written but for blanks around them. */

/* ST_USAGE if one of n rules is not of this form, a name is too long or "background", or a name or
 * a text occurs twice. Local. */
status structure_rules_check(const char *const *rules, int64_t n);

/* ST_USAGE if one of n names is empty, too long, or occurs twice. Local. */
status structure_order_check(const char *const *names, int64_t n);

/* The name that a rule gives. Local. */
void structure_rule_name(const char *rule, char name[LABEL_NAME]);

typedef struct structure_names {
    label_set set;         /* "background", then the names in use, sorted */
    structure_texts texts; /* owned */
    int *values;           /* label value of each text; 0: left out; owned */
    int64_t renamed;       /* texts that became structure-N */
    int64_t left_out;      /* texts that no rule has */
} structure_names;

/* Names for all texts of an archive, which are copied. With rules: what they say; a text that none
 * has is left out. Without (n is 0): texts of known words stay as they are, "background" is left
 * out, all others become structure-N, N being their place among those in the order of strcmp().
 * ST_INPUT if there are more than STRUCTURES_MAX names. structure_names_free() frees *out. Local.
 */
status structure_names_make(const structure_texts *texts, const char *const *rules, int64_t n,
                            structure_names *out);
void structure_names_free(structure_names *names);

/* The label value of a text; 0: it is left out; -1: it was not among the texts. Local. */
int structure_value(const structure_names *names, const char *text);

#endif
