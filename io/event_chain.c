/* chain = first 16 hexadecimal digits of SHA-256(chain before, the line's object without "chain").
 */
#include "io/event_chain.h"

#include "io/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 1 << 30 };

static status link_of(const json_t *event, const char *before, char chain[CHAIN_HEX]) {
    status st;
    char hex[SHA256_HEX], *text = NULL, *all = NULL;
    int64_t bytes = 0;
    json_t *rest = json_copy((json_t *)event);
    if (!rest) TRY(status_memory("an event", 0));
    json_object_del(rest, "chain");
    text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text) TRY(status_memory("an event", 0));
    bytes = asprintf(&all, "%s%s", before, text);
    if (bytes < 0) TRY(status_memory("an event", 0));
    TRY(bytes_sha256(all, bytes, hex));
    memcpy(chain, hex, CHAIN_HEX - 1);
    chain[CHAIN_HEX - 1] = '\0';
done:
    if (bytes >= 0) free(all);
    free(text);
    json_decref(rest);
    return st;
}

status event_chain_add(json_t *event, char chain[CHAIN_HEX]) {
    char next[CHAIN_HEX];
    status st = link_of(event, chain, next);
    if (st != ST_OK) return st;
    memcpy(chain, next, CHAIN_HEX);
    return json_object_set_new(event, "chain", json_string(next)) == 0
               ? ST_OK
               : status_memory("an event", 0);
}

/* The chain value of a line, or NULL: no JSON object, or one without. *event is the caller's. */
static const char *chain_in(const char *line, size_t bytes, json_t **event) {
    *event = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    const char *chain = json_string_value(json_object_get(*event, "chain"));
    return chain && strlen(chain) == CHAIN_HEX - 1 ? chain : NULL;
}

/* Calls `visit` for every line; *text is the file. */
typedef struct lines {
    char *text, *at, *end;
} lines;

static status lines_open(const char *path, lines *l) {
    int64_t bytes = 0;
    *l = (lines){0};
    if (!file_exists(path)) return ST_OK;
    status st = file_read(path, EVENTS_MAX, &l->text, &bytes);
    l->at = l->text;
    l->end = l->text + bytes;
    return st;
}

/* The next line without its newline, or NULL. */
static const char *lines_next(lines *l, size_t *bytes) {
    if (!l->at || l->at >= l->end) return NULL;
    const char *line = l->at;
    char *newline = memchr(l->at, '\n', (size_t)(l->end - l->at));
    char *stop = newline ? newline : l->end;
    *bytes = (size_t)(stop - l->at);
    l->at = stop + 1;
    return line;
}

status event_chain_last(const char *path, char chain[CHAIN_HEX]) {
    lines l;
    const char *line;
    size_t bytes = 0;
    chain[0] = '\0';
    status st = lines_open(path, &l);
    if (st != ST_OK) return st;
    while ((line = lines_next(&l, &bytes))) {
        json_t *event;
        const char *found = chain_in(line, bytes, &event);
        if (found) snprintf(chain, CHAIN_HEX, "%s", found);
        json_decref(event);
    }
    free(l.text);
    return ST_OK;
}

status event_chain_verify(const char *path, event_chain_report *out) {
    status st;
    lines l = {0};
    const char *line;
    size_t bytes = 0;
    char chain[CHAIN_HEX] = "", next[CHAIN_HEX], where[PATH_SIZE + 24];
    json_t *event = NULL;
    bool torn_end = false;
    *out = (event_chain_report){0};
    TRY(lines_open(path, &l));
    while ((line = lines_next(&l, &bytes))) {
        out->lines++;
        const char *found = chain_in(line, bytes, &event);
        torn_end = !event;
        if (!event) {
            out->torn++; /* if more than that is wrong, the next line does not follow */
        } else if (!found) {
            if (*chain)
                TRY(status_fail(ST_INTEGRITY, "%s:%" PRId64 ": a line without a place in the chain",
                                path, out->lines));
            out->unchained++;
        } else {
            snprintf(where, sizeof where, "%s:%" PRId64, path, out->lines);
            TRY(seal_check_text(event, JSON_COMPACT, line, (int64_t)bytes, where));
            TRY(link_of(event, chain, next));
            if (strcmp(next, found) != 0)
                TRY(status_fail(ST_INTEGRITY,
                                "%s:%" PRId64 ": this line or one before it was changed or removed",
                                path, out->lines));
            memcpy(chain, next, sizeof chain);
        }
        json_decref(event);
        event = NULL;
    }
    if (torn_end)
        st = status_fail(ST_INTEGRITY, "%s:%" PRId64 ": the last line was changed or cut", path,
                         out->lines);
done:
    json_decref(event);
    free(l.text);
    return st;
}
