/* RT Structure Sets on the CT of tests/data/small_rtstruct.py. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const geometry space = {.shape = {5, 9, 14},
                            .spacing = {2.5, 0.8, 0.7},
                            .origin = {-40.5, -30.25, 0},
                            .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
    const seg_target to = {&space, "", 0.5};
    fuzz_labels(fuzz_file(".dcm", data, size), DICOM_RTSTRUCT, &to);
    return 0;
}
