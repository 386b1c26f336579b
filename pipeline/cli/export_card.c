/* Fills the card from the manifest of the store. What nobody but the owner of the data can know,
 * the licence above all, is named as missing rather than guessed. */
#include "pipeline/cli/export_card.h"

#include "io/printable.h"
#include "pipeline/data/split.h"
#include "pipeline/stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char NO_LICENCE[] = "not stated: fill it in before you pass the data on";

static const char *const CLAIMS_REAL[] = {
    "CT of real patients under pseudonyms; voxel values are HU.",
    "Not anonymous: a face or an unusual finding may identify a patient. Passing the data on needs "
    "the permission that the archive needs.",
};
static const char INPAINTED[] =
    "Structures were sampled by a model into the CT; everything farther than 4 pixels from them is "
    "real, and the labels say where they are.";
static const char INPAINTED_NATIVE[] =
    "Structures were sampled by a model into real CT, and the labels say where they are; both were "
    "interpolated together.";
static const char *const PAINTED[] = {
    "CT that a model painted on deformed label maps of real patients; no volume shows a patient.",
    "CT that a model painted on label maps of its user; they, and the tissue around them if their "
    "CT "
    "was at hand, may show persons.",
};
static const char *const CLAIMS_SYNTHETIC[] = {
    "Meant as additional training data for segmentation, not for diagnosis or test sets.",
    "That it improves a segmenter may be said of a study only as far as its report shows it.",
};

const char *export_model(const store *s) {
    const json_t *origin = json_object_get(store_manifest(s)->detail, "provenance");
    const char *hash = json_string_value(json_object_get(origin, "checkpoint"));
    return hash && strlen(hash) < SHA256_HEX ? hash : "";
}

store_content export_content(const store *s) {
    const json_t *origin = json_object_get(store_manifest(s)->detail, "provenance");
    if (json_is_true(json_object_get(origin, "inpainted"))) return CONTENT_INPAINTED;
    return json_is_true(json_object_get(origin, "synthetic")) ? CONTENT_SYNTHETIC : CONTENT_REAL;
}

/* The patients whose volumes were in-painted. */
static int64_t count_sources(const store *s) {
    const json_t *origin = json_object_get(store_manifest(s)->detail, "provenance");
    const json_t *volumes = json_object_get(origin, "volumes");
    int64_t patients = 0;
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(volumes, i), "source"));
        bool seen = id == NULL;
        for (size_t k = 0; k < i && !seen; k++) {
            const char *other =
                json_string_value(json_object_get(json_array_get(volumes, k), "source"));
            seen = other && split_same_patient(id, other);
        }
        patients += !seen;
    }
    return patients;
}

/* Everything of the provenance but what is told volume by volume. New reference. */
static json_t *source_of(const store *s) {
    json_t *source = json_deep_copy(json_object_get(store_manifest(s)->detail, "provenance"));
    if (source) json_object_del(source, "volumes");
    return source ? source : json_object();
}

/* That the volumes, which all have data.size, were interpolated. */
static void add_native_claim(const store *s, json_t *claims) {
    char text[256];
    const int64_t *shape = store_at(s, 0)->space.shape;
    snprintf(text, sizeof text,
             "Made at %" PRId64 " x %" PRId64
             " pixels, at which every figure of the run was measured, and interpolated to the "
             "matrix and pixel spacing of the series, or masks, that the label maps are of: no "
             "finer detail is in them.",
             shape[1], shape[2]);
    json_array_append_new(claims, json_string(text));
}

static json_t *claims_of(const store *s, const export_about *about) {
    static const char *const gates[] = {
        [GATE_NOT_ASKED] = NULL,
        [GATE_PASSED] = "The gate of the run found no more copies of training slices than chance "
                        "explains. That is no proof of anonymity.",
        [GATE_NOT_PASSED] = "The gate of the run did not pass these data, or has not seen them: "
                            "they may copy slices of training patients."};
    json_t *claims = json_array();
    const store_content content = export_content(s);
    const bool synthetic = content == CONTENT_SYNTHETIC;
    const json_t *origin = json_object_get(store_manifest(s)->detail, "provenance");
    const bool own = json_object_get(origin, "masks") != NULL;
    const char *const *list = synthetic ? CLAIMS_SYNTHETIC : CLAIMS_REAL;
    const size_t n = synthetic ? sizeof CLAIMS_SYNTHETIC / sizeof *CLAIMS_SYNTHETIC
                               : sizeof CLAIMS_REAL / sizeof *CLAIMS_REAL;
    if (synthetic) json_array_append_new(claims, json_string(PAINTED[own]));
    if (content == CONTENT_INPAINTED)
        json_array_append_new(claims, json_string(about->native ? INPAINTED_NATIVE : INPAINTED));
    for (size_t i = 0; i < n; i++) json_array_append_new(claims, json_string(list[i]));
    if (about->native && store_count(s) > 0) add_native_claim(s, claims);
    if (synthetic && gates[about->gate])
        json_array_append_new(claims, json_string(gates[about->gate]));
    return claims;
}

