#!/bin/bash
# Runs the fuzz targets $BUILD/fuzz/fuzz_*, or those named, for FUZZ_SECONDS each (60).
# Usage: tests/fuzz/run.sh [TARGET...]     (make fuzz FUZZ="ct seg")
#
# seeds.py makes seeds, of which libFuzzer keeps those that reach new code in $BUILD/corpus/TARGET;
# what it finds on the way stays there for the next run. Inputs that break a promise, leak, take
# more than 20 s or 1 GiB go to $BUILD/findings; then the exit code is 1.
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD=${BUILD:-build-fuzz} CTAUG=${CTAUG:-build/ctaug}
seconds=${FUZZ_SECONDS:-60}
limits=(-rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=20 -report_slow_units=20)

base=${TMPDIR:-/tmp}
[ -w /dev/shm ] && base=/dev/shm # inputs are files
place=$(mktemp -d "$base/ctaug-fuzz-XXXXXX") || exit 1
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$place/tmp" "$BUILD/findings"
export TMPDIR=$place/tmp
# DCMTK and the C++ library are not instrumented, and share containers with code that is.
export ASAN_OPTIONS=detect_container_overflow=0
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1

/usr/bin/python3 tests/fuzz/seeds.py "$CTAUG" "${FUZZ_SHARED:-../shared}" "$place/seeds" || exit 1

targets=("$@")
if [ $# = 0 ]; then
    for program in "$BUILD"/fuzz/fuzz_*; do
        targets+=("${program##*/fuzz_}")
    done
fi

failed=0
for t in "${targets[@]}"; do
    program=$BUILD/fuzz/fuzz_$t corpus=$BUILD/corpus/$t log=$BUILD/fuzz-$t.log
    mkdir -p "$corpus"
    rm -f "$BUILD/findings/$t"-*
    options=("${limits[@]}" -artifact_prefix="$BUILD/findings/$t-" -print_final_stats=1)
    "$program" "${options[@]}" -merge=1 "$corpus" "$place/seeds/$t" > "$log" 2>&1
    merged=$?
    "$program" "${options[@]}" -dict="$place/seeds/$t.dict" -max_total_time="$seconds" \
        "$corpus" >> "$log" 2>&1
    code=$?
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    reached=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    found=("$BUILD/findings/$t"-*)
    if [ $code = 0 ] && [ $merged = 0 ] && [ ! -e "${found[0]}" ]; then
        echo "fuzz: $t: ${inputs:-0} inputs, ${reached:-0} places reached, no finding"
        continue
    fi
    failed=1
    grep -E -A 12 '^==[0-9]+==|ERROR: |runtime error|promised' "$log" | head -n 40 |
        sed 's/^/      /'
    if [ -e "${found[0]}" ]; then
        echo "fuzz: $t: FINDING ${found[0]}; see $log, and next: $program ${found[0]}"
    else
        echo "fuzz: $t: ended with $code (merging with $merged); see $log"
    fi
done
exit $failed
