# A Slurm cluster of one node for tests, with all its files in one folder, without systemd, cgroups
# or accounting. Source this file, call slurm_start FOLDER and, in any case, slurm_stop. Needs root
# (slurmd changes to the user of a job) and the packages slurm-wlm and munge.
#
# Two partitions: low, the default, and high. A job in high preempts jobs in low: after 20 s of
# grace they return to the queue.

slurm_pids=()

slurm_start() { # folder
    local place=$1 host memory cores
    host=$(hostname -s)
    cores=$(nproc)
    memory=$(awk '/^MemTotal/ { m = int($2 / 1024 * 0.9); print m < 4000 ? m : 4000 }' /proc/meminfo)
    mkdir -p "$place"/{state,spool,log}
    cat > "$place/slurm.conf" << EOF
ClusterName=ci
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge.sock,cred_expire=20
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldParameters=preempt_send_user_signal
DependencyParameters=kill_invalid_depend
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=$((cores < 2 ? cores : 2)) RealMemory=$memory State=UNKNOWN
PartitionName=low Nodes=$host Default=YES MaxTime=60 PriorityTier=1 GraceTime=20
PartitionName=high Nodes=$host MaxTime=60 PriorityTier=10 PreemptMode=OFF
EOF
    head -c 1024 /dev/urandom > "$place/munge.key"
    chmod 400 "$place/munge.key"
    export SLURM_CONF=$place/slurm.conf

    munged -F -f --key-file="$place/munge.key" -S "$place/munge.sock" --pid-file="$place/munged.pid" \
        --log-file="$place/log/munged.log" --seed-file="$place/munged.seed" > "$place/log/munged.out" 2>&1 &
    slurm_pids=("$!")
    setsid slurmctld -D -i -f "$SLURM_CONF" > "$place/log/slurmctld.log" 2>&1 &
    slurm_pids=("$!" "${slurm_pids[@]}")
    setsid slurmd -D -N "$host" -f "$SLURM_CONF" > "$place/log/slurmd.log" 2>&1 &
    slurm_pids=("$!" "${slurm_pids[@]}")

    local i
    for ((i = 0; i < 120; i++)); do
        [ "$(sinfo --noheader --partition low --format %t 2> /dev/null)" = idle ] && return 0
        sleep 0.25
    done
    echo "Slurm did not come up within 30 s:"
    tail -n 20 "$place"/log/*
    return 1
}

# Cancels all jobs, then ends the processes that slurm_start started, slurmd first.
slurm_stop() {
    local pid i
    [ ${#slurm_pids[@]} = 0 ] && return
    timeout 10 scancel --user root > /dev/null 2>&1
    for ((i = 0; i < 60; i++)); do
        [ -z "$(timeout 5 squeue --noheader 2> /dev/null)" ] && break
        sleep 0.5
    done
    for pid in "${slurm_pids[@]}"; do
        kill "$pid" 2> /dev/null
        wait "$pid" 2> /dev/null
    done
    slurm_pids=()
}
