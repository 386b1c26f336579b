/* Texts are kept sorted, so that all ranks, which know the same texts, give the same names. */
#include "io/structures.h"

#include "io/structure_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char background[] = "background";

/* ---- lists of texts ---- */

/* Index of the first text that is not before `text`. */
static int64_t place_of(const structure_texts *list, const char *text) {
    int64_t low = 0, high = list->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(list->at[middle], text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const structure_texts *list, int64_t place, const char *text) {
    return place < list->count && strcmp(list->at[place], text) == 0;
}

status structure_texts_add(structure_texts *list, const char *text) {
    const int64_t place = place_of(list, text);
    if (is_at(list, place, text)) return ST_OK;
    if (strlen(text) >= STRUCTURE_TEXT)
        return status_fail(ST_INPUT, "the name of a structure has %zu bytes; it may have %d",
                           strlen(text), STRUCTURE_TEXT - 1);
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity ? 2 * list->capacity : 64, bytes = 0;
        void *grown = NULL;
        if (size_mul(capacity, STRUCTURE_TEXT, &bytes)) grown = realloc(list->at, (size_t)bytes);
        if (!grown) return status_memory("names of structures", bytes);
        list->at = grown;
        list->capacity = capacity;
    }
    memmove(list->at + place + 1, list->at + place, (size_t)(list->count - place) * STRUCTURE_TEXT);
    memset(list->at[place], 0, STRUCTURE_TEXT);
    memcpy(list->at[place], text, strlen(text));
    list->count++;
    return ST_OK;
}

bool structure_is_new(const structure_texts *list, const char *text) {
    return !is_at(list, place_of(list, text), text) && strcasecmp(text, background) != 0;
}

void structure_texts_free(structure_texts *list) {
    free(list->at);
    *list = (structure_texts){0};
}

/* ---- rules ---- */

/* Copies [from, to) without blanks around it; false if nothing remains or it is too long. */
static bool copy_trimmed(const char *from, const char *to, char *out, size_t size) {
    while (from < to && (*from == ' ' || *from == '\t')) from++;
    while (from < to && (to[-1] == ' ' || to[-1] == '\t')) to--;
    if (from == to || (size_t)(to - from) >= size) return false;
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
    return true;
}

/* The next text of a rule from *at on; false at the end. *valid is set to false if it is none. */
static bool next_text(const char **at, char text[STRUCTURE_TEXT], bool *valid) {
    if (!*at) return false;
    const char *bar = strchr(*at, '|'), *end = bar ? bar : *at + strlen(*at);
    *valid = copy_trimmed(*at, end, text, STRUCTURE_TEXT);
    *at = bar ? bar + 1 : NULL;
    return true;
}

void structure_rule_name(const char *rule, char name[LABEL_NAME]) {
    const char *colon = strchr(rule, ':');
    if (!colon || !copy_trimmed(rule, colon, name, LABEL_NAME)) name[0] = '\0';
}

static status wrong_rule(int64_t i) {
    return status_fail(ST_USAGE,
                       "entry %" PRId64 " must be \"name: text|text|...\", the name of up to %d "
                       "bytes, each text of up to %d",
                       i + 1, LABEL_NAME - 1, STRUCTURE_TEXT - 1);
}

/* Adds a text of rule i to those seen. */
static status add_once(structure_texts *seen, const char *text, int64_t i) {
    if (is_at(seen, place_of(seen, text), text))
        return status_fail(ST_USAGE, "entry %" PRId64 " has \"%s\", which is there already", i + 1,
                           text);
    return structure_texts_add(seen, text);
}

static status check_rule(const char *rule, int64_t i, structure_texts *names,
                         structure_texts *texts) {
    char name[LABEL_NAME], text[STRUCTURE_TEXT];
    bool valid = true;
    const char *colon = strchr(rule, ':'), *at = colon ? colon + 1 : NULL;
    structure_rule_name(rule, name);
    if (!*name) return wrong_rule(i);
    if (strcasecmp(name, background) == 0)
        return status_fail(ST_USAGE,
                           "entry %" PRId64 " names a structure \"background\", which is what "
                           "remains without one",
                           i + 1);
    status st = add_once(names, name, i);
    while (st == ST_OK && next_text(&at, text, &valid))
        st = valid ? add_once(texts, text, i) : wrong_rule(i);
    return st;
}

status structure_rules_check(const char *const *rules, int64_t n) {
    status st = ST_OK;
    structure_texts names = {0}, texts = {0};
    for (int64_t i = 0; i < n && st == ST_OK; i++) st = check_rule(rules[i], i, &names, &texts);
    structure_texts_free(&names);
    structure_texts_free(&texts);
    return st;
}

