/* Structures by name: the codes of a study, and the table of SNOMED CT codes, as PS3.16 uses them.
 */
#include "io/structure_codes.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ANATOMY, ABNORMAL, OBJECT };

static const coded_concept CATEGORIES[] = {
    [ANATOMY] = {"123037004", "Anatomical Structure", "SCT"},
    [ABNORMAL] = {"49755003", "Morphologically Abnormal Structure", "SCT"},
    [OBJECT] = {"260787004", "Physical object", "SCT"},
};
static const coded_concept TISSUE = {"85756007", "Tissue", "SCT"},
                           LEFT = {"7771000", "Left", "SCT"}, RIGHT = {"24028007", "Right", "SCT"};

static const struct {
    const char *name; /* lower case, singular, without left and right */
    coded_concept type;
    int category;
} TABLE[] = {
    {"liver", {"10200004", "Liver", "SCT"}, ANATOMY},
    {"spleen", {"78961009", "Spleen", "SCT"}, ANATOMY},
    {"kidney", {"64033007", "Kidney", "SCT"}, ANATOMY},
    {"pancreas", {"15776009", "Pancreas", "SCT"}, ANATOMY},
    {"gallbladder", {"28231008", "Gallbladder", "SCT"}, ANATOMY},
    {"gall bladder", {"28231008", "Gallbladder", "SCT"}, ANATOMY},
    {"stomach", {"69695003", "Stomach", "SCT"}, ANATOMY},
    {"aorta", {"15825003", "Aorta", "SCT"}, ANATOMY},
    {"inferior vena cava", {"64131007", "Inferior Vena Cava", "SCT"}, ANATOMY},
    {"ivc", {"64131007", "Inferior Vena Cava", "SCT"}, ANATOMY},
    {"superior vena cava", {"48345005", "Superior Vena Cava", "SCT"}, ANATOMY},
    {"portal vein", {"32764006", "Portal Vein", "SCT"}, ANATOMY},
    {"hepatic vein", {"8993003", "Hepatic Vein", "SCT"}, ANATOMY},
    {"splenic vein", {"35819009", "Splenic Vein", "SCT"}, ANATOMY},
    {"lung", {"39607008", "Lung", "SCT"}, ANATOMY},
    {"lung upper lobe", {"45653009", "Upper lobe of lung", "SCT"}, ANATOMY},
    {"lung middle lobe", {"40020002", "Middle lobe of lung", "SCT"}, ANATOMY},
    {"lung lower lobe", {"90572001", "Lower lobe of lung", "SCT"}, ANATOMY},
    {"heart", {"80891009", "Heart", "SCT"}, ANATOMY},
    {"left atrium", {"82471001", "Left atrium", "SCT"}, ANATOMY},
    {"right atrium", {"73829009", "Right Atrium", "SCT"}, ANATOMY},
    {"left ventricle", {"87878005", "Left Ventricle", "SCT"}, ANATOMY},
    {"right ventricle", {"53085002", "Right ventricle", "SCT"}, ANATOMY},
    {"pericardium", {"76848001", "Pericardium", "SCT"}, ANATOMY},
    {"pulmonary artery", {"81040000", "Pulmonary artery", "SCT"}, ANATOMY},
    {"trachea", {"44567001", "Trachea", "SCT"}, ANATOMY},
    {"bronchus", {"955009", "Bronchus", "SCT"}, ANATOMY},
    {"esophagus", {"32849002", "Esophagus", "SCT"}, ANATOMY},
    {"oesophagus", {"32849002", "Esophagus", "SCT"}, ANATOMY},
    {"bladder", {"89837001", "Bladder", "SCT"}, ANATOMY},
    {"urinary bladder", {"89837001", "Bladder", "SCT"}, ANATOMY},
    {"prostate", {"41216001", "Prostate", "SCT"}, ANATOMY},
    {"seminal vesicle", {"64739004", "Seminal Vesicle", "SCT"}, ANATOMY},
    {"uterus", {"35039007", "Uterus", "SCT"}, ANATOMY},
    {"ovary", {"15497006", "Ovary", "SCT"}, ANATOMY},
    {"brain", {"12738006", "Brain", "SCT"}, ANATOMY},
    {"brainstem", {"119238007", "Brain stem", "SCT"}, ANATOMY},
    {"cerebellum", {"113305005", "Cerebellum", "SCT"}, ANATOMY},
    {"eye", {"81745001", "Eye", "SCT"}, ANATOMY},
    {"lens", {"78076003", "Lens", "SCT"}, ANATOMY},
    {"optic nerve", {"18234004", "Optic nerve", "SCT"}, ANATOMY},
    {"parotid gland", {"45289007", "Parotid gland", "SCT"}, ANATOMY},
    {"parotid", {"45289007", "Parotid gland", "SCT"}, ANATOMY},
    {"submandibular gland", {"54019009", "Submandibular gland", "SCT"}, ANATOMY},
    {"thyroid", {"69748006", "Thyroid", "SCT"}, ANATOMY},
    {"thyroid gland", {"69748006", "Thyroid", "SCT"}, ANATOMY},
    {"thymus", {"9875009", "Thymus", "SCT"}, ANATOMY},
    {"larynx", {"4596009", "Larynx", "SCT"}, ANATOMY},
    {"pharynx", {"54066008", "Pharynx", "SCT"}, ANATOMY},
    {"tongue", {"21974007", "Tongue", "SCT"}, ANATOMY},
    {"mandible", {"91609006", "Mandible", "SCT"}, ANATOMY},
    {"skull", {"89546000", "Skull", "SCT"}, ANATOMY},
    {"small intestine", {"30315005", "Small intestine", "SCT"}, ANATOMY},
    {"small bowel", {"30315005", "Small intestine", "SCT"}, ANATOMY},
    {"duodenum", {"38848004", "Duodenum", "SCT"}, ANATOMY},
    {"jejunum", {"21306003", "Jejunum", "SCT"}, ANATOMY},
    {"ileum", {"34516001", "Ileum", "SCT"}, ANATOMY},
    {"colon", {"71854001", "Colon", "SCT"}, ANATOMY},
    {"cecum", {"32713005", "Cecum", "SCT"}, ANATOMY},
    {"rectum", {"34402009", "Rectum", "SCT"}, ANATOMY},
    {"appendix", {"66754008", "Appendix", "SCT"}, ANATOMY},
    {"adrenal gland", {"23451007", "Adrenal gland", "SCT"}, ANATOMY},
    {"adrenal", {"23451007", "Adrenal gland", "SCT"}, ANATOMY},
    {"ureter", {"87953007", "Ureter", "SCT"}, ANATOMY},
    {"bone", {"272673000", "Bone", "SCT"}, ANATOMY},
    {"bone marrow", {"14016003", "Bone Marrow", "SCT"}, ANATOMY},
    {"rib", {"113197003", "Rib", "SCT"}, ANATOMY},
    {"vertebra", {"51282000", "Vertebra", "SCT"}, ANATOMY},
    {"vertebrae", {"51282000", "Vertebra", "SCT"}, ANATOMY},
    {"spine", {"421060004", "Spine", "SCT"}, ANATOMY},
    {"spinal cord", {"2748008", "Spinal cord", "SCT"}, ANATOMY},
    {"sacrum", {"54735007", "Sacrum", "SCT"}, ANATOMY},
    {"sternum", {"56873002", "Sternum", "SCT"}, ANATOMY},
    {"clavicle", {"51299004", "Clavicle", "SCT"}, ANATOMY},
    {"clavicula", {"51299004", "Clavicle", "SCT"}, ANATOMY},
    {"scapula", {"79601000", "Scapula", "SCT"}, ANATOMY},
    {"humerus", {"85050009", "Humerus", "SCT"}, ANATOMY},
    {"femur", {"71341001", "Femur", "SCT"}, ANATOMY},
    {"tibia", {"12611008", "Tibia", "SCT"}, ANATOMY},
    {"fibula", {"87342007", "Fibula", "SCT"}, ANATOMY},
    {"patella", {"64234005", "Patella", "SCT"}, ANATOMY},
    {"ulna", {"23416004", "Ulna", "SCT"}, ANATOMY},
    {"cartilage", {"309312004", "Cartilage", "SCT"}, ANATOMY},
    {"muscle", {"71616004", "Muscle", "SCT"}, ANATOMY},
    {"fat", {"256674009", "Fat", "SCT"}, ANATOMY},
    {"skin", {"39937001", "Skin", "SCT"}, ANATOMY},
    {"body", {"38266002", "Entire body", "SCT"}, ANATOMY},
    {"blood vessel", {"59820001", "Blood vessel", "SCT"}, ANATOMY},
    {"vessel", {"59820001", "Blood vessel", "SCT"}, ANATOMY},
    {"artery", {"51114001", "Artery", "SCT"}, ANATOMY},
    {"vein", {"29092000", "Vein", "SCT"}, ANATOMY},
    {"iliac artery", {"10293006", "Iliac artery", "SCT"}, ANATOMY},
    {"carotid artery", {"69105007", "Carotid Artery", "SCT"}, ANATOMY},
    {"renal artery", {"2841007", "Renal artery", "SCT"}, ANATOMY},
    {"renal vein", {"56400007", "Renal Vein", "SCT"}, ANATOMY},
    {"lymph node", {"59441001", "Lymph node", "SCT"}, ANATOMY},
    {"diaphragm", {"5798000", "Diaphragm", "SCT"}, ANATOMY},
    {"mediastinum", {"72410000", "Mediastinum", "SCT"}, ANATOMY},
    {"pleura", {"3120008", "Pleura", "SCT"}, ANATOMY},
    {"breast", {"76752008", "Breast", "SCT"}, ANATOMY},
    {"thorax", {"51185008", "Thorax", "SCT"}, ANATOMY},
    {"abdomen", {"113345001", "Abdomen", "SCT"}, ANATOMY},
    {"head", {"69536005", "Head", "SCT"}, ANATOMY},
    {"neck", {"45048000", "Neck", "SCT"}, ANATOMY},
    {"organ", {"113343008", "Organ", "SCT"}, ANATOMY},
    {"lesion", {"52988006", "Lesion", "SCT"}, ABNORMAL},
    {"tumor", {"108369006", "Neoplasm", "SCT"}, ABNORMAL},
    {"tumour", {"108369006", "Neoplasm", "SCT"}, ABNORMAL},
    {"neoplasm", {"108369006", "Neoplasm", "SCT"}, ABNORMAL},
    {"cancer", {"108369006", "Neoplasm", "SCT"}, ABNORMAL},
    {"gtv", {"108369006", "Neoplasm", "SCT"}, ABNORMAL},
    {"metastasis", {"128462008", "Metastasis", "SCT"}, ABNORMAL},
    {"mass", {"4147007", "Mass", "SCT"}, ABNORMAL},
    {"nodule", {"27925004", "Nodule", "SCT"}, ABNORMAL},
    {"cyst", {"367643001", "Cyst", "SCT"}, ABNORMAL},
    {"hemorrhage", {"50960005", "Hemorrhage", "SCT"}, ABNORMAL},
    {"haemorrhage", {"50960005", "Hemorrhage", "SCT"}, ABNORMAL},
    {"hematoma", {"35566002", "Hematoma", "SCT"}, ABNORMAL},
    {"thrombus", {"396339007", "Thrombus", "SCT"}, ABNORMAL},
    {"edema", {"79654002", "Edema", "SCT"}, ABNORMAL},
    {"oedema", {"79654002", "Edema", "SCT"}, ABNORMAL},
    {"necrosis", {"6574001", "Necrosis", "SCT"}, ABNORMAL},
    {"abscess", {"44132006", "Abscess", "SCT"}, ABNORMAL},
    {"implant", {"40388003", "Implant", "SCT"}, OBJECT},
    {"catheter", {"19923001", "Catheter", "SCT"}, OBJECT},
    {"stent", {"65818007", "Stent", "SCT"}, OBJECT},
};

