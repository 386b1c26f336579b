/* Which series a file of label masks belongs to. */
#include "io/series.h"

#include <string.h>

/* Whether `path` lies in the folder of the file `file`, or in one below it if `below`. */
static bool lies_beside(const char *path, const char *file, bool below) {
    const char *slash = strrchr(file, '/');
    const size_t folder = slash ? (size_t)(slash - file) + 1 : 0;
    return strncmp(path, file, folder) == 0 && (below || !strchr(path + folder, '/'));
}

static bool same_frame(const dicom_header *slice, const dicom_header *mask) {
    return mask->frame_uid[0] && strcmp(slice->frame_uid, mask->frame_uid) == 0 &&
           strcmp(slice->patient_id, mask->patient_id) == 0;
}

/* The ways of matching, in the order in which they are tried. */
typedef enum match_rule { BY_SERIES, BY_FRAME, IN_FOLDER, BELOW_FOLDER, MATCH_RULES } match_rule;

static bool matches(const series *s, const dicom_header *mask, match_rule rule) {
    const bool nifti = mask->kind == DICOM_NIFTI;
    switch (rule) {
    case BY_SERIES:
        return !nifti && strcmp(s->series_uid, mask->referenced_series_uid) == 0;
    case BY_FRAME:
        return mask->kind == DICOM_RTSTRUCT && same_frame(&s->slices[0], mask);
    case IN_FOLDER:
        return nifti && lies_beside(s->slices[0].path, mask->path, false);
    case BELOW_FOLDER:
        return nifti && lies_beside(s->slices[0].path, mask->path, true);
    case MATCH_RULES:
        break;
    }
    return false;
}

series *series_match(const series_list *list, const dicom_header *mask) {
    for (match_rule rule = BY_SERIES; rule < MATCH_RULES; rule++) {
        series *found = NULL;
        int64_t count = 0;
        for (int64_t i = 0; i < list->count; i++)
            if (matches(&list->items[i], mask, rule)) {
                found = &list->items[i];
                count++;
            }
        if (count == 1) return found;
        if (count > 1) return NULL;
    }
    return NULL;
}
