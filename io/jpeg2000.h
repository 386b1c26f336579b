/* Decoding of JPEG 2000 codestreams of one component (ISO/IEC 15444-1) with OpenJPEG. */
#ifndef CTAUG_IO_JPEG2000_H
#define CTAUG_IO_JPEG2000_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a codestream stores its values, whatever the DICOM header says of it. */
typedef struct jpeg2000_form {
    int bits; /* 1 to 16 */
    bool is_signed;
} jpeg2000_form;

/* Decodes a codestream, which a JP2 file may enclose, into out[rows*columns]. `path` names the file
 * in messages. ST_INPUT, before anything is allocated that follows from its claims, if it is not
 * JPEG 2000, has another size or more than one component, more than 16 bits, more than 1024 tiles
 * or 65536 precincts, or is HTJ2K (ISO/IEC 15444-15); and if it is cut or damaged, also within its
 * code blocks as far as their length shows it. Local. */
status jpeg2000_decode(const char *path, const unsigned char *bytes, int64_t n, int64_t rows,
                       int64_t columns, int32_t *out, jpeg2000_form *form);

#ifdef __cplusplus
}
#endif
#endif
