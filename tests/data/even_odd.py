"""The even-odd rule in numpy, independent of ctaug: for each voxel centre a ray along growing rows,
where ctaug marks crossings along columns."""

import numpy as np


def inside(outlines, rows, columns):
    """Mask (rows, columns) of the centres inside an odd number of outlines of (column, row). Not
    for centres on an edge, where rules differ."""
    y = np.arange(rows)[:, None]
    odd = np.zeros((rows, columns), bool)
    for outline in outlines:
        outline = np.asarray(outline, float)
        for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0)):
            if x0 == x1:
                continue
            first, last = (int(np.clip(np.ceil(v), 0, columns)) for v in sorted((x0, x1)))
            x = np.arange(first, last)[None, :]
            odd[:, first:last] ^= y0 + (x - x0) * (y1 - y0) / (x1 - x0) > y
    return odd


def structure_set(ds, names, origin, axes, spacing, shape):
    """Label map of a data set of pydicom: the value of an ROI is the index of its name; the highest
    ROI Number wins. axes: row direction, column direction, normal; spacing and shape: z y x."""
    labels = np.zeros(shape, np.uint8)
    name_of = {int(r.ROINumber): str(r.ROIName) for r in ds.StructureSetROISequence}
    for roi in sorted(ds.ROIContourSequence, key=lambda r: int(r.ReferencedROINumber)):
        slices = {}
        for item in roi.get("ContourSequence", []):
            if item.ContourGeometricType != "CLOSED_PLANAR":
                continue
            mm = np.array([float(v) for v in item.ContourData]).reshape(-1, 3) - origin
            x, y, z = (mm @ axis for axis in axes)
            k = int(np.round(z.mean() / spacing[0]))
            if 0 <= k < shape[0]:
                slices.setdefault(k, []).append(np.stack([x / spacing[2], y / spacing[1]], axis=1))
        for k, outlines in slices.items():
            value = names.index(name_of[int(roi.ReferencedROINumber)])
            labels[k][inside(outlines, *shape[1:])] = value
    return labels
