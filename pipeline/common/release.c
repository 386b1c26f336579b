/* Reads gate.json and decides. */
#include "pipeline/common/release.h"

#include "io/manifest.h"

#include <stdio.h>
#include <string.h>

/* The object in gate.json; NULL if there is none. The caller calls json_decref(). */
static status read_gate(const char *directory, json_t **out) {
    status st = ST_OK;
    manifest m = {0};
    char path[PATH_SIZE];
    json_error_t fault;
    *out = NULL;
    st = manifest_read(directory, "gate", &m);
    if (st == ST_INPUT) { /* not published */
        st = ST_OK;
        goto done;
    }
    for (int64_t i = 0; st == ST_OK && i < m.count; i++) st = manifest_check_file(&m, directory, i);
    TRY(st);
    TRY(path_join(path, directory, "gate.json"));
    *out = json_load_file(path, 0, &fault);
    if (!*out) st = status_fail(ST_INTEGRITY, "%s: %s", path, fault.text);
done:
    manifest_free(&m);
    return st;
}

status release_read(const char *directory, const char *synthetic_seal, release_kind otherwise,
                    release *out) {
    status st = ST_OK;
    json_t *gate = NULL;
    *out = (release){.wanted = otherwise};
    snprintf(out->gate, sizeof out->gate, "%s", directory);
    TRY(read_gate(directory, &gate));
    const char *seal = json_string_value(json_object_get(gate, "synthetic"));
    const char *wanted = json_string_value(json_object_get(gate, "release"));
    const char *finding = json_string_value(json_object_get(gate, "finding"));
    if (wanted)
        out->wanted = strcmp(wanted, named_table_name(&release_kinds, RELEASE_BLOCK)) == 0
                          ? RELEASE_BLOCK
                          : RELEASE_WARN;
    if (!gate)
        snprintf(out->finding, sizeof out->finding,
                 "no gate has looked whether these data give away training patients (ctaug gate)");
    else if (!seal || strcmp(seal, synthetic_seal) != 0)
        snprintf(out->finding, sizeof out->finding, "%s is about other synthetic data than these",
                 directory);
    else {
        out->passed = json_is_true(json_object_get(gate, "passed"));
        snprintf(out->finding, sizeof out->finding, "%s", finding ? finding : "");
    }
done:
    json_decref(gate);
    return st;
}

status release_check(const release *r) {
    if (r->passed || r->wanted == RELEASE_WARN) return ST_OK;
    return status_fail(ST_INTEGRITY,
                       "the synthetic data are not released, as gate.release is block: %s. Look at "
                       "%s/pairs.png and gate.json; after `ctaug gate STUDY.yaml --set "
                       "gate.release=warn` the data may leave with a warning",
                       r->finding, r->gate);
}
