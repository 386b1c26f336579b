#!/bin/bash
# The calls of sbatch that jobs/submit.sh makes, recorded by a fake sbatch: five jobs, each after
# the success of the one before, with the given options; the report on one rank. (tests/slurm starts
# a real Slurm.)
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
touch "$place/study.yaml"
PATH=$place:$PATH CTAUG=/bin/true jobs/submit.sh "$place/study.yaml" --ntasks=32 --partition=long \
    > "$place/said" 2>&1 || fail "submit.sh"

number=0
for stage in ingest train generate evaluate gate report; do
    number=$((number + 1))
    line=$(sed -n "${number}p" "$place/asked")
    [[ $line == *" --ntasks=32 --partition=long "*"/$stage.sbatch $place/study.yaml" ]] || fail "$stage: $line"
    [ $number = 1 ] || [[ $line == *"--dependency=afterok:$((number - 1)) "* ]] || fail "$stage: $line"
    # If an option is given twice, sbatch uses the last.
    ranks=$(grep -o -- '--ntasks=[0-9]*' <<< "$line" | tail -n 1)
    expected=--ntasks=32
    [ $stage != report ] || expected=--ntasks=1
    [ "$ranks" = $expected ] || fail "$stage: $ranks"
done