/* The next word of *text in lower case; false at the end. Words consist of letters, digits and what
 * is not ASCII; anything else separates them. */
static bool next_word(const char **text, char word[LABEL_NAME]) {
    size_t n = 0;
    const unsigned char *s = (const unsigned char *)*text;
    while (*s && *s < 0x80 && !isalnum(*s)) s++;
    for (; *s >= 0x80 || isalnum(*s); s++)
        if (n < LABEL_NAME - 1) word[n++] = (char)tolower(*s);
    word[n] = 0;
    *text = (const char *)s;
    return n > 0;
}

/* A count of up to three digits, alone or behind a letter (of a vertebra: "T12"). */
static bool is_number(const char *word) {
    const char *digits = word + (strchr("ctlsv", word[0]) != NULL);
    const size_t n = strspn(digits, "0123456789");
    return n > 0 && n <= 3 && digits[n] == 0;
}

/* ---- codes of a study ---- */

/* The check digit of a SNOMED CT identifier is that of Verhoeff (1969): digits are permuted by
 * their place and multiplied in the dihedral group of order 10, where the product is then 0. */
static bool has_check_digit(const char *digits) {
    static const char permutation[] = "1576283094"; /* the permutation to the power 1 */
    const size_t n = strlen(digits);
    int product = 0;
    for (size_t place = 0; place < n; place++) {
        int d = digits[n - 1 - place] - '0';
        for (size_t k = 0; k < place % 8; k++) d = permutation[d] - '0';
        /* Elements 0-4 are rotations, 5-9 reflections. */
        const int turn = product < 5 ? (product + d) % 5 : (product + 10 - d) % 5;
        product = turn + ((product < 5) == (d < 5) ? 0 : 5);
    }
    return product == 0;
}

