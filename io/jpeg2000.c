/* The size of a codestream is read here (T.800, A.5.1) and compared before OpenJPEG, which
 * allocates by it, sees the codestream. Whatever OpenJPEG warns of is a fault: it goes on with
 * pixels that are not those of the slice. */
#include "io/jpeg2000.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <openjpeg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZ_BYTES = 45, TILES_MAX = 1024, BITS_MAX = 16, PRECINCTS_MAX = 1 << 16, HT = 0x4000 };
enum { BLOCK_STYLE = 3, CHECK_END = 0x10, END_SLACK = 5 };
enum { COD = 0xff52, COC = 0xff53, SOT = 0xff90, SOD = 0xff93, EOC = 0xffd9 };

/* What the marker segment SIZ says. */
typedef struct image_size {
    int64_t width, height; /* of the image */
    int64_t tiles;
    int capabilities, components, bits;
    bool is_signed, subsampled;
} image_size;

static int64_t number(const unsigned char *b, int bytes) {
    int64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | b[i];
    return value;
}

/* The codestream itself, without the boxes of a JP2 file around it. NULL: there is none. */
static const unsigned char *find_codestream(const unsigned char *bytes, int64_t n, int64_t *left) {
    static const unsigned char begin[] = {0xff, 0x4f, 0xff, 0x51},
                               box[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    const unsigned char *found = bytes;
    if (n < SIZ_BYTES) return NULL;
    if (memcmp(bytes, box, sizeof box) == 0) found = memmem(bytes, (size_t)n, begin, sizeof begin);
    if (!found || memcmp(found, begin, sizeof begin) != 0) return NULL;
    *left = n - (found - bytes);
    return *left < SIZ_BYTES ? NULL : found;
}

/* False if tiles or image are empty, or do not overlap as they must. */
static bool read_size(const unsigned char *b, image_size *s) {
    const int64_t x1 = number(b + 8, 4), y1 = number(b + 12, 4);
    const int64_t x0 = number(b + 16, 4), y0 = number(b + 20, 4);
    const int64_t tile_width = number(b + 24, 4), tile_height = number(b + 28, 4);
    const int64_t tile_x = number(b + 32, 4), tile_y = number(b + 36, 4);
    if (x1 <= x0 || y1 <= y0 || tile_width == 0 || tile_height == 0 || tile_x > x0 || tile_y > y0)
        return false;
    *s = (image_size){.width = x1 - x0,
                      .height = y1 - y0,
                      .capabilities = (int)number(b + 6, 2),
                      .components = (int)number(b + 40, 2),
                      .bits = (b[42] & 0x7f) + 1,
                      .is_signed = b[42] >> 7,
                      .subsampled = b[43] != 1 || b[44] != 1};
    s->tiles = ((x1 - tile_x + tile_width - 1) / tile_width) *
               ((y1 - tile_y + tile_height - 1) / tile_height);
    return true;
}

static status check_size(const char *path, const image_size *s, int64_t rows, int64_t columns) {
    if (s->capabilities & HT)
        return status_fail(ST_INPUT, "%s: HTJ2K is not supported by this build", path);
    if (s->width != columns || s->height != rows)
        return status_fail(ST_INPUT,
                           "%s: the JPEG 2000 codestream has %" PRId64 " x %" PRId64
                           " pixels (rows x columns), the header %" PRId64 " x %" PRId64,
                           path, s->height, s->width, rows, columns);
    if (s->components != 1 || s->subsampled || s->bits > BITS_MAX)
        return status_fail(
            ST_INPUT,
            "%s: the JPEG 2000 codestream has %d components of %d bits, where one of "
            "up to %d is read",
            path, s->components, s->bits, BITS_MAX);
    if (s->tiles > TILES_MAX)
        return status_fail(ST_INPUT, "%s: the JPEG 2000 codestream has %" PRId64 " tiles: refused",
                           path, s->tiles);
    return ST_OK;
}

/* Precincts of the image by the parameters in `b`: levels, code blocks (2 bytes), style, transform,
 * and a byte for each resolution, from the lowest to the highest. */
static int64_t count_precincts(const image_size *s, const unsigned char *b, int64_t n) {
    const int levels = n > 0 ? b[0] : 0;
    int64_t count = 0;
    if (levels > 32 || n < 5 + levels + 1) return PRECINCTS_MAX + 1;
    for (int r = 0; r <= levels; r++) {
        const int across = levels - r + (b[5 + r] & 15), down = levels - r + (b[5 + r] >> 4);
        count += ((s->width >> across) + 1) * ((s->height >> down) + 1);
    }
    return count;
}

/* OpenJPEG takes 1.6 KB for each precinct, of which there may be one for every pixel. They are
 * counted in all headers of coding style (T.800, A.6.1 and A.6.2).
 *
 * OpenJPEG does not notice damage within code blocks, unless the style promises "predictable
 * termination": then it warns of data that are left over or missing. The promise is added here. */
static status check_style(const char *path, const image_size *s, unsigned char *segment,
                          int64_t n) {
    const bool general = number(segment, 2) == COD;
    const int64_t at = general ? 9 : 6;
    if (n > at + BLOCK_STYLE) segment[at + BLOCK_STYLE] |= CHECK_END;
    if (n > at && (segment[general ? 4 : 5] & 1) &&
        count_precincts(s, segment + at, n - at) > PRECINCTS_MAX)
        return status_fail(ST_INPUT,
                           "%s: the JPEG 2000 codestream has more than %d precincts: refused", path,
                           PRECINCTS_MAX);
    return ST_OK;
}

/* Walks over the marker segments of the main header and of those of the tile-parts, whose data must
 * be there. */
static status check_segments(const char *path, const image_size *s, unsigned char *b, int64_t n) {
    int64_t at = 2, tile_end = n, length = 0;
    status st = ST_OK;
    while (st == ST_OK && at + 4 <= n) {
        const int64_t marker = number(b + at, 2);
        if (marker == EOC) return ST_OK;
        if (marker == SOD) {
            if (tile_end < at + 2) break; /* of no tile-part: the last one has ended */
            at = tile_end;
            continue;
        }
        length = 2 + number(b + at + 2, 2);
        if (marker < 0xff01 || length < 4 || at + length > n) break;
        if (marker == COD || marker == COC) st = check_style(path, s, b + at, length);
        if (marker == SOT) {
            const int64_t bytes = length == 12 ? number(b + at + 6, 4) : 1;
            tile_end = bytes == 0 ? n : at + bytes; /* 0: to the end */
            if (tile_end < at + length || tile_end > n) break;
        }
        at += length;
    }
    if (st != ST_OK || at == n || (at < n && n - at < 4)) return st;
    return status_fail(ST_INPUT, "%s: the JPEG 2000 codestream is cut or damaged", path);
}

/* ---- the codestream as OpenJPEG reads it ---- */

typedef struct reader {
    const unsigned char *bytes;
    int64_t n, at;
    char fault[128]; /* the first error or warning of OpenJPEG: a warning is of pixels lost */
} reader;

static OPJ_SIZE_T read_bytes(void *to, OPJ_SIZE_T wanted, void *user) {
    reader *r = user;
    const int64_t left = r->n - r->at;
    if (left <= 0) return (OPJ_SIZE_T)-1;
    const int64_t take = wanted < (OPJ_SIZE_T)left ? (int64_t)wanted : left;
    memcpy(to, r->bytes + r->at, (size_t)take);
    r->at += take;
    return (OPJ_SIZE_T)take;
}

static OPJ_OFF_T skip_bytes(OPJ_OFF_T wanted, void *user) {
    reader *r = user;
    if (wanted < 0 || r->n - r->at <= 0) return -1;
    const int64_t step = wanted < r->n - r->at ? wanted : r->n - r->at;
    r->at += step;
    return step;
}

static OPJ_BOOL seek_bytes(OPJ_OFF_T to, void *user) {
    reader *r = user;
    if (to < 0 || to > r->n) return OPJ_FALSE;
    r->at = to;
    return OPJ_TRUE;
}

static void keep_fault(const char *message, void *user) {
    reader *r = user;
    if (!r->fault[0])
        snprintf(r->fault, sizeof r->fault, "%.*s", (int)strcspn(message, "\n"), message);
}

/* The codestream was made to promise that the data of a code block end where its decoder does
 * (check_style()). Those of sound streams do within two bytes, or three of Kakadu's; damage leads
 * the decoder elsewhere. */
static void keep_warning(const char *message, void *user) {
    int bytes = 0;
    if (sscanf(message, "PTERM check failure: %d", &bytes) == 1 && bytes <= END_SLACK) return;
    keep_fault(message, user);
}

static opj_stream_t *open_stream(reader *r) {
    opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);
    if (!stream) return NULL;
    opj_stream_set_user_data(stream, r, NULL);
    opj_stream_set_user_data_length(stream, (OPJ_UINT64)r->n);
    opj_stream_set_read_function(stream, read_bytes);
    opj_stream_set_skip_function(stream, skip_bytes);
    opj_stream_set_seek_function(stream, seek_bytes);
    return stream;
}

