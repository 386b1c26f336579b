/* <arm>/failed.json: {"status": number, "settings": SHA-256 of the arm's study and of the
 * seal of its store}. */
#include "pipeline/sweep/arm_failure.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

bool arm_failure_is_own(status st) { return st == ST_DIVERGED || st == ST_USAGE || st == ST_INPUT; }

/* Local. */
static status place_of(const sweep_arm *a, const char *store, char path[PATH_SIZE],
                       char settings[SHA256_HEX]) {
    status st = ST_OK;
    char *text = NULL, both[2 * SHA256_HEX];
    int64_t bytes = 0;
    TRY(path_join(path, a->study.out, "failed.json"));
    TRY(study_text(&a->study, false, &text, &bytes));
    TRY(bytes_sha256(text, bytes, settings));
    const int n = snprintf(both, sizeof both, "%s %s", settings, store);
    TRY(bytes_sha256(both, n, settings));
done:
    free(text);
    return st;
}

status arm_failure_write(const sweep_arm *a, const char *store, status failure) {
    status st = ST_OK;
    char path[PATH_SIZE], settings[SHA256_HEX], *text = NULL;
    json_t *record = NULL;
    if (failure == ST_INPUT) return ST_OK;
    TRY(place_of(a, store, path, settings));
    record = json_pack("{s:i, s:s}", "status", (int)failure, "settings", settings);
    text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
    if (!text) TRY(status_memory("the record of an arm", 0));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
done:
    json_decref(record);
    free(text);
    return st;
}

status arm_failure_read(const sweep_arm *a, const char *store) {
    char path[PATH_SIZE], settings[SHA256_HEX], *text = NULL;
    int64_t bytes = 0;
    int found = ST_OK;
    const char *of = "";
    json_t *record = NULL;
    if (place_of(a, store, path, settings) == ST_OK && file_exists(path) &&
        file_read(path, 4096, &text, &bytes) == ST_OK)
        record = json_loadb(text, (size_t)bytes, 0, NULL);
    if (!record || json_unpack(record, "{s:i, s:s}", "status", &found, "settings", &of) != 0 ||
        strcmp(of, settings) != 0 || !arm_failure_is_own((status)found))
        found = ST_OK;
    json_decref(record);
    free(text);
    return (status)found;
}
