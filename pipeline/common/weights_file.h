/* Parameters of a network from a safetensors file, as `ctaug weights` writes them. */
#ifndef CTAUG_PIPELINE_COMMON_WEIGHTS_FILE_H
#define CTAUG_PIPELINE_COMMON_WEIGHTS_FILE_H

#include "model/nn/params.h"

/* Sets the values of all parameters. ST_INPUT, naming the tensor, unless the file has a tensor of
 * the name and shape of each parameter, and no others. Local. */
status weights_read(const char *path, params *p);

#endif
