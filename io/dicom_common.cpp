/* Initialising DCMTK, and the functions through which io/dicom_*.cpp access files and attributes.
 */
#include "io/dicom_common.hpp"
#include "io/dicom_warnings.hpp"

#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

static bool start_once() {
    /* Faults are reported as statuses; DCMTK's log lines would repeat them. */
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    dicom_warnings_start();
    DcmRLEDecoderRegistration::registerCodecs();
    DJDecoderRegistration::registerCodecs();
    DJLSDecoderRegistration::registerCodecs();
    return dcmDataDict.isDictionaryLoaded();
}

status dicom_start() {
    static const bool has_dictionary = start_once(); /* C++ initialises it once, thread-safely */
    if (has_dictionary) return ST_OK;
    return status_fail(ST_INTERNAL, "DCMTK finds no DICOM data dictionary (dicom.dic): install it, "
                                    "or name it in DCMDICTPATH");
}

std::string dicom_tag_name(const DcmTagKey &tag) {
    DcmTag named(tag);
    char text[160];
    std::snprintf(text, sizeof text, "%s (%04x,%04x)", named.getTagName(), tag.getGroup(),
                  tag.getElement());
    return text;
}

/* Encodes into memory: DCMTK's file stream ignores the result of fclose(), so that a disk that
 * becomes full at the end would go unnoticed. */
status dicom_save(const char *path, DcmFileFormat &file, E_TransferSyntax syntax) {
    const E_EncodingType lengths = EET_ExplicitLength;
    OFCondition made = file.validateMetaInfo(syntax, EWM_createNewMeta);
    const std::size_t size = 4096 + file.calcElementLength(syntax, lengths);
    std::vector<char> buffer(size);
    DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(size));
    if (made.good()) {
        file.transferInit();
        made = file.write(stream, syntax, lengths, NULL, EGL_withoutGL, EPD_noChange, 0, 0, 0,
                          EWM_createNewMeta);
        file.transferEnd();
    }
    if (made.bad())
        return status_fail(ST_INTERNAL, "%s: cannot encode the data set: %s", path, made.text());
    void *bytes = NULL;
    offile_off_t used = 0;
    stream.flushBuffer(bytes, used);
    return file_write_atomic(path, bytes, used);
}

std::string dicom_text(DcmItem &item, const DcmTagKey &tag, unsigned long index) {
    OFString text;
    DcmElement *element = NULL;
    if (item.findAndGetElement(tag, element).bad() || element->getLength() > DICOM_VALUE_MAX)
        return std::string();
    if (item.findAndGetOFString(tag, text, index).bad()) return std::string();
    return std::string(text.c_str());
}

status dicom_copy_text(const char *path, DcmItem &item, const DcmTagKey &tag, char *out,
                       std::size_t size) {
    const std::string text = dicom_text(item, tag);
    if (text.empty())
        return status_fail(ST_INPUT, "%s: %s is missing or empty", path,
                           dicom_tag_name(tag).c_str());
    if (text.size() >= size)
        return status_fail(ST_INPUT, "%s: %s is longer than %zu characters", path,
                           dicom_tag_name(tag).c_str(), size - 1);
    std::snprintf(out, size, "%s", text.c_str());
    return ST_OK;
}

/* How a number with a comma may be meant. */
enum comma { NO_COMMA, DECIMAL_COMMA, ANY_COMMA };

/* "1,024" may be 1024 or 1.024. Not so "0,024", "1,25" and what as thousands would be 10 m. */
static comma comma_of(const std::string &text) {
    const std::size_t at = text.find(',');
    if (at == std::string::npos) return NO_COMMA;
    const std::size_t first = text.find_first_of("0123456789");
    const std::size_t end = text.find_last_of("0123456789") + 1;
    const bool thousands = first < at && text[first] != '0' && at - first == 1 && end - at == 4 &&
                           text.find('.') == std::string::npos;
    return thousands ? ANY_COMMA : DECIMAL_COMMA;
}

/* Reads numbers of which some have a comma; false unless each is meant as a decimal one. */
static bool read_commas(DcmItem &item, const DcmTagKey &tag, double *out, unsigned long n) {
    bool certain = false;
    for (unsigned long i = 0; i < n; i++) {
        std::string text = dicom_text(item, tag, i);
        const std::size_t at = text.find(',');
        OFBool read = OFFalse;
        certain = certain || comma_of(text) == DECIMAL_COMMA;
        if (at != std::string::npos) text[at] = '.';
        if (text.find_first_not_of("0123456789+-.eE ") != std::string::npos) return false;
        out[i] = OFStandard::atof(text.c_str(), &read);
        if (!read || !std::isfinite(out[i]) || std::count(text.begin(), text.end(), '.') > 1)
            return false;
    }
    return certain;
}

