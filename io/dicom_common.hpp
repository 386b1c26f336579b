/* Functions shared by io/dicom_*.cpp, which alone include this file: initialising DCMTK, loading
 * and saving files, reading attributes.
 *
 * `path` is the name of the file in messages; attributes are named by keyword and tag.
 */
#ifndef CTAUG_IO_DICOM_COMMON_HPP
#define CTAUG_IO_DICOM_COMMON_HPP

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dctk.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

/* C headers without linkage specification of their own; dicom.h includes them. */
extern "C" {
#include "io/alloc.h"
#include "io/file.h"
#include "io/masks.h"
#include "io/structure_codes.h"
#include "io/structures.h"
#include "io/volume.h"
}
#include "io/dicom.h"
#include "io/dicom_prescan.h"

enum {
    DICOM_VALUE_MAX = 1 << 16,          /* bytes of a text or of numbers that are read */
    DICOM_MENDED_MAX = INT64_C(1) << 31 /* bytes of a file that is not encoded as it says */
};
/* Label Map Segmentation Storage (PS3.3 A.51), which DCMTK 3.6.7 has no name for. */
static constexpr const char *DICOM_LABEL_MAP_SEG = "1.2.840.10008.5.1.4.1.1.66.7";

/* Registers the codecs, disables DCMTK's log and checks that the data dictionary is loaded, once
 * per process. dicom_guard() calls it. */
status dicom_start();

/* Runs `body` and turns exceptions into ST_INTERNAL. Every function that C calls uses it. */
template <class Body> status dicom_guard(const char *path, Body body) noexcept {
    try {
        status st = dicom_start();
        return st == ST_OK ? body() : st;
    } catch (const std::bad_alloc &) {
        return status_fail(ST_INTERNAL, "%s: out of memory", path);
    } catch (const std::exception &e) {
        return status_fail(ST_INTERNAL, "%s: %s", path, e.what());
    } catch (...) {
        return status_fail(ST_INTERNAL, "%s: an exception of unknown type", path);
    }
}

/* "PixelSpacing (0028,0030)" */
std::string dicom_tag_name(const DcmTagKey &tag);

/* Loads a file up to the attribute `stop` (DCM_UndefinedTagKey: the whole file), if
 * dicom_prescan() has no objection, which also gives *layout. What is not encoded as the file says
 * is read as it is. Any compression passes. ST_INPUT. */
status dicom_load_any(const char *path, const DcmTagKey &stop, DcmFileFormat &file,
                      dicom_layout *layout);

/* Whether DCMTK parses a file as dicom_prescan() has walked it: it is as it says, and DCMTK knows
 * its transfer syntax and does not guess another. */
bool dicom_reads_unaided(const dicom_layout &layout);

/* dicom_load_any() and dicom_check_syntax(). *content: bytes that nothing in the file exceeds. */
status dicom_load(const char *path, const DcmTagKey &stop, DcmFileFormat &file, int64_t *content);

/* ST_INPUT, with the name of the compression, if it cannot be decoded. */
status dicom_check_syntax(const char *path, const dicom_layout &layout);

/* The pixels that a file says it has. */
struct dicom_claim {
    int64_t frames, rows, columns, bits; /* bits: of a pixel */
};

/* ST_INPUT unless the claim fits in `payload` bytes. Compressed pixels may be 1000 times as large,
 * and always 8 MiB. To be asked before anything is allocated that follows from the claim. */
status dicom_check_claim(const char *path, const dicom_claim &claim, int64_t payload,
                         bool compressed);

/* The compressed bytes of a frame (from 0) in *out, and the fragment with which they begin: DCMTK's
 * decoders ask for it. ST_INPUT if they are not there. */
status dicom_frame_bytes(const char *path, DcmPixelData &pixels, E_TransferSyntax syntax,
                         int64_t frame, int64_t frames, Uint32 *fragment, std::vector<Uint8> *out);

/* Encodes and publishes the file atomically. */
status dicom_save(const char *path, DcmFileFormat &file,
                  E_TransferSyntax syntax = EXS_LittleEndianExplicit);

/* Value `index` of an attribute as text; empty if it is missing, has no value, or is longer
 * than DICOM_VALUE_MAX. */
std::string dicom_text(DcmItem &item, const DcmTagKey &tag, unsigned long index = 0);

/* Text that must be present and fit in `out`; ST_INPUT otherwise. */
status dicom_copy_text(const char *path, DcmItem &item, const DcmTagKey &tag, char *out,
                       std::size_t size);

/* Exactly n finite numbers; ST_INPUT otherwise. Decimal commas are read as points, and said in the
 * note of `h` if that is not NULL, unless they may as well divide thousands: "1,024". */
status dicom_numbers(const char *path, DcmItem &item, const DcmTagKey &tag, double *out,
                     unsigned long n, dicom_header *h = NULL);

/* The value of a US attribute; ST_INPUT if missing. */
status dicom_unsigned(const char *path, DcmItem &item, const DcmTagKey &tag, int64_t *out);

/* Fills the fields of a header, of frame out->frame, that io/dicom_traits.cpp reads; what is
 * missing stays empty. */
void dicom_read_traits(DcmItem &set, dicom_header *out);
/* Appends to the note of a header what was read otherwise than it is written. */
void dicom_note(dicom_header *h, const char *what);

/* Fills IDs and references from an RT Structure Set; what is missing stays empty. Defined in
 * io/dicom_rtstruct.cpp. */
status dicom_rtstruct_header(DcmItem &data, dicom_header *out);

/* Item `index` of a sequence in `item`, or NULL. */
DcmItem *dicom_item(DcmItem &item, const DcmTagKey &sequence, long index = 0);

/* Two orthogonal unit vectors; ST_INPUT otherwise. */
status dicom_check_orientation(const char *path, const double orientation[6]);

/* Two positive numbers; ST_INPUT otherwise. */
status dicom_check_pixel_spacing(const char *path, const double spacing[2]);

#endif
