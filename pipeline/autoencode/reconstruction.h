/* What an autoencoder makes of held-out slices, in HU.
 *
 * PSNR and SSIM (model/metric/ms_ssim.h) of a slice are those of -1000..1000 HU, to which both
 * images are clamped, with a range of 2000 HU; they are averaged over slices. The error of a pixel
 * is its reconstruction (by the inverse of model/hu_map.h, at most what int16 holds) minus its HU;
 * bias and spread of a structure are mean and standard deviation of the error over its pixels. The
 * noise power (model/metric/noise_spectrum.h) is a mean over the patches that lie within one
 * structure, of HU clamped likewise.
 */
#ifndef CTAUG_PIPELINE_AUTOENCODE_RECONSTRUCTION_H
#define CTAUG_PIPELINE_AUTOENCODE_RECONSTRUCTION_H

#include "model/metric/noise_spectrum.h"
#include "pipeline/autoencode/coder.h"

#include <jansson.h>

typedef struct reconstruction {
    int64_t slices, patients;
    double psnr, ssim; /* dB; 1: equal images */
    int64_t patches;
    double noise[NOISE_BANDS], noise_made[NOISE_BANDS]; /* HU^2; NAN: no patches */
    int structures;                                     /* with the background */
    int64_t pixels[LABELS_MAX];
    double bias[LABELS_MAX], spread[LABELS_MAX]; /* HU; NAN: no pixels */
} reconstruction;

/* HU of a value of the network: the inverse of model/hu_map.h, at most what int16 holds. Local. */
double reconstruction_hu(float y);

/* Measures all slices of `held`; the ranks share them, and the result has the same bits for any
 * number of ranks. Collective. */
status reconstruction_measure(const stage_context *stage, coder *c, slices *held,
                              const label_set *labels, int64_t patients, reconstruction *out);

/* The mean absolute difference of `count` evenly spaced slices of `held` from their
 * reconstructions, in the numbers of the network; the ranks share them as above. Collective. */
status reconstruction_error(const stage_context *stage, coder *c, slices *held, int64_t count,
                            double *error);

/* {"slices": n, "patients": n, "psnr": dB, "ssim": s, "noise": {"patches": n, "bands":
 * [{"from": cycles a pixel, "to": the same, "real": HU^2, "made": HU^2}]}, "structures": {name:
 * {"pixels": n, "bias": HU, "spread": HU}}}, of all structures but the background. New reference;
 * NULL: out of memory. Local. */
json_t *reconstruction_json(const reconstruction *r, const label_set *labels);

/* Logs the table, and warns of a structure whose bias is beyond 10 HU. Local. */
void reconstruction_log(const stage_context *stage, const reconstruction *r,
                        const label_set *labels);

#endif
