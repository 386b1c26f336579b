/* Escaping and base64. Text in a page (names from DICOM files, study files) is untrusted. */
#include "io/html.h"

#include <openssl/evp.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at `at` (RFC 3629: no overlong forms, no surrogates,
 * nothing beyond U+10FFFF); 0 if there is none. */
static int utf8_length(const unsigned char *at) {
    int n = at[0] < 0x80 ? 1 : at[0] < 0xC2 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    if (at[0] > 0xF4) return 0;
    for (int i = 1; i < n; i++)
        if ((at[i] & 0xC0) != 0x80) return 0;
    if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F)) return 0;
    if ((at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F)) return 0;
    return n;
}

/* What replaces an ASCII character; NULL: nothing. */
static const char *reference(unsigned char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\n':
    case '\t':
        return NULL;
    default:
        return c < 0x20 || c == 0x7F ? "\xEF\xBF\xBD" : NULL;
    }
}

/* C1 control characters, and those that turn the direction of what follows. */
static int is_hidden(const unsigned char *at, int n) {
    if (n == 2) return at[0] == 0xC2 && at[1] < 0xA0;
    return n == 3 && at[0] == 0xE2 &&
           ((at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE) || /* U+2028 to U+202E */
            (at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9));  /* U+2066 to U+2069 */
}

void html_text(FILE *f, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        int n = utf8_length(at);
        const char *instead = n == 1 ? reference(*at) : NULL;
        if (n == 0 || is_hidden(at, n)) instead = "\xEF\xBF\xBD";
        if (instead)
            fputs(instead, f);
        else
            fwrite(at, 1, (size_t)n, f);
        at += n > 0 ? n : 1;
    }
}

void html_base64(FILE *f, const void *data, int64_t bytes) {
    enum { PIECE = 3 << 10 }; /* a multiple of 3, so that only the last piece is padded */
    unsigned char text[PIECE / 3 * 4 + 1];
    const unsigned char *at = data;
    for (int64_t done = 0; done < bytes; done += PIECE) {
        int n = bytes - done < PIECE ? (int)(bytes - done) : PIECE;
        int length = EVP_EncodeBlock(text, at + done, n);
        fwrite(text, 1, (size_t)length, f);
    }
}

void html_data_uri(FILE *f, const char *type, const void *data, int64_t bytes) {
    fprintf(f, "data:%s;base64,", type);
    html_base64(f, data, bytes);
}

status html_script_hash(FILE *f, const char *script) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(script, strlen(script), hash, &n, EVP_sha256(), NULL) != 1)
        return status_fail(ST_INTERNAL, "a script cannot be hashed");
    fputs("sha256-", f);
    html_base64(f, hash, n);
    return ST_OK;
}
