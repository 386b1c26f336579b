/* Structures by name: the table of SNOMED CT codes, as PS3.16 uses them, and the words of which
 * names of structures are made. */
#include "io/structure_codes.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ANATOMY, ABNORMAL, OBJECT };

static const coded_concept CATEGORIES[] = {
    [ANATOMY] = {"123037004", "Anatomical Structure"},
    [ABNORMAL] = {"49755003", "Morphologically Abnormal Structure"},
    [OBJECT] = {"260787004", "Physical object"},
};
static const coded_concept TISSUE = {"85756007", "Tissue"}, LEFT = {"7771000", "Left"},
                           RIGHT = {"24028007", "Right"};

static const struct {
    const char *name; /* lower case, singular, without left and right */
    coded_concept type;
    int category;
} TABLE[] = {
    {"liver", {"10200004", "Liver"}, ANATOMY},
    {"spleen", {"78961009", "Spleen"}, ANATOMY},
    {"kidney", {"64033007", "Kidney"}, ANATOMY},
    {"pancreas", {"15776009", "Pancreas"}, ANATOMY},
    {"gallbladder", {"28231008", "Gallbladder"}, ANATOMY},
    {"gall bladder", {"28231008", "Gallbladder"}, ANATOMY},
    {"stomach", {"69695003", "Stomach"}, ANATOMY},
    {"aorta", {"15825003", "Aorta"}, ANATOMY},
    {"inferior vena cava", {"64131007", "Inferior Vena Cava"}, ANATOMY},
    {"ivc", {"64131007", "Inferior Vena Cava"}, ANATOMY},
    {"superior vena cava", {"48345005", "Superior Vena Cava"}, ANATOMY},
    {"portal vein", {"32764006", "Portal Vein"}, ANATOMY},
    {"hepatic vein", {"8993003", "Hepatic Vein"}, ANATOMY},
    {"splenic vein", {"35819009", "Splenic Vein"}, ANATOMY},
    {"lung", {"39607008", "Lung"}, ANATOMY},
    {"lung upper lobe", {"45653009", "Upper lobe of lung"}, ANATOMY},
    {"lung middle lobe", {"40020002", "Middle lobe of lung"}, ANATOMY},
    {"lung lower lobe", {"90572001", "Lower lobe of lung"}, ANATOMY},
    {"heart", {"80891009", "Heart"}, ANATOMY},
    {"left atrium", {"82471001", "Left atrium"}, ANATOMY},
    {"right atrium", {"73829009", "Right Atrium"}, ANATOMY},
    {"left ventricle", {"87878005", "Left Ventricle"}, ANATOMY},
    {"right ventricle", {"53085002", "Right ventricle"}, ANATOMY},
    {"pericardium", {"76848001", "Pericardium"}, ANATOMY},
    {"pulmonary artery", {"81040000", "Pulmonary artery"}, ANATOMY},
    {"trachea", {"44567001", "Trachea"}, ANATOMY},
    {"bronchus", {"955009", "Bronchus"}, ANATOMY},
    {"esophagus", {"32849002", "Esophagus"}, ANATOMY},
    {"oesophagus", {"32849002", "Esophagus"}, ANATOMY},
    {"bladder", {"89837001", "Bladder"}, ANATOMY},
    {"urinary bladder", {"89837001", "Bladder"}, ANATOMY},
    {"prostate", {"41216001", "Prostate"}, ANATOMY},
    {"seminal vesicle", {"64739004", "Seminal Vesicle"}, ANATOMY},
    {"uterus", {"35039007", "Uterus"}, ANATOMY},
    {"ovary", {"15497006", "Ovary"}, ANATOMY},
    {"brain", {"12738006", "Brain"}, ANATOMY},
    {"brainstem", {"119238007", "Brain stem"}, ANATOMY},
    {"cerebellum", {"113305005", "Cerebellum"}, ANATOMY},
    {"eye", {"81745001", "Eye"}, ANATOMY},
    {"lens", {"78076003", "Lens"}, ANATOMY},
    {"optic nerve", {"18234004", "Optic nerve"}, ANATOMY},
    {"parotid gland", {"45289007", "Parotid gland"}, ANATOMY},
    {"parotid", {"45289007", "Parotid gland"}, ANATOMY},
    {"submandibular gland", {"54019009", "Submandibular gland"}, ANATOMY},
    {"thyroid", {"69748006", "Thyroid"}, ANATOMY},
    {"thyroid gland", {"69748006", "Thyroid"}, ANATOMY},
    {"thymus", {"9875009", "Thymus"}, ANATOMY},
    {"larynx", {"4596009", "Larynx"}, ANATOMY},
    {"pharynx", {"54066008", "Pharynx"}, ANATOMY},
    {"tongue", {"21974007", "Tongue"}, ANATOMY},
    {"mandible", {"91609006", "Mandible"}, ANATOMY},
    {"skull", {"89546000", "Skull"}, ANATOMY},
    {"small intestine", {"30315005", "Small intestine"}, ANATOMY},
    {"small bowel", {"30315005", "Small intestine"}, ANATOMY},
    {"duodenum", {"38848004", "Duodenum"}, ANATOMY},
    {"jejunum", {"21306003", "Jejunum"}, ANATOMY},
    {"ileum", {"34516001", "Ileum"}, ANATOMY},
    {"colon", {"71854001", "Colon"}, ANATOMY},
    {"cecum", {"32713005", "Cecum"}, ANATOMY},
    {"rectum", {"34402009", "Rectum"}, ANATOMY},
    {"appendix", {"66754008", "Appendix"}, ANATOMY},
    {"adrenal gland", {"23451007", "Adrenal gland"}, ANATOMY},
    {"adrenal", {"23451007", "Adrenal gland"}, ANATOMY},
    {"ureter", {"87953007", "Ureter"}, ANATOMY},
    {"bone", {"272673000", "Bone"}, ANATOMY},
    {"bone marrow", {"14016003", "Bone Marrow"}, ANATOMY},
    {"rib", {"113197003", "Rib"}, ANATOMY},
    {"vertebra", {"51282000", "Vertebra"}, ANATOMY},
    {"vertebrae", {"51282000", "Vertebra"}, ANATOMY},
    {"spine", {"421060004", "Spine"}, ANATOMY},
    {"spinal cord", {"2748008", "Spinal cord"}, ANATOMY},
    {"sacrum", {"54735007", "Sacrum"}, ANATOMY},
    {"sternum", {"56873002", "Sternum"}, ANATOMY},
    {"clavicle", {"51299004", "Clavicle"}, ANATOMY},
    {"clavicula", {"51299004", "Clavicle"}, ANATOMY},
    {"scapula", {"79601000", "Scapula"}, ANATOMY},
    {"humerus", {"85050009", "Humerus"}, ANATOMY},
    {"femur", {"71341001", "Femur"}, ANATOMY},
    {"tibia", {"12611008", "Tibia"}, ANATOMY},
    {"fibula", {"87342007", "Fibula"}, ANATOMY},
    {"patella", {"64234005", "Patella"}, ANATOMY},
    {"ulna", {"23416004", "Ulna"}, ANATOMY},
    {"cartilage", {"309312004", "Cartilage"}, ANATOMY},
    {"muscle", {"71616004", "Muscle"}, ANATOMY},
    {"fat", {"256674009", "Fat"}, ANATOMY},
    {"skin", {"39937001", "Skin"}, ANATOMY},
    {"body", {"38266002", "Entire body"}, ANATOMY},
    {"blood vessel", {"59820001", "Blood vessel"}, ANATOMY},
    {"vessel", {"59820001", "Blood vessel"}, ANATOMY},
    {"artery", {"51114001", "Artery"}, ANATOMY},
    {"vein", {"29092000", "Vein"}, ANATOMY},
    {"iliac artery", {"10293006", "Iliac artery"}, ANATOMY},
    {"carotid artery", {"69105007", "Carotid Artery"}, ANATOMY},
    {"renal artery", {"2841007", "Renal artery"}, ANATOMY},
    {"renal vein", {"56400007", "Renal Vein"}, ANATOMY},
    {"lymph node", {"59441001", "Lymph node"}, ANATOMY},
    {"diaphragm", {"5798000", "Diaphragm"}, ANATOMY},
    {"mediastinum", {"72410000", "Mediastinum"}, ANATOMY},
    {"pleura", {"3120008", "Pleura"}, ANATOMY},
    {"breast", {"76752008", "Breast"}, ANATOMY},
    {"thorax", {"51185008", "Thorax"}, ANATOMY},
    {"abdomen", {"113345001", "Abdomen"}, ANATOMY},
    {"head", {"69536005", "Head"}, ANATOMY},
    {"neck", {"45048000", "Neck"}, ANATOMY},
    {"organ", {"113343008", "Organ"}, ANATOMY},
    {"lesion", {"52988006", "Lesion"}, ABNORMAL},
    {"tumor", {"108369006", "Neoplasm"}, ABNORMAL},
    {"tumour", {"108369006", "Neoplasm"}, ABNORMAL},
    {"neoplasm", {"108369006", "Neoplasm"}, ABNORMAL},
    {"cancer", {"108369006", "Neoplasm"}, ABNORMAL},
    {"gtv", {"108369006", "Neoplasm"}, ABNORMAL},
    {"metastasis", {"128462008", "Metastasis"}, ABNORMAL},
    {"mass", {"4147007", "Mass"}, ABNORMAL},
    {"nodule", {"27925004", "Nodule"}, ABNORMAL},
    {"cyst", {"367643001", "Cyst"}, ABNORMAL},
    {"hemorrhage", {"50960005", "Hemorrhage"}, ABNORMAL},
    {"haemorrhage", {"50960005", "Hemorrhage"}, ABNORMAL},
    {"hematoma", {"35566002", "Hematoma"}, ABNORMAL},
    {"thrombus", {"396339007", "Thrombus"}, ABNORMAL},
    {"edema", {"79654002", "Edema"}, ABNORMAL},
    {"oedema", {"79654002", "Edema"}, ABNORMAL},
    {"necrosis", {"6574001", "Necrosis"}, ABNORMAL},
    {"abscess", {"44132006", "Abscess"}, ABNORMAL},
    {"implant", {"40388003", "Implant"}, OBJECT},
    {"catheter", {"19923001", "Catheter"}, OBJECT},
    {"stent", {"65818007", "Stent"}, OBJECT},
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

void structure_code_find(const char *name, structure_code *out) {
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
    *out = (structure_code){*category, found ? *found : TISSUE, {NULL, NULL}};
    if (side && found) out->side = *side;
}
