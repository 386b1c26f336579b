/* The phantom: a parametric body CT of synthetic patients with known labels, for tests and demos.
 *
 * A patient is a function from points (patient coordinates LPS, mm) to materials, deformed by a
 * smooth random warp of its own. A scan samples this function on a grid finer than the voxels,
 * blurs it with the scanner's point spread function and adds noise. Everything follows from (seed,
 * patient index).
 *
 * The field of view covers 200 mm, from the lung bases (superior) to the lower poles of the
 * kidneys; supine, head first. x increases to the patient's left, y to posterior, z to superior.
 */
#ifndef CTAUG_MODEL_PHANTOM_PHANTOM_H
#define CTAUG_MODEL_PHANTOM_PHANTOM_H

#include "io/status.h"

#include <stdint.h>

typedef enum phantom_phase {
    PHASE_NATIVE,   /* no contrast agent */
    PHASE_ARTERIAL, /* late arterial, about 35 s */
    PHASE_PORTAL,   /* portal venous, about 70 s */
    PHASE_COUNT
} phantom_phase;

typedef enum phantom_label {
    LABEL_BACKGROUND,
    LABEL_LUNG,
    LABEL_HEART,
    LABEL_LIVER,
    LABEL_SPLEEN,
    LABEL_KIDNEY,
    LABEL_AORTA,
    LABEL_BONE,
    LABEL_LESION,
    LABEL_COUNT
} phantom_label;

typedef enum phantom_implant {
    IMPLANT_NONE,
    IMPLANT_SCREWS, /* pedicle screws and rods, titanium */
    IMPLANT_STENT,  /* aortic stent, nitinol */
    IMPLANT_CLIPS,  /* steel clips where the gall bladder was */
    IMPLANT_CEMENT, /* vertebroplasty, bone cement */
    IMPLANT_COUNT
} phantom_implant;

/* The second scanner has a field of view 1.2 times as large, a quarter of the dose (twice the
 * standard deviation of the noise), and a sharp kernel: the point spread function has 0.6 times the
 * standard deviation, and the noise reaches higher frequencies. */
typedef enum phantom_scanner { SCANNER_FIRST, SCANNER_SECOND } phantom_scanner;

typedef enum material {
    MAT_NONE = -1, /* the point is outside the organ that was tested */
    MAT_AIR,
    MAT_LUNG,
    MAT_LUNG_VESSEL,
    MAT_SKIN,
    MAT_FAT,
    MAT_VISCERAL_FAT,
    MAT_MUSCLE,
    MAT_LIVER,
    MAT_PORTAL_BRANCH,
    MAT_HEPATIC_VEIN,
    MAT_LESION,
    MAT_BILE,
    MAT_SPLEEN,
    MAT_KIDNEY_CORTEX,
    MAT_KIDNEY_MEDULLA,
    MAT_RENAL_PELVIS,
    MAT_AORTA,
    MAT_ARTERY,
    MAT_VEIN,
    MAT_PORTAL_VEIN,
    MAT_CALCIFICATION,
    MAT_MYOCARDIUM,
    MAT_HEART_BLOOD,
    MAT_PANCREAS,
    MAT_GUT_WALL,
    MAT_GUT_FLUID,
    MAT_ORAL_CONTRAST,
    MAT_STOOL,
    MAT_GUT_GAS,
    MAT_DISC,
    MAT_SPINAL_CANAL,
    MAT_CANCELLOUS_BONE,
    MAT_CORTICAL_BONE,
    MAT_CARTILAGE,
    MAT_TITANIUM,
    MAT_NITINOL,
    MAT_STEEL,
    MAT_BONE_CEMENT,
    MAT_TABLE_SHELL,
    MAT_TABLE_FOAM,
    MAT_COUNT
} material;

typedef struct material_info {
    const char *name;
    float hu[PHASE_COUNT]; /* mean over patients, HU */
    float spread;          /* standard deviation between patients, HU */
    float texture;         /* standard deviation inside the tissue, HU */
    phantom_label label;
} material_info;

/* The properties of a material 0..MAT_COUNT-1; static storage. Local. */
const material_info *material_info_of(material m);

/* The name of a label 0..LABEL_COUNT-1; static storage. Local. */
const char *phantom_label_name(phantom_label label);

typedef struct phantom phantom;

/* Draws patient `index` of `seed`, which the caller frees with phantom_free(). Local. */
status phantom_create(uint64_t seed, uint64_t index, phantom **out);
void phantom_free(phantom *p);

/* The contrast phase and the implant of the patient. Local. */
phantom_phase phantom_contrast(const phantom *p);
phantom_implant phantom_has_implant(const phantom *p);

/* Has the patient scanned by another scanner from now on; at first it is SCANNER_FIRST. The
 * anatomy, the phase and the HU stay. Local. */
void phantom_use_scanner(phantom *p, phantom_scanner scanner);

/* The material at a point (LPS, mm). Local. */
material phantom_at(const phantom *p, const double xyz[3]);

/* The HU of a material in this patient, without texture and noise. Local. */
float phantom_hu(const phantom *p, material m);

/* The voxel grid of a scan; its axes are those of the patient. */
typedef struct phantom_grid {
    int64_t shape[3];  /* z y x, voxels */
    double spacing[3]; /* z y x, mm */
    double origin[3];  /* x y z of the centre of voxel 0 0 0 (LPS, mm) */
} phantom_grid;

/* The grid of a clinical scan of this patient: size x size pixels over a field of view that
 * contains the patient, `slices` slices over 200 mm (40 slices: 5 mm each). Local. */
void phantom_plan(const phantom *p, int64_t size, int64_t slices, phantom_grid *out);

/* Scans the patient into `hu` and `labels` (z y x, owned by the caller). The label of a voxel is
 * the most frequent label of its samples. Slices are distributed over OpenMP threads, whose number
 * does not change the result. Local. */
status phantom_scan(const phantom *p, const phantom_grid *grid, int16_t *hu, uint8_t *labels);

/* One slice of unit-variance scanner noise (y x, h * w), determined by patient and slice. Its power
 * spectrum increases with frequency and then rolls off (Riederer, Pelc and Chesler, Phys Med Biol
 * 23:446, 1978). `spacing` is the pixel spacing in mm. The scanners' noises are independent.
 * Local. */
status phantom_noise(const phantom *p, int64_t slice, int64_t h, int64_t w, double spacing,
                     float *out);

#endif
