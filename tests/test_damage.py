#!/usr/bin/python3
"""Compressed frames that are cut or damaged are refused, whatever the decoder makes of them, and so
are pixels whose High Bit says one thing and whose bits another."""

import os
import struct
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
from ct_files import (COLUMNS, ENCODER, INPUT, J2K, RLE, ROWS, TOOL, by_dcmtk, check, j2k, packed,
                      random, read, refused, scratch, run_tests, slice_of, some, whole)


def phantom(side=128):
    """A disc with noise: what codes well, and differs from pixel to pixel."""
    y, x = np.mgrid[:side, :side]
    inside = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (0.4 * side) ** 2
    return np.where(inside, 1000 + random.randint(0, 64, y.shape) + x, random.randint(0, 8, y.shape))


def damaged_frames():
    """A frame that is cut, or has lost a part, is refused, however its end looks."""
    v = phantom()
    ds = slice_of(v)
    frames = [by_dcmtk(v, t) for t in (["dcmcrle"], ["dcmcjpeg", "+e1"], ["dcmcjpeg", "+ee"],
                                       ["dcmcjpls", "+el"])]
    frames += [(j2k(v, 12, False, *o), J2K) for o in ((), ("-t", "64,64"), ("-I", "-r", "6"))]
    for frame, syntax in frames:
        read(packed(ds, [frame], syntax))
        n = len(frame)
        for at in range(n // 4, n - 700, n // 9):
            for spoilt in (frame[:at], frame[:at] + frame[-2:], frame[:at] + bytes(n - at),
                           frame[:at] + b"\xff" * (n - at), frame[:at] + bytes(600) + frame[at + 600:],
                           frame[:at] + frame[at + 37:]):
                refused(packed(ds, [spoilt], syntax))
    # RLE that ends between two runs, or whose last run is too long.
    runs = struct.pack("<16I", 2, 64, 66 + 2, *[0] * 13)
    tiny = slice_of(np.full((8, 16), 0x0301))
    for high, low, fine in ((b"\x81\3", b"\x81\1", True), (b"\x81\3", b"\x82\1", False),
                            (b"\x81\3", b"\x7f\1", False), (b"\xc1\3", b"\x81\1", False)):
        content = packed(tiny, [runs + high + b"\0\0" + low], RLE)
        if fine:
            check(content, np.full((8, 16), 0x0301 - 1024))
        else:
            refused(content, "RLE data of the pixels are cut or damaged")


def damaged_bits():
    """A byte within a code block of JPEG 2000 spoils the block and nothing that frames it: nearly
    all of that is noticed. So is what leaves the range of a lossless JPEG."""
    v = phantom()
    ds = slice_of(v)
    for (frame, syntax), most in (((j2k(v, 12, False), J2K), 6),
                                  (by_dcmtk(v, ["dcmcjpls", "+el"]), 4)):
        wrong = 0
        for at in range(len(frame) // 8, len(frame) - 64, len(frame) // 40):
            spoilt = bytearray(frame)
            spoilt[at] ^= 0x55
            path, hu = scratch("spoilt.dcm"), scratch("hu")
            with open(path, "wb") as out:
                out.write(packed(ds, [bytes(spoilt)], syntax))
            ran = subprocess.run([TOOL, path, hu], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                 timeout=60, check=False)
            assert ran.returncode in (0, INPUT), ran
            same = ran.returncode == 0 and (np.fromfile(hu, "<i2") == v.ravel() - 1024).all()
            wrong += ran.returncode == 0 and not same
        assert wrong <= most, (syntax, wrong)


def high_bit():
    """High Bit above Bits Stored - 1 is believed if the pixels show it."""
    v = some(1, 4096) | 1
    for sign in (False, True):
        stored = v - 2048 if sign else v
        intercept = 0 if sign else -1024
        for high in (12, 15):
            ds = slice_of(stored << (high - 11), 12, sign, intercept=intercept)
            ds.HighBit = high
            check(whole(ds), stored + intercept)
            path = scratch("native.dcm")
            with open(path, "wb") as out:
                out.write(whole(ds))
            subprocess.run(["dcmcrle", path, path + ".packed"], check=True)
            with open(path + ".packed", "rb") as stream:
                check(stream.read(), stored + intercept)
            ds = slice_of(stored & 0xFFF, 12, sign, intercept=intercept)  # says so, and does not
            ds.HighBit = high
            refused(whole(ds), "HighBit (0028,0102) is %d where 12 bits are stored" % high)
    ds = slice_of(np.full((ROWS, COLUMNS), 0x0800), 12)
    ds.HighBit = 15
    refused(whole(ds), "HighBit (0028,0102)")  # 2048, or 128?
    # Streams that say themselves how many bits they have.
    frame, syntax = by_dcmtk(v, ["dcmcjpls", "+el", "+pc"])
    ds = slice_of(v)
    ds.HighBit = 15
    for content in (packed(ds, [frame], syntax),
                    *([packed(ds, [j2k(v, 12, False)], J2K)] if ENCODER else [])):
        check(content, v - 1024)
    if ENCODER:
        check(packed(ds, [j2k(v << 4, 16, False)], J2K), v - 1024)
        refused(packed(ds, [j2k(v, 16, False)], J2K), "HighBit (0028,0102)")


def main():
    run_tests([high_bit, *([damaged_frames, damaged_bits] if ENCODER else [])], sys.argv[1:])
    if not ENCODER:
        print("opj_compress is not installed (libopenjp2-tools)")
        sys.exit(77)


main()
