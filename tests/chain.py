"""What the scripts share: running ctaug on ranks, a small phantom and its study, reading a
store."""
import glob
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile

CTAUG = os.path.abspath(os.environ.get("CTAUG", "build/ctaug"))
TOOLS = os.path.join(os.path.abspath(os.environ.get("BUILD", "build")), "tests")
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
           OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none",
           OMPI_MCA_btl_vader_single_copy_mechanism="none", OMP_NUM_THREADS="1")

STUDY = """
name: tiny
seed: 3
out: {out}
ingest: {{dicom: {dicom}, labels: seg, shard_mib: 1}}
data: {{size: 32}}
model: {{net: R16, dropout: 0.1}}
train: {{steps: 12, batch: 8, micro_batch: 2, warmup: 2, validate_every: 6, preview_every: 12,
        checkpoint_every: 4}}
generate: {{volumes: 3, steps: 4, batch: 4, guidance: 1.5}}
evaluate: {{seeds: 1, steps: 10, batch: 8, fidelity: 0}}
gate: {{steps: 4, slices: 8}}
"""


# All tests have one key of pseudonyms, so that their runs can be compared.
KEY = bytes(range(32))
ENV["XDG_CONFIG_HOME"] = os.path.join(tempfile.gettempdir(), f"ctaug-test-{os.getuid()}")


def write_key(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.{os.getpid()}", "wb") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(KEY)
    os.replace(f"{path}.{os.getpid()}", path)


write_key(ENV["XDG_CONFIG_HOME"] + "/ctaug/pseudonym.key")


def pseudonym(patient_id):
    """The pseudonym of a patient, without the part of the series."""
    return "p-" + hmac.new(KEY, b"patient\nid " + patient_id.encode(), "sha256").hexdigest()[:16]


class Place:
    """A scratch directory with phantom patients, and studies of them; removed at the end."""

    def __init__(self, patients=4):
        if not os.path.exists(CTAUG):
            print(f"{CTAUG} is not built")
            sys.exit(77)
        self.root = tempfile.mkdtemp()
        self.dicom = os.path.join(self.root, "dicom")
        run(1, "phantom", "--patients", str(patients), "--seed", "1", "--size", "32", "--slices",
            "8", "--out", self.dicom)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)

    def study(self, name):
        """Writes a study with an output folder of its own: (path of the study, output folder)."""
        out = os.path.join(self.root, name)
        path = out + ".yaml"
        with open(path, "w") as f:
            f.write(STUDY.format(out=out, dicom=self.dicom))
        return path, out


def command(ranks, *words):
    """A command line for a number of ranks. 0: one rank without mpirun."""
    return [*(("mpirun", "-n", str(ranks)) if ranks else ()), *map(str, words)]


def library(folder, name, source):
    """Compiles a C source to a library for LD_PRELOAD in a folder; its path."""
    text, made = f"{folder}/{name}.c", f"{folder}/{name}.so"
    with open(text, "w") as f:
        f.write(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-O1", "-o", made, text], check=True)
    return made


def run(ranks, *words, expect=0, env=None, timeout=240):
    """Runs ctaug, or the program whose absolute path comes first, on ranks; returns its output.
    `expect` is the exit code, or a tuple of those allowed."""
    program = words if os.path.isabs(words[0]) else (CTAUG, *words)
    done = subprocess.run(command(ranks, *program), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout,
                          env=dict(ENV, **(env or {})))
    if done.returncode not in (expect if isinstance(expect, tuple) else (expect,)):
        print(done.stdout)
        raise AssertionError(f"{' '.join(map(str, program))} on {ranks} ranks: exit "
                             f"{done.returncode}, expected {expect}")
    return done.stdout


def hashes(folder):
    """Path inside the folder -> SHA-256 of every file."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = hashlib.sha256(f.read()).hexdigest()
    return found


def vouch(step):
    """Makes the manifest of a changed checkpoint right again: size and hash of state.h5, and the
    seal, computed independently of ctaug."""
    with open(f"{step}/state.h5", "rb") as f:
        state = f.read()
    with open(f"{step}/manifest.json") as f:
        text = f.read()
    manifest = json.loads(text)
    file, seal = manifest["files"][0], manifest.pop("seal")
    new = {"bytes": len(state), "sha256": hashlib.sha256(state).hexdigest()}
    old = {key: file[key] for key in new}
    file.update(new)
    compact = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    # The file keeps its spelling, which is checked as well.
    for was, now in [(seal, hashlib.sha256(compact.encode()).hexdigest()),
                     (old["sha256"], new["sha256"]),
                     (f'"bytes": {old["bytes"]}', f'"bytes": {new["bytes"]}')]:
        assert text.count(was) == 1, (text, was)
        text = text.replace(was, now)
    with open(f"{step}/manifest.json", "w") as f:
        f.write(text)


def read_store(store):
    """({id: (HU, labels, attributes)}, label names), read by h5py independently of ctaug."""
    import h5py  # here, because most scripts do not need it

    with h5py.File(os.path.join(store, "index.h5"), "r") as f:
        volumes = {k: (v["ct"][...], v["labels"][...], dict(v.attrs))
                   for k, v in f["volumes"].items()}
    with open(os.path.join(store, "manifest.json")) as f:
        return volumes, json.load(f)["detail"]["labels"]


def segmentations(dicom):
    """(path, data set, beginning of the pseudonym) of every DICOM SEG of an archive."""
    import pydicom  # here, because most scripts do not need it

    for path in sorted(glob.glob(f"{dicom}/**/*", recursive=True)):
        item = pydicom.dcmread(path) if os.path.isfile(path) else None
        if item is not None and item.Modality == "SEG":
            yield path, item, pseudonym(item.PatientID) + "-"


def forge_hidden(place, out):
    """Another archive in which the segmentations of the patients with pseudo-labels are upside
    down. The structures stay: the split deals them out."""
    dicom, hidden = f"{place.root}/forged", set(read_store(f"{out}/pseudo")[0])
    shutil.copytree(place.dicom, dicom)
    forged = 0
    for path, item, patient in segmentations(dicom):
        if any(v.startswith(patient) for v in hidden):
            item.PixelData = item.PixelData[::-1]
            item.save_as(path)
            forged += 1
    assert forged == 3, forged
    return dicom
