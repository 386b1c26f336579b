#!/bin/bash
# The chain of jobs of jobs/submit.sh under a real Slurm, on a tiny phantom: ingest -> referee ->
# train -> generate -> evaluate -> gate -> report. Training is asked to stop once (USR1, as before a
# time limit) and preempted once by a job of higher priority; both times it must resume from its
# checkpoint. If the first job fails, none of the others may start.
set -u
cd "$(dirname "$0")/../.." || exit 1
jobs=$PWD/jobs
export CTAUG=${CTAUG:-$PWD/build/ctaug}

for tool in slurmctld slurmd sbatch munged; do
    command -v $tool > /dev/null || { echo "no $tool (packages slurm-wlm and munge)"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "needs root, to start a Slurm of its own"; exit 77; }

. tests/slurm/slurm.sh
place=$(mktemp -d) || exit 1
trap 'slurm_stop; rm -rf "$place"' EXIT
trap 'exit 1' INT TERM

fail() {
    echo "FAILED: $*"
    squeue
    tail -n 40 "$place"/*.log "$place"/slurm/log/slurm*.log
    exit 1
}

wait_for() { # seconds, what is waited for, command...
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $limit ] || fail "waited in vain: $what"
        sleep 0.2
    done
}

job_of() { sed -n "s/^$1 *job //p" submitted; } # stage
state() { squeue --noheader --jobs "$1" --format %T 2> /dev/null; }
not_running() { [ "$(state "$1")" != RUNNING ]; }
no_jobs() { local jobs; jobs=$(squeue --noheader) && [ -z "$jobs" ]; }
# Whether training has started for the n-th time and made steps since.
trains() {
    awk -v n="$1" '/"event":"start","verb":"train"/ { starts++; steps = 0 } /"event":"train"/ { steps++ }
        END { exit !(starts == n && steps >= 2) }' run/events.jsonl 2> /dev/null
}

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
slurm_start "$place/slurm" || exit 1
cd "$place" || exit 1
"$CTAUG" phantom --patients 6 --seed 1 --size 32 --slices 8 --out dicom > phantom.log 2>&1 ||
    fail "the phantom could not be made"
cat > study.yaml << 'EOF'
name: chain
seed: 1
out: run
ingest: {dicom: dicom, labels: seg}
data: {size: 32}
model: {net: R16}
train: {steps: 400, batch: 8, checkpoint_every: 1000, validate_every: 200, preview_every: 200}
generate: {volumes: 2, steps: 4}
evaluate: {seeds: 1, steps: 20, fidelity: 0}
gate: {steps: 4, slices: 8}
EOF
options=(--ntasks=$(($(nproc) < 2 ? 1 : 2)) --time=10)

echo "-- the chain, with training interrupted twice"
"$jobs/submit.sh" study.yaml "${options[@]}" > submitted || fail "submit.sh"
cat submitted
train=$(job_of train)
wait_for 120 "training begins" trains 1
scancel --batch --signal=USR1 "$train"
wait_for 60 "training stops when asked" not_running "$train"
wait_for 120 "training resumes" trains 2
sbatch --partition=high "${options[@]}" --output=high.log --wrap "echo preempted" > /dev/null ||
    fail "the job of higher priority was refused"
wait_for 60 "training makes room" not_running "$train"
wait_for 300 "the chain ends" no_jobs
[ -s high.log ] || fail "the job of higher priority did not run"

/usr/bin/python3 - << 'EOF' || fail "the results of the chain"
import json, math, os

steps, starts = [], []
for line in open("run/events.jsonl"):
    event = json.loads(line)
    if event["event"] == "start" and event["verb"] == "train":
        starts.append([])
    if event["event"] in ("train", "checkpoint") and starts:
        starts[-1].append((event["event"], event["step"]))
print("training:", [[s[0], s[-1]] for s in starts])
assert len(starts) == 3, f"training started {len(starts)} times, expected 3"
# No step is lost: each start resumes at the checkpoint that the one before wrote when it stopped.
for before, after in zip(starts, starts[1:]):
    assert before[-1][0] == "checkpoint", "no checkpoint when asked to stop"
    assert before[-1][1] < after[0][1] <= before[-1][1] + 10, "did not go on where it stopped"
assert starts[-1][-1] == ("checkpoint", 400)

metrics = json.load(open("run/metrics/metrics.json"))
assert set(metrics["fid"]) >= {"value", "n_real", "n_synthetic", "extractor", "floor"}
assert math.isfinite(metrics["fid"]["value"]) and metrics["fid"]["n_synthetic"] == 16
assert "liver" in metrics["dice"]
for structure in metrics["dice"].values():
    assert set(structure) >= {"real", "real+synthetic", "n_patients"}
for name in ("store/manifest.json", "synthetic/manifest.json", "report/report.html"):
    assert os.path.getsize(os.path.join("run", name)) > 0
EOF
"$CTAUG" verify run || fail "the output folder does not verify"

echo "-- a chain whose first stage fails"
mkdir empty
sed -e 's/^out: .*/out: run2/' -e 's/dicom: dicom/dicom: empty/' study.yaml > wrong.yaml
"$jobs/submit.sh" wrong.yaml "${options[@]}" > submitted || fail "submit.sh"
wait_for 200 "the failed chain leaves the queue" no_jobs
grep -q empty "ctaug-ingest-$(job_of ingest).log" || fail "ingest does not name the empty folder"
for stage in referee train generate evaluate gate report; do
    [ ! -e "ctaug-$stage-$(job_of $stage).log" ] || fail "$stage was started after a failure"
done
echo "passed"