/* Copies [from, to) without blanks around it; false if nothing remains, it is too long, or it has a
 * backslash or a control character. */
static bool copy_text(const char *from, const char *to, char *out, size_t size) {
    while (from < to && *from == ' ') from++;
    while (from < to && to[-1] == ' ') to--;
    if (from == to || (size_t)(to - from) >= size) return false;
    for (size_t i = 0; i < (size_t)(to - from); i++) {
        out[i] = from[i];
        if (from[i] == '\\' || (unsigned char)from[i] < ' ' || from[i] == 127) return false;
    }
    out[to - from] = 0;
    return true;
}

/* "VALUE SCHEME meaning" in [from, to). */
static bool read_concept(const char *from, const char *to, coded_concept *out) {
    while (from < to && *from == ' ') from++;
    const char *value = memchr(from, ' ', (size_t)(to - from));
    if (!value) return false;
    const char *at = value;
    while (at < to && *at == ' ') at++;
    const char *scheme = memchr(at, ' ', (size_t)(to - at));
    if (!scheme || !copy_text(from, value, out->value, sizeof out->value) ||
        !copy_text(at, scheme, out->scheme, sizeof out->scheme) ||
        !copy_text(scheme, to, out->meaning, sizeof out->meaning))
        return false;
    if (strcmp(out->scheme, "SCT") != 0) return true;
    const size_t n = strlen(out->value);
    return n >= 6 && strspn(out->value, "0123456789") == n && has_check_digit(out->value);
}

