#!/bin/bash
# The calls of sbatch that jobs/submit.sh makes, recorded by a fake sbatch: seven jobs, one more
# with gan, one more with distil, one more with latents and one more with text, each after the
# success of the one before, with the given options; the report on one rank.
# (tests/slurm starts a real Slurm.)
set -u
cd "$(dirname "$0")/.." || exit 1
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT

fail() { echo "FAILED: $*"; cat "$place/asked" "$place/said"; exit 1; }

cat > "$place/sbatch" << 'EOF'
#!/bin/bash
echo "$*" >> "$(dirname "$0")/asked"
grep -c . "$(dirname "$0")/asked"
EOF
chmod +x "$place/sbatch"
# CONTENT STAGE...: a study with this content is submitted as these stages.
chain() {
    printf '%b' "$1" > "$place/study.yaml"
    shift
    : > "$place/asked"
    PATH=$place:$PATH CTAUG=/bin/true jobs/submit.sh "$place/study.yaml" --ntasks=32 --partition=long \
        > "$place/said" 2>&1 || fail "submit.sh"
    [ "$(wc -l < "$place/asked")" = $# ] || fail "$# jobs were expected"
    number=0
    for stage in "$@"; do
        number=$((number + 1))
        line=$(sed -n "${number}p" "$place/asked")
        [[ $line == *" --ntasks=32 --partition=long "*"/$stage.sbatch $place/study.yaml" ]] || fail "$stage: $line"
        [ $number = 1 ] || [[ $line == *"--dependency=afterok:$((number - 1)) "* ]] || fail "$stage: $line"
        # If an option is given twice, sbatch uses the last.
        ranks=$(grep -o -- '--ntasks=[0-9]*' <<< "$line" | tail -n 1)
        expected=--ntasks=32
        [ "$stage" != report ] || expected=--ntasks=1
        [ "$ranks" = $expected ] || fail "$stage: $ranks"
    done
}

plain="ingest referee train generate evaluate gate report"
with_gan="ingest referee train gan generate evaluate gate report"
chain '' $plain
chain 'generate: {painters: [diffusion]} # or gan\ngan: {steps: 5}\n' $plain
chain 'generate:\n  painters:\n    - gaussian\ngan:\n  steps: 5\n' $plain
chain 'generate: {painters: [diffusion, gan], steps: 5}\n' $with_gan
chain 'generate:\n  painters: # both\n    - gaussian\n    - gan\n' $with_gan
with_distil="ingest referee train distil generate evaluate gate report"
chain 'distil: {kind: consistency-tuning, q: 256}\n' $with_distil
chain 'distil:\n  steps: 5\n  kind: consistency-distillation # in two steps\n' $with_distil
chain 'distil:\n  kind: off # or consistency-tuning\ngate:\n  steps: 5\n' $plain
chain 'distil:\n  q: 2\nother:\n  kind: consistency-tuning\n' $plain
chain 'generate: {painters: [gan]}\ndistil: {steps: 5, kind: consistency-tuning}\n' \
    ingest referee train distil gan generate evaluate gate report
chain 'model: {space: latent, net: R16}\n' \
    ingest autoencode referee train generate evaluate gate report
chain 'model:\n  space: pixel # or latent\n' $plain
with_text="ingest referee text train generate evaluate gate report"
chain 'model: {net: R16, text: on}\n' $with_text
chain 'model:\n  net: R16\n  text: on # captions\ntext:\n  steps: 5\n' $with_text
chain 'model:\n# a comment\n\n  net: R16\n  text: on\n' $with_text
chain 'model:\n  net: R16\ntext:\n  steps: 5\n' $plain
chain 'model: {text: off}\nother: {text: on}\n' $plain
