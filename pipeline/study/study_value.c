/* Conversion of the values of study keys from text, with checks against their rows of the table,
 * and back to text.
 *
 * The file, --set, the defaults, the saved study and the fingerprint all use these functions. A
 * real number is written with the fewest digits, at least 6, that read back to the same bits.
 */
#include "io/alloc.h"
#include "pipeline/study/study_table.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 64, RANGE = 256, ENTRY = 512, NUMBER = 32 };
enum { INSERT_LOW = 1, INSERT_HIGH = 3 /* blobs, if the entry does not say */ };

bool study_key_is_list(const study_key *key) {
    return key->kind == STUDY_REALS || key->kind == STUDY_INTEGERS || key->kind == STUDY_CHOICES ||
           study_key_is_list_of_texts(key);
}

bool study_key_may_be_empty(const study_key *key) {
    return key->kind == STUDY_INTEGERS || study_key_is_list_of_texts(key);
}

bool study_key_is_list_of_texts(const study_key *key) {
    return key->kind == STUDY_THRESHOLDS || key->kind == STUDY_INSERTS || key->kind == STUDY_TEXTS;
}

int study_key_list_max(const study_key *key) {
    return key->kind == STUDY_TEXTS ? key->count : STUDY_LIST;
}

static void *at(const study *s, const study_key *key) { return (char *)s + key->offset; }