/* Takes a rule apart; *category has no value if the rule names none. */
static bool read_rule(const char *rule, char name[LABEL_NAME], coded_concept *type,
                      coded_concept *category) {
    const char *colon = strchr(rule, ':'), *end = rule + strlen(rule);
    *category = (coded_concept){"", "", ""};
    if (!colon || !copy_text(rule, colon, name, LABEL_NAME)) return false;
    const char *bar = memchr(colon, '|', (size_t)(end - colon));
    return read_concept(colon + 1, bar ? bar : end, type) &&
           (!bar || read_concept(bar + 1, end, category));
}

status structure_codes_check(const char *const *rules, int64_t n) {
    char name[LABEL_NAME], other[LABEL_NAME];
    coded_concept type, category;
    for (int64_t i = 0; i < n; i++) {
        if (!read_rule(rules[i], name, &type, &category))
            return status_fail(ST_USAGE,
                               "entry %" PRId64 " must be \"name: VALUE SCHEME meaning\", with up "
                               "to 16, 16 and 64 characters, perhaps followed by \" | \" and the "
                               "same of its category; a value of SCT is an identifier of SNOMED "
                               "CT: 6 to 16 digits, the last of which checks the others",
                               i + 1);
        for (int64_t k = 0; k < i; k++)
            if (read_rule(rules[k], other, &type, &category) && strcmp(name, other) == 0)
                return status_fail(ST_USAGE, "entry %" PRId64 " has \"%s\", which is there already",
                                   i + 1, name);
    }
    return ST_OK;
}

/* Puts the codes that the study gives a name, if it does; a category that it does not name stays.
 */
static void find_own(const structure_codes *own, const char *name, structure_code *out) {
    char ruled[LABEL_NAME];
    coded_concept type, category;
    for (int64_t i = 0; own && i < own->count; i++) {
        if (!read_rule(own->rules[i], ruled, &type, &category) || strcmp(ruled, name) != 0)
            continue;
        if (category.value[0]) out->category = category;
        out->type = type;
        out->side = (coded_concept){"", "", ""};
        return;
    }
}

/* ---- the table ---- */

static const coded_concept *find(const char *name, const coded_concept **category) {
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        const size_t n = strlen(TABLE[i].name);
        const char *rest = name + n;
        if (strncmp(TABLE[i].name, name, n) != 0) continue;
        if (*rest && strcmp(rest, "s") != 0) continue;
        *category = &CATEGORIES[TABLE[i].category];
        return &TABLE[i].type;
    }
    return NULL;
}

void structure_code_find(const structure_codes *own, const char *name, structure_code *out) {
    char word[LABEL_NAME], all[2 * LABEL_NAME] = "", core[2 * LABEL_NAME] = "";
    const char *rest = name;
    const coded_concept *found = NULL, *category = &CATEGORIES[ANATOMY], *side = NULL;
    while (next_word(&rest, word)) {
        if (is_number(word)) continue;
        const bool left = strcmp(word, "left") == 0 || strcmp(word, "l") == 0;
        const bool right = strcmp(word, "right") == 0 || strcmp(word, "r") == 0;
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", n ? " " : "", word);
        n = strlen(core);
        if (!left && !right) snprintf(core + n, sizeof core - n, "%s%s", n ? " " : "", word);
        if (left || right) side = left ? &LEFT : &RIGHT;
    }
    found = find(all, &category); /* "left atrium" has a code of its own */
    if (found)
        side = NULL;
    else
        found = find(core, &category);
    *out = (structure_code){*category, found ? *found : TISSUE, {"", "", ""}};
    if (side && found) out->side = *side;
    find_own(own, name, out);
}
