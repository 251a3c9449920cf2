#!/usr/bin/env bash
# slurm.sh up|down: a real Slurm of two nodes on this one machine, for the tests beside it.
#
# munge, slurmdbd over a private mariadb, slurmctld and two slurmd on loopback; no systemd, nothing outside SLURM_LAB but
# /etc/slurm and names in /etc/hosts. Root on Debian 12 (Slurm 22.05). `up` installs what is missing and starts what is
# down; `down` ends all of it and forgets its jobs.
#
# Partitions: `main` (the default) pushes jobs of `low` out, which are queued again after 20 s of grace. Each node says it
# has 4 CPUs and 6000 MB, and Slurm ends a job that takes more memory than it asked for.
set -euo pipefail
LAB=${SLURM_LAB:-/var/tmp/meld-lightning-slurm}
HOST=$(hostname -s)
NODES=2 CPUS=4 MEMORY=6000
SOCKET=$LAB/run/mysql.sock

install_missing() {
    local missing=() pair
    for pair in slurmctld:slurmctld slurmd:slurmd slurmdbd:slurmdbd sbatch:slurm-client munged:munge mariadbd:mariadb-server; do
        command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null
    apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

running() { # running PIDFILE NAME
    local pid
    [ -s "$1" ] || return 1
    pid=$(tr -dc 0-9 <"$1") && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]
}

wait_for() { # wait_for SECONDS COMMAND...
    local tries=$(($1 * 5))
    shift
    for ((; tries > 0; tries--)); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    echo "slurm.sh: gave up waiting for: $*; see $LAB/log" >&2
    return 1
}

configure() {
    local node
    if [ -e /etc/slurm/slurm.conf ] && [ "$(readlink -f /etc/slurm/slurm.conf)" != "$LAB/slurm.conf" ]; then
        echo "slurm.sh: /etc/slurm/slurm.conf belongs to another Slurm: this one is for machines without" >&2
        exit 1
    fi
    mkdir -p "$LAB"/{log,run,state,spool,db} /etc/slurm
    chmod 755 "$LAB"
    for node in "$HOST" node1 node2; do
        grep -qE "^127\.0\.0\.1\s.*\b$node\b" /etc/hosts || echo "127.0.0.1 $node" >>/etc/hosts
    done
    cat >"$LAB/slurm.conf" <<CONF
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a requeued job waits for its old credential to expire: 2 minutes by default
AuthInfo=cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=100000
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
ReturnToService=2
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd-%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd-%n.log
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmdParameters=config_overrides
SlurmdTimeout=15
KillWait=5
MinJobAge=600
InactiveLimit=0
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
PartitionName=main Nodes=ALL Default=YES PriorityTier=10 PreemptMode=off
PartitionName=low Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
CONF
    for ((node = 1; node <= NODES; node++)); do
        echo "NodeName=node$node NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((17000 + node)) CPUs=$CPUS RealMemory=$MEMORY" \
            >>"$LAB/slurm.conf"
    done
    cat >"$LAB/slurmdbd.conf" <<CONF
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile=$LAB/log/slurmdbd.log
PidFile=$LAB/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
CONF
    chmod 600 "$LAB/slurmdbd.conf"
    echo "CgroupAutomount=no" >"$LAB/cgroup.conf"
    for node in slurm.conf slurmdbd.conf cgroup.conf; do ln -sfn "$LAB/$node" "/etc/slurm/$node"; done
}

start_munge() {
    munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1 && return
    [ -s /etc/munge/munge.key ] || /usr/sbin/mungekey --create
    chown munge:munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
    setpriv --reuid=munge --regid=munge --init-groups /usr/sbin/munged
    wait_for 10 bash -c 'munge -n </dev/null | unmunge'
}

start_accounting() {
    chown mysql:mysql "$LAB/db"
    chmod 1777 "$LAB/run"
    if ! mariadb-admin --no-defaults -S "$SOCKET" ping >/dev/null 2>&1; then
        [ -d "$LAB/db/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$LAB/db" \
            --auth-root-authentication-method=socket --skip-test-db >"$LAB/log/mariadb-install.log" 2>&1
        setsid mariadbd --no-defaults --user=mysql --datadir="$LAB/db" --socket="$SOCKET" --skip-networking \
            --pid-file="$LAB/run/mariadbd.pid" --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
            >"$LAB/log/mariadbd.log" 2>&1 </dev/null &
        wait_for 60 mariadb-admin --no-defaults -S "$SOCKET" ping
    fi
    running "$LAB/run/slurmdbd.pid" slurmdbd || MYSQL_UNIX_PORT=$SOCKET slurmdbd
    wait_for 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/16819'
    sacctmgr -n list cluster format=cluster 2>/dev/null | grep -qw lab || sacctmgr -i add cluster lab >/dev/null 2>&1 || true
}

nodes_ready() { [ "$(sinfo -h -N -p main -o %T | grep -cE '^(idle|mixed|allocated)$')" = "$NODES" ]; }

up() {
    local node
    install_missing
    configure
    start_munge
    start_accounting
    running "$LAB/run/slurmctld.pid" slurmctld || slurmctld
    wait_for 30 bash -c 'scontrol ping | grep -q UP'
    for node in node1 node2; do
        mkdir -p "$LAB/spool/$node"
        running "$LAB/run/slurmd-$node.pid" slurmd || slurmd -N "$node"
    done
    scontrol update NodeName="node[1-$NODES]" State=RESUME >/dev/null 2>&1 || true
    wait_for 60 nodes_ready
}

stop() { # stop PIDFILE NAME
    local pid
    running "$1" "$2" || return 0
    pid=$(tr -dc 0-9 <"$1")
    kill -TERM "$pid"
    wait_for 20 bash -c "! [ -d /proc/$pid ]" || kill -KILL "$pid"
}

down() {
    local node
    scancel --user=root >/dev/null 2>&1 || true
    for node in node1 node2; do stop "$LAB/run/slurmd-$node.pid" slurmd; done
    stop "$LAB/run/slurmctld.pid" slurmctld
    stop "$LAB/run/slurmdbd.pid" slurmdbd
    stop "$LAB/run/mariadbd.pid" mariadbd
    rm -f /etc/slurm/{slurm,slurmdbd,cgroup}.conf
    rm -rf "$LAB"
}

[ "$(id -u)" = 0 ] || { echo "slurm.sh: must be root" >&2; exit 1; }
case "${1:-}" in
    up) up ;;
    down) down ;;
    *) echo "usage: slurm.sh up|down" >&2; exit 2 ;;
esac
