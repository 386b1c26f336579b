#!/usr/bin/python3
"""The report of runs with known results: no text of the study becomes markup, nothing is fetched
from elsewhere, every value is present, each image shows the slice that it names, and metrics of
another study are refused."""
import base64
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zlib

import numpy as np

import chain
from report_page import Page, check_alone, row
from report_run import FIRST, METRICS, NAME, SECOND, TOOL, make_run, printed, read, report


def check_numbers(page):
    assert page.text.count(NAME) >= 3 and METRICS["warnings"][0] in page.text
    assert row(page, FIRST)[1:] == ["4", "0.7010.690–0.712", "0.7520.741–0.763",
                                    "+0.051+0.051 to +0.051"]
    assert row(page, SECOND)[1:] == ["5", "0.9050.904–0.906", "0.8860.880–0.892",
                                     "−0.019−0.024 to −0.014"]
    assert row(page, "gone")[2] == "n/a" and row(page, "gone")[4] == "n/a"
    assert row(page, "Mean of 2 structures")[2:] == ["0.803", "0.819", "+0.016"]
    assert row(page, "Synthetic")[1:] == ["307", "held-out real (451)", "12.3456"]
    assert row(page, "Real, training split (the floor)")[1:] == ["308", "held-out real (451)",
                                                                  "3.4567"]
    assert row(page, "Real CT")[1:] == ["7", "7", "63"]
    assert row(page, "Synthetic CT")[2:] == ["3", "27"]
    assert row(page, "Training")[1:] == ["4", "4", "36"]
    assert row(page, "Test, held out")[1:] == ["5", "6", "45"]
    assert row(page, "random seed")[1] == "77001" and row(page, "version: mpi")[1] == "Open MPI v9.8.7"
    assert row(page, "version: <b>lib</b>")[1] == "</td><script>"
    assert row(page, "fingerprint: store")[1] == "ab" * 32
    for words in ("raised Dice for 1 of the structures and lowered it for 1", "ratio 3.6",
                  "303849 parameters", "encoder, sha256:feed", "step 40 of 800", "cd" * 32,
                  "20 rows, 24 to 25 columns, pixels of 0.75 to 0.8 mm, slices every 2.5 mm; 3 of 7",
                  "loss of 0.0123 and a validation loss of 0.3456", "working size of 24 × 24",
                  "self-attention in the middle block)",  # 24, 12, 6, 3 are neither 16 nor 8
                  "mpirun -n 3 ctaug run", "not those of the Inception network"):
        assert words in page.text, words
    assert "No patient-level evidence" not in page.text