/* A text of the user for a message: cut to SHOWN - 1 bytes, control characters become "?". */
static void shown(const char *text, char out[SHOWN]) {
    snprintf(out, SHOWN, "%s", text);
    for (char *c = out; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    if (strlen(text) >= SHOWN) memcpy(out + SHOWN - 4, "...", 4);
}

/* ST_USAGE: "key is value; it must be range". */
static status wrong(const study_key *key, const char *text) {
    char path[STUDY_PATH], range[RANGE], value[SHOWN];
    study_key_path(key, path);
    study_value_range(key, range, sizeof range);
    shown(text, value);
    if (!*text) return status_fail(ST_USAGE, "%s is empty; it must be %s", path, range);
    return status_fail(ST_USAGE, "%s is %s; it must be %s", path, value, range);
}

/* Refuses "inf", "nan" and hexadecimal numbers, which strtod() accepts. */
static bool parse_real(const char *text, double *out) {
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    char *end;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool parse_integer(const char *text, int64_t *out) {
    if (!*text || strspn(text, "0123456789+-") != strlen(text)) return false;
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static status set_integer(study *s, const study_key *key, const char *text) {
    int64_t value;
    if (!parse_integer(text, &value) || (double)value < key->low || (double)value > key->high)
        return wrong(key, text);
    memcpy(at(s, key), &value, sizeof value);
    return ST_OK;
}

static status set_reals(study *s, const study_key *key, const char *const *texts, int64_t n) {
    char path[STUDY_PATH], range[RANGE];
    study_key_path(key, path);
    study_value_range(key, range, sizeof range);
    if (n != key->count)
        return status_fail(ST_USAGE, "%s has %" PRId64 " entries; it must be %s", path, n, range);
    for (int i = 0; i < key->count; i++) {
        double value = 0;
        const bool word = key->word && strcmp(texts[i], key->word) == 0;
        if (!word && (!parse_real(texts[i], &value) || value < key->low || value > key->high))
            return wrong(key, texts[i]);
        memcpy((char *)at(s, key) + (size_t)i * sizeof value, &value, sizeof value);
    }
    return ST_OK;
}

static status set_choice(study *s, const study_key *key, const char *text) {
    int row;
    if (named_table_find(key->choices, text, &row) != ST_OK) return wrong(key, text);
    memcpy(at(s, key), &row, sizeof row);
    return ST_OK;
}

static status set_choices(study *s, const study_key *key, const char *const *texts, int64_t n) {
    uint32_t set = 0;
    if (n == 0) return wrong(key, "");
    for (int64_t i = 0; i < n; i++) {
        int row;
        if (named_table_find(key->choices, texts[i], &row) != ST_OK) return wrong(key, texts[i]);
        set |= UINT32_C(1) << row;
    }
    memcpy(at(s, key), &set, sizeof set);
    return ST_OK;
}

/* Texts are used in JSON, HTML and path names: they must be UTF-8 (jansson refuses anything else)
 * on one line. */
static bool is_plain_line(const char *text) {
    json_t *test = json_string(text);
    json_decref(test);
    for (; test && *text; text++)
        if (iscntrl((unsigned char)*text)) return false;
    return test != NULL;
}

static status set_integers(study *s, const study_key *key, const char *const *texts, int64_t n) {
    study_integers list = {.count = 0};
    for (int64_t i = 0; i < n; i++) {
        int64_t value;
        if (list.count == key->count || !parse_integer(texts[i], &value) ||
            (double)value < key->low || (double)value > key->high ||
            (i > 0 && value <= list.at[i - 1]))
            return wrong(key, texts[i]);
        list.at[list.count++] = value;
    }
    memcpy(at(s, key), &list, sizeof list);
    return ST_OK;
}

static status set_string(study *s, const study_key *key, const char *text) {
    char path[STUDY_PATH];
    study_key_path(key, path);
    if (!*text && *key->initial) return wrong(key, text);
    if (!is_plain_line(text))
        return status_fail(ST_USAGE, "%s is not one line of UTF-8 text", path);
    if (strlen(text) >= (size_t)key->count)
        return status_fail(ST_USAGE, "%s has %zu bytes; it may have %d", path, strlen(text),
                           key->count - 1);
    memset(at(s, key), 0, (size_t)key->count);
    memcpy(at(s, key), text, strlen(text));
    return ST_OK;
}

bool study_copy_trimmed(const char *from, const char *to, char *out, size_t size) {
    while (from < to && strchr(" \t\"'", *from)) from++;
    while (from < to && strchr(" \t\"'", to[-1])) to--;
    if ((size_t)(to - from) >= size) return false;
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
    return true;
}

/* "name: low..high". */
static bool parse_threshold(const char *text, const study_key *key, study_threshold *out) {
    const char *colon = strrchr(text, ':'), *dots = colon ? strstr(colon, "..") : NULL;
    char low[NUMBER], high[NUMBER];
    int64_t from, to;
    memset(out, 0, sizeof *out);
    if (!dots || !is_plain_line(text) ||
        !study_copy_trimmed(text, colon, out->name, sizeof out->name) ||
        !study_copy_trimmed(colon + 1, dots, low, sizeof low) ||
        !study_copy_trimmed(dots + 2, text + strlen(text), high, sizeof high) || !*out->name ||
        !parse_integer(low, &from) || !parse_integer(high, &to) || (double)from < key->low ||
        (double)to > key->high || from > to)
        return false;
    out->low = (int)from;
    out->high = (int)to;
    return true;
}

static status set_thresholds(study *s, const study_key *key, const char *const *texts, int64_t n) {
    study_threshold *list = at(s, key);
    if (n > key->count)
        return status_fail(ST_USAGE, "ingest.thresholds has %" PRId64 " entries; it may have %d", n,
                           key->count);
    memset(list, 0, (size_t)key->count * sizeof *list);
    s->ingest.threshold_count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!parse_threshold(texts[i], key, &list[i])) {
            char value[SHOWN];
            shown(texts[i], value);
            return status_fail(ST_USAGE,
                               "entry %" PRId64 " of ingest.thresholds is \"%s\"; it must be "
                               "\"name: low..high\" with whole HU, low <= high, in %.0f..%.0f",
                               i + 1, value, key->low, key->high);
        }
        if (strcmp(list[i].name, "background") == 0)
            return status_fail(ST_USAGE, "ingest.thresholds names a label \"background\", which is "
                                         "what remains without one; choose another name");
        for (int64_t j = 0; j < i; j++)
            if (strcmp(list[j].name, list[i].name) == 0)
                return status_fail(ST_USAGE, "ingest.thresholds names \"%s\" twice", list[i].name);
    }
    s->ingest.threshold_count = (int)n;
    return ST_OK;
}

/* "low..high" between two places of a text. */
static bool parse_range(const char *from, const char *to, const study_key *key, int *low,
                        int *high) {
    char text[2][NUMBER];
    int64_t value[2];
    const char *dots = strstr(from, "..");
    if (!dots || dots > to || !study_copy_trimmed(from, dots, text[0], NUMBER) ||
        !study_copy_trimmed(dots + 2, to, text[1], NUMBER) || !parse_integer(text[0], &value[0]) ||
        !parse_integer(text[1], &value[1]) || (double)value[0] < key->low ||
        (double)value[1] > key->high || value[0] > value[1])
        return false;
    *low = (int)value[0];
    *high = (int)value[1];
    return true;
}

/* The last " in " between two places of a text, or NULL. */
static const char *last_in(const char *from, const char *to) {
    for (const char *c = to - 4; c > from; c--)
        if (strncmp(c, " in ", 4) == 0) return c;
    return NULL;
}

/* "structure in host: share x low..high"; " x low..high" may be left out. */
static bool parse_insert(const char *text, const study_key *key, study_insert *out) {
    const char *colon = strrchr(text, ':'), *end = text + strlen(text);
    const char *in = colon ? last_in(text, colon) : NULL, *times = in ? strchr(colon, 'x') : NULL;
    char share[NUMBER];
    memset(out, 0, sizeof *out);
    out->low = INSERT_LOW;
    out->high = INSERT_HIGH;
    return in && is_plain_line(text) &&
           study_copy_trimmed(text, in, out->structure, sizeof out->structure) &&
           study_copy_trimmed(in + 4, colon, out->host, sizeof out->host) && *out->structure &&
           *out->host && strcmp(out->structure, out->host) != 0 &&
           strcmp(out->structure, "background") != 0 &&
           study_copy_trimmed(colon + 1, times ? times : end, share, NUMBER) &&
           parse_real(share, &out->share) && out->share >= 0 && out->share <= 1 &&
           (!times || parse_range(times + 1, end, key, &out->low, &out->high));
}

static status set_inserts(study *s, const study_key *key, const char *const *texts, int64_t n) {
    study_insert *list = at(s, key);
    if (n > key->count)
        return status_fail(ST_USAGE, "generate.insert has %" PRId64 " entries; it may have %d", n,
                           key->count);
    memset(list, 0, (size_t)key->count * sizeof *list);
    s->generate.insert_count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (parse_insert(texts[i], key, &list[i])) continue;
        char value[SHOWN];
        shown(texts[i], value);
        return status_fail(ST_USAGE,
                           "entry %" PRId64 " of generate.insert is \"%s\"; it must be "
                           "\"structure in host: share x low..high\", two different labels, "
                           "share 0..1, low <= high in %.0f..%.0f (%d..%d if left out)",
                           i + 1, value, key->low, key->high, INSERT_LOW, INSERT_HIGH);
    }
    s->generate.insert_count = (int)n;
    return ST_OK;
}

