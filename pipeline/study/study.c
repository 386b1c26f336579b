/* Reads a study on rank 0 and broadcasts it: defaults, then the file, then overrides, then checks
 * of conditions between keys (pipeline/study/study_between.c). Conditions on single keys are in the
 * table (pipeline/study/study_table.c).
 */
#include "pipeline/study/study.h"

#include "pipeline/study/study_between.h"
#include "pipeline/study/study_yaml.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, HELP_COLUMN = 30 };

void study_defaults(study *out) {
    memset(out, 0, sizeof *out);
    /* Cannot fail: tests/test_study.c checks that the defaults are valid. */
    for (int i = 0; i < study_key_count; i++)
        (void)study_value_parse(out, &study_keys[i], study_keys[i].initial);
}

void study_hide_paths(study *s) {
    for (int i = 0; i < study_key_count; i++) {
        const study_key *key = &study_keys[i];
        char *text = (char *)s + key->offset;
        if (key->kind != STUDY_STRING || key->count != PATH_SIZE || !text[0]) continue;
        snprintf(text, PATH_SIZE, "%s", key->initial[0] ? key->initial : "FILE");
    }
}

bool study_has_arm(const study *s, evaluation_arm arm) { return s->evaluate.arms >> arm & 1; }

int study_arm_count(const study *s) {
    int count = 0;
    for (int arm = 0; arm < ARMS; arm++) count += study_has_arm(s, (evaluation_arm)arm);
    return count;
}

evaluation_arm study_arm(const study *s, int i) {
    int arm = 0;
    for (; arm < ARMS - 1; arm++)
        if (study_has_arm(s, (evaluation_arm)arm) && i-- == 0) break;
    return (evaluation_arm)arm;
}

status study_check(const study *s) {
    const study_origin nowhere = {.path = "sweep"};
    return study_between_keys(s, &nowhere);
}

