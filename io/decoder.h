/* Reading files of an archive in a child process (io/helper.h), so that a file on which a library
 * crashes, hangs or takes all memory is a fault of that file and of nothing else.
 *
 * One child serves the whole process, from decoder_begin() to decoder_end(). Without it the
 * functions below do the same in this process. They are those of io/dicom.h and io/label_file.h,
 * and fail besides with ST_INPUT, naming the file, if the child crashed or reached its limits:
 *
 *   memory: 1 GiB and 16 times the bytes of the file and the voxels of the result
 *   time:   60 s of processor time for each file, and one more for each 4 MiB of it; ten
 *           times that by the clock
 *
 * A child that something outside kills, as a system without memory does, is no fault of the file:
 * ST_INTERNAL if that happens twice, after which a new run may go on.
 *
 * All are Local, and are to be called by one thread at a time.
 */
#ifndef CTAUG_IO_DECODER_H
#define CTAUG_IO_DECODER_H

#include "io/label_file.h"

/* For main(), before anything else: whether this process was started as the child of another one,
 * and is to call decoder_serve(). A program that never asks gets no child. */
bool decoder_is_wanted(int argc, char **argv);

/* The work of the child, until its parent ends. ST_USAGE if no parent has started it. */
status decoder_serve(void);

/* Starts the child. ST_INTERNAL if it cannot be started. */
status decoder_begin(void);

/* Ends it. Without decoder_begin() it does nothing. */
void decoder_end(void);

/* The headers of a file: those of dicom_read_frames() for Enhanced CT, else the one of
 * dicom_read_header(). The caller frees *frames. */
status decoder_read_headers(const char *path, dicom_header **frames, int64_t *count);

/* dicom_salvage(). */
status decoder_salvage(const char *path, dicom_header *out, dicom_remains *remains);

/* dicom_read_ct(). */
status decoder_read_ct(const dicom_header *h, int16_t *hu);

/* dicom_seg_fits(). */
status decoder_seg_fits(const char *path, const geometry *space, const char *frame_of_reference_uid,
                        bool *fits);

/* label_file_texts(). */
status decoder_label_texts(const char *path, dicom_kind kind, structure_texts *texts);

/* label_file_grid(). */
status decoder_label_grid(const char *path, dicom_kind kind, geometry *space);

/* label_files_read(). */
status decoder_read_labels(const label_files *files, const seg_target *to, uint8_t *labels,
                           label_tally *tally);

#endif
