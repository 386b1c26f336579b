/* The results of one training of the evaluation: a segmenter of an arm and a seed, scored on every
 * test patient. A result is kept as a part file (io/part_file.h), so that a finished training is
 * not made again.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_RESULTS_H
#define CTAUG_PIPELINE_EVALUATE_RESULTS_H

#include "io/file.h"
#include "io/volume.h"

#include <stdbool.h>

/* The test patients as they were scanned, and as another scanner would show them. */
typedef enum test_set { TEST_PLAIN, TEST_SHIFTED, TESTS } test_set;

typedef enum measure {
    MEASURE_DICE,
    MEASURE_HD95,   /* mm */
    MEASURE_NSD,    /* at NSD_TOLERANCE_MM */
    MEASURE_VOLUME, /* (predicted - true) / true */
    MEASURES
} measure;

/* Lesions by the diameter of a ball of their volume: below 10 mm, 10 to 20 mm, above. */
enum { LESION_SIZES = 3, CURVE_POINTS = 8 };

typedef struct result {
    int64_t patients, rows; /* rows: structures, with the background, then LESION_SIZES */
    /* [TESTS][patients][rows][MEASURES]: NAN where undefined. */
    double *value;
    double curve[CURVE_POINTS]; /* validation Dice after each part of the steps */
    int64_t parameters;         /* of the segmenter */
    double seconds; /* of all cores: training and scoring in the launch that finished it */
} result;

/* Allocates the values, all NAN. result_free() frees them. Local. */
status result_alloc(int64_t patients, int64_t rows, result *out);
void result_free(result *r);

/* The values of one patient and row: MEASURES numbers. */
double *result_at(const result *r, test_set test, int64_t patient, int64_t row);

/* Publish and read under `path`; the statuses are those of part_write() and part_read(). The result
 * that is read has been allocated. Local. */
status result_write(const result *r, const char *path, const char fingerprint[SHA256_HEX]);
status result_read(result *r, const char *path, const char fingerprint[SHA256_HEX]);

/* "dice", "hd95_mm", "nsd", "volume_error"; "plain", "shifted"; "lesion <10 mm". Static storage.
 */
const char *measure_name(measure m);
const char *test_set_name(test_set t);
const char *lesion_size_name(int size);

/* Whether a structure is scored by size: its name contains lesion, tumor, tumour, mass, nodule or
 * metast. Local. */
bool is_lesion(const char *structure);

#endif
