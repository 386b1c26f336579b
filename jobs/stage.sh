# The one way a stage runs under Slurm; the *.sbatch files beside this one differ in resources only.
#
# A stage that is asked to stop (USR1 before the time limit, USR1 or TERM at a preemption) keeps
# what it has done and exits with 75; the job then puts itself back into the queue and continues
# where it stopped. A job that somebody cancelled stays cancelled. After an error the jobs that
# depend on the stage are never started.

# mpirun waits twice its kill timeout after a rank has stopped with a code, longer than a preemption
# allows. So rank 0 leaves its exit code in a file, and the script need not wait. Open MPI signals
# the whole process group of a rank: the shell in between ignores what is meant for the program.
ctaug_rank='trap : USR1 TERM
"$@"
code=$?
[ "${OMPI_COMM_WORLD_RANK:-0}" != 0 ] || echo "$code" > "$0"
exit "$code"'

ctaug_stage() { # verb, study
    local verb=$1 study=${2:?usage: sbatch jobs/$1.sbatch STUDY.yaml} program=${CTAUG:-build/ctaug}
    local ranks=${SLURM_NTASKS:-1} threads=${SLURM_CPUS_PER_TASK:-1} pid code verdict asked=
    echo "ctaug $verb: job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)), $ranks ranks of $threads threads"
    verdict=$(mktemp) || exit 4

    # mpirun passes USR1 on and lives. Of TERM, which Slurm may send it directly, it dies, and the
    # ranks with it after the kill timeout: a minute is enough for a checkpoint.
    export OMP_NUM_THREADS=$threads
    mpirun -n "$ranks" --map-by "slot:PE=$threads" --mca odls_base_sigkill_timeout 60 \
        bash -c "$ctaug_rank" "$verdict" "$program" "$verb" "$study" &
    pid=$!
    trap 'asked=1; echo "ctaug $verb: asked to stop"; kill -USR1 "$pid" 2> /dev/null' USR1 TERM
    while kill -0 "$pid" 2> /dev/null && [ ! -s "$verdict" ]; do
        sleep 0.5 &
        wait $!
    done
    code=$(cat "$verdict")
    if [ "${code:-0}" = 0 ]; then
        while kill -0 "$pid" 2> /dev/null; do wait "$pid"; done
        wait "$pid"
        code=$?
        # Killed before rank 0 could say 75: what was kept until then counts.
        [ "$code" != 0 ] && [ -n "$asked" ] && code=75
    fi
    rm -f "$verdict"
    trap '' USR1 TERM

    if [ "$code" = 75 ] && [ "$(squeue --noheader --jobs "$SLURM_JOB_ID" --format %T)" = RUNNING ]; then
        echo "ctaug $verb: stopped; back into the queue, to continue from what was kept"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit "$code"
}
