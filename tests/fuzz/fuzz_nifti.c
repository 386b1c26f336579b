/* NIfTI masks, plain and compressed, on a CT of 5 x 6 x 7 voxels. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const geometry space = {.shape = {5, 6, 7},
                            .spacing = {2.5, 0.8, 0.7},
                            .origin = {-40.5, -30.25, 0},
                            .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
    const seg_target to = {&space, "", 0.5};
    fuzz_labels(fuzz_file(".nii", data, size), DICOM_NIFTI, &to);
    return 0;
}
