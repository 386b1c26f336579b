"""What the tests of the report share: runs with known results, plain and with labelled sets."""
import copy
import hashlib
import json
import os
import shutil
import subprocess

import chain

TOOL = os.path.join(chain.TOOLS, "tool_run")
NAME = "<img src=x onerror=alert(1)> \"lung\" & 'liver' </title>"
FIRST, SECOND = '<script>alert("x")</script>', "bone & 'marrow' </svg></table>"

METRICS = {
    "study": NAME, "seed": 77001, "pixels": 192, "created": "2031-02-03T04:05:06Z",
    "versions": {"ctaug": "0.1.0", "mpi": "Open MPI v9.8.7", "<b>lib</b>": "</td><script>"},
    "ranks": 3, "engine": "onednn",
    "fingerprints": {"store": "ab" * 32, "metrics": "cd" * 32},
    "data": {"patients": 7, "volumes": 7, "slices": 63, "contrast_volumes": 3, "rows": [20, 20],
             "columns": [24, 25], "slice_distance_mm": [2.5, 2.5], "pixel_mm": [0.75, 0.8]},
    "split": {"by_blocks": False, "train": {"patients": 4, "volumes": 4, "slices": 36},
              "validation": {"patients": 1, "volumes": 1, "slices": 9},
              "test": {"patients": 5, "volumes": 6, "slices": 45}},
    "training": {"steps": 800, "checkpoint_step": 40, "train_loss": 0.0123, "validation_loss": 0.3456},
    "synthetic": {"volumes": 3, "slices": 27},
    "warnings": ["A warning <script>with markup</script>."],
    "fid": {"value": 12.3456, "floor": 3.4567, "n_real": 451, "n_synthetic": 307, "n_floor": 308,
            "dim": 64, "extractor": "encoder, sha256:feed"},
    "dice": {
        FIRST: {"real": 0.701, "real+synthetic": 0.752, "n_patients": 4,
                "seeds": {"real": [0.690, 0.712], "real+synthetic": [0.741, 0.763]}},
        SECOND: {"real": 0.905, "real+synthetic": 0.886, "n_patients": 5,
                 "seeds": {"real": [0.904, 0.906], "real+synthetic": [0.880, 0.892]}},
        "gone": {"real": None, "real+synthetic": 0.5, "n_patients": 0,
                 "seeds": {"real": [None, None], "real+synthetic": [0.5, None]}},
    },
    "segmenter": {"steps": 2000, "batch": 16, "lr": 0.001, "seeds": 2, "parameters": 303849},
}


