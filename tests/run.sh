#!/bin/bash
# Runs the tests: lint, the programs $BUILD/tests/test_*, the scripts tests/test_*.{sh,py} and
# tests/slurm/test_*.sh. Usage: tests/run.sh [WORD...] runs those whose path contains a WORD.
#
# Exit code of a test: 0 passed; 77 skipped, and its last line is the reason; any other failed, and
# its output is shown. The environment of a test has BUILD, CTAUG (the program) and a TMPDIR of its
# own, which is removed afterwards. JOBS tests run at once: many wait for disks, timers or one rank.
# The last line of the output is the count.
set -u
cd "$(dirname "$0")/.." || exit 1

JOBS=${JOBS:-2}
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
trap 'kill -TERM "${!path_of[@]}" 2> /dev/null; rm -rf "$place"' EXIT
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
declare -A path_of=() begin_of=() limit_of=() # by process

# Starts a test in the background, with a folder of its own.
start() { # path
    local t=$1 limit run folder
    case $t in
    */lint.py) limit=1500 ;;
    *.py | *.sh) limit=600 ;;
    *) limit=300 ;;
    esac
    case $t in
    *.py) run=(/usr/bin/python3 "$t") ;;
    *.sh) run=(bash "$t") ;;
    /*) run=("$t") ;;
    *) run=("./$t") ;;
    esac
    folder=$place/$(basename "$t")
    mkdir -p "$folder/tmp"
    # In a shell of its own, which exits normally whatever ends the test: bash forgets jobs that a
    # signal ended.
    (
        trap 'kill -TERM "$child"' TERM
        TMPDIR=$folder/tmp timeout -k 20 "$limit" "${run[@]}" > "$folder/output" 2>&1 < /dev/null &
        child=$!
        wait "$child"
        exit $?
    ) &
    path_of[$!]=$t begin_of[$!]=$EPOCHREALTIME limit_of[$!]=$limit
}

# Waits for one of the tests that run, and tells how it ended.
finish() {
    local pid code name folder seconds why
    wait -n -p pid "${!path_of[@]}"
    code=$?
    name=$(basename "${path_of[$pid]}")
    folder=$place/$name
    seconds=$(awk -v a="${begin_of[$pid]}" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')
    case $code in
    0)
        passed=$((passed + 1))
        echo "PASS  $name ($seconds)"
        ;;
    77)
        skipped=$((skipped + 1))
        echo "SKIP  $name ($seconds): $(tail -n 1 "$folder/output")"
        ;;
    *)
        failed=$((failed + 1))
        why="exit code $code"
        [ "$code" = 124 ] || [ "$code" = 137 ] && why="stopped after ${limit_of[$pid]} s"
        echo "FAIL  $name ($seconds): $why; its output:"
        sed 's/^/      /' "$folder/output"
        ;;
    esac
    rm -rf "$folder"
    unset "path_of[$pid]" "begin_of[$pid]" "limit_of[$pid]"
}

for t in "${tests[@]}"; do
    wanted "$t" "$@" || continue
    [ ${#path_of[@]} -lt "$JOBS" ] || finish
    start "$t"
done
while [ ${#path_of[@]} -gt 0 ]; do finish; done

line="$passed passed, $failed failed"
[ "$skipped" -gt 0 ] && line="$line, $skipped skipped"
echo "$line"
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
