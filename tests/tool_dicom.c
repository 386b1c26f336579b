/* tool_dicom FILE OUT: reads a CT file for tests/test_formats.py. Prints a line of JSON for each
 * frame, and writes the HU of all of them to OUT (int16). The exit code is the status, whose
 * message goes to standard error. */
#include "io/alloc.h"
#include "io/dicom.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static const char *const kinds[] = {
    [DICOM_OTHER] = "other", [DICOM_CT] = "ct", [DICOM_SEG] = "seg"};

static status print_header(const dicom_header *h) {
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:b, s:i, s:[f,f,f],"
        " s:[f,f,f,f,f,f], s:[f,f], s:[s,s]}",
        "kind", kinds[h->kind], "note", h->note, "patient", h->patient_id, "study", h->study_uid,
        "series", h->series_uid, "sop", h->sop_uid, "frame", (json_int_t)h->frame, "frames",
        (json_int_t)h->frames, "acquisition", (json_int_t)h->acquisition_number, "instance",
        (json_int_t)h->instance_number, "temporal", h->pass[0], "contrast", h->contrast, "picture",
        (int)h->picture, "position", h->position[0], h->position[1], h->position[2], "orientation",
        h->orientation[0], h->orientation[1], h->orientation[2], h->orientation[3],
        h->orientation[4], h->orientation[5], "spacing", h->pixel_spacing[0], h->pixel_spacing[1],
        "traits", kernel_class_word(h->traits.kernel), body_part_word(h->traits.body));
    if (!line) return status_memory("a line of JSON", 0);
    json_dumpf(line, stdout, JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(line);
    return ST_OK;
}

static status read_frame(const dicom_header *h, FILE *out) {
    status st;
    int16_t *hu = NULL;
    const size_t pixels = (size_t)(h->rows * h->columns);
    TRY(array_alloc(&hu, h->rows * h->columns, sizeof *hu, "a slice"));
    TRY(dicom_read_ct(h, hu));
    if (fwrite(hu, sizeof *hu, pixels, out) != pixels)
        TRY(status_fail(ST_INTERNAL, "cannot write the HU"));
done:
    free(hu);
    return st;
}

static status run(const char *path, FILE *out) {
    status st;
    dicom_header first, *frames = NULL;
    int64_t count = 0;
    TRY(dicom_read_header(path, &first));
    if (first.kind != DICOM_CT) {
        TRY(print_header(&first));
        goto done;
    }
    TRY(dicom_read_frames(path, &frames, &count));
    for (int64_t i = 0; i < count; i++) {
        TRY(print_header(&frames[i]));
        TRY(read_frame(&frames[i], out));
    }
done:
    free(frames);
    return st;
}

int main(int argc, char **argv) {
    FILE *out = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (!out) {
        fprintf(stderr, "usage: tool_dicom FILE OUT\n");
        return ST_USAGE;
    }
    status st = run(argv[1], out);
    if (st != ST_OK) fprintf(stderr, "%s\n", status_message());
    return fclose(out) == 0 ? (int)st : ST_INTERNAL;
}
