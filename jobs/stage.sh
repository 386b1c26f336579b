# Runs a stage under Slurm, for all *.sbatch files, which differ in their resources only.
#
# A stage that is asked to stop (USR1 before the time limit, USR1 or TERM at a preemption) saves its
# unit of work and exits with 75; the job then requeues itself and resumes. A cancelled job is not
# requeued. After an error the jobs that depend on the stage do not start.

# After a rank has exited with a code, mpirun waits for twice its kill timeout, longer than a
# preemption allows. So rank 0 writes its exit code to a file, and the script does not wait for
# mpirun. Open MPI signals the whole process group of a rank: the shell around the program ignores
# these signals.
ctaug_rank='trap : USR1 TERM
"$@"
code=$?
[ "${OMPI_COMM_WORLD_RANK:-0}" != 0 ] || echo "$code" > "$0"
exit "$code"'

ctaug_stage() { # verb, study, further arguments
    local verb=$1 study=${2:?usage: sbatch jobs/$1.sbatch STUDY.yaml} program=${CTAUG:-build/ctaug}
    shift 2
    local ranks=${SLURM_NTASKS:-1} threads=${SLURM_CPUS_PER_TASK:-1} pid code exit_file asked=
    echo "ctaug $verb: job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)), $ranks ranks of $threads threads"
    exit_file=$(mktemp) || exit 4

    # mpirun passes USR1 on to the ranks. TERM, which Slurm may send to it directly, ends mpirun,
    # and the ranks after the kill timeout: a minute is enough for a checkpoint.
    export OMP_NUM_THREADS=$threads
    mpirun -n "$ranks" --map-by "slot:PE=$threads" --mca odls_base_sigkill_timeout 60 \
        bash -c "$ctaug_rank" "$exit_file" "$program" "$verb" "$study" "$@" &
    pid=$!
    trap 'asked=1; echo "ctaug $verb: asked to stop"; kill -USR1 "$pid" 2> /dev/null' USR1 TERM
    while kill -0 "$pid" 2> /dev/null && [ ! -s "$exit_file" ]; do
        sleep 0.5 &
        wait $!
    done
    code=$(cat "$exit_file")
    if [ "${code:-0}" = 0 ]; then
        while kill -0 "$pid" 2> /dev/null; do wait "$pid"; done
        wait "$pid"
        code=$?
        # Ended before rank 0 could write 75: resumes from what was saved until then.
        [ "$code" != 0 ] && [ -n "$asked" ] && code=75
    fi
    rm -f "$exit_file"
    trap '' USR1 TERM

    if [ "$code" = 75 ] && [ "$(squeue --noheader --jobs "$SLURM_JOB_ID" --format %T)" = RUNNING ]; then
        echo "ctaug $verb: stopped; back into the queue, to continue from what was kept"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit "$code"
}
