/* Captions: what is known of a CT slice or volume as an English sentence, by a grammar with several
 * wordings. In the notation of ISO/IEC 14977, with one blank between words:
 *
 *   caption   = subject , [ "of the" , body ] , [ after ] , [ findings ] , { separator , clause } ;
 *   subject   = [ before ] , noun ;
 *   noun      = "axial CT slice" | "CT slice" | "transverse CT image"             (a slice)
 *             | "CT volume" | "CT scan" | "CT series" ;                           (a volume)
 *   before    = "native" | "unenhanced" | "contrast-enhanced" | "enhanced" ;
 *   after     = ( "without" | "with" ) , ( "contrast agent" | "contrast medium" ) ;
 *   findings  = ( "showing" | "with" | "containing" ) , structure , { "," , structure } ,
 *               [ "and" , structure ] ;
 *   structure = [ class ] , [ side ] , name , [ place ] , [ size ] ;
 *   class     = "small" | "medium" | "large" ;                                    (of lesions)
 *   side      = "left" | "right" | "left and right" ;
 *   place     = "on the left" | "on the right" | "on both sides" ;
 *   size      = "(N mm)" | "of N mm" ;
 *   separator = "," | ";" ;
 *   clause    = noise | pixels | kernel ;
 *   noise     = level , "noise (N HU)" | "noise" , level , ", N HU" ;
 *   level     = "low" | "moderate" | "high" ;
 *   pixels    = "pixels of N mm" | "N mm pixels" | "pixel spacing N mm" ;
 *   kernel    = ( "soft" | "sharp" ) , [ "reconstruction" ] , "kernel" ;
 *
 * Commas and semicolons have no blank before them. One caption has either `before` or `after`,
 * either `side` or `place`, and one form of `size`. What is not known is not said. Structures and
 * clauses come in a random order.
 *
 * Classes of size are those of the evaluation: small below 10 mm, large from 20 mm. Levels of
 * noise: low below 10 HU, high from 20 HU. They are those of the rounded numbers.
 */
#ifndef CTAUG_MODEL_TEXT_GRAMMAR_H
#define CTAUG_MODEL_TEXT_GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

/* Grows whenever the same facts and draws give other captions: part of fingerprints. */
#define GRAMMAR_FORM "2"

/* Bytes of a name and of a caption with their final 0, structures of a caption. */
enum { CAPTION_NAME = 65, CAPTION_SIZE = 2048, CAPTION_STRUCTURES = 12 };

/* The patient's sides. */
typedef enum caption_side { SIDE_UNKNOWN, SIDE_LEFT, SIDE_RIGHT, SIDE_BOTH } caption_side;

typedef enum caption_contrast {
    CONTRAST_UNKNOWN,
    CONTRAST_NATIVE, /* without contrast agent */
    CONTRAST_AGENT
} caption_contrast;

typedef struct caption_structure {
    char name[CAPTION_NAME]; /* "liver", "adrenal gland": without a side */
    caption_side side;
    double size; /* mm; 0: unknown */
    bool lesion; /* has a class of size */
} caption_structure;

typedef struct caption_facts {
    bool volume;             /* a volume, not a slice */
    char body[CAPTION_NAME]; /* "abdomen"; "": unknown */
    caption_contrast contrast;
    double noise;              /* standard deviation, HU; 0: unknown */
    double spacing;            /* of the pixels, mm; 0: unknown */
    char kernel[CAPTION_NAME]; /* "soft", "sharp"; "": unknown */
    caption_structure structure[CAPTION_STRUCTURES];
    int structures;
} caption_facts;

/* Writes the caption of the facts, whose wording is drawn from (seed, RNG_CAPTION, index, step).
 * Sizes are rounded to 1 mm, noise to 1 HU, the spacing to 0.1 mm; none of them to 0. Local. */
void caption_write(const caption_facts *f, uint64_t seed, uint64_t index, uint32_t step,
                   char out[CAPTION_SIZE]);

#endif
