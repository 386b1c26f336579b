/* What io/dicom_seg*.cpp share: the frames of a segmentation, where they lie, and their pixels. */
#ifndef CTAUG_IO_DICOM_SEG_HPP
#define CTAUG_IO_DICOM_SEG_HPP

#include "io/dicom_common.hpp"

#include <vector>

enum class seg_kind { binary, fractional, label_map };

/* What the object says of its pixels. */
struct seg_form {
    seg_kind kind;
    int64_t frames, rows, columns, bits; /* bits: 1, 8 or 16 */
    int64_t fractional_max;              /* MaximumFractionalValue; fractional only */
    int64_t padding;                     /* the value of label maps that marks nothing; -1: none */
};

/* A frame: its segment, and where the centres of its pixels lie. */
struct seg_frame {
    int64_t segment; /* Segment Number; 0 in a label map */
    double position[3], row[3], column[3], spacing[2];
};

/* Where a frame lies on the grid of a volume. The pixel at row i, column j next to voxel (z, y, x)
 * is i = at[0] + y * per_y[0] + x * per_x[0], and j alike with [1]. */
struct seg_place {
    int64_t z;       /* the nearest slice, which may be beyond the volume */
    double fraction; /* slices from there to the frame, -0.5..0.5 */
    double at[2], per_y[2], per_x[2];
};

/* SegmentationType, sizes and bits. ST_INPUT: another kind, no frames, more pixels than `content`
 * bytes can hold. */
status seg_read_form(const char *path, DcmDataset &data, int64_t content, seg_form *form);

/* The frames by their functional groups, in the order of the pixels. ST_INPUT. */
status seg_read_frames(const char *path, DcmDataset &data, const seg_form &form,
                       std::vector<seg_frame> *frames);

/* Places all frames on the grid. ST_INPUT: a plane that is not parallel to the slices, frames
 * between slices, frames of a coarser grid than the volume's. */
status seg_place_frames(const char *path, DcmDataset &data, const seg_form &form,
                        const std::vector<seg_frame> &frames, const geometry *space,
                        std::vector<seg_place> *places);

/* The point at row i, column j of a frame, from the origin of the volume, mm. */
void seg_point(const seg_frame &frame, const geometry *space, double i, double j, double out[3]);

/* The voxels of a slice next to pixels of a frame, rows and columns `from`..`to`, cut to the
 * volume; no rows or columns if it is beyond. */
mask_box seg_box(const seg_frame &frame, const seg_place &place, const geometry *space,
                 const int64_t from[2], const int64_t to[2]);

/* The pixels of all frames, as they are stored. */
class seg_pixels {
  public:
    /* Finds the pixels of `data`, which must outlive this object. ST_INPUT. */
    status open(const char *path, DcmDataset &data, const seg_form &form);
    /* Frame k, one cell a pixel. ST_INPUT. */
    status read(int64_t k, std::vector<uint16_t> *cells);

  private:
    status find_native();
    status find_fragments(E_TransferSyntax syntax);
    status read_rle(int64_t k, std::vector<uint16_t> *cells);
    status read_jpeg2000(int64_t k, std::vector<uint16_t> *cells);

    const char *path = nullptr;
    seg_form form = {};
    const Uint8 *native = nullptr;  /* all frames in a row */
    DcmPixelData *pixels = nullptr; /* or compressed, of this syntax */
    E_TransferSyntax syntax = EXS_Unknown;
    DcmPixelSequence *fragments = nullptr; /* in RLE one a frame, behind the table of offsets */
};

/* How messages name frame k of a file: "path: frame 3". */
std::string seg_frame_text(const char *path, int64_t k);

#endif
