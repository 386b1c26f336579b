/* Loading DICOM files, also those that are not encoded as they say.
 *
 * DCMTK reads files that are what they say. The others are read into memory, mended there by what
 * dicom_prescan() found, and parsed with the transfer syntax that they really have.
 */
#include "io/dicom_common.hpp"

#include <dcmtk/dcmdata/dcistrmb.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace {

struct close_file {
    void operator()(std::FILE *f) const { std::fclose(f); }
};

} // namespace

/* Bytes begin..end of a file. */
static status read_part(const char *path, int64_t begin, int64_t end, std::vector<Uint8> *out) {
    std::unique_ptr<std::FILE, close_file> f(std::fopen(path, "rb"));
    if (!f || fseeko(f.get(), begin, SEEK_SET) != 0)
        return status_fail(ST_INPUT, "%s: cannot open", path);
    out->resize(static_cast<std::size_t>(end - begin));
    if (std::fread(out->data(), 1, out->size(), f.get()) != out->size())
        return status_fail(ST_INPUT, "%s: the file changed while it was read", path);
    return ST_OK;
}

/* DCMTK does not know the newest compressions; all compressed data sets are explicit and little
 * endian. */
static E_TransferSyntax syntax_of(const dicom_layout &layout) {
    const E_TransferSyntax known = DcmXfer(layout.syntax).getXfer();
    return known == EXS_Unknown ? EXS_JPEG2000 : known;
}

/* The data set alone, up to `stop`, by way of memory. */
static status load_mended(const char *path, const DcmTagKey &stop, const dicom_layout &layout,
                          DcmDataset &set) {
    const int64_t end = stop == DCM_PixelData ? layout.pixels : layout.end;
    std::vector<Uint8> bytes;
    if (end - layout.begin > DICOM_MENDED_MAX)
        return status_fail(ST_INPUT,
                           "%s: %" PRId64 " bytes are too many for a file that is not encoded as "
                           "it says",
                           path, end - layout.begin);
    status st = read_part(path, layout.begin, end, &bytes);
    if (st != ST_OK) return st;
    for (int i = 0; i < layout.explicit_count; i++) {
        const int64_t at = layout.explicit_items[i] - layout.begin;
        if (at + 2 <= static_cast<int64_t>(bytes.size())) std::memcpy(bytes.data() + at, "SQ", 2);
    }
    DcmInputBufferStream stream;
    stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
    stream.setEos();
    set.transferInit();
    const OFCondition read =
        set.readUntilTag(stream, syntax_of(layout), EGL_noChange, DCM_MaxReadLength, stop);
    set.transferEnd();
    if (read.good()) return ST_OK;
    return status_fail(ST_INPUT, "%s: not a readable DICOM file: %s", path, read.text());
}

bool dicom_reads_unaided(const dicom_layout &layout) {
    return layout.as_said && (!layout.syntax[0] || DcmXfer(layout.syntax).getXfer() != EXS_Unknown);
}

status dicom_load_any(const char *path, const DcmTagKey &stop, DcmFileFormat &file,
                      dicom_layout *layout) {
    status st = dicom_prescan(path, layout);
    if (st != ST_OK) return st;
    if (!dicom_reads_unaided(*layout)) return load_mended(path, stop, *layout, *file.getDataset());
    OFCondition read = file.loadFileUntilTag(path, EXS_Unknown, EGL_noChange, DCM_MaxReadLength,
                                             ERM_fileOnly, stop);
    if (read.good()) return ST_OK;
    return status_fail(ST_INPUT, "%s: not a readable DICOM file: %s", path, read.text());
}

status dicom_check_syntax(const char *path, const dicom_layout &layout) {
    static const struct {
        const char *uid, *name;
    } unsupported[] = {{"1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 (multi-component)"},
                       {"1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 (multi-component)"},
                       {"1.2.840.10008.1.2.4.94", "JPIP (pixels kept elsewhere)"},
                       {"1.2.840.10008.1.2.4.95", "JPIP (pixels kept elsewhere)"},
                       {"1.2.840.10008.1.2.4.100", "MPEG-2 video"},
                       {"1.2.840.10008.1.2.4.101", "MPEG-2 video"},
                       {"1.2.840.10008.1.2.4.110", "JPEG XL"},
                       {"1.2.840.10008.1.2.4.111", "JPEG XL"},
                       {"1.2.840.10008.1.2.4.112", "JPEG XL"},
                       {"1.2.840.10008.1.2.4.201", "HTJ2K"},
                       {"1.2.840.10008.1.2.4.202", "HTJ2K"},
                       {"1.2.840.10008.1.2.4.203", "HTJ2K"}};
    for (const auto &one : unsupported)
        if (std::strcmp(layout.syntax, one.uid) == 0)
            return status_fail(ST_INPUT, "%s: %s is not supported by this build", path, one.name);
    if (layout.syntax[0] && DcmXfer(layout.syntax).getXfer() == EXS_Unknown)
        return status_fail(ST_INPUT, "%s: transfer syntax %s is not supported by this build", path,
                           layout.syntax);
    return ST_OK;
}

status dicom_load(const char *path, const DcmTagKey &stop, DcmFileFormat &file, int64_t *content) {
    dicom_layout layout;
    status st = dicom_load_any(path, stop, file, &layout);
    if (st == ST_OK) st = dicom_check_syntax(path, layout);
    *content = layout.content;
    return st;
}