static opj_codec_t *open_codec(reader *r) {
    opj_dparameters_t parameters;
    opj_codec_t *codec = opj_create_decompress(OPJ_CODEC_J2K);
    if (!codec) return NULL;
    opj_set_default_decoder_parameters(&parameters);
    opj_set_error_handler(codec, keep_fault, r);
    opj_set_warning_handler(codec, keep_warning, r);
    if (opj_setup_decoder(codec, &parameters) && opj_decoder_set_strict_mode(codec, OPJ_TRUE))
        return codec;
    opj_destroy_codec(codec);
    return NULL;
}

status jpeg2000_decode(const char *path, const unsigned char *bytes, int64_t n, int64_t rows,
                       int64_t columns, int32_t *out, jpeg2000_form *form) {
    status st = ST_OK;
    image_size size = {0};
    reader r = {0};
    unsigned char *copy = NULL;
    opj_stream_t *stream = NULL;
    opj_codec_t *codec = NULL;
    opj_image_t *image = NULL;
    r.bytes = find_codestream(bytes, n, &r.n);
    if (!r.bytes || !read_size(r.bytes, &size))
        TRY(status_fail(ST_INPUT, "%s: the pixels are no JPEG 2000 codestream", path));
    TRY(check_size(path, &size, rows, columns));
    TRY(array_alloc(&copy, r.n, 1, "a JPEG 2000 codestream"));
    memcpy(copy, r.bytes, (size_t)r.n);
    r.bytes = copy;
    TRY(check_segments(path, &size, copy, r.n));
    stream = open_stream(&r);
    codec = open_codec(&r);
    if (!stream || !codec) TRY(status_memory("decoding JPEG 2000", n));
    if (!opj_read_header(stream, codec, &image) || !opj_decode(codec, stream, image) ||
        r.fault[0] || image->numcomps != 1 || !image->comps[0].data ||
        image->comps[0].w != columns || image->comps[0].h != rows)
        TRY(status_fail(ST_INPUT, "%s: the JPEG 2000 codestream is cut or damaged: %s", path,
                        r.fault[0] ? r.fault : "it lacks pixels"));
    *form = (jpeg2000_form){size.bits, size.is_signed};
    memcpy(out, image->comps[0].data, (size_t)(rows * columns) * sizeof *out);
done:
    opj_image_destroy(image);
    opj_destroy_codec(codec);
    opj_stream_destroy(stream);
    free(copy);
    return st;
}
