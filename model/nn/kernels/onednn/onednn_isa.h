/* The processor as oneDNN sees it. For kernels/cpu.c, and for the library's own preferences. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_ISA_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_ISA_H

#include "model/nn/kernels/cpu.h"

/* The largest of our feature sets that oneDNN may use, which ONEDNN_MAX_CPU_ISA limits. Where there
 * is AMX, this also asks the operating system for the use of tiles. Local. */
cpu_features onednn_cpu_features(void);

#endif
