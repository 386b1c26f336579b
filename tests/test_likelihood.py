"""Bits per pixel of held-out slices: a network that has learnt nothing predicts v = 0, so that
every term of the bound is an integral over one normal variable a pixel, which numpy computes from
the store. The same numbers on 1 and 2 ranks; the terms add up; sampling with the learned
variance."""
import itertools
import json
import math
import os
import shutil

import numpy

import chain

T, LOW, HIGH, OUTPUT = 20, -1000, 1000, {"fixed-small": 0.0, "fixed-large": 1.0, "learned": 0.5}
SET = ("--set", f"diffusion.steps={T}", "--set", "train.steps=1", "--set", "train.warmup=1", "--set",
       "train.lr=1e-8", "--set", "data.split=[0.4, 0.2, 0.4]", "--set", "generate.sampler=ddpm",
       "--set", "generate.guidance=1", "--set", "evaluate.bound_slices=1000", "--set",
       "evaluate.bound_times=64")
NODES = numpy.linspace(-8, 8, 1601)
WEIGHTS = numpy.exp(-NODES**2 / 2) / numpy.exp(-NODES**2 / 2).sum()
CDF = numpy.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2)


def schedule():
    f = numpy.cos((numpy.arange(T + 1) / T + 0.008) / 1.008 * numpy.pi / 2) ** 2
    beta = numpy.minimum(1 - f[1:] / f[:-1], 0.999)
    bar = numpy.cumprod(1 - beta)
    before = numpy.append(1, bar[:-1])
    tilde = beta * (1 - before) / (1 - bar)
    tilde[0] = tilde[1]
    return beta, tilde, bar, before


def expected(hu, counts, variance):
    """L_T, L_0 and L_1 .. L_{T-1} in bits per pixel of pixels with these HU, so many of each."""
    beta, tilde, bar, before = schedule()
    x0 = -1 + 2 * (hu - LOW) / (HIGH - LOW)
    share = counts / counts.sum()
    terms = []
    for t in range(1, T + 1):
        b, alpha, sigma = bar[t - 1], math.sqrt(bar[t - 1]), math.sqrt(1 - bar[t - 1])
        sigma2 = beta[t - 1] ** OUTPUT[variance] * tilde[t - 1] ** (1 - OUTPUT[variance])
        # v = 0: x_0 = alpha x_t, clamped.
        x0_predicted = numpy.clip(alpha * (alpha * x0[:, None] + sigma * NODES), -1, 1)
        error = x0[:, None] - x0_predicted
        if t == 1:
            half, spread = 1 / (HIGH - LOW), math.sqrt(sigma2)
            upper = numpy.where(hu[:, None] == HIGH, 1, CDF((error + half) / spread))
            lower = numpy.where(hu[:, None] == LOW, 0, CDF((error - half) / spread))
            tail = -numpy.log(numpy.maximum(upper - lower, 1e-300))
            terms.append(share @ (tail @ WEIGHTS))
            continue
        a = math.sqrt(before[t - 1]) * beta[t - 1] / (1 - b)
        square = share @ (error**2 @ WEIGHTS)
        ratio = (tilde[t - 1] + a * a * square) / sigma2
        terms.append((math.log(sigma2 / tilde[t - 1]) - 1 + ratio) / 2)
    prior = share @ (bar[-1] * x0**2 - bar[-1] - math.log1p(-bar[-1])) / 2
    return numpy.array([prior, *terms]) / math.log(2)


def check_terms(found, store, variance):
    """The measured terms are those of two of the patients. L_T has no noise; the noise of the
    others is averaged over 16 slices of 1024 pixels, a fourth of which are not air."""
    volumes, _ = chain.read_store(store)
    of_patient = []
    for hu, _, _ in volumes.values():
        values, counts = numpy.unique(numpy.clip(hu, LOW, HIGH), return_counts=True)
        of_patient.append(expected(values.astype(float), counts, variance))
    seen = numpy.array([found["terms"]["prior"]["value"], found["terms"]["decoder"]["value"],
                        *[p["value"] for p in found["curve"]]])
    best = min(itertools.combinations(of_patient, 2),
               key=lambda pair: abs(numpy.mean(pair, 0)[0] - seen[0]))
    truth = numpy.mean(best, 0)
    off = abs(seen / truth - 1)
    print(f"{variance}: bits per pixel {found['value']:.4f}, largest deviation of a term "
          f"{off[1:].max():.2e}, of L_T {off[0]:.1e}")
    assert off[0] < 1e-5 and off[1:].max() < 0.03, (seen, truth)


def check_sums(found):
    terms = found["terms"]
    parts = sum(terms[name]["value"] for name in ("prior", "steps", "decoder"))
    assert abs(parts - found["value"]) < 1e-6 * found["value"]
    steps = sum((p["to"] - p["from"] + 1) * p["value"] for p in found["curve"])
    assert abs(steps - terms["steps"]["value"]) < 1e-6 * steps
    assert [p["from"] for p in found["curve"]] == list(range(2, T + 1))
    for e in (found, *terms.values(), *found["curve"]):
        assert e["low"] <= e["value"] <= e["high"], e
    assert found["n_patients"] == 2 and found["n_slices"] == 16


def measured(out):
    with open(f"{out}/metrics/metrics.json") as f:
        return json.load(f)


def main():
    with chain.Place(patients=5) as place:
        study, out = place.study("fixed-small")
        chain.run(2, "ingest", study)
        for variance in ("fixed-small", "fixed-large", "learned"):
            words = (*SET, "--set", f"diffusion.variance={variance}")
            study, own = place.study(variance)
            if not os.path.exists(f"{own}/store"):
                shutil.copytree(f"{out}/store", f"{own}/store")
            for verb in ("train", "generate"):
                chain.run(2, verb, study, *words)
            said = chain.run(1, "evaluate", study, *words)
            assert "bits per pixel of 16 held-out real slices of 2 patients" in said, said
            (found,) = measured(own)["likelihood"]
            assert found["variance"] == variance
            check_sums(found)
            check_terms(found, f"{own}/store", variance)

        # On two ranks the same, and in groups of times nearly so: their sum is an estimate.
        for name in ("metrics", "metrics.parts"):
            shutil.rmtree(f"{own}/{name}")
        chain.run(2, "evaluate", study, *words)
        assert measured(own)["likelihood"] == [found]
        chain.run(2, "evaluate", study, *words, "--set", "evaluate.bound_times=5")
        (grouped,) = measured(own)["likelihood"]
        assert [p["from"] for p in grouped["curve"]][0] == 2 and len(grouped["curve"]) == 5
        assert abs(grouped["value"] / found["value"] - 1) < 0.1, (grouped["value"], found["value"])

        # Without slices nothing is measured, and the report has no chapter of it.
        chain.run(2, "evaluate", study, *words)
        chain.run(1, "report", study, *words)
        with open(f"{own}/report/report.html") as f:
            assert "<h2>Likelihood" in f.read()
        none = (*words, "--set", "evaluate.bound_slices=0")
        chain.run(2, "evaluate", study, *none)
        assert "likelihood" not in measured(own)
        chain.run(1, "report", study, *none)
        with open(f"{own}/report/report.html") as f:
            assert "<h2>Likelihood" not in f.read()


main()
