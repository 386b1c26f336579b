/* Code extensions (ISO 2022): escape sequences say which set the bytes below 0x80 (G0) and those
 * above (G1) are of from there on. Japanese sets lie in G0, so that the bytes of a character may be
 * those of a backslash. Each stretch of one set is brought to a form that iconv knows.
 *
 * DCMTK converts through iconv, too, but that of the C library lacks the names that it asks for.
 */
#include "io/dicom_characters.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iconv.h>

namespace {

enum class form {
    plain,  /* as it is */
    high,   /* of 7 bits: bit 8 is set */
    kana,   /* half-width katakana: 0x8e before each */
    jis_212 /* 0x8f before each two */
};

/* A set, its name for iconv, and how its bytes get there. */
struct character_set {
    const char *number; /* in "ISO_IR 100" and "ISO 2022 IR 100"; "" if it has none */
    const char *escape; /* behind ESC */
    bool is_g1;
    const char *name;
    form as;
};

/* A stretch of bytes of one set. */
struct stretch {
    const character_set *of;
    std::string bytes;
};

} // namespace

static const character_set sets[] = {
    {"6", "(B", false, "ASCII", form::plain},
    {"14", "(J", false, "ASCII", form::plain}, /* but for yen and overline */
    {"87", "$B", false, "EUC-JP", form::high},
    {"", "$@", false, "EUC-JP", form::high},
    {"159", "$(D", false, "EUC-JP", form::jis_212},
    {"", "(I", false, "EUC-JP", form::kana},
    {"13", ")I", true, "EUC-JP", form::kana},
    {"100", "-A", true, "ISO-8859-1", form::plain},
    {"101", "-B", true, "ISO-8859-2", form::plain},
    {"109", "-C", true, "ISO-8859-3", form::plain},
    {"110", "-D", true, "ISO-8859-4", form::plain},
    {"144", "-L", true, "ISO-8859-5", form::plain},
    {"127", "-G", true, "ISO-8859-6", form::plain},
    {"126", "-F", true, "ISO-8859-7", form::plain},
    {"138", "-H", true, "ISO-8859-8", form::plain},
    {"148", "-M", true, "ISO-8859-9", form::plain},
    {"203", "-b", true, "ISO-8859-15", form::plain},
    {"166", "-T", true, "TIS-620", form::plain},
    {"149", "$)C", true, "EUC-KR", form::plain},
    {"58", "$)A", true, "GB2312", form::plain},
};

static bool convert(const char *name, std::string bytes, std::string *utf8) {
    char out[256];
    char *from = &bytes[0];
    std::size_t left = bytes.size(), result = 0;
    const iconv_t by = iconv_open("UTF-8", name);
    if (by == (iconv_t)-1) return false;
    do {
        char *to = out;
        std::size_t room = sizeof out;
        result = iconv(by, &from, &left, &to, &room);
        utf8->append(out, to);
    } while (result == static_cast<std::size_t>(-1) && errno == E2BIG);
    iconv_close(by);
    return result != static_cast<std::size_t>(-1) && left == 0;
}

static bool convert_stretch(const stretch &one, std::string *utf8) {
    std::string bytes;
    if (one.bytes.empty()) return true;
    if (!one.of) return false;
    for (std::size_t i = 0; i < one.bytes.size(); i++) {
        const auto byte = static_cast<unsigned char>(one.bytes[i]);
        const bool control = byte <= ' '; /* stays as it is in every set */
        if (one.of->as == form::kana && !control) bytes += '\x8e';
        if (one.of->as == form::jis_212 && !control) {
            bytes += '\x8f';
            if (i + 1 < one.bytes.size()) bytes += static_cast<char>(byte | 0x80);
            if (i + 1 < one.bytes.size()) i++;
            bytes += static_cast<char>(one.bytes[i] | 0x80);
            continue;
        }
        const bool raised = one.of->as != form::plain && !control;
        bytes += static_cast<char>(raised ? byte | 0x80 : byte);
    }
    return convert(one.of->name, bytes, utf8);
}

/* The set that an escape sequence at `text`, behind ESC, calls for; NULL if it is not known. */
static const character_set *called_for(const char *text) {
    for (const character_set &one : sets)
        if (std::strncmp(text, one.escape, std::strlen(one.escape)) == 0) return &one;
    return NULL;
}

/* Text with code extensions; g1: the set of the bytes above 0x80 at its beginning, or NULL. */
static bool convert_extended(const std::string &text, const character_set *g1, std::string *utf8) {
    const character_set *g0 = &sets[0];
    stretch now = {g0, ""};
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '\x1b') {
            const character_set *to = called_for(text.c_str() + i + 1);
            if (!to) return false;
            (to->is_g1 ? g1 : g0) = to;
            i += std::strlen(to->escape);
            continue;
        }
        const character_set *of = static_cast<unsigned char>(text[i]) < 0x80 ? g0 : g1;
        if (of != now.of) {
            if (!convert_stretch(now, utf8)) return false;
            now = {of, ""};
        }
        now.bytes += text[i];
    }
    return convert_stretch(now, utf8);
}

bool dicom_to_utf8(DcmItem &item, const std::string &text, std::string *utf8) {
    static const struct {
        const char *term, *name;
    } whole[] = {{"ISO_IR 192", "UTF-8"}, {"GB18030", "GB18030"}, {"GBK", "GBK"}};
    const std::string term = dicom_text(item, DCM_SpecificCharacterSet);
    const std::size_t blank = term.find_last_of(" _");
    const std::string number = term.substr(blank == std::string::npos ? 0 : blank + 1);
    const character_set *g1 = NULL;
    utf8->clear();
    for (const auto &one : whole)
        if (term == one.term) return convert(one.name, text, utf8);
    for (const character_set &one : sets)
        if (one.is_g1 && number == one.number) g1 = &one;
    return convert_extended(text, g1, utf8);
}

std::string dicom_raw_text(DcmItem &item, const DcmTagKey &tag) {
    DcmElement *element = NULL;
    char *value = NULL;
    Uint32 length = 0;
    if (item.findAndGetElement(tag, element).bad() || element->getLength() > DICOM_VALUE_MAX ||
        element->getString(value, length).bad() || !value)
        return std::string();
    return std::string(value, length);
}

bool dicom_text_in_utf8(DcmItem &item, DcmItem &data, const DcmTagKey &tag, std::string *utf8) {
    const std::string raw = dicom_raw_text(item, tag);
    if (!dicom_to_utf8(data, raw.substr(0, raw.find('\0')), utf8)) return false;
    utf8->erase(std::min(utf8->size(), utf8->find('\\')));
    while (!utf8->empty() && utf8->back() == ' ') utf8->pop_back();
    return true;
}
