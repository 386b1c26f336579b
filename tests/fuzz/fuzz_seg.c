/* Segmentations of every kind and compression, on the oblique CT of tests/data/seg_oracle.py. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const double a = 12 * acos(-1) / 180, b = -20 * acos(-1) / 180;
    const geometry space = {.shape = {6, 21, 19},
                            .spacing = {2.5, 0.8, 0.7},
                            .origin = {-40.5, 12.25, 300},
                            .direction = {sin(b) * sin(a), -cos(b) * sin(a), cos(a),
                                          -sin(b) * cos(a), cos(b) * cos(a), sin(a), cos(b), sin(b),
                                          0}};
    const seg_target to = {&space, "1.2.3.4", 0.5};
    bool fits = false;
    const char *path = fuzz_file(".dcm", data, size);
    fuzz_labels(path, DICOM_SEG, &to);
    fuzz_read(dicom_seg_fits(path, &space, to.frame_of_reference_uid, &fits), ST_INPUT);
    return 0;
}
