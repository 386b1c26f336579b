/* CT files: header, frames, pixels in every compression; what is refused is salvaged. */
#include "tests/fuzz/fuzz.h"

static void read_pixels(const dicom_header *h) {
    int16_t *hu = NULL;
    fuzz_must(array_alloc(&hu, h->rows * h->columns, sizeof *hu, "a slice"));
    fuzz_read(dicom_read_ct(h, hu), ST_INPUT);
    free(hu);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dicom_header h, *frames = NULL;
    dicom_remains remains;
    int64_t count = 0;
    const char *path = fuzz_file(".dcm", data, size);
    if (!fuzz_read(dicom_read_header(path, &h), ST_INPUT)) {
        fuzz_read(dicom_salvage(path, &h, &remains), ST_INPUT);
        return 0;
    }
    if (h.kind == DICOM_CT && fuzz_read(dicom_read_frames(path, &frames, &count), ST_INPUT) &&
        count > 0) {
        read_pixels(&frames[0]);
        if (count > 1) read_pixels(&frames[count - 1]);
    }
    free(frames);
    return 0;
}
