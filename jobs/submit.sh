#!/bin/bash
# Submits the chain ingest -> referee -> train -> generate -> evaluate -> gate -> report to Slurm,
# each stage after the success of the one before; after train with distil if the study's distil.kind
# is not off, and with gan if generate.painters has gan; with model.space latent after ingest with
# autoencode; with model.text on before train with text.
# Usage: jobs/submit.sh STUDY.yaml [sbatch options for every stage]
#     jobs/submit.sh mine.yaml --ntasks=32 --cpus-per-task=8 --partition=long
# Start it in the folder that the paths of the study are relative to. CTAUG names the program
# (default build/ctaug).
set -eu

study=${1:?usage: jobs/submit.sh STUDY.yaml [sbatch options]}
shift
CTAUG_JOBS=$(cd "$(dirname "$0")" && pwd)
export CTAUG_JOBS CTAUG=${CTAUG:-build/ctaug}
[ -r "$study" ] || { echo "submit: cannot read the study $study" >&2; exit 2; }
[ -x "$CTAUG" ] || { echo "submit: no program $CTAUG: run make, or name it in CTAUG" >&2; exit 2; }

# The list on one line, [diffusion, gan], or on lines of its own, each after "- ".
gan=
if sed 's/#.*//' "$study" | tr '\n' ' ' |
    grep -Eq 'painters: *(\[[^]]*\<gan\>|( *- *[a-z]+)* *- *gan\>)'; then
    gan=gan
fi

# "kind: ..." on a line of the section distil, or in its braces.
distil=
kind=$(sed 's/#.*//' "$study" | tr '\n' '\1' |
    sed -nE $'s/.*(^|\1)distil: *(\\{[^}]*|(\1( [^\1]*)?)*\1 +)kind: *([a-z-]+).*/\\5/p')
[ "${kind:-off}" = off ] || distil=distil

autoencode=
if sed 's/#.*//' "$study" | grep -Eq "\<space *: *[\"']?latent\>"; then
    autoencode=autoencode
fi

text=
if sed 's/#.*//' "$study" | tr '\n' '\1' |
    grep -Eq $'(^|\1)model: *(\\{[^}]*|(\1( [^\1]*)?)*\1 +)text *: *["\']?on\\>'; then
    text=text
fi

stages=(ingest $autoencode referee $text train $distil $gan generate evaluate gate report)

ids=() after=() last=()
for stage in "${stages[@]}"; do
    # One rank writes the page; further ranks would only occupy processors.
    [ $stage != report ] || last=(--ntasks=1)
    # If a job is refused (a full queue, a wrong option), those submitted before are cancelled.
    if ! answer=$(sbatch --parsable "${after[@]}" --kill-on-invalid-dep=yes "$@" \
        "${last[@]}" "$CTAUG_JOBS/$stage.sbatch" "$study"); then
        [ ${#ids[@]} = 0 ] || scancel "${ids[@]}"
        echo "submit: $stage was refused; nothing is left in the queue" >&2
        exit 1
    fi
    id=${answer%%;*}
    ids+=("$id")
    after=(--dependency="afterok:$id")
    printf '%-10s job %s\n' "$stage" "$id"
done
echo "Watch with:   squeue --jobs $(IFS=,; echo "${ids[*]}")"
echo "Words of each stage: ctaug-<stage>-<job>.log here; the report: report/report.html in the run directory."
echo "If a stage fails, the later ones are cancelled. Mend the cause and submit again: finished stages"
echo "are found current, and training goes on from its last checkpoint."
