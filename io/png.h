/* Encoding 8-bit RGB as PNG with libpng, apart from io/image.c because of its setjmp. */
#ifndef CTAUG_IO_PNG_H
#define CTAUG_IO_PNG_H

#include "io/status.h"

#include <stdint.h>

/* rgb is height x width x 3; *png (free()) gets the bytes of a file. ST_INTERNAL if libpng fails.
 * Local. */
status png_encode(const uint8_t *rgb, int64_t height, int64_t width, uint8_t **png, int64_t *bytes);

#endif
