/* Rules come first, so that a study can rename what is called like another structure. */
#include "pipeline/generate/own_names.h"

#include "io/alloc.h"
#include "io/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN = 16 };

/* The label of a name; 0: there is none. */
static int label_called(const label_set *labels, const char *name) {
    int found = label_find(labels, name);
    for (int k = 1; k < labels->count && found < 0; k++)
        if (strcasecmp(labels->name[k], name) == 0) found = k;
    return found < 0 ? 0 : found;
}

status own_name_value(const study *s, const label_set *labels, const char *text, int *value) {
    status st = ST_OK;
    const char *rules[STRUCTURES_MAX];
    structure_texts one = {0};
    structure_names *named = NULL;
    *value = 0;
    TRY(array_alloc(&named, 1, sizeof *named, "names of structures"));
    study_texts_at(&s->ingest.structures, rules);
    TRY(structure_texts_add(&one, text));
    if (s->ingest.structures.count > 0)
        TRY(structure_names_make(&one, rules, s->ingest.structures.count, named));
    if (named->set.count > 1) *value = label_called(labels, named->set.name[1]);
    if (*value == 0) *value = label_called(labels, text);
done:
    if (named) structure_names_free(named);
    free(named);
    structure_texts_free(&one);
    return st;
}

/* N of "structure-N"; 0 if the text is none. */
static int number_of(const char *text) {
    static const char prefix[] = "structure-";
    char *end = NULL;
    if (strncmp(text, prefix, sizeof prefix - 1) != 0) return 0;
    const long n = strtol(text + sizeof prefix - 1, &end, 10);
    return *end == '\0' && n > 0 && n <= STRUCTURES_MAX ? (int)n : 0;
}

status own_names_make(const study *s, const label_set *labels, const structure_texts *texts,
                      bool nifti, structure_names *out) {
    status st = ST_OK;
    *out = (structure_names){.set = *labels};
    TRY(array_alloc(&out->values, texts->count, sizeof *out->values, "names of structures"));
    for (int64_t i = 0; i < texts->count; i++) {
        int value = 0;
        TRY(structure_texts_add(&out->texts, texts->at[i]));
        TRY(own_name_value(s, labels, texts->at[i], &value));
        const int number = nifti && value == 0 ? number_of(texts->at[i]) : 0;
        out->values[i] = number > 0 && number < labels->count ? number : value;
        out->left_out += out->values[i] == 0;
    }
done:
    return st;
}

void own_names_warn(journal *log, const structure_names *names) {
    char list[4096] = "";
    int64_t listed = 0;
    if (names->left_out == 0) return;
    for (int64_t i = 0; i < names->texts.count && listed < SHOWN; i++) {
        char text[4 * STRUCTURE_TEXT];
        const size_t used = strlen(list);
        if (names->values[i] != 0) continue;
        printable(names->texts.at[i], false, text, sizeof text);
        snprintf(list + used, sizeof list - used, "%s%.200s", listed++ ? ", " : "", text);
    }
    log_warning(log,
                "generate.masks: %" PRId64 " structures that the store does not have are left out: "
                "%s%s",
                names->left_out, list, names->left_out > listed ? ", ..." : "");
}
