/* What the fuzz targets share: the input as a file, and what every reader promises of it.
 *
 * Included by one C file of a target. A target ends by abort() if a promise is broken; libFuzzer
 * then keeps the input. */
#ifndef CTAUG_TESTS_FUZZ_FUZZ_H
#define CTAUG_TESTS_FUZZ_FUZZ_H

#include "io/file.h"
#include "io/label_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_path[PATH_SIZE];

static inline void fuzz_remove(void) { unlink(fuzz_path); }

/* Writes the input to a file of this process, NAME ending with `suffix`, and returns its path. */
static inline const char *fuzz_file(const char *suffix, const void *data, size_t size) {
    if (!fuzz_path[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(fuzz_path, sizeof fuzz_path, "%s/ctaug-fuzz-%ld%s", base ? base : "/tmp",
                 (long)getpid(), suffix);
        atexit(fuzz_remove);
    }
    FILE *f = fopen(fuzz_path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
        perror(fuzz_path);
        exit(1); /* the disk, not the input */
    }
    return fuzz_path;
}

/* A reader of the input succeeds, or refuses it with `code`; the message then names the file. */
static inline bool fuzz_read(status st, status code) {
    if (st == ST_OK) return true;
    if (st == code && strstr(status_message(), fuzz_path)) return false;
    fprintf(stderr, "status %d, where %d that names the file was promised: %s\n", (int)st,
            (int)code, status_message());
    abort();
}

/* What must succeed whatever the input is. */
static inline void fuzz_must(status st) {
    if (st == ST_OK) return;
    fprintf(stderr, "status %d: %s\n", (int)st, status_message());
    abort();
}

/* The masks of a file on a grid become a label map whose values have names. */
static inline void fuzz_join(const masks *m, const geometry *space, const label_set *set) {
    const overlap_rule smaller = {OVERLAP_SMALLER_WINS, NULL, 0};
    int64_t voxels = 0, overlapped = 0;
    uint8_t *labels = NULL;
    fuzz_must(geometry_voxels(space, &voxels));
    fuzz_must(array_alloc(&labels, voxels, 1, "labels"));
    fuzz_must(masks_join(m, &smaller, set, labels, &overlapped));
    if (label_max(labels, voxels) >= set->count || overlapped < 0 || overlapped > voxels) abort();
    free(labels);
}

/* Reads a file of label masks as ingest does: its texts, then its masks on the grid of a CT. */
static inline void fuzz_labels(const char *path, dicom_kind kind, const seg_target *to) {
    structure_texts texts = {0};
    structure_names names = {0};
    rtstruct_tally tally = {0};
    masks *all = NULL;
    if (fuzz_read(label_file_texts(path, kind, &texts), ST_INPUT) &&
        structure_names_make(&texts, NULL, 0, &names) == ST_OK) {
        fuzz_must(masks_new(to->space, &all));
        if (fuzz_read(label_file_read(path, kind, to, &names, all, &tally), ST_INPUT))
            fuzz_join(all, to->space, &names.set);
    }
    masks_free(all);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

/* Axes of a grid: finite, of length 1, at right angles. */
static inline void fuzz_axes(const geometry *space) {
    for (int a = 0; a < 3; a++) {
        if (!(space->spacing[a] > 0 && isfinite(space->spacing[a]))) abort();
        if (!isfinite(space->origin[a])) abort();
        for (int b = 0; b <= a; b++) {
            double product = 0;
            for (int i = 0; i < 3; i++)
                product += space->direction[3 * a + i] * space->direction[3 * b + i];
            if (!(fabs(product - (a == b)) < 1e-2)) abort();
        }
    }
}

/* Reads a file of label masks as generate.masks does if it lies beside no CT: the grid, unless that
 * is large its masks on it. */
static inline void fuzz_grid(const char *path, dicom_kind kind) {
    enum { VOXELS_MAX = 1 << 18 };
    geometry space;
    int64_t voxels = 0;
    if (!fuzz_read(label_file_grid(path, kind, &space), ST_INPUT)) return;
    fuzz_axes(&space);
    if (geometry_voxels(&space, &voxels) == ST_OK && voxels <= VOXELS_MAX)
        fuzz_labels(path, kind, &(seg_target){&space, "", 0.5});
}

#endif
