/* What a header tells of how a volume was taken, as classes: no text of a header is kept, so that
 * none can name a person.
 *
 * - Class of the reconstruction kernel, from Convolution Kernel (0018,1210): soft, for tissue of
 *   the body and the brain, or sharp, for bone and lung. Known are the names of GE (STANDARD,
 *   SOFT, BONE, LUNG, EDGE ...), Siemens (a letter or two and the sharpness: B30f, Br40, Hr38 are
 *   soft, from 50 they are sharp), Canon and Toshiba (FC01 to FC28 are soft, FC30 to FC38, FC50 to
 *   FC58 and FC80 to FC86 sharp), Philips (A, B, C, UA, UB, UC are soft, D, E, L, YA to YD sharp).
 * - Part of the body, from the defined terms of Body Part Examined (0018,0015), PS3.16 annex L.
 *
 * Every other text is unknown. Of several words in the name of a kernel (HD BONE) one is enough.
 * The numbers are those of stores: classes are only ever added at the end.
 */
#ifndef CTAUG_IO_SCAN_TRAITS_H
#define CTAUG_IO_SCAN_TRAITS_H

typedef enum kernel_class {
    KERNEL_UNKNOWN,
    KERNEL_SOFT,
    KERNEL_SHARP,
    KERNEL_CLASSES
} kernel_class;

typedef enum body_part {
    BODY_UNKNOWN,
    BODY_HEAD,
    BODY_NECK,
    BODY_CHEST,
    BODY_ABDOMEN,
    BODY_PELVIS,
    BODY_TRUNK, /* two or three of chest, abdomen and pelvis */
    BODY_SPINE,
    BODY_ARM,
    BODY_LEG,
    BODY_PARTS
} body_part;

typedef struct scan_traits {
    kernel_class kernel;
    body_part body;
} scan_traits;

/* Of the value of Convolution Kernel; of several values the first one counts. Local. */
kernel_class kernel_class_of(const char *text);

/* Of the value of Body Part Examined. Local. */
body_part body_part_of(const char *text);

/* "soft", "sharp"; "head", "neck", ...; "" if unknown. kernel_class_of() and body_part_of() read
 * these words, too, in any case. Local. */
const char *kernel_class_word(kernel_class k);
const char *body_part_word(body_part b);

#endif
