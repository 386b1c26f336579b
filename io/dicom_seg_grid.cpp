/* The grid of a segmentation that lies on no CT: that of its frames, and of the slices between them
 * that have none.
 *
 * Writers leave out empty frames, and some cut each frame. So the step is the smallest distance of
 * two frames, every frame must lie a whole number of steps from the first, and the slices are as
 * large as all frames together.
 */
#include "io/dicom_seg.hpp"

#include <algorithm>
#include <cinttypes>
#include <cmath>

enum { SLICES_MAX = 4096, SIDE_MAX = 8192 };
static const double FAR = 1e7; /* mm */

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Whether two frames have the same plane, directions and pixels. */
static bool is_alike(const seg_frame &a, const seg_frame &b) {
    static const double tolerance = 0.005; /* cosines rounded to two digits */
    bool alike = true;
    for (int i = 0; i < 3; i++)
        alike = alike && std::fabs(a.row[i] - b.row[i]) < tolerance &&
                std::fabs(a.column[i] - b.column[i]) < tolerance;
    for (int i = 0; i < 2; i++)
        alike = alike && std::fabs(a.spacing[i] / b.spacing[i] - 1) < tolerance;
    return alike;
}

/* The distance of slices where all frames have one height: what the object says, else a pixel. */
static double thickness(DcmDataset &data, const seg_frame &frame) {
    Float64 value = 0;
    DcmItem *shared = dicom_item(data, DCM_SharedFunctionalGroupsSequence);
    DcmItem *measures = shared ? dicom_item(*shared, DCM_PixelMeasuresSequence) : NULL;
    for (const DcmTagKey &tag : {DCM_SpacingBetweenSlices, DCM_SliceThickness})
        if (measures && measures->findAndGetFloat64(tag, value).good() && value > 1e-3 &&
            value < 1e3)
            return value;
    return frame.spacing[0];
}

/* Step and number of the slices, from the heights of the frames. */
static status stack_frames(const char *path, std::vector<double> heights, geometry *space) {
    static const double same = 1e-3; /* mm */
    double step = 0;
    std::sort(heights.begin(), heights.end());
    for (std::size_t k = 1; k < heights.size(); k++) {
        const double gap = heights[k] - heights[k - 1];
        if (gap > same && (step == 0 || gap < step)) step = gap;
    }
    if (step > 0) space->spacing[0] = step;
    const double slices = (heights.back() - heights.front()) / space->spacing[0] + 1;
    if (!(slices < SLICES_MAX))
        return status_fail(ST_INPUT, "%s: frames that lie %g slices apart", path, slices);
    space->shape[0] = static_cast<int64_t>(std::lround(slices));
    /* Rounded positions: the step of the whole stack is more exact than that of two frames. */
    if (space->shape[0] > 1)
        space->spacing[0] =
            (heights.back() - heights.front()) / static_cast<double>(space->shape[0] - 1);
    for (const double height : heights) {
        const double at = (height - heights.front()) / space->spacing[0];
        if (std::fabs(at - std::round(at)) > 0.1)
            return status_fail(ST_INPUT, "%s: its frames lie at uneven distances", path);
    }
    return ST_OK;
}

/* The rows and columns that all frames take together, and the origin of the grid. */
static status join_frames(const char *path, const seg_form &form,
                          const std::vector<seg_frame> &frames, geometry *space) {
    double low[2] = {0, 0}, high[2] = {0, 0}, lowest = 0;
    const seg_frame &first = frames[0];
    for (const seg_frame &frame : frames) {
        double from[3];
        for (int i = 0; i < 3; i++) from[i] = frame.position[i] - first.position[i];
        const double at[2] = {dot(from, first.column) / first.spacing[0],
                              dot(from, first.row) / first.spacing[1]};
        for (int a = 0; a < 2; a++) {
            if (std::fabs(at[a] - std::round(at[a])) > 0.1)
                return status_fail(ST_INPUT, "%s: its frames do not lie above one another", path);
            low[a] = std::fmin(low[a], std::round(at[a]));
            high[a] = std::fmax(high[a], std::round(at[a]));
        }
        lowest = std::fmin(lowest, dot(from, space->direction));
    }
    const double rows = high[0] - low[0] + static_cast<double>(form.rows);
    const double columns = high[1] - low[1] + static_cast<double>(form.columns);
    if (!(rows <= SIDE_MAX && columns <= SIDE_MAX))
        return status_fail(ST_INPUT, "%s: frames that take %g x %g pixels together", path, rows,
                           columns);
    space->shape[1] = static_cast<int64_t>(rows);
    space->shape[2] = static_cast<int64_t>(columns);
    for (int i = 0; i < 3; i++)
        space->origin[i] = first.position[i] + low[0] * first.spacing[0] * first.column[i] +
                           low[1] * first.spacing[1] * first.row[i] + lowest * space->direction[i];
    return ST_OK;
}

static status grid_of(const char *path, DcmDataset &data, const seg_form &form,
                      const std::vector<seg_frame> &frames, geometry *space) {
    status st;
    const seg_frame &first = frames[0];
    std::vector<double> heights;
    *space = {};
    for (int i = 0; i < 3; i++) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        space->direction[i] = first.row[j] * first.column[k] - first.row[k] * first.column[j];
        space->direction[3 + i] = first.column[i];
        space->direction[6 + i] = first.row[i];
    }
    for (const seg_frame &frame : frames) {
        if (!is_alike(frame, first))
            TRY(status_fail(ST_INPUT, "%s: its frames have different planes or pixels", path));
        heights.push_back(dot(frame.position, space->direction));
        if (!(std::fabs(heights.back()) < FAR))
            TRY(status_fail(ST_INPUT, "%s: its frames are far from everything", path));
    }
    space->spacing[0] = thickness(data, first);
    space->spacing[1] = first.spacing[0];
    space->spacing[2] = first.spacing[1];
    TRY(stack_frames(path, heights, space));
    TRY(join_frames(path, form, frames, space));
done:
    return st;
}

status dicom_seg_grid(const char *path, geometry *space) {
    return dicom_guard(path, [&] {
        status st;
        DcmFileFormat file;
        DcmDataset &data = *file.getDataset();
        int64_t content = 0;
        seg_form form = {};
        std::vector<seg_frame> frames;
        TRY(dicom_load(path, DCM_PixelData, file, &content));
        TRY(seg_read_form(path, data, content, &form));
        TRY(seg_read_frames(path, data, form, &frames));
        TRY(grid_of(path, data, form, frames, space));
    done:
        return st;
    });
}
