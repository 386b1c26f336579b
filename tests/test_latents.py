"""A model of latents: the store of latents is what numpy makes of the store and the published
autoencoder, the same bytes on 1, 2 and 4 ranks and after it was killed or stopped; a training on it
resumes to the same bits; its samples are decoded, on any number of ranks to the same bytes; every
later stage runs; what is for pixels alone is refused."""
import glob
import json
import os
import shutil
import signal

import h5py
import numpy

import chain
import checkpoints
from interruption import interrupt
from numpy_autoencoder import encode, published, to_map

COPIES, SIZE, FACTOR, Z, PART, TISSUES = 24, 32, 4, 4, 128, 3
SET = [word for setting in ("model.space=latent", "generate.appearance=0", "autoencode.steps=24",
                            "autoencode.batch=8", "autoencode.base=8", "autoencode.blocks=1",
                            "autoencode.patch=16", f"train.copies={COPIES}",
                            "train.reproducible=on") for word in ("--set", setting)]


def begin(place, name, made):
    """A study with the store and the autoencoder of another run."""
    study, out = place.study(name)
    for folder in ("store", "autoencoder"):
        shutil.copytree(f"{made}/{folder}", f"{out}/{folder}")
    return study, out


def files(out):
    return sorted(glob.glob(f"{out}/latents/*/latents-*.h5"))


def records(out):
    """(latents, codes, copies) of a run, by h5py."""
    latents, codes = [], []
    for path in files(out):
        with h5py.File(path, "r") as f:
            assert f["latent"].chunks[0] == f["codes"].chunks[0] == 1
            latents.append(f["latent"][...])
            codes.append(f["codes"][..., 0])
    with open(glob.glob(f"{out}/latents/*/manifest.json")[0]) as f:
        detail = json.load(f)["detail"]
    latents, codes = numpy.concatenate(latents), numpy.concatenate(codes)
    assert detail["records"] == len(latents) == len(codes) and detail["copies"] == COPIES
    return latents, codes


def tissue_codes(hu, label_map, labels):
    """The codes of a slice: the mean of 3 x 3 pixels (fewer at the border) in classes of HU."""
    windowed = numpy.clip(hu, -1000, 1000).astype(float)
    ones, total = (sum(numpy.pad(x, 1)[i:i + SIZE, k:k + SIZE] for i in range(3) for k in range(3))
                   for x in (numpy.ones_like(windowed), windowed))
    mean = total / ones
    kinds = numpy.digitize(mean, (-200, -30, 150))
    sure = numpy.abs(mean[..., None] - numpy.array((-200, -30, 150))).min(-1) > 0.01
    codes = numpy.where((label_map == 0) & (kinds > 0), labels + kinds - 1, label_map)
    return codes, sure