/* Ids are sorted in real stores: those of one patient are neighbours. NULL if out of memory. */
static json_t *make_card(const store *s, const export_about *about) {
    int64_t patients = 0, slices = 0, unlabelled = 0;
    const label_set *set = store_labels(s);
    const store_content content = export_content(s);
    json_t *names = json_array();
    for (int64_t i = 0; i < store_count(s); i++) {
        const store_entry *e = store_at(s, i);
        patients += i == 0 || !split_same_patient(e->id, store_at(s, i - 1)->id);
        slices += e->space.shape[0];
        unlabelled += e->unlabelled;
    }
    if (content == CONTENT_SYNTHETIC) patients = 0;
    if (content == CONTENT_INPAINTED) patients = count_sources(s);
    for (int k = 1; k < set->count; k++) {
        char name[4 * LABEL_NAME];
        printable(set->name[k], false, name, sizeof name);
        json_array_append_new(names, json_string(name));
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:{s:I, s:I, s:I, s:I}, s:o, s:s, s:s, s:s, s:s, "
                     "s:o}",
                     "kind", "ctaug data set", "ctaug", CTAUG_VERSION, "format", about->format,
                     "synthetic", content != CONTENT_REAL, "source", source_of(s), "counts",
                     "patients", (json_int_t)patients, "volumes", (json_int_t)store_count(s),
                     "slices", (json_int_t)slices, "unlabelled", (json_int_t)unlabelled,
                     "structures", names, "model", export_model(s), "licence", NO_LICENCE,
                     "store_fingerprint", store_manifest(s)->fingerprint, "store_seal",
                     store_manifest(s)->seal, "claims", claims_of(s, about));
}

/* The card as Markdown. */
static void write_text(FILE *f, const store *s, const json_t *card) {
    static const char *const counted[] = {"patients", "volumes", "slices", "unlabelled"};
    const json_t *names = json_object_get(card, "structures");
    const json_t *claims = json_object_get(card, "claims");
    json_t *source = json_object_get(card, "source");
    static const char *const titles[] = {[CONTENT_REAL] = "Real CT",
                                         [CONTENT_SYNTHETIC] = "Synthetic CT",
                                         [CONTENT_INPAINTED] = "Real CT with sampled structures"};
    fprintf(f, "# %s\n\n", titles[export_content(s)]);
    fprintf(f, "Written by ctaug %s as %s.\n\n## Counts\n\n", CTAUG_VERSION,
            json_string_value(json_object_get(card, "format")));
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        fprintf(f, "- %s: %" PRId64 "\n", counted[i],
                (int64_t)json_integer_value(
                    json_object_get(json_object_get(card, "counts"), counted[i])));
    fputs("\n## Structures\n\n", f);
    for (size_t i = 0; i < json_array_size(names); i++)
        fprintf(f, "%zu. %s\n", i + 1, json_string_value(json_array_get(names, i)));
    fprintf(f, "\n## Source\n\nStore %s, seal %s.\n", store_manifest(s)->fingerprint,
            store_manifest(s)->seal);
    for (void *at = json_object_iter(source); at; at = json_object_iter_next(source, at)) {
        char *text = json_dumps(json_object_iter_value(at), JSON_ENCODE_ANY | JSON_SORT_KEYS);
        if (text) fprintf(f, "- %s: %s\n", json_object_iter_key(at), text);
        free(text);
    }
    fprintf(f, "\n## Model\n\n%s\n", export_model(s)[0] ? export_model(s) : "none");
    fputs("\n## What may be claimed\n\n", f);
    for (size_t i = 0; i < json_array_size(claims); i++)
        fprintf(f, "- %s\n", json_string_value(json_array_get(claims, i)));
    fprintf(f, "\n## Licence\n\n%s\n", NO_LICENCE);
}

status export_card_write(const store *s, const export_about *about, const char *directory) {
    char path[PATH_SIZE], *text = NULL, *page = NULL;
    size_t bytes = 0;
    FILE *f = NULL;
    json_t *card = make_card(s, about);
    status st = ST_OK;
    if (card) text = json_dumps(card, JSON_INDENT(1) | JSON_SORT_KEYS);
    if (text) f = open_memstream(&page, &bytes);
    if (!f) TRY(status_memory("the card of the data set", 0));
    write_text(f, s, card);
    if (fclose(f) != 0) TRY(status_memory("the card of the data set", (int64_t)bytes));
    TRY(path_join(path, directory, "card.json"));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(path_join(path, directory, "README.md"));
    TRY(file_write_atomic(path, page, (int64_t)bytes));
done:
    free(page);
    free(text);
    json_decref(card);
    return st;
}
