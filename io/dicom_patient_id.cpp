/* The Patient ID of a file as UTF-8 text, however it was written. */
#include "io/dicom_patient_id.hpp"

#include "io/dicom_characters.hpp"

#include <cstdio>

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

/* Text of a character set that is not known, or not the one that was said, stays as it is: equal
 * bytes are still equal. */
static std::string to_utf8(DcmItem &item, const std::string &text) {
    std::string utf8;
    return dicom_to_utf8(item, text, &utf8) ? utf8 : text;
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
    const std::string raw = dicom_raw_text(item, DCM_PatientID);
    const std::string id = trimmed(to_utf8(item, trimmed(raw)));
    *form = form_of(raw);
    if (id.size() < size) {
        std::snprintf(out, size, "%s", id.c_str());
        return ST_OK;
    }
    return bytes_sha256(id.data(), static_cast<int64_t>(id.size()), out);
}