/* Applies one "key=value". */
static status apply_override(study *s, const char *text, study_origin *o) {
    char path[3 * STUDY_PATH];
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    snprintf(path, sizeof path, "%.*s", (int)(n < sizeof path ? n : sizeof path), text);
    for (char *c = path; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    if (!equals) return status_fail(ST_USAGE, "--set %s: needs the form key=value", path);
    int k = study_key_find(path);
    status st = k < 0 ? study_key_unknown(path) : ST_OK;
    if (k >= 0) {
        o->set[k] = true;
        st = study_value_parse(s, &study_keys[k], equals + 1);
    }
    return st == ST_OK ? ST_OK : status_fail(st, "--set %s: %s", path, status_message());
}

static status read_local(const char *path, const char *const *overrides, int64_t n, study *out) {
    status st = ST_OK;
    char *text = NULL;
    study_origin o = {.path = path};
    study_defaults(out);
    st = file_read(path, FILE_MAX, &text, &o.bytes);
    if (st == ST_INPUT) st = status_fail(ST_USAGE, "study file: %s", status_message());
    if (st != ST_OK) goto done;
    o.text = text;
    TRY(study_yaml_apply(path, text, o.bytes, out, o.in_file));
    for (int64_t i = 0; i < n; i++) TRY(apply_override(out, overrides[i], &o));
    TRY(study_between_keys(out, &o));
done:
    free(text);
    return st;
}

status study_read(const comm *c, const char *path, const char *const *overrides, int64_t n,
                  study *out) {
    status st = ST_OK;
    memset(out, 0, sizeof *out);
    if (comm_rank(c) == 0) st = read_local(path, overrides, n, out);
    TRY(comm_agree(c, st));
    TRY(comm_broadcast(c, out, sizeof *out, 0));
done:
    return st;
}

/* The default as study_value_text() writes it; the caller frees *out. */
static status default_text(const study_key *key, char **out) {
    study defaults;
    study_defaults(&defaults);
    return study_value_text(&defaults, key, out);
}

/* Writes "# help (range)", and the default if the value differs from it. */
static status write_help(const study_key *key, FILE *f, int column, const char *value) {
    char range[256];
    char *initial = NULL;
    status st = default_text(key, &initial);
    if (st != ST_OK) return st;
    study_value_range(key, range, sizeof range);
    fprintf(f, "%*s# %s", column < HELP_COLUMN ? HELP_COLUMN - column : 1, "", key->help);
    if (key->kind == STUDY_INTEGER || key->kind == STUDY_REAL || key->kind == STUDY_CHOICE ||
        key->kind == STUDY_CHOICES)
        fprintf(f, " (%s)", range);
    if (strcmp(initial, value) != 0) fprintf(f, "; default %s", initial);
    free(initial);
    return ST_OK;
}

static status write_key(const study *s, const study_key *key, FILE *f, bool comments) {
    char *value;
    status st = study_value_text(s, key, &value);
    if (st != ST_OK) return st;
    int column = fprintf(f, "%s%s: %s", *key->section ? "  " : "", key->name, value);
    if (comments) st = write_help(key, f, column, value);
    fputc('\n', f);
    free(value);
    return st;
}

status study_write(const study *s, FILE *f, bool comments) {
    status st = ST_OK;
    const char *section = "";
    if (comments) fprintf(f, "# A study for ctaug. A key that is left out has its default.\n\n");
    for (int i = 0; i < study_key_count; i++) {
        if (strcmp(section, study_keys[i].section) != 0) {
            section = study_keys[i].section;
            int at = study_section_find(section);
            if (comments && at >= 0) fprintf(f, "\n# %s\n", study_sections[at].help);
            fprintf(f, "%s:\n", section);
        }
        TRY(write_key(s, &study_keys[i], f, comments));
    }
    if (ferror(f)) st = status_fail(ST_STORAGE, "the study could not be written");
done:
    return st;
}

status study_text(const study *s, bool comments, char **text, int64_t *bytes) {
    size_t size = 0;
    *text = NULL;
    FILE *f = open_memstream(text, &size);
    if (!f) return status_memory("the study", 0);
    status st = study_write(s, f, comments);
    if (fclose(f) != 0 && st == ST_OK) st = status_memory("the study", 0);
    *bytes = (int64_t)size;
    if (st == ST_OK) return ST_OK;
    free(*text);
    *text = NULL;
    return st;
}

bool study_chooses_guidance(const study *s) {
    return s->generate.guidance == 0 && s->generate.painters >> PAINTER_DIFFUSION & 1;
}

double study_text_guidance(const study *s) {
    return s->generate.text_guidance > 0 ? s->generate.text_guidance : s->generate.guidance;
}

double study_without_caption(const study *s) { return fmin(0.5, 0.1 / s->train.condition_drop); }

bool study_needs_referee(const study *s) {
    return s->train.pseudo_labels == SWITCH_ON || s->evaluate.fidelity > 0 ||
           study_chooses_guidance(s) || s->evaluate.obedience > 0 ||
           s->generate.ground == GROUND_CAPTIONS;
}

/* Whether a fingerprint over these sections and single keys covers the key. */
static bool is_covered(const study_key *key, const char *const *sections, int64_t n) {
    char path[STUDY_PATH];
    study_key_path(key, path);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(key->section, sections[i]) == 0 || strcmp(path, sections[i]) == 0) return true;
    return false;
}

/* Writes "section.name=value" lines of the covered keys, the text under a fingerprint. */
static status write_canonical(const study *s, const char *const *sections, int64_t n, FILE *f) {
    status st = ST_OK;
    char path[STUDY_PATH];
    for (int i = 0; i < study_key_count && st == ST_OK; i++) {
        const study_key *key = &study_keys[i];
        char *value = NULL, *initial = NULL;
        if (key->inert || !is_covered(key, sections, n)) continue;
        st = study_value_text(s, key, &value);
        if (st == ST_OK && key->later) st = default_text(key, &initial);
        study_key_path(key, path);
        if (st == ST_OK && !(initial && strcmp(value, initial) == 0))
            fprintf(f, "%s=%s\n", path, value);
        free(value);
        free(initial);
    }
    return st;
}

status study_fingerprint(const study *s, const char *const *sections, int64_t n,
                         const char *upstream, char hex[SHA256_HEX]) {
    status st = ST_OK;
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return status_memory("a fingerprint", 0);
    st = write_canonical(s, sections, n, f);
    fprintf(f, "upstream=%s\n", upstream);
    if (fclose(f) != 0 && st == ST_OK) st = status_memory("a fingerprint", 0);
    if (st == ST_OK) st = bytes_sha256(text, (int64_t)bytes, hex);
    free(text);
    return st;
}
