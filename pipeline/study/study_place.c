/* Line numbers of a study file, from a walk over the events of libyaml, the parser below libcyaml,
 * because libcyaml keeps no line numbers. The walk stops at the first element that does not fit the
 * table, which is what libcyaml would reject, and reports its line and what to do.
 */
#include "pipeline/study/study_yaml.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <yaml.h>

enum { NAME = 64, PATH = 2 * NAME + 2 };

typedef struct walk {
    yaml_parser_t parser;
    yaml_event_t event; /* the current event */
    const char *text;
    int64_t line;       /* of the current event, from 1 */
    const char *wanted; /* stop at this key; NULL: only check */
    bool found;         /* stopped at `wanted` */
    char section[NAME]; /* "" at the top level */
    /* Lines of the keys and sections seen so far, or 0. */
    int64_t key_line[STUDY_KEYS_MAX], section_line[STUDY_SECTIONS_MAX];
} walk;

/* Reads the next event. The message of a failure has no file and line; w->line is the line. */
static status next(walk *w) {
    yaml_event_delete(&w->event);
    if (yaml_parser_parse(&w->parser, &w->event)) {
        w->line = (int64_t)w->event.start_mark.line + 1;
        if (w->event.type == YAML_ALIAS_EVENT)
            return status_fail(ST_USAGE,
                               "YAML aliases (*name) are not supported; write the value out");
        return ST_OK;
    }
    if (w->parser.error == YAML_MEMORY_ERROR) return status_memory("the study file", 0);
    w->line = (int64_t)w->parser.problem_mark.line + 1;
    if (w->parser.error == YAML_READER_ERROR) {
        w->line = 1;
        for (size_t i = 0; i < w->parser.problem_offset; i++) w->line += w->text[i] == '\n';
    }
    return status_fail(ST_USAGE, "not YAML: %s", w->parser.problem ? w->parser.problem : "?");
}

/* The path, as "train.steps", of the key that is the current event; control characters become "?".
 */
static status read_path(const walk *w, char path[PATH]) {
    if (w->event.type != YAML_SCALAR_EVENT) return status_fail(ST_USAGE, "a key must be a word");
    const char *name = (const char *)w->event.data.scalar.value;
    snprintf(path, PATH, "%s%s%.*s", w->section, *w->section ? "." : "", NAME, name);
    if (strlen(name) != w->event.data.scalar.length)
        return status_fail(ST_USAGE, "a key with a NUL byte in it");
    for (char *c = path; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    return ST_OK;
}

/* Records the line of a key or section; ST_USAGE if it was seen before. */
static status record_line(int64_t *seen, int64_t line, const char *path) {
    if (*seen)
        return status_fail(ST_USAGE, "%s is given twice, first on line %" PRId64, path, *seen);
    *seen = line;
    return ST_OK;
}

/* Checks the list of a key; the current event begins it. */
static status check_list(walk *w, const study_key *key, const char *path) {
    status st = ST_OK;
    int n = 0;
    char range[256];
    study_value_range(key, range, sizeof range);
    if (w->event.type != YAML_SEQUENCE_START_EVENT)
        return status_fail(ST_USAGE, "%s must be a list, %s", path, range);
    for (;; n++) {
        TRY(next(w));
        if (w->event.type == YAML_SEQUENCE_END_EVENT) break;
        if (w->event.type != YAML_SCALAR_EVENT || n == study_key_list_max(key))
            return status_fail(ST_USAGE, "%s must be %s%s", path, range,
                               study_key_is_list_of_texts(key) ? ", each in quotes" : "");
    }
    if (n == 0 && !study_key_may_be_empty(key))
        st = status_fail(ST_USAGE, "%s is empty; it must be %s", path, range);
done:
    return st;
}

/* Checks the value of key k; the current event begins it. */
static status check_value(walk *w, int k, const char *path) {
    const study_key *key = &study_keys[k];
    char range[256];
    if (study_key_is_list(key)) return check_list(w, key, path);
    study_value_range(key, range, sizeof range);
    if (w->event.type != YAML_SCALAR_EVENT)
        return status_fail(ST_USAGE, "%s must be a single value: %s", path, range);
    if (strlen((const char *)w->event.data.scalar.value) != w->event.data.scalar.length)
        return status_fail(ST_USAGE, "%s has a NUL byte in it", path);
    return ST_OK;
}

/* Checks the key that is the current event, and its value; or enters its section. */
static status visit(walk *w) {
    status st = ST_OK;
    char path[PATH];
    int64_t line = w->line;
    TRY(read_path(w, path));
    if (w->wanted && strcmp(path, w->wanted) == 0) {
        w->found = true;
        goto done;
    }
    int k = study_key_find(path), s = study_section_find(path);
    if (k < 0 && s < 0) {
        st = study_key_unknown(path);
        goto done;
    }
    TRY(record_line(k >= 0 ? &w->key_line[k] : &w->section_line[s], line, path));
    TRY(next(w));
    if (k >= 0)
        st = check_value(w, k, path);
    else if (w->event.type == YAML_MAPPING_START_EVENT)
        snprintf(w->section, sizeof w->section, "%s", study_sections[s].name);
    else if (w->event.type != YAML_SCALAR_EVENT || w->event.data.scalar.length > 0)
        st = status_fail(ST_USAGE, "%s is a section: its keys go below it, indented", path);
    if (st != ST_OK) w->line = line;
done:
    return st;
}

static status walk_document(walk *w) {
    status st = ST_OK;
    TRY(next(w)); /* the stream starts */
    TRY(next(w)); /* the document, or the end */
    if (w->event.type == YAML_STREAM_END_EVENT) {
        st = status_fail(ST_USAGE, "the file is empty; `ctaug init` prints a study");
        goto done;
    }
    TRY(next(w));
    if (w->event.type != YAML_MAPPING_START_EVENT) {
        st = status_fail(ST_USAGE, "a study is made of lines \"key: value\"");
        goto done;
    }
    for (;;) {
        TRY(next(w));
        bool end = w->event.type == YAML_MAPPING_END_EVENT;
        if (end && !*w->section) break;
        if (end)
            *w->section = '\0';
        else
            TRY(visit(w));
        if (w->found) goto done;
    }
    TRY(next(w)); /* the document ends */
    TRY(next(w));
    if (w->event.type != YAML_STREAM_END_EVENT)
        st = status_fail(ST_USAGE, "a second YAML document begins here");
done:
    return st;
}

static status walk_text(walk *w, const char *text, int64_t bytes, const char *wanted) {
    memset(w, 0, sizeof *w);
    w->text = text;
    w->wanted = wanted;
    if (!yaml_parser_initialize(&w->parser)) return status_memory("the study file", 0);
    yaml_parser_set_input_string(&w->parser, (const unsigned char *)text, (size_t)bytes);
    status st = walk_document(w);
    yaml_event_delete(&w->event);
    yaml_parser_delete(&w->parser);
    return st;
}

status study_yaml_explain(const char *name, const char *text, int64_t bytes) {
    walk w;
    status st = walk_text(&w, text, bytes, NULL);
    if (st == ST_OK) return ST_OK;
    return status_fail(st, "%s:%" PRId64 ": %s", name, w.line > 0 ? w.line : 1, status_message());
}

int64_t study_yaml_line(const char *text, int64_t bytes, const char *path) {
    walk w;
    (void)walk_text(&w, text, bytes, path);
    return w.found ? w.line : 0;
}
