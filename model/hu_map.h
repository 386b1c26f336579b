/* A compressive map of HU to the numbers that an autoencoder sees. With u = HU / 1000:
 *
 *     y = u                          for |u| <= 1
 *     y = sign(u) (1 + ln |u|)       beyond
 *
 * -1000..1000 HU stay linear. Beyond, equal steps of y are equal ratios of HU: dense bone and metal
 * are kept, 3071 HU at 2.12 and the ends of int16 at -4.49 and 4.49. The map rises everywhere, and
 * so does its inverse; both have a continuous slope.
 *
 * y in f32 keeps -1024..3071 HU within 4e-4 HU and all of int16 within 1e-2 HU. All are Local.
 */
#ifndef CTAUG_MODEL_HU_MAP_H
#define CTAUG_MODEL_HU_MAP_H

double hu_map_to(double hu);
double hu_map_from(double y);

/* d HU / dy at y, in HU. */
double hu_map_from_slope(double y);

#endif
