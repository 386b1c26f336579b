/* Reads the YAML text of a study with libcyaml.
 *
 * The schema is made from the table: sections are mappings, every value is a text or a list of
 * texts, so that values from the file and from --set pass the same checks
 * (pipeline/study/study_value.c). libcyaml does not report where a text does not fit;
 * pipeline/study/study_place.c finds the line.
 */
#include "pipeline/study/study_yaml.h"

#include <cyaml/cyaml.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The value of one key as loaded: a text or a list. Both NULL: the key is absent. */
typedef struct loaded_value {
    char *text;
    char **entries;
    uint32_t count;
} loaded_value;

/* A mapping as loaded. Key i of the table is at values[i] of the mapping of its section. */
typedef struct loaded {
    loaded_value values[STUDY_KEYS_MAX];
    struct loaded *sections[STUDY_SECTIONS_MAX]; /* of the root only */
} loaded;

typedef struct schema {
    cyaml_schema_field_t top[STUDY_KEYS_MAX + STUDY_SECTIONS_MAX + 1];
    cyaml_schema_field_t section[STUDY_SECTIONS_MAX][STUDY_KEYS_MAX + 1];
    cyaml_schema_value_t root, entry;
} schema;

static cyaml_schema_field_t text_field(const char *name, size_t offset) {
    return (cyaml_schema_field_t){
        .key = name,
        .data_offset = (uint32_t)(offset + offsetof(loaded_value, text)),
        .value = {.type = CYAML_STRING,
                  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(char),
                  .string = {.min = 0, .max = CYAML_UNLIMITED}},
    };
}

static cyaml_schema_field_t list_field(const study_key *key, size_t offset,
                                       const cyaml_schema_value_t *entry) {
    return (cyaml_schema_field_t){
        .key = key->name,
        .data_offset = (uint32_t)(offset + offsetof(loaded_value, entries)),
        .count_offset = (uint32_t)(offset + offsetof(loaded_value, count)),
        .count_size = sizeof(uint32_t),
        .value = {.type = CYAML_SEQUENCE,
                  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(char *),
                  .sequence = {.entry = entry,
                               .min = !study_key_may_be_empty(key),
                               .max = (uint32_t)study_key_list_max(key)}},
    };
}

static cyaml_schema_value_t mapping_value(cyaml_flag_e flags, const cyaml_schema_field_t *fields) {
    return (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                  .flags = flags,
                                  .data_size = sizeof(loaded),
                                  .mapping = {.fields = fields}};
}

/* Writes the fields of all keys of one section; returns their number. */
static int build_fields(schema *sc, const char *section, cyaml_schema_field_t *out) {
    int n = 0;
    for (int i = 0; i < study_key_count; i++) {
        const study_key *key = &study_keys[i];
        size_t offset = offsetof(loaded, values) + (size_t)i * sizeof(loaded_value);
        if (strcmp(key->section, section) != 0) continue;
        out[n++] = study_key_is_list(key) ? list_field(key, offset, &sc->entry)
                                          : text_field(key->name, offset);
    }
    return n;
}

static void schema_build(schema *sc) {
    memset(sc, 0, sizeof *sc); /* field lists end with a key NULL */
    sc->entry = (cyaml_schema_value_t){.type = CYAML_STRING,
                                       .flags = CYAML_FLAG_POINTER,
                                       .data_size = sizeof(char),
                                       .string = {.min = 0, .max = CYAML_UNLIMITED}};
    int n = build_fields(sc, "", sc->top);
    for (int i = 0; i < study_section_count; i++) {
        build_fields(sc, study_sections[i].name, sc->section[i]);
        sc->top[n++] = (cyaml_schema_field_t){
            .key = study_sections[i].name,
            .data_offset = (uint32_t)(offsetof(loaded, sections) + (size_t)i * sizeof(loaded *)),
            .value = mapping_value(CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL, sc->section[i]),
        };
    }
    sc->root = mapping_value(CYAML_FLAG_POINTER, sc->top);
}

/* The mapping that holds the key; NULL if its section is absent. */
static const loaded *mapping_of(const loaded *root, const study_key *key) {
    int section = study_section_find(key->section);
    return section < 0 ? root : root->sections[section];
}

/* Sets the keys that `root` holds. */
static status apply(const loaded *root, const char *name, const char *text, int64_t bytes,
                    study *out, bool given[STUDY_KEYS_MAX]) {
    char path[STUDY_PATH];
    for (int i = 0; i < study_key_count; i++) {
        const study_key *key = &study_keys[i];
        const loaded *mapping = mapping_of(root, key);
        if (!mapping) continue;
        const loaded_value *l = &mapping->values[i];
        const char *const *texts =
            (const char *const *)(study_key_is_list(key) ? l->entries : &l->text);
        if (study_key_is_list(key) ? !l->entries : !l->text) continue;
        given[i] = true;
        status st = study_value_set(out, key, texts, study_key_is_list(key) ? l->count : 1);
        study_key_path(key, path);
        if (st != ST_OK)
            return status_fail(st, "%s:%" PRId64 ": %s", name, study_yaml_line(text, bytes, path),
                               status_message());
    }
    return ST_OK;
}

status study_yaml_apply(const char *name, const char *text, int64_t bytes, study *out,
                        bool given[STUDY_KEYS_MAX]) {
    schema sc;
    cyaml_data_t *root = NULL;
    const cyaml_config_t quiet = {.mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS};
    schema_build(&sc);
    status st = study_yaml_explain(name, text, bytes);
    if (st != ST_OK) return st;
    cyaml_err_t result =
        cyaml_load_data((const uint8_t *)text, (size_t)bytes, &quiet, &sc.root, &root, NULL);
    if (result == CYAML_ERR_OOM) return status_memory("the study file", bytes);
    if (result != CYAML_OK || !root)
        return status_fail(ST_USAGE, "%s: %s", name, cyaml_strerror(result));
    st = apply(root, name, text, bytes, out, given);
    cyaml_free(&quiet, &sc.root, root, 0);
    return st;
}
