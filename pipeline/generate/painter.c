/* The table of painters. A new one: its value in painter_kind, its name in study_table.c, its row
 * here, and its fingerprint in pipeline/common/fingerprint.c. */
#include "pipeline/generate/painter.h"

const painter *const painters[PAINTER_KINDS] = {[PAINTER_DIFFUSION] = &painter_diffusion,
                                                [PAINTER_GAUSSIAN] = &painter_gaussian,
                                                [PAINTER_GAN] = &painter_gan};