def pixels(uri):
    """Rows of RGB values of a PNG without interlacing, its filters undone."""
    data = base64.b64decode(uri.split(",")[1], validate=True)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            assert body[8:] == bytes([8, 2, 0, 0, 0])
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, stride, rows = zlib.decompress(packed), 3 * width, []
    for y in range(height):
        filter_kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:][:stride])
        up = rows[-1] if rows else bytes(stride)
        for i in range(stride):
            a, b = line[i - 3] if i >= 3 else 0, up[i]
            c = up[i - 3] if i >= 3 else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            line[i] = (line[i] + (0, a, b, (a + b) // 2, nearest)[filter_kind]) % 256
        rows.append(bytes(line))
    return rows


def check_pictures(page, volumes):
    """The grey of each image identifies its slice (tests/tool_run.c); a synthetic slice is below
    its source."""
    columns = 6
    page.images = [i for i in page.images if re.match(r"(Real|Synthetic) slice", i["alt"])]
    assert len(page.images) % (4 * columns) == 0 and len(page.images) >= 4 * columns
    tinted = 0
    for example in range(0, len(page.images), 4 * columns):
        for c in range(columns):
            four = [page.images[example + k * columns + c] for k in range(4)]
            kinds = [re.fullmatch(r"(\w+) slice (\d+) of (\d+)(, with labels)?", i["alt"]).groups()
                     for i in four]
            assert [k[0] for k in kinds] == ["Real", "Synthetic"] * 2
            assert [bool(k[3]) for k in kinds] == [False, False, True, True]
            z = int(kinds[0][1]) - 1
            grids = [pixels(i["src"]) for i in four]
            assert all(len(g) == 24 and len(g[0]) == 72 for g in grids)
            real, made = grids[0][10][24], grids[1][10][24]
            expected = [round(255 * (100 + 90 * z + 7 * v) / 2000) for v in range(volumes)]
            assert real in expected, (real, expected)
            assert abs(made - real - 255 * 40 / 2000) <= 1, (made, real)
            assert all(len(set(g[10][24:27])) == 1 for g in grids[:2])
            tinted += any(len(set(g[4][24:27])) > 1 for g in grids[2:])
    assert tinted > 0


def check_viewer(page, out):
    """The volumes in the page, unpacked: the HU and labels of the stores, in every slice."""
    divs = [{}]
    for tag, key, value in page.attributes:
        if tag == "div" and key.startswith("data-"):
            if key[5:] in divs[-1]:
                divs.append({})
            divs[-1][key[5:]] = value
    assert [d["kind"] for d in divs] == ["Synthetic"] * 2 + ["Real, held out"], divs
    for d in divs:
        side, depth = int(d["side"]), int(d["depth"])
        planes = np.frombuffer(zlib.decompress(base64.b64decode(d["hu"], validate=True)), np.uint8)
        low, high = planes.reshape(2, depth, side, side).astype(int)
        hu = (np.cumsum(low + 256 * high, axis=2) + 32768) % 65536 - 32768
        labels = np.frombuffer(zlib.decompress(base64.b64decode(d["labels"], validate=True)), np.uint8)
        labels = labels.reshape(depth, side, side)
        made = d["kind"] == "Synthetic"
        volumes, _ = chain.read_store(os.path.join(out, "synthetic" if made else "store"))
        wanted_hu, wanted_labels, _ = volumes[d["name"]]
        assert (d["first"], d["step"], d["of"], depth, side) == ("0", "1", "9", 9, 24), d
        rows = slice(0, 24) if made else slice(2, 22)  # real slices of 20 rows are centred
        assert (hu[:, rows] == wanted_hu).all() and (labels[:, rows] == wanted_labels).all(), d["name"]
        assert made or ((hu[:, :2] == -1000).all() and (labels[:, 22:] == 0).all())


def check_print(out):
    """The PDF has the results, the warnings and the numbers of the page."""
    text = printed(out)
    for words in ("" if not text else (
            NAME, "On 5 held-out patients, segmenters trained on real and synthetic slices reached a mean "
            "Dice of 0.819, those trained on real slices alone 0.803 (difference +0.016).",
            FIRST + " 4 0.701 [0.690, 0.712] 0.752 [0.741, 0.763] +0.051 [0.051, 0.051]",
            "Mean of 2 0.803 0.819 +0.016", "Synthetic 307 12.3456", METRICS["warnings"][0],
            "Scorecard of the synthetic data", "metrics fingerprint " + "cd" * 32)):
        assert words in text, (words, text)


def check_curve(page):
    """Three validation losses, each a tenth of the one before, are equally spaced (log scale)."""
    dots = [d for d in page.circles if d["r"] == "3" and d["fill"] == "#D55E00"]
    y = [float(d["cy"]) for d in dots]
    assert len(y) == 4, y  # one belongs to the legend
    assert abs((y[1] - y[0]) - (y[2] - y[1])) < 0.3 and y[1] > y[0] + 20, y


def whole(place):
    out = make_run(place, "whole", METRICS, 7)
    said = report(out)
    assert os.path.join(out, "report/report.html") in said and "ctaug export" in said, said
    source = read(out)
    page = Page(source)
    check_alone(source, page)
    check_numbers(page)
    check_pictures(page, 7)
    check_curve(page)
    check_viewer(page, out)
    check_print(out)
    # A second run writes nothing. Two ranks write the same bytes.
    file = os.path.join(out, "report", "report.html")
    before = os.stat(file)
    assert "current" in report(out) and os.stat(file).st_mtime_ns == before.st_mtime_ns
    shutil.rmtree(os.path.join(out, "report"))
    report(out, ranks=2)
    assert read(out) == source
    return out


def sealed(value):
    """The object with its seal: the SHA-256 of the rest in compact sorted form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return {**value, "seal": hashlib.sha256(text.encode()).hexdigest()}


def one_patient_and_few_numbers(place):
    out = make_run(place, "few", {"dice": {"bone": {}}, "fid": {"value": None}, "warnings": None}, 1)
    report(out)
    source = read(out)
    page = Page(source)
    check_alone(source, page)
    check_pictures(page, 1)
    assert "No patient-level evidence" in page.text and "n/a" in page.text
    assert row(page, "Real CT")[1:] == ["–", "–", "–"]
    # In a short training each step appears once on the axis.
    with open(os.path.join(out, "checkpoints", "history.json"), "w", encoding="utf-8") as stream:
        json.dump(sealed({"train": {"step": [1, 2, 3], "loss": [1, 0.5, 0.25]},
                          "validation": {"step": [], "loss": []}}), stream,
                  separators=(",", ":"))
    report(out)
    chart = read(out).split(">optimiser step<")[0].split("<svg")[-1]
    assert re.findall(r'text-anchor="middle">(\d+)<', chart) == ["0", "1", "2", "3"], chart[-600:]


def methods(place):
    """The methods name what the study used, and cite only that."""
    out = make_run(place, "methods", METRICS, 7, "generate.painters=[diffusion, gaussian, gan]",
                   "generate.mixture=0.25", "generate.insert=[cyst in bone: 0.6 x 1..3]",
                   "data.labelled=2", "train.pseudo_labels=on", "gan.steps=70")
    report(out)
    used = Page(read(out)).text
    few = make_run(place, "few", METRICS, 7, "distil.kind=consistency-distillation", "distil.q=3",
                   "distil.stages=5", "generate.sampler=consistency", "generate.grid=consistency",
                   "generate.steps=2", "distil.steps=321")
    report(few)
    few = Page(read(few)).text
    for words in ("by a step of Heun's method with the trained network (consistency distillation)",
                  "(1 + exp t)) / 3^k), with k rising from 1 to 5", "RAdam (Liu et al. 2020",
                  "Consistency models made easy", "consistency sampling (Song et al. 2023) in 2 steps",
                  "then 40 of 321 steps of consistency-distillation", "step 40 of 800 of its distillation"):
        assert words in few, words
        assert words not in used, words
    flow = make_run(place, "flow", METRICS, 7, "diffusion.process=flow", "generate.sampler=euler",
                    "distil.kind=reflow", "distil.pairs=321", "distil.pair_steps=7")
    report(flow)
    flow = Page(read(flow)).text
    for words in ("321 pairs of noise and sample that the network had drawn itself by the midpoint "
                  "rule in 7 steps (reflow, Liu et al. 2023). RAdam", "adaptive learning rate"):
        assert words in flow, words
    assert "consistency model (" not in flow and "Consistency models" not in flow
    short = make_run(place, "short", METRICS, 7, "diffusion.process=flow", "diffusion.shortcut=on",
                     "generate.sampler=euler", "generate.steps=4")
    report(short)
    short = Page(read(short)).text
    for words in ("(shortcut model, Frans et al. 2024)", "One step diffusion via shortcut models"):
        assert words in short and words not in flow, words
    plain = make_run(place, "plain", METRICS, 7, "generate.appearance=0")
    report(plain)
    other = Page(read(plain)).text
    for words in ("In 25% of them one structure was taken from the map of another patient.",
                  "Into 60% of them 1 to 3 ellipsoids with a random surface were inserted as cyst "
                  "in bone", "with strength 0.5 to those of their volume", "(after Billot et al. 2023)",
                  "conditional GAN", "for 70 steps", "Miyato T et al.", "Billot B et al.",
                  "Of each batch, 70% were slices of 3 patients whose labels were not used", "pseudo-labels"):
        assert words in used, words
        assert words not in other, words


def refusals(out):
    report(out, "--set", "train.lr=1e-3", code=3)
    assert "evaluate" in report(out, "--set", "evaluate.steps=7", code=3)
    file = os.path.join(out, "metrics", "metrics.json")
    with open(file, encoding="utf-8") as stream:
        text = stream.read()
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text.replace("0.752", "0.952"))
    said = report(out, code=5)
    assert file in said and f"remove {out}/metrics and run ctaug evaluate again" in said, said
    shutil.rmtree(os.path.join(out, "metrics"))
    assert "ctaug evaluate" in report(out, code=3)
    shutil.rmtree(os.path.join(out, "synthetic"))
    assert "ctaug generate" in report(out, ranks=2, code=3)


def main():
    if not os.access(TOOL, os.X_OK):
        sys.exit(f"{TOOL} is missing: make test-programs")
    with tempfile.TemporaryDirectory(prefix="ctaug-report-") as place:
        out = whole(place)
        one_patient_and_few_numbers(place)
        methods(place)
        refusals(out)


main()