def make_run(place, name, metrics, patients, *settings):
    out, path = os.path.join(place, name), os.path.join(place, name + ".json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(metrics, stream)
    chain.run(0, TOOL, out, path, patients, NAME, *settings)
    return out


def report(out, *words, ranks=0, code=0):
    return chain.run(ranks, "report", os.path.join(out, "asked.yaml"), *words, expect=code)


def remeasure(out, metrics):
    """Replaces the metrics of a run; its manifest is made right again, independently of ctaug."""
    place = os.path.join(out, "metrics")
    text = json.dumps(metrics).encode()
    with open(os.path.join(place, "metrics.json"), "wb") as f:
        f.write(text)
    with open(os.path.join(place, "manifest.json"), encoding="utf-8") as f:
        spelled = f.read()
    manifest = json.loads(spelled)
    seal, file = manifest.pop("seal"), manifest["files"][0]
    changes = [(file["sha256"], hashlib.sha256(text).hexdigest()),
               (f'"bytes": {file["bytes"]}', f'"bytes": {len(text)}')]
    file.update(bytes=len(text), sha256=changes[0][1])
    compact = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    for was, now in [*changes, (seal, hashlib.sha256(compact.encode()).hexdigest())]:
        assert spelled.count(was) == 1, (spelled, was)
        spelled = spelled.replace(was, now)
    with open(os.path.join(place, "manifest.json"), "w", encoding="utf-8") as f:
        f.write(spelled)


def read(out):
    with open(os.path.join(out, "report", "report.html"), encoding="utf-8") as stream:
        return stream.read()


def printed(out):
    """The text of the PDF in one line; "" where there is no pdftotext."""
    if not shutil.which("pdftotext"):
        return ""
    done = subprocess.run(["pdftotext", "-layout", os.path.join(out, "report", "report.pdf"), "-"],
                          capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


ARMS = ["real", "real+copies", "real+synthetic", "synthetic", "gan", "oracle"]
LABELLED = [2, 4, 8]
# Dice by arm for each of LABELLED; the gains of real+synthetic: +0.017, +0.012, +0.002.
DICE = {"real": (0.738, 0.781, 0.820), "real+copies": (0.739, 0.780, 0.821),
        "real+synthetic": (0.755, 0.793, 0.822), "synthetic": (0.690, 0.731, 0.760),
        "gan": (0.744, 0.785, 0.819), "oracle": (0.851, 0.851, 0.851)}
GAIN = [(0.017, 0.014, 0.020), (0.012, 0.008, 0.016), (0.002, -0.002, 0.006)]
STRUCTURES = [("mean", 1.0), (FIRST, 0.8), (SECOND, 1.2), ("lesion <10 mm", 2.1),
              ("lesion >20 mm", -0.9)]


def summary():
    rows = []
    for k, labelled in enumerate(LABELLED):
        for arm in ARMS:
            for test, less in (("plain", 0), ("shifted", 0.05)):
                for structure, _ in STRUCTURES[:3]:
                    dice = DICE[arm][k] - less
                    for metric, value, half in (("dice", dice, 0.015), ("hd95_mm", 30 * (1 - dice), 1.5),
                                                ("nsd", dice + 0.1, 0.02), ("volume_error", 0.11, 0.03)):
                        rows.append({"labelled": labelled, "arm": arm, "test": test,
                                     "structure": structure, "metric": metric, "n_patients": 60,
                                     "value": value, "low": value - half, "high": value + half})
    return rows


def comparisons():
    rows = []
    for k, labelled in enumerate(LABELLED):
        for structure, factor in STRUCTURES:
            low, high = sorted(factor * g for g in GAIN[k][1:])
            rows.append({"labelled": labelled, "arm": "real+synthetic", "against": "real",
                         "test": "plain", "structure": structure, "metric": "dice", "n_patients": 60,
                         "difference": factor * GAIN[k][0], "low": low, "high": high,
                         "p": (1e-6, 2e-3, 0.31)[k], "p_holm": (3e-6, 4e-3, 0.31)[k],
                         "effect": (0.9, 0.5, 0.1)[k]})
        rows.append({"labelled": labelled, "arm": "real+copies", "against": "real", "test": "plain",
                     "structure": "mean", "metric": "dice", "n_patients": 60, "difference": 0.001,
                     "low": -0.002, "high": 0.004, "p": 0.6, "p_holm": 1.0, "effect": 0.05})
    return rows


def distribution():
    one = {"network": "domain", "network_hash": "ab" * 32, "labelled": 4, "set": 1,
           "conditions": "held-out maps", "n_synthetic": 384, "n_real": 500, "n_equal": 383,
           "fid": 3.21, "fid_floor": 1.13, "fid_infinity": 2.87,
           "fid_curve": [[64, 5.1], [128, 4.0], [384, 3.21]], "kid": 0.0123, "kid_low": 0.0101,
           "kid_high": 0.0145, "kid_floor": 0.0004, "precision": 0.71, "recall": 0.52, "density": 0.81,
           "coverage": 0.66, "precision_floor": 0.83, "recall_floor": 0.79, "density_floor": 0.99,
           "coverage_floor": 0.92, "ms_ssim": 0.41, "ms_ssim_floor": 0.36}
    return [{**one, "generator": "diffusion"},
            {**one, "generator": "gan", "fid": 6.5, "recall": 0.31, "kid": None}]


def likelihood():
    def bits(value):
        return {"value": value, "low": value - 0.01 * value, "high": value + 0.01 * value}
    curve = [{"from": 2, "to": 2, **bits(0.5)}, {"from": 3, "to": 40, **bits(0.0125)},
             {"from": 41, "to": 1000, **bits(0.0003)}]
    return [{"labelled": 4, "set": 1, "variance": "learned", "n_patients": 60, "n_slices": 240,
             **bits(3.1), "terms": {"prior": bits(0.0002), "steps": bits(1.2), "decoder": bits(1.9)},
             "curve": curve}]


def with_sets(pairs=()):
    """METRICS with the members of schema 2 (pipeline/report/METRICS.md)."""
    metrics = copy.deepcopy(METRICS)
    metrics.update({
        "schema": 2,
        "protocol": {"labelled": LABELLED, "sets": 3, "seeds": 3, "arms": ARMS,
                     "tests": ["plain", "shifted"], "share": 0.75, "real_only_last": 0.33,
                     "steps": 1600, "structures": [FIRST, SECOND], "nsd_tolerance_mm": 3.0,
                     "resamples": 10000, "margin": 0.01,
                     "bootstrap": "patients; sets and seeds nested"},
        "summary": summary(), "comparisons": comparisons(),
        "saving": [{"structure": "mean", "test": "plain", "margin": 0.01, "labelled": 4, "needed": 2,
                    "saving": 0.5, "low": 0.25, "high": 0.5},
                   {"structure": "mean", "test": "plain", "margin": 0.01, "labelled": 8,
                    "needed": None, "saving": None, "low": None, "high": None}],
        "learning": [{"labelled": labelled, "arm": arm, "steps": [400, 800, 1200, 1600],
                      "dice": [DICE[arm][k] - d for d in (0.2, 0.06, 0.02, 0.0)]}
                     for k, labelled in enumerate(LABELLED) for arm in ARMS],
        "fidelity": {"bound": 0.5, "slices": 384, "dropped": 12, "edge_hu_mm_synthetic": 1.24,
                     "edge_hu_mm_real": 1.11, "structures": [
                         {"structure": name, "synthetic": 0.91, "real": 0.93, "ratio": ratio,
                          "hu_median_synthetic": 101, "hu_median_real": 103, "hu_sd_real": 6.1,
                          "medians_outside": 17,
                          "noise_synthetic": 12.1, "noise_real": 12.9}
                         for name, ratio in ((FIRST, 0.98), (SECOND, 0.87))]},
        "distribution": distribution(), "likelihood": likelihood(),
        "gate": {"release": "block", "passed": True, "copy_rate": 0.0, "copy_low": 0,
                 "copy_high": 0.0096, "n": 384, "auc": 0.51, "auc_low": 0.47, "auc_high": 0.55,
                 "tpr_at_1_fpr": 0.012, "pairs": list(pairs)},
        "costs": [{"what": "generators", "core_hours": 1.25}, {"what": "segmenters", "core_hours": 3.1}],
    })
    return metrics
