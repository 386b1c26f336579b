/* The table of materials: HU of tissues and implants on a CT scanner at 120 kV, and label names.
 *
 * Means follow the values that textbooks and organ surveys report for the three phases. Implants
 * beyond the 12-bit range of a scanner have the value at which it saturates (3071 HU).
 */
#include "model/phantom/phantom.h"

static const material_info table[MAT_COUNT] = {
    /*                      name                native arterial portal  spread texture label */
    [MAT_AIR] = {"air", {-1000, -1000, -1000}, 0, 0, LABEL_BACKGROUND},
    [MAT_LUNG] = {"lung", {-850, -845, -845}, 25, 22, LABEL_LUNG},
    [MAT_LUNG_VESSEL] = {"lung vessel", {35, 190, 130}, 5, 4, LABEL_LUNG},
    [MAT_SKIN] = {"skin", {15, 18, 25}, 5, 10, LABEL_BACKGROUND},
    [MAT_FAT] = {"subcutaneous fat", {-106, -106, -104}, 4, 6, LABEL_BACKGROUND},
    [MAT_VISCERAL_FAT] = {"visceral fat", {-102, -100, -98}, 5, 11, LABEL_BACKGROUND},
    [MAT_MUSCLE] = {"muscle", {50, 55, 63}, 5, 9, LABEL_BACKGROUND},
    [MAT_LIVER] = {"liver", {56, 72, 108}, 8, 6, LABEL_LIVER},
    [MAT_PORTAL_BRANCH] = {"portal branch", {39, 92, 158}, 7, 4, LABEL_LIVER},
    [MAT_HEPATIC_VEIN] = {"hepatic vein", {39, 60, 150}, 7, 4, LABEL_LIVER},
    [MAT_LESION] = {"liver lesion", {31, 47, 83}, 0, 6, LABEL_LESION},
    [MAT_BILE] = {"bile", {8, 8, 9}, 5, 3, LABEL_BACKGROUND},
    [MAT_SPLEEN] = {"spleen", {48, 108, 117}, 7, 7, LABEL_SPLEEN},
    [MAT_KIDNEY_CORTEX] = {"renal cortex", {32, 168, 172}, 14, 7, LABEL_KIDNEY},
    [MAT_KIDNEY_MEDULLA] = {"renal medulla", {30, 78, 150}, 12, 7, LABEL_KIDNEY},
    [MAT_RENAL_PELVIS] = {"renal pelvis", {6, 6, 10}, 4, 4, LABEL_KIDNEY},
    [MAT_AORTA] = {"aorta", {41, 290, 150}, 14, 4, LABEL_AORTA},
    [MAT_ARTERY] = {"artery", {41, 270, 145}, 14, 4, LABEL_BACKGROUND},
    [MAT_VEIN] = {"vein", {40, 75, 136}, 9, 4, LABEL_BACKGROUND},
    [MAT_PORTAL_VEIN] = {"portal vein", {40, 95, 160}, 9, 4, LABEL_BACKGROUND},
    [MAT_CALCIFICATION] = {"calcification", {560, 560, 560}, 90, 20, LABEL_BACKGROUND},
    [MAT_MYOCARDIUM] = {"myocardium", {45, 92, 105}, 7, 6, LABEL_HEART},
    [MAT_HEART_BLOOD] = {"blood in the heart", {40, 245, 142}, 14, 5, LABEL_HEART},
    [MAT_PANCREAS] = {"pancreas", {38, 94, 86}, 7, 11, LABEL_BACKGROUND},
    [MAT_GUT_WALL] = {"gut wall", {36, 78, 88}, 7, 8, LABEL_BACKGROUND},
    [MAT_GUT_FLUID] = {"gut content", {20, 20, 22}, 9, 13, LABEL_BACKGROUND},
    [MAT_ORAL_CONTRAST] = {"oral contrast", {210, 210, 210}, 45, 22, LABEL_BACKGROUND},
    [MAT_STOOL] = {"stool", {-5, -5, -5}, 25, 65, LABEL_BACKGROUND},
    [MAT_GUT_GAS] = {"gut gas", {-960, -960, -960}, 15, 5, LABEL_BACKGROUND},
    [MAT_DISC] = {"intervertebral disc", {78, 80, 84}, 8, 8, LABEL_BACKGROUND},
    [MAT_SPINAL_CANAL] = {"thecal sac", {26, 26, 28}, 5, 6, LABEL_BACKGROUND},
    [MAT_CANCELLOUS_BONE] = {"cancellous bone", {150, 155, 162}, 38, 38, LABEL_BONE},
    [MAT_CORTICAL_BONE] = {"cortical bone", {900, 900, 900}, 90, 60, LABEL_BONE},
    [MAT_CARTILAGE] = {"costal cartilage", {112, 112, 114}, 14, 14, LABEL_BACKGROUND},
    [MAT_TITANIUM] = {"titanium", {3071, 3071, 3071}, 0, 0, LABEL_BACKGROUND},
    [MAT_NITINOL] = {"nitinol", {2600, 2600, 2600}, 120, 0, LABEL_BACKGROUND},
    [MAT_STEEL] = {"steel", {3071, 3071, 3071}, 0, 0, LABEL_BACKGROUND},
    [MAT_BONE_CEMENT] = {"bone cement", {1300, 1300, 1300}, 200, 60, LABEL_BONE},
    [MAT_TABLE_SHELL] = {"table shell", {-260, -260, -260}, 40, 10, LABEL_BACKGROUND},
    [MAT_TABLE_FOAM] = {"table foam", {-920, -920, -920}, 15, 4, LABEL_BACKGROUND},
};

static const char *const labels[LABEL_COUNT] = {
    "background", "lung", "heart", "liver", "spleen", "kidney", "aorta", "bone", "lesion",
};

const material_info *material_info_of(material m) { return &table[m]; }

const char *phantom_label_name(phantom_label label) { return labels[label]; }
