/* Functions shared by io/dicom_*.cpp, which alone include this file: initialising DCMTK, loading
 * and saving files, reading attributes.
 *
 * `path` is the name of the file in messages; attributes are named by keyword and tag.
 */
#ifndef CTAUG_IO_DICOM_COMMON_HPP
#define CTAUG_IO_DICOM_COMMON_HPP

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

/* C headers without linkage specification of their own; dicom.h includes them. */
extern "C" {
#include "io/alloc.h"
#include "io/file.h"
#include "io/volume.h"
}
#include "io/dicom.h"
#include "io/dicom_prescan.h"

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
 * dicom_prescan() has no objection, which also gives *content. ST_INPUT. */
status dicom_load(const char *path, const DcmTagKey &stop, DcmFileFormat &file, int64_t *content);

/* The pixels that a file says it has. */
struct dicom_claim {
    int64_t frames, rows, columns, bits; /* bits: of a pixel */
};

/* ST_INPUT unless the claim fits in `payload` bytes. Compressed pixels may be 1000 times as large,
 * and always 8 MiB. To be asked before anything is allocated that follows from the claim. */
status dicom_check_claim(const char *path, const dicom_claim &claim, int64_t payload,
                         bool compressed);

/* Encodes and publishes the file atomically. */
status dicom_save(const char *path, DcmFileFormat &file,
                  E_TransferSyntax syntax = EXS_LittleEndianExplicit);

/* Value `index` of an attribute as text; empty if it is missing or has no value. */
std::string dicom_text(DcmItem &item, const DcmTagKey &tag, unsigned long index = 0);

/* Text that must be present and fit in `out`; ST_INPUT otherwise. */
status dicom_copy_text(const char *path, DcmItem &item, const DcmTagKey &tag, char *out,
                       std::size_t size);

/* Exactly n finite numbers; ST_INPUT otherwise. */
status dicom_numbers(const char *path, DcmItem &item, const DcmTagKey &tag, double *out,
                     unsigned long n);

/* The value of a US attribute; ST_INPUT if missing. */
status dicom_unsigned(const char *path, DcmItem &item, const DcmTagKey &tag, int64_t *out);

/* Fills IDs and references from an RT Structure Set; what is missing stays empty. Defined in
 * io/dicom_rtstruct.cpp. */
void dicom_rtstruct_header(DcmItem &data, dicom_header *out);

/* Item `index` of a sequence in `item`, or NULL. */
DcmItem *dicom_item(DcmItem &item, const DcmTagKey &sequence, long index = 0);

/* Two orthogonal unit vectors; ST_INPUT otherwise. */
status dicom_check_orientation(const char *path, const double orientation[6]);

/* Two positive numbers; ST_INPUT otherwise. */
status dicom_check_pixel_spacing(const char *path, const double spacing[2]);

#endif
