#!/usr/bin/env bash
# A search on a Slurm cluster: the job starts a Ray on its nodes and runs the search on the first of them. It ends with
# the search. docs/cluster.md explains it.
#
# Run in the top folder of asd_ray. SHARED is a folder that all nodes see under the same path; so is your home folder.
#
#   source .venv/bin/activate
#   sbatch cluster-slurm.sh fan --data SHARED/dcase2023t2 --run SHARED/runs/dcase2023t2
#   asd-ray status SHARED/runs/dcase2023t2
#
# All words after the file's name are those of `asd-ray search`. Edit the lines that begin with #SBATCH, or give other
# values before the file's name, such as sbatch --nodes=4 --gpus-per-node=2 cluster-slurm.sh … To go on after the time
# limit, run the same command again: trials that are stored are not run again.
#
#SBATCH --job-name=asd-ray
#SBATCH --nodes=2
#SBATCH --exclusive
#SBATCH --time=08:00:00
#SBATCH --output=asd-ray-%j.log
#SBATCH --no-kill

set -euo pipefail
umask 077 # only you may read the token
export RAY_AUTH_MODE=token
# in ~/.ray, if there is none yet; all nodes read it there
ray get-auth-token --generate > /dev/null 2>&1 || {
  echo "no token could be made; is the environment active (source .venv/bin/activate)?" >&2
  exit 1
}

first=$(hostname -I | cut -d ' ' -f 1)
address=$first:$((20000 + SLURM_JOB_ID % 10000)) # another port for each job
# shellcheck disable=SC2016 # each node has its own number
start='ulimit -n 65536 2> /dev/null; exec ray start --block --num-cpus="$SLURM_CPUS_ON_NODE"'

# --overlap: the search itself runs in the batch step, beside the first node's Ray. What Ray prints has its own files.
step=(srun --overlap --nodes=1 --ntasks=1 --output="asd-ray-$SLURM_JOB_ID-%N.log")
"${step[@]}" --nodelist="$SLURMD_NODENAME" \
  bash -c "$start --head --node-ip-address=$first --port=${address#*:} --dashboard-host=127.0.0.1" &
head=$!
nodes=("$SLURMD_NODENAME")
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  [ "$node" = "$SLURMD_NODENAME" ] && continue
  nodes+=("$node")
  # a step of its own: where one node is lost, the others go on
  "${step[@]}" --nodelist="$node" bash -c "$start --address=$address" &
done
trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT

# wait until all nodes are there, for five minutes at most; the search uses nodes that come later too
for ((waited = 0; waited < 300; waited += 5)); do
  there=$(ray status --address="$address" 2> /dev/null | grep -c ' node_' || true)
  [ "$there" -ge "${#nodes[@]}" ] && break
  kill -0 "$head" 2> /dev/null || { echo "Ray did not start; see asd-ray-$SLURM_JOB_ID-$SLURMD_NODENAME.log" >&2; exit 1; }
  sleep 5
done
echo "Ray runs on $there of ${#nodes[@]} nodes"
asd-ray search "$@" --address "$address"
