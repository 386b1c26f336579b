#!/bin/bash
# Runs one of the studies that come with ctaug, from nothing to the report; started again it goes on
# where it was stopped.
# Usage: jobs/study.sh phantom [--quick] [--set key=value ...]
#        jobs/study.sh sarcoma FOLDER [--quick] [--set key=value ...]
#     jobs/study.sh phantom --quick
# CTAUG names the program (default build/ctaug), RANKS the number of ranks (default 2, each with its
# share of the cores). FOLDER holds the archives STS_*.tar.bz2 and to_seg.py, which writes a DICOM
# SEG from the tumour masks (python3 with numpy and pydicom).
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
CTAUG=${CTAUG:-build/ctaug} ranks=${RANKS:-2}

fail() { echo "study: $*" >&2; exit 2; }

[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
[ -x "$CTAUG" ] || fail "no program $CTAUG: run make, or name it in CTAUG"
name=$1 folder= quick= seed=2029 # of the phantom's patients
shift
if [ "$name" = sarcoma ]; then
    [ $# -ge 1 ] || fail "sarcoma needs the folder with STS_*.tar.bz2 and to_seg.py"
    folder=$1
    shift
fi
if [ "${1:-}" = --quick ]; then
    quick=-quick
    shift
fi
dicom=runs/study-$name$quick-dicom
[ "$name" = phantom ] && dicom+=-$seed
settings=(--set "out=runs/study-$name$quick" --set "ingest.dicom=$dicom")

case $name in
phantom)
    size=256 patients=110
    if [ -n "$quick" ]; then
        size=128
        settings+=(--set data.size=64 --set train.steps=1100 --set 'evaluate.labelled=[4]'
            --set gate.steps=300 --set gate.slices=96)
    fi
    make_archive() { phantom_on 1 "$1"; }
    phantom_on() { run phantom --patients $patients --seed $seed --size $size --slices 16 --scanner "$1" --out "$2"; }
    ;;
sarcoma)
    [ -r "$folder/to_seg.py" ] || fail "$folder holds no to_seg.py"
    if [ -n "$quick" ]; then
        settings+=(--set train.steps=400 --set 'evaluate.labelled=[2, 4]' --set evaluate.sets=1
            --set generate.volumes=4 --set evaluate.steps=200
            --set 'evaluate.arms=[real, real+synthetic]')
    fi
    make_archive() { python3 "$folder/to_seg.py" "$folder"/STS_*.tar.bz2 "$1" --drop-rtstruct; }
    ;;
*) fail "unknown study $name: phantom or sarcoma" ;;
esac

run() { "$here/mpirun.sh" -n "$ranks" --bind-to none "$CTAUG" "$@"; }

# Makes the archive $1 by the command that follows. It is complete when it has its final name.
archive() {
    [ ! -d "$1" ] || return 0
    mkdir -p runs && rm -rf "$1.part" || exit 1
    "${@:2}" "$1.part" || exit $?
    mv "$1.part" "$1" || exit 1
}

archive "$dicom" make_archive
if [ "$name" = phantom ]; then
    # The same patients on another scanner, for the shifted test set.
    second=runs/study-phantom$quick-second
    archive "$second-dicom-$seed" phantom_on 2
    run ingest "$here/study-phantom.yaml" "$@" --set "out=$second" \
        --set "ingest.dicom=$second-dicom-$seed" || exit $?
    settings+=(--set "evaluate.shifted=$second")
fi
exec "$here/mpirun.sh" -n "$ranks" --bind-to none "$CTAUG" run "$here/study-$name.yaml" "${settings[@]}" "$@"
