/* What the DICOM rooms share: DCMTK started once, files loaded and saved, attributes taken apart.
 *
 * Only io/dicom_*.cpp include this. Reading functions name the file in their messages; attributes
 * are named as DICOM does, with keyword and tag.
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

/* The C headers that dicom.h includes, with the linkage they were compiled with. */
extern "C" {
#include "io/file.h"
#include "io/volume.h"
}
#include "io/dicom.h"

/* Registers the codecs, silences DCMTK's own log and looks for its data dictionary, once a
 * process; every entry goes through dicom_guard(), which calls it. */
status dicom_start();

/* Runs `body` so that no exception leaves: what C calls end here. */
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

/* Loads a file up to `stop` (all of it if that is DCM_UndefinedTagKey). ST_INPUT. */
status dicom_load(const char *path, const DcmTagKey &stop, DcmFileFormat &file);

/* The bytes of a file as Explicit VR Little Endian, published atomically. */
status dicom_save(const char *path, DcmFileFormat &file);

/* One value of an attribute as text; empty if it is missing or has no value. */
std::string dicom_text(DcmItem &item, const DcmTagKey &tag, unsigned long index = 0);

/* Text that must be there and fit in `out`; ST_INPUT. */
status dicom_copy_text(const char *path, DcmItem &item, const DcmTagKey &tag, char *out,
                       std::size_t size);

/* Exactly n finite numbers; ST_INPUT. */
status dicom_numbers(const char *path, DcmItem &item, const DcmTagKey &tag, double *out,
                     unsigned long n);

/* One unsigned number of a US attribute; ST_INPUT. */
status dicom_unsigned(const char *path, DcmItem &item, const DcmTagKey &tag, int64_t *out);

/* Item `index` of a sequence in `item`, or NULL. */
DcmItem *dicom_item(DcmItem &item, const DcmTagKey &sequence, long index = 0);

/* Two unit vectors at right angles; ST_INPUT otherwise. */
status dicom_check_orientation(const char *path, const double orientation[6]);

/* Two positive numbers; ST_INPUT otherwise. */
status dicom_check_pixel_spacing(const char *path, const double spacing[2]);

#endif