status structure_order_check(const char *const *names, int64_t n) {
    status st = ST_OK;
    structure_texts seen = {0};
    for (int64_t i = 0; i < n && st == ST_OK; i++) {
        const bool fits = *names[i] && strlen(names[i]) < LABEL_NAME;
        st = fits ? add_once(&seen, names[i], i)
                  : status_fail(ST_USAGE,
                                "entry %" PRId64 " must be the name of a structure, of up to %d "
                                "bytes",
                                i + 1, LABEL_NAME - 1);
    }
    structure_texts_free(&seen);
    return st;
}

/* ---- names ---- */

/* What each text is called; empty: it is left out. */
typedef char (*name_list)[LABEL_NAME];

static void names_by_rules(structure_names *out, const char *const *rules, int64_t n,
                           name_list names) {
    for (int64_t i = 0; i < n; i++) {
        char text[STRUCTURE_TEXT];
        bool valid = true;
        const char *colon = strchr(rules[i], ':'), *at = colon ? colon + 1 : NULL;
        while (next_text(&at, text, &valid)) {
            const int64_t place = place_of(&out->texts, text);
            if (valid && is_at(&out->texts, place, text))
                structure_rule_name(rules[i], names[place]);
        }
    }
    for (int64_t i = 0; i < out->texts.count; i++) out->left_out += !names[i][0];
}

static void names_by_words(structure_names *out, name_list names) {
    int64_t number = 0;
    for (int64_t i = 0; i < out->texts.count; i++) {
        const char *text = out->texts.at[i];
        if (strcasecmp(text, background) == 0) continue;
        if (strlen(text) < LABEL_NAME && structure_is_known(text)) {
            memcpy(names[i], text, strlen(text) + 1);
            continue;
        }
        do snprintf(names[i], LABEL_NAME, "structure-%" PRId64, ++number);
        while (is_at(&out->texts, place_of(&out->texts, names[i]), names[i])); /* it is taken */
        out->renamed++;
    }
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* The sorted names as a label set. */
static status make_set(const name_list sorted, int64_t n, label_set *set) {
    int64_t names = 0;
    *set = (label_set){.count = 1};
    memcpy(set->name[0], background, sizeof background);
    for (int64_t i = 0; i < n; i++) {
        if (!sorted[i][0] || (i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0)) continue;
        if (++names <= STRUCTURES_MAX) memcpy(set->name[set->count++], sorted[i], LABEL_NAME);
    }
    if (names <= STRUCTURES_MAX) return ST_OK;
    return status_fail(ST_INPUT,
                       "the segmentations name %" PRId64 " structures, a store holds at most %d: "
                       "choose some of them by ingest.structures",
                       names, STRUCTURES_MAX);
}

status structure_names_make(const structure_texts *texts, const char *const *rules, int64_t n,
                            structure_names *out) {
    status st = ST_OK;
    name_list names = NULL, sorted = NULL;
    *out = (structure_names){0};
    TRY(array_alloc(&names, texts->count, sizeof *names, "names of structures"));
    TRY(array_alloc(&sorted, texts->count, sizeof *sorted, "names of structures"));
    TRY(array_alloc(&out->values, texts->count, sizeof *out->values, "names of structures"));
    TRY(array_alloc(&out->texts.at, texts->count, sizeof *texts->at, "names of structures"));
    out->texts.count = out->texts.capacity = texts->count;
    if (texts->count > 0)
        memcpy(out->texts.at, texts->at, (size_t)texts->count * sizeof *texts->at);
    if (n > 0)
        names_by_rules(out, rules, n, names);
    else
        names_by_words(out, names);
    memcpy(sorted, names, (size_t)texts->count * sizeof *names);
    qsort(sorted, (size_t)texts->count, sizeof *sorted, by_name);
    TRY(make_set(sorted, texts->count, &out->set));
    for (int64_t i = 0; i < texts->count; i++)
        out->values[i] = names[i][0] ? label_find(&out->set, names[i]) : 0;
done:
    free(names);
    free(sorted);
    if (st != ST_OK) structure_names_free(out);
    return st;
}

void structure_names_free(structure_names *names) {
    structure_texts_free(&names->texts);
    free(names->values);
    *names = (structure_names){0};
}

int structure_value(const structure_names *names, const char *text) {
    const int64_t place = place_of(&names->texts, text);
    return is_at(&names->texts, place, text) ? names->values[place] : -1;
}
