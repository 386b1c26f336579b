/* The controlled list of names of structures: what a label may say without a rule of the study. */
#ifndef CTAUG_IO_STRUCTURE_WORDS_H
#define CTAUG_IO_STRUCTURE_WORDS_H

#include <stdbool.h>

/* Whether a text consists of known words, in any order, with at most one number of up to three
 * digits among them: "Liver", "kidney_left", "Lung_R", "vertebrae_L1", "GTVp-2". Also "structure-"
 * (or a blank) and 32 or more hexadecimal digits, a hash. Local. */
bool structure_is_known(const char *text);

#endif
