#!/bin/bash
# Runs the tests: lint, the programs $BUILD/tests/test_*, the scripts tests/test_*.{sh,py} and
# tests/slurm/test_*.sh. Usage: tests/run.sh [WORD...] runs those whose path contains a WORD.
#
# Exit code of a test: 0 passed; 77 skipped, and its last line is the reason; any other failed, and
# its output is shown. The environment of a test has BUILD, CTAUG (the program) and a TMPDIR of its
# own, which is removed afterwards. The last line of the output is the count.
set -u
cd "$(dirname "$0")/.." || exit 1

export BUILD=${BUILD:-build}
export CTAUG=${CTAUG:-$PWD/$BUILD/ctaug}
export PYTHONDONTWRITEBYTECODE=1
case $BUILD in /*) export CTAUG=$BUILD/ctaug ;; esac
# Tests start Open MPI also as root, and with more ranks than cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none

place=$(mktemp -d) || exit 1
# Keys of pseudonyms that tests make do not go to the home folder.
export XDG_CONFIG_HOME=$place/config
running=
trap '[ -n "$running" ] && kill -TERM "$running"; rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

shopt -s nullglob
tests=(tests/lint.py)
for t in "$BUILD"/tests/test_*; do
    [ -f "$t" ] && [ -x "$t" ] && [[ $t != *.o && $t != *.d ]] && tests+=("$t")
done
tests+=(tests/test_*.sh tests/test_*.py tests/slurm/test_*.sh)

wanted() { # path, words
    [ $# -eq 1 ] && return 0
    local path=$1 word
    shift
    for word in "$@"; do [[ $path == *"$word"* ]] && return 0; done
    return 1
}

passed=0 failed=0 skipped=0
for t in "${tests[@]}"; do
    wanted "$t" "$@" || continue
    name=$(basename "$t")
    case $t in
    *.py | *.sh) limit=600 ;;
    *) limit=300 ;;
    esac
    case $t in
    *.py) run=(/usr/bin/python3 "$t") ;;
    *.sh) run=(bash "$t") ;;
    /*) run=("$t") ;;
    *) run=("./$t") ;;
    esac
    export TMPDIR=$place/tmp
    mkdir "$TMPDIR"
    begin=$EPOCHREALTIME
    timeout -k 20 "$limit" "${run[@]}" > "$place/output" 2>&1 < /dev/null &
    running=$!
    wait "$running"
    code=$?
    running=
    seconds=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')
    case $code in
    0)
        passed=$((passed + 1))
        echo "PASS  $name ($seconds)"
        ;;
    77)
        skipped=$((skipped + 1))
        echo "SKIP  $name ($seconds): $(tail -n 1 "$place/output")"
        ;;
    *)
        failed=$((failed + 1))
        why="exit code $code"
        [ "$code" = 124 ] || [ "$code" = 137 ] && why="stopped after $limit s"
        echo "FAIL  $name ($seconds): $why; its output:"
        sed 's/^/      /' "$place/output"
        ;;
    esac
    rm -rf "$TMPDIR"
done

line="$passed passed, $failed failed"
[ "$skipped" -gt 0 ] && line="$line, $skipped skipped"
echo "$line"
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