void study_texts_at(const study_texts *list, const char **at) {
    const char *next = list->pool;
    for (int i = 0; i < list->count; i++, next += strlen(next) + 1) at[i] = next;
}

static status set_texts(study *s, const study_key *key, const char *const *texts, int64_t n) {
    char path[STUDY_PATH];
    study_texts *list = at(s, key);
    study_key_path(key, path);
    memset(list, 0, sizeof *list);
    if (n > key->count)
        return status_fail(ST_USAGE, "%s has %" PRId64 " entries; it may have %d", path, n,
                           key->count);
    for (int64_t i = 0; i < n; i++) {
        const size_t bytes = strlen(texts[i]) + 1;
        if (!is_plain_line(texts[i]))
            return status_fail(ST_USAGE, "entry %" PRId64 " of %s is not one line of UTF-8 text",
                               i + 1, path);
        if (bytes > STUDY_POOL - (size_t)list->bytes)
            return status_fail(ST_USAGE, "the entries of %s have more than %d bytes together", path,
                               STUDY_POOL);
        memcpy(list->pool + list->bytes, texts[i], bytes);
        list->bytes += (int)bytes;
    }
    list->count = (int)n;
    const status st = key->check(texts, n);
    return st == ST_USAGE ? status_fail(st, "%s: %s", path, status_message()) : st;
}

