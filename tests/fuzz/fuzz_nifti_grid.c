/* NIfTI masks that lie beside no CT: their own grid, and their voxels on it. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_grid(fuzz_file(".nii", data, size), DICOM_NIFTI);
    return 0;
}
