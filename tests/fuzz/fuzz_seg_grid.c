/* Segmentations that lie on no CT: the grid of their frames, and their masks on it. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_grid(fuzz_file(".dcm", data, size), DICOM_SEG);
    return 0;
}