status study_value_set(study *s, const study_key *key, const char *const *texts, int64_t n) {
    switch (key->kind) {
    case STUDY_INTEGER:
        return set_integer(s, key, texts[0]);
    case STUDY_REAL:
    case STUDY_REALS:
        return set_reals(s, key, texts, n);
    case STUDY_CHOICE:
        return set_choice(s, key, texts[0]);
    case STUDY_INTEGERS:
        return set_integers(s, key, texts, n);
    case STUDY_CHOICES:
        return set_choices(s, key, texts, n);
    case STUDY_STRING:
        return set_string(s, key, texts[0]);
    case STUDY_THRESHOLDS:
        return set_thresholds(s, key, texts, n);
    case STUDY_INSERTS:
        return set_inserts(s, key, texts, n);
    case STUDY_TEXTS:
        return set_texts(s, key, texts, n);
    }
    return status_fail(ST_INTERNAL, "study key of an unknown kind");
}

status study_value_parse(study *s, const study_key *key, const char *text) {
    enum { ENTRIES_MAX = STRUCTURES_MAX + 1 }; /* one more than is valid */
    char entry[ENTRIES_MAX][ENTRY];
    const char *texts[ENTRIES_MAX];
    int64_t n = 0;
    const char *end = text + strlen(text);
    if (!study_key_is_list(key)) return study_value_set(s, key, &text, 1);
    if (end - text >= 2 && *text == '[' && end[-1] == ']') text++, end--;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;
        if (n == ENTRIES_MAX || !study_copy_trimmed(text, stop, entry[n], ENTRY))
            return wrong(key, text);
        texts[n] = entry[n];
        n++;
        text = comma ? comma + 1 : end;
    }
    return study_value_set(s, key, texts, n);
}

/* The fewest digits, at least 6, that read back to the same bits. */
static void number_text(double value, char out[NUMBER]) {
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, NUMBER, "%.*g", digits, value);
        if (strtod(out, NULL) == value) return;
    }
}

/* Writes a text plain if every YAML reader takes it as a string, otherwise in double quotes. */
static void put_string(FILE *f, const char *text) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    bool quote =
        strspn(text, plain) != strlen(text) || !(isalpha((unsigned char)text[0]) || text[0] == '/');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) quote = true;
    if (quote) fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', f);
        fputc(*text, f);
    }
    if (quote) fputc('"', f);
}

/* "[a, b]": the rows whose bits are set. */
static void put_choices(FILE *f, const study_key *key, const char *place) {
    uint32_t set;
    const char *separator = "";
    memcpy(&set, place, sizeof set);
    fputc('[', f);
    for (int row = 0; row < key->choices->count; row++) {
        if (!(set >> row & 1)) continue;
        fputs(separator, f);
        put_string(f, named_table_name(key->choices, row));
        separator = ", ";
    }
    fputc(']', f);
}

static void put_insert(FILE *f, const study_insert *insert) {
    char entry[2 * LABEL_NAME + 4 * NUMBER], share[NUMBER];
    number_text(insert->share, share);
    snprintf(entry, sizeof entry, "%s in %s: %s x %d..%d", insert->structure, insert->host, share,
             insert->low, insert->high);
    put_string(f, entry);
}

static void put_texts(FILE *f, const study_texts *list) {
    const char *next = list->pool;
    fputc('[', f);
    for (int i = 0; i < list->count; i++, next += strlen(next) + 1) {
        if (i) fputs(", ", f);
        put_string(f, next);
    }
    fputc(']', f);
}