def check_store(out):
    """Every plain record, by its slice in the store; the scale; and the copies."""
    latents, codes = records(out)
    p, scale = published(out)
    volumes, names = chain.read_store(f"{out}/store")
    assert latents.shape[1:] == (SIZE // FACTOR, SIZE // FACTOR, Z)
    assert codes.shape[1:] == (SIZE, SIZE)
    expected = {}
    for name, (hu, map_of, _) in volumes.items():
        for z in range(len(hu)):
            made, sure = tissue_codes(hu[z], map_of[z], len(names))
            latent = encode(p, to_map(hu[z].astype(float))[..., None], 3) * scale
            expected[name, z] = latent, made, sure
    each = 1 + COPIES
    trained = sum(len(hu) for hu, *_ in volumes.values())
    # The number of records tells how many slices there are of each split.
    splits = [(n, v) for n in range(8, trained, 8) for v in (8, 16)
              if n * each + v == len(latents)]
    assert len(splits) == 1, (splits, len(latents))
    n, validation = splits[0]
    plain = [*range(0, n * each, each), *range(n * each, n * each + validation)]
    seen = set()
    for i in plain:
        key = min(expected, key=lambda k: numpy.abs(expected[k][0] - latents[i]).max())
        latent, made, sure = expected[key]
        assert numpy.abs(latent - latents[i]).max() < 2e-4, (i, key)
        assert (codes[i] == made)[sure].all(), (i, key)
        seen.add(key)
    assert len(seen) == len(plain)
    deviation = latents[plain[:n]].std((0, 1, 2))
    assert numpy.allclose(deviation, 1, rtol=1e-3), deviation
    for k in (0, n - 1):
        own = latents[k * each:(k + 1) * each]
        assert len({x.tobytes() for x in own}) == each, "copies are augmented differently"
    print(f"{n} training slices with {COPIES} copies each, {validation} of validation")


def latent_bytes(out):
    found = chain.hashes(f"{out}/latents")
    assert len(found) > 3, found
    return found


def interrupted(place, made, sign, code):
    """A training that gets a signal when the first file of latents is finished, run again."""
    study, out = begin(place, f"interrupted-{sign.name}", made)
    ended = interrupt(sign, f"{out}/latents/*/*.part", 2, "train", study, *SET)
    assert ended == code and not glob.glob(f"{out}/latents/*/manifest.json"), ended
    kept = {p[:-5]: os.stat(f"{p[:-5]}.h5").st_mtime_ns
            for p in glob.glob(f"{out}/latents/*/*.part")}
    assert kept
    chain.run(1, "train", study, *SET)
    assert all(os.stat(f"{p}.h5").st_mtime_ns == t for p, t in kept.items())
    return out


def check_damage(study, out, good):
    """A damaged file is made again; other settings of the training take the same latents, other
    copies others."""
    os.rename(f"{out}/latents", f"{out}/kept")
    said = chain.run(2, "train", study, *SET)
    assert "is current" in said and not os.path.exists(f"{out}/latents"), "no data are needed"
    os.rename(f"{out}/kept", f"{out}/latents")
    path = files(out)[1]
    with open(path, "r+b") as f:
        f.seek(5000)
        byte = f.read(1)[0]
        f.seek(5000)
        f.write(bytes([byte ^ 1]))
    said = chain.run(0, "verify", out, expect=5)
    assert "latents-0000001.h5" in said and "ctaug train" in said, said
    said = chain.run(2, "train", study, *SET)
    assert "made again" in said and "is current" in said, said
    said = chain.run(2, "train", study, *SET, "--set", "train.lr=1e-5")
    assert "made again" not in said and latent_bytes(out) == good, said
    chain.run(1, "train", study, *SET, "--set", "train.copies=0", "--set", "train.steps=2")
    assert len(glob.glob(f"{out}/latents/*")) == 2


def check_other_autoencoder(study, out):
    """Checkpoints of latents of another autoencoder are neither current nor sampled."""
    mark = f"{out}/checkpoints/autoencoder.part"
    os.rename(mark, f"{mark}.kept")
    for verb in ("train", "generate"):
        said = chain.run(2, verb, study, *SET, expect=3)
        assert "not trained with the present autoencoder" in said, said
    os.rename(f"{mark}.kept", mark)
    assert "is current" in chain.run(2, "train", study, *SET)


def check_samples(study, out):
    """The decoded slices; stages after it; processes with another measure of the data."""
    found = []
    for ranks in (1, 2, 3):
        shutil.rmtree(f"{out}/synthetic", ignore_errors=True)
        chain.run(ranks, "generate", study, *SET)
        found.append(chain.hashes(f"{out}/synthetic")["shard-00000.h5"])
    assert found[0] == found[1] == found[2]
    volumes, _ = chain.read_store(f"{out}/synthetic")
    hu = numpy.concatenate([v[0] for v in volumes.values()])
    assert hu.shape[1:] == (SIZE, SIZE) and hu.std() > 1, hu.std()
    said = chain.run(2, "run", study, *SET, "--set", "evaluate.arms=[real, real+synthetic]")
    assert "-- autoencode" in said and os.path.exists(f"{out}/report/report.html"), said
    with open(f"{out}/report/report.html") as f:
        page = f.read()
    assert "latents of an autoencoder" in page and "noise that the autoencoder drops" in page
    with open(f"{out}/synthetic/manifest.json") as f:
        assert json.load(f)["detail"]["provenance"]["residual"] is True
    said = chain.run(2, "generate", study, *SET, "--set", "generate.residual=off")
    assert "is current" not in said
    smooth, _ = chain.read_store(f"{out}/synthetic")
    check_noise(out, volumes, smooth)


def check_noise(out, volumes, smooth):
    """What decoded slices are given has the spread of their tissue times a level of the volume."""
    with h5py.File(f"{out}/autoencoder/parameters.h5", "r") as f:
        sigma, level = f["residual.sigma"][...], f["residual.level"][...]
    levels = []
    for name, (hu, _, _) in volumes.items():
        plain, shares = smooth[name][0].astype(float), []
        for a, b in zip(hu, plain):
            kind, sure = tissue_codes(b, 0 * b.astype(int), 1)
            # 1 fat, 2 soft, 3 dense; the store has whole HU, cut to the window.
            inside = sure & (kind > 0) & (abs(a) < 1000) & (abs(b) < 1000)
            shares.append(((a - b) / sigma[kind - 1])[inside])
        shares = numpy.concatenate(shares)
        assert len(shares) > 200 and abs(shares.mean()) < 0.2, (len(shares), shares.mean())
        levels.append(shares.std())
    assert level[0] * 0.8 < min(levels) <= max(levels) < level[-1] * 1.2, (levels, level)
    assert max(levels) > 1.01 * min(levels), levels


def check_reconstructed(place, made):
    """The Dice of the referee on reconstructions: that on the slices is the referee's own, and what
    a hardly trained autoencoder leaves changes what it finds."""
    for ranks in (1, 2):
        study, out = begin(place, f"judged-{ranks}", made)
        more = ("--set", "evaluate.fidelity=0.1", "--set", "evaluate.steps=60")
        said = chain.run(ranks, "referee", study, *SET, *more)
        assert "on reconstructed slices" in said, said
        with open(f"{out}/reconstructed/dice.json") as f:
            dice = json.load(f)
        with open(f"{out}/referee/manifest.json") as f:
            own = json.load(f)["detail"]["dice"]
        assert dice["patients"] == 1 and list(dice["dice"]) == list(own)
        for name, value in own.items():
            row = dice["dice"][name]
            assert (row["slices"] is None) == (value is None), (name, row, value)
            assert value is None or abs(row["slices"] - value) < 1e-8, (name, row, value)
        rows = [r for r in dice["dice"].values() if r["slices"] and r["reconstructed"] is not None]
        assert any(r["slices"] != r["reconstructed"] for r in rows), rows
        assert all(0 <= r["reconstructed"] <= 1 for r in rows)
        again = chain.run(ranks, "referee", study, *SET, *more)
        assert "is current" in again and "on reconstructed slices" not in again, again


def check_refusals(place, made):
    study, out = place.study("refused")
    shutil.copytree(f"{made}/store", f"{out}/store")
    said = chain.run(2, "train", study, *SET, expect=3)
    assert "run ctaug autoencode first" in said, said
    for word, text in (("generate.appearance=0.5", "generate.appearance must be 0"),
                       ("generate.painters=[diffusion, gan]", "painters must be without gan"),
                       ("diffusion.variance=learned", "diffusion.variance must be"),
                       ("evaluate.bound_slices=8", "evaluate.bound_slices must be 0"),
                       ("autoencode.z=17", "at most as many values")):
        said = chain.run(1, "train", study, *SET, "--set", word, expect=2)
        assert text in said, (word, said)


def main():
    with chain.Place() as place:
        study, out = place.study("whole")
        for verb in ("ingest", "autoencode"):
            chain.run(1, verb, study, *SET)
        chain.run(2, "train", study, *SET)
        good = latent_bytes(out)
        check_store(out)
        for ranks in (1, 4):
            other_study, other = begin(place, f"ranks-{ranks}", out)
            chain.run(ranks, "train", other_study, *SET)
            assert latent_bytes(other) == good
            if ranks == 1:
                checkpoints.same(checkpoints.newest(out), checkpoints.newest(other))
        for sign, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGUSR1, 75)):
            other = interrupted(place, out, sign, code)
            assert latent_bytes(other) == good
            checkpoints.same(checkpoints.newest(out), checkpoints.newest(other))
        for words in (("diffusion.process=edm", "generate.sampler=heun", "generate.grid=karras"),
                      ("diffusion.process=flow", "generate.sampler=euler")):
            other_study, other = begin(place, words[0].split("=")[1], out)
            more = [w for word in words for w in ("--set", word)]
            chain.run(2, "train", other_study, *SET, *more)
            chain.run(1, "generate", other_study, *SET, *more)
        check_other_autoencoder(study, out)
        check_samples(study, out)
        check_damage(study, out, good)
        check_reconstructed(place, out)
        check_refusals(place, out)


main()
