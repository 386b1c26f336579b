/* Which series an RT Structure Set or a NIfTI mask belongs to. */
#include "io/series.h"

#include <string.h>

/* Whether `path` lies in the folder of the file `file`, or in one below it if `below`. */
static bool lies_beside(const char *path, const char *file, bool below) {
    const char *slash = strrchr(file, '/');
    const size_t folder = slash ? (size_t)(slash - file) + 1 : 0;
    return strncmp(path, file, folder) == 0 && (below || !strchr(path + folder, '/'));
}

static bool same_patient(const series *s, const dicom_header *mask) {
    return strcmp(s->slices[0].person, mask->person) == 0;
}

static bool refers_to(const series *s, const dicom_header *mask) {
    return strcmp(s->series_uid, mask->referenced_series_uid) == 0;
}

static bool same_frame(const series *s, const dicom_header *mask) {
    return mask->frame_of_reference_uid[0] &&
           strcmp(s->slices[0].frame_of_reference_uid, mask->frame_of_reference_uid) == 0;
}

/* The ways of matching, in the order in which they are tried. */
typedef enum match_rule {
    BY_SERIES_IN_FRAME,
    BY_SERIES_OF_PATIENT,
    BY_SERIES,
    BY_FRAME,
    IN_FOLDER,
    BELOW_FOLDER,
    MATCH_RULES
} match_rule;

static bool matches(const series *s, const dicom_header *mask, match_rule rule) {
    const bool nifti = mask->kind == DICOM_NIFTI;
    switch (rule) {
    case BY_SERIES_IN_FRAME:
        return !nifti && refers_to(s, mask) && same_patient(s, mask) && same_frame(s, mask);
    case BY_SERIES_OF_PATIENT:
        return !nifti && refers_to(s, mask) && same_patient(s, mask);
    case BY_SERIES:
        return !nifti && refers_to(s, mask);
    case BY_FRAME:
        return !nifti && same_frame(s, mask) && same_patient(s, mask);
    case IN_FOLDER:
        return nifti && lies_beside(s->slices[0].path, mask->path, false);
    case BELOW_FOLDER:
        return nifti && lies_beside(s->slices[0].path, mask->path, true);
    case MATCH_RULES:
        break;
    }
    return false;
}

series *series_match(const series_list *list, const dicom_header *mask, int64_t *count) {
    for (match_rule rule = BY_SERIES_IN_FRAME; rule < MATCH_RULES; rule++) {
        series *found = NULL;
        *count = 0;
        for (int64_t i = 0; i < list->count; i++)
            if (matches(&list->items[i], mask, rule)) {
                found = &list->items[i];
                ++*count;
            }
        if (*count > 0) return *count == 1 ? found : NULL;
    }
    return NULL;
}
