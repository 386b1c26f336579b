/* The processor as oneDNN detects it. For kernels/cpu.c. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_ISA_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_ISA_H

#include "model/nn/kernels/cpu.h"

/* The largest of our feature sets that oneDNN may use; the environment variable ONEDNN_MAX_CPU_ISA
 * limits it. With AMX, the call also requests permission to use tiles from the operating system.
 * Local. */
cpu_features onednn_cpu_features(void);

#endif
