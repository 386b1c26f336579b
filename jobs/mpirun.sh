#!/bin/bash
# mpirun for ctaug that keeps what a run has done when it is asked to stop.
#     jobs/mpirun.sh -n 2 build/ctaug run mine.yaml
#
# Open MPI answers Ctrl-C, TERM and HUP by killing the ranks about two seconds later. This passes
# them on as USR1, which mpirun forwards: the ranks finish their unit of work, save it and end, and
# mpirun with them, with 75. A second Ctrl-C, TERM or HUP ends the ranks at once. The words are
# those of mpirun, and so is the exit code.
set -m # mpirun gets a process group of its own: Ctrl-C in a terminal does not reach it directly
asked=0
ask() {
    asked=$((asked + 1))
    if [ "$asked" = 1 ]; then
        echo "mpirun.sh: asked to stop; once more to end the ranks at once" >&2
        kill -USR1 "$pid"
    else
        kill -TERM "$pid"
    fi
}

mpirun "$@" < /dev/null &
pid=$!
trap ask INT TERM HUP
trap 'kill -USR1 "$pid"' USR1
while kill -0 "$pid" 2> /dev/null; do wait "$pid"; done
wait "$pid"
exit $?
