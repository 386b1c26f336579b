/* A parametric body CT with known labels: patients who never lived, as many as a test needs.
 *
 * Each patient is a function from points (patient coordinates LPS, mm) to materials, seen through a
 * smooth random warp of its own; the scan samples that function finer than the voxels, blurs it
 * with the scanner's point spread and adds noise. Everything follows from (seed, patient index).
 *
 * Field covered: from the lung bases (superior) to the lower poles of the kidneys, 200 mm; supine,
 * head first. x grows to the patient's left, y to posterior, z to superior.
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

typedef enum material {
    MAT_NONE = -1, /* "not mine": answer of one organ about a point elsewhere */
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
    float hu[PHASE_COUNT]; /* mean over patients */
    float spread;          /* standard deviation between patients, HU */
    float texture;         /* standard deviation inside the tissue, HU */
    phantom_label label;
} material_info;

/* The row of a material 0..MAT_COUNT-1; the name of a label 0..LABEL_COUNT-1. Local. */
const material_info *material_about(material m);
const char *phantom_label_name(phantom_label label);

typedef struct phantom phantom;

/* Draws patient `index` of `seed`. The caller frees it with phantom_free(). Local. */
status phantom_create(uint64_t seed, uint64_t index, phantom **out);
void phantom_free(phantom *p);

phantom_phase phantom_contrast(const phantom *p);
phantom_implant phantom_has_implant(const phantom *p);

/* What is at a point, and the noise-free HU of a material in this patient, texture left out. */
material phantom_at(const phantom *p, const double xyz[3]);
float phantom_hu(const phantom *p, material m);

/* The grid of a scan: z y x voxels, spacing in mm, x y z (LPS, mm) of the centre of voxel 0 0 0.
 * Axes are the patient's. */
typedef struct phantom_grid {
    int64_t shape[3];
    double spacing[3];
    double origin[3];
} phantom_grid;

/* The grid of a clinical scan of this patient: size x size pixels over a field of view that takes
 * the patient's girth, `slices` over 200 mm (40 give 5 mm). Local. */
void phantom_plan(const phantom *p, int64_t size, int64_t slices, phantom_grid *out);

/* Scans the patient into hu and labels (z y x, the caller's). A voxel's label is the most frequent
 * one of its samples. Slices are shared by OpenMP threads, whose number changes nothing. Local. */
status phantom_scan(const phantom *p, const phantom_grid *grid, int16_t *hu, uint8_t *labels);

/* One slice of unit-variance scanner noise (y x, h * w), keyed by patient and slice, with a power
 * spectrum that grows with the frequency and rolls off (Riederer, Pelc and Chesler, Phys Med Biol
 * 23:446, 1978). `spacing` is the pixel spacing in mm. Local. */
status phantom_noise(const phantom *p, int64_t slice, int64_t h, int64_t w, double spacing,
                     float *out);

#endif
