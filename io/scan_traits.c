/* The tables of kernels and parts of the body. */
#include "io/scan_traits.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 64 };

static const char *const kernel_words[KERNEL_CLASSES] = {"", "soft", "sharp"};
static const char *const body_words[BODY_PARTS] = {"",       "head",  "neck",  "chest", "abdomen",
                                                   "pelvis", "trunk", "spine", "arm",   "leg"};

const char *kernel_class_word(kernel_class k) { return kernel_words[k]; }
const char *body_part_word(body_part b) { return body_words[b]; }

/* The first value in upper case, without blanks at its ends; "" if it is longer than any known. */
static void first_value(const char *text, char out[TEXT]) {
    size_t n = strcspn(text, "\\");
    while (n > 0 && isspace((unsigned char)*text)) text++, n--;
    while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
    if (n >= TEXT) n = 0;
    for (size_t i = 0; i < n; i++) out[i] = (char)toupper((unsigned char)text[i]);
    out[n] = 0;
}

/* Whether the list, whose words are between bars, has the word. */
static bool has(const char *list, const char *word, size_t length) {
    if (length == 0 || memchr(word, '|', length)) return false;
    for (const char *at = list; *at; at += strcspn(at + 1, "|") + 1)
        if (strncmp(at + 1, word, length) == 0 && (at[1 + length] == '|' || !at[1 + length]))
            return true;
    return false;
}

/* The number of two digits behind `letters` letters, if what follows it is no further digit. */
static int number_behind(const char *text, size_t letters) {
    const char *at = text + letters;
    if (!isdigit((unsigned char)at[0]) || !isdigit((unsigned char)at[1])) return -1;
    return isdigit((unsigned char)at[2]) ? -1 : atoi(at);
}

static kernel_class canon(int n) {
    if (n >= 1 && n <= 28) return KERNEL_SOFT;
    const bool sharp = (n >= 30 && n <= 38) || (n >= 50 && n <= 58) || (n >= 80 && n <= 86);
    return sharp ? KERNEL_SHARP : KERNEL_UNKNOWN;
}

/* B: body, H: head, Q: quantitative, U: ultra high resolution; I, J: iterative. */
static kernel_class siemens(const char *text) {
    const size_t letters = isalpha((unsigned char)text[1]) ? 2 : 1;
    const int n = strchr("BHIJQU", text[0]) ? number_behind(text, letters) : -1;
    if (n < 10) return KERNEL_UNKNOWN;
    return n < 50 ? KERNEL_SOFT : KERNEL_SHARP;
}

kernel_class kernel_class_of(const char *text) {
    static const char soft[] = "|SOFT|STANDARD|STND|STD|CHST|A|B|C|UA|UB|UC";
    static const char sharp[] = "|SHARP|BONE|BONEPLUS|BONE+|LUNG|EDGE|ULTRA|D|E|L|YA|YB|YC|YD";
    char value[TEXT];
    first_value(text, value);
    if (strncmp(value, "FC", 2) == 0) return canon(number_behind(value, 2));
    for (const char *at = value; *at;) { /* "HD BONE" */
        const size_t n = strcspn(at, " ");
        if (has(soft, at, n)) return KERNEL_SOFT;
        if (has(sharp, at, n)) return KERNEL_SHARP;
        at += n + strspn(at + n, " ");
    }
    return value[0] ? siemens(value) : KERNEL_UNKNOWN;
}

body_part body_part_of(const char *text) {
    static const char *const terms[BODY_PARTS] = {
        [BODY_UNKNOWN] = "",
        [BODY_HEAD] = "|HEAD|BRAIN|SKULL|FACE|ORBIT|SINUS|PARANASALSINUS|IAC|TEMPORALBONE|MAXILLA|"
                      "MANDIBLE|JAW",
        [BODY_NECK] = "|NECK|LARYNX|THYROID",
        [BODY_CHEST] = "|CHEST|THORAX|LUNG|HEART|BREAST|RIB|STERNUM|MEDIASTINUM",
        [BODY_ABDOMEN] = "|ABDOMEN|LIVER|KIDNEY|PANCREAS|SPLEEN|UPPERABDOMEN",
        [BODY_PELVIS] = "|PELVIS|HIP|BLADDER|PROSTATE|UTERUS|SIJOINT|SACRUM",
        [BODY_TRUNK] = "|TRUNK|CHESTABDOMEN|CHESTABDPELVIS|ABDOMENPELVIS|ABDPELVIS|"
                       "CHESTABDOMENPELVIS|CAP",
        [BODY_SPINE] = "|SPINE|CSPINE|TSPINE|LSPINE|LSSPINE|CTSPINE|TLSPINE",
        [BODY_ARM] = "|ARM|SHOULDER|HUMERUS|ELBOW|FOREARM|WRIST|HAND|FINGER|CLAVICLE|SCAPULA",
        [BODY_LEG] = "|LEG|THIGH|FEMUR|KNEE|CALF|ANKLE|FOOT|TOE|HEEL",
    };
    char value[TEXT];
    first_value(text, value);
    for (int b = 0; b < BODY_PARTS; b++)
        if (has(terms[b], value, strlen(value))) return (body_part)b;
    return BODY_UNKNOWN;
}
