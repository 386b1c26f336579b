"""What `ctaug ingest` does with a folder, as people write it with pydicom and h5py.

usage: peer_ingest.py DIR FILE.h5

Reads each series of DIR, sorts it by position, takes HU and the binary SEG beside it, and writes
them in chunks of a slice with gzip 4, shuffle and Fletcher32, as the store has them."""
import pathlib
import sys

import h5py
import numpy as np
import pydicom


def hu_of(slices):
    stored = np.stack([s.pixel_array for s in slices])
    slope, intercept = float(slices[0].RescaleSlope), float(slices[0].RescaleIntercept)
    return np.rint(stored * slope + intercept).astype(np.int16)


def labels_of(seg, places, shape):
    """Segment numbers at the slices of their frames."""
    labels = np.zeros(shape, np.uint8)
    for item, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array):
        z = round(float(item.PlanePositionSequence[0].ImagePositionPatient[2]), 3)
        number = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[places[z]][pixels > 0] = number
    return labels


def main():
    series, segs = {}, {}
    for path in pathlib.Path(sys.argv[1]).rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        if ds.Modality == "SEG":
            segs[ds.ReferencedSeriesSequence[0].SeriesInstanceUID] = ds
        else:
            series.setdefault(ds.SeriesInstanceUID, []).append(ds)
    with h5py.File(sys.argv[2], "w") as out:
        for number, (uid, slices) in enumerate(sorted(series.items())):
            slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
            hu = hu_of(slices)
            places = {round(float(s.ImagePositionPatient[2]), 3): z for z, s in enumerate(slices)}
            labels = labels_of(segs[uid], places, hu.shape)
            group = out.create_group("volumes/%d" % number)
            for name, values in (("ct", hu), ("labels", labels)):
                group.create_dataset(name, data=values, chunks=(1, *hu.shape[1:]), shuffle=True,
                                     compression="gzip", compression_opts=4, fletcher32=True)


main()