status dicom_numbers(const char *path, DcmItem &item, const DcmTagKey &tag, double *out,
                     unsigned long n, dicom_header *h) {
    const std::string name = dicom_tag_name(tag);
    DcmElement *element = NULL;
    if (item.findAndGetElement(tag, element).bad() || element->getLength() == 0)
        return status_fail(ST_INPUT, "%s: %s is missing or empty", path, name.c_str());
    if (element->getLength() > DICOM_VALUE_MAX)
        return status_fail(ST_INPUT, "%s: %s is %lu bytes long: refused", path, name.c_str(),
                           static_cast<unsigned long>(element->getLength()));
    if (element->getVM() != n)
        return status_fail(ST_INPUT, "%s: %s has %lu values where %lu are needed", path,
                           name.c_str(), element->getVM(), n);
    bool commas = false;
    for (unsigned long i = 0; i < n; i++)
        commas = commas || comma_of(dicom_text(item, tag, i)) != NO_COMMA;
    if (commas && read_commas(item, tag, out, n)) {
        if (h) dicom_note(h, ("decimal commas in " + name).c_str());
        return ST_OK;
    }
    for (unsigned long i = 0; i < n; i++)
        if (commas || element->getFloat64(out[i], i).bad() || !std::isfinite(out[i]))
            return status_fail(ST_INPUT, "%s: %s, value %lu, is not a number%s: '%s'", path,
                               name.c_str(), i + 1,
                               commas ? " (a comma of decimals, or of thousands?)" : "",
                               dicom_text(item, tag, i).c_str());
    return ST_OK;
}

status dicom_unsigned(const char *path, DcmItem &item, const DcmTagKey &tag, int64_t *out) {
    Uint16 value = 0;
    if (item.findAndGetUint16(tag, value).bad())
        return status_fail(ST_INPUT, "%s: %s is missing or not a number", path,
                           dicom_tag_name(tag).c_str());
    *out = value;
    return ST_OK;
}

/* 1000: a constant image in RLE or JPEG comes to 250 or less, in JPEG-LS to 5000, but is small. */
status dicom_check_claim(const char *path, const dicom_claim &claim, int64_t payload,
                         bool compressed) {
    enum { RATIO_MAX = 1000, FREE = 8 * 1024 * 1024 };
    int64_t bytes = 0, allowed = payload;
    if (compressed && !size_mul(payload, RATIO_MAX, &allowed)) allowed = INT64_MAX;
    if (compressed && allowed < FREE) allowed = FREE;
    const bool fits = size_mul(claim.frames, claim.rows, &bytes) &&
                      size_mul(bytes, claim.columns, &bytes) &&
                      size_mul(bytes, claim.bits, &bytes) && size_add(bytes, 7, &bytes);
    bytes = fits ? bytes / 8 : INT64_MAX;
    if (bytes <= allowed) return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: it claims %" PRId64 " frame%s of %" PRId64 " x %" PRId64
                       " pixels (rows x columns) of %" PRId64 " bits, %" PRId64
                       " bytes, but has only %" PRId64 "%s bytes: refused",
                       path, claim.frames, claim.frames == 1 ? "" : "s", claim.rows, claim.columns,
                       claim.bits, bytes, payload, compressed ? " compressed" : "");
}

void dicom_note(dicom_header *h, const char *what) {
    const std::size_t used = std::strlen(h->note);
    if (std::strstr(h->note, what)) return;
    std::snprintf(h->note + used, sizeof h->note - used, "%s%s", used ? "; " : "", what);
}

DcmItem *dicom_item(DcmItem &item, const DcmTagKey &sequence, long index) {
    DcmItem *found = NULL;
    return item.findAndGetSequenceItem(sequence, found, index).good() ? found : NULL;
}

status dicom_check_orientation(const char *path, const double o[6]) {
    const double row = o[0] * o[0] + o[1] * o[1] + o[2] * o[2];
    const double column = o[3] * o[3] + o[4] * o[4] + o[5] * o[5];
    const double between = o[0] * o[3] + o[1] * o[4] + o[2] * o[5];
    if (std::fabs(row - 1) < 1e-3 && std::fabs(column - 1) < 1e-3 && std::fabs(between) < 1e-3)
        return ST_OK;
    return status_fail(
        ST_INPUT, "%s: %s is not two unit vectors at right angles: %g\\%g\\%g\\%g\\%g\\%g", path,
        dicom_tag_name(DCM_ImageOrientationPatient).c_str(), o[0], o[1], o[2], o[3], o[4], o[5]);
}

status dicom_check_pixel_spacing(const char *path, const double spacing[2]) {
    if (spacing[0] > 0 && spacing[1] > 0) return ST_OK;
    return status_fail(ST_INPUT, "%s: %s must be positive: %g\\%g", path,
                       dicom_tag_name(DCM_PixelSpacing).c_str(), spacing[0], spacing[1]);
}