static void put_value(FILE *f, const study *s, const study_key *key) {
    char number[NUMBER];
    const char *place = at(s, key);
    study_integers integers;
    int64_t whole;
    double real;
    int row;
    switch (key->kind) {
    case STUDY_INTEGER:
        memcpy(&whole, place, sizeof whole);
        fprintf(f, "%" PRId64, whole);
        break;
    case STUDY_REAL:
    case STUDY_REALS:
        if (key->kind == STUDY_REALS) fputc('[', f);
        for (int i = 0; i < key->count; i++) {
            memcpy(&real, place + (size_t)i * sizeof real, sizeof real);
            number_text(real, number);
            fprintf(f, "%s%s", i ? ", " : "", key->word && real == 0 ? key->word : number);
        }
        if (key->kind == STUDY_REALS) fputc(']', f);
        break;
    case STUDY_CHOICE:
        memcpy(&row, place, sizeof row);
        put_string(f, named_table_name(key->choices, row));
        break;
    case STUDY_INTEGERS:
        memcpy(&integers, place, sizeof integers);
        fputc('[', f);
        for (int i = 0; i < integers.count; i++)
            fprintf(f, "%s%" PRId64, i ? ", " : "", integers.at[i]);
        fputc(']', f);
        break;
    case STUDY_CHOICES:
        put_choices(f, key, place);
        break;
    case STUDY_STRING:
        put_string(f, place);
        break;
    case STUDY_THRESHOLDS:
        fputc('[', f);
        for (int i = 0; i < s->ingest.threshold_count; i++) {
            char entry[LABEL_NAME + 2 * NUMBER];
            const study_threshold *t = &s->ingest.thresholds[i];
            snprintf(entry, sizeof entry, "%s: %d..%d", t->name, t->low, t->high);
            if (i) fputs(", ", f);
            put_string(f, entry);
        }
        fputc(']', f);
        break;
    case STUDY_INSERTS:
        fputc('[', f);
        for (int i = 0; i < s->generate.insert_count; i++) {
            if (i) fputs(", ", f);
            put_insert(f, &s->generate.insert[i]);
        }
        fputc(']', f);
        break;
    case STUDY_TEXTS:
        put_texts(f, (const study_texts *)(const void *)place);
        break;
    }
}

status study_value_text(const study *s, const study_key *key, char **out) {
    size_t size = 0;
    *out = NULL;
    FILE *f = open_memstream(out, &size);
    if (!f) return status_memory("a study value", 0);
    put_value(f, s, key);
    if (fclose(f) == 0) return ST_OK;
    free(*out);
    *out = NULL;
    return status_memory("a study value", 0);
}

void study_value_range(const study_key *key, char *out, size_t size) {
    char low[NUMBER], high[NUMBER];
    number_text(key->low, low);
    number_text(key->high, high);
    /* Integers are written in full: 100000000, not 1e+08. */
    if (key->kind == STUDY_INTEGER || study_key_may_be_empty(key)) {
        snprintf(low, sizeof low, "%.0f", key->low);
        snprintf(high, sizeof high, "%.0f", key->high);
    }
    switch (key->kind) {
    case STUDY_INTEGER:
    case STUDY_REAL:
        snprintf(out, size, "%s%s%s..%s", key->word ? key->word : "", key->word ? " | " : "", low,
                 high);
        break;
    case STUDY_REALS:
        snprintf(out, size, "[%d numbers, each %s..%s]", key->count, low, high);
        break;
    case STUDY_INTEGERS:
        snprintf(out, size, "[ascending whole numbers, up to %d of them, each %s..%s]", key->count,
                 low, high);
        break;
    case STUDY_CHOICE:
    case STUDY_CHOICES:
        snprintf(out, size, "%s", key->kind == STUDY_CHOICES ? "a list of " : "");
        for (int i = 0; i < key->choices->count; i++) {
            size_t used = strlen(out);
            snprintf(out + used, size - used, "%s%s", i ? " | " : "",
                     named_table_name(key->choices, i));
        }
        break;
    case STUDY_STRING:
        snprintf(out, size, "text, up to %d bytes", key->count - 1);
        break;
    case STUDY_THRESHOLDS:
        snprintf(out, size, "[\"name: low..high\", up to %d of them, HU %s..%s]", key->count, low,
                 high);
        break;
    case STUDY_INSERTS:
        snprintf(out, size, "[\"structure in host: share x low..high\", up to %d of them]",
                 key->count);
        break;
    case STUDY_TEXTS:
        snprintf(out, size, "[\"%s\", up to %d of them]", key->form, key->count);
        break;
    }
}
