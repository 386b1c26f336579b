/* The Patient ID of a file as UTF-8 text, however it was written. */
#include "io/dicom_patient_id.hpp"

#include <cstdio>
#include <dcmtk/dcmdata/dcspchrs.h>

static bool is_padding(char c) { return c == ' ' || c == '\0' || (c >= '\t' && c <= '\r'); }

/* Without padding around it; null bytes within become blanks. */
static std::string trimmed(std::string text) {
    while (!text.empty() && is_padding(text.back())) text.pop_back();
    std::size_t from = 0;
    while (from < text.size() && is_padding(text[from])) from++;
    text.erase(0, from);
    for (char &c : text)
        if (c == '\0') c = ' ';
    return text;
}

static bool is_ascii(const std::string &text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) >= 0x80 || c == '\x1b') return false;
    return true;
}

/* Converts by the Specific Character Set of the file, without delimiters: a backslash may be the
 * second byte of a character, and is part of an ID elsewhere. Text of a character set that is not
 * known, or not the one that was said, stays as it is: equal bytes are still equal. */
static std::string to_utf8(DcmItem &item, const std::string &text) {
    DcmSpecificCharacterSet converter;
    OFString converted;
    if (is_ascii(text)) return text;
    if (converter.selectCharacterSet(item).bad()) return text;
    if (converter.convertString(text.data(), text.size(), converted, "").bad()) return text;
    return std::string(converted.data(), converted.size());
}

/* FNV-1a of the bytes as they stand in the file, but for the blanks that even out their length. */
static uint64_t form_of(std::string raw) {
    uint64_t hash = UINT64_C(14695981039346656037);
    while (!raw.empty() && raw.back() == ' ') raw.pop_back();
    for (const char c : raw)
        hash = (hash ^ static_cast<unsigned char>(c)) * UINT64_C(1099511628211);
    return hash;
}

status dicom_patient_id(DcmItem &item, char *out, std::size_t size, uint64_t *form) {
    DcmElement *element = NULL;
    char *value = NULL;
    Uint32 length = 0;
    std::string raw;
    if (item.findAndGetElement(DCM_PatientID, element).good() &&
        element->getString(value, length).good() && value)
        raw.assign(value, length);
    const std::string id = trimmed(to_utf8(item, trimmed(raw)));
    *form = form_of(raw);
    if (id.size() < size) {
        std::snprintf(out, size, "%s", id.c_str());
        return ST_OK;
    }
    return bytes_sha256(id.data(), static_cast<int64_t>(id.size()), out);
}
