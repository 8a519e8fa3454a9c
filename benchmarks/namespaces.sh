#!/bin/bash
# Agents behind links that the kernel shapes: a network namespace for each node, tc tbf on what leaves it.
#
#   benchmarks/namespaces.sh RATE_MBIT COMMAND...          as root, on Linux
#   benchmarks/namespaces.sh 10 'mecopt probe --agents "$AGENTS" --token-file "$TOKEN" --tls-ca "$CA"'
#
# Starts an agent (token, TLS, throw-away certificate) in each namespace of NODES (device es1 es2), runs COMMAND in
# a shell with AGENTS, TOKEN and CA set, behind a link of its own that is not shaped, and takes all down again.
# BURST bytes (2000) may pass at once, hardly more than a packet: a bucket as large as a tensor would let it through
# at the speed of the machine. LATENCY_MS needs netem, which not every kernel has. MECOPT is what starts mecopt.
# Statuses: 2 bad usage, 3 the machine does not allow it, else that of COMMAND.
set -euo pipefail

RATE=${1:-} NODES=${NODES:-device es1 es2} BURST=${BURST:-2000} LATENCY_MS=${LATENCY_MS:-0} MECOPT=${MECOPT:-mecopt}
say() { echo "namespaces: $*" >&2; }
[[ $RATE =~ ^[0-9]+(\.[0-9]+)?$ && $# -ge 2 ]] || { say "expected RATE_MBIT COMMAND..."; exit 2; }
shift

for tool in ip tc openssl; do
    command -v "$tool" >/dev/null || { say "$tool is not installed"; exit 3; }
done
[[ $(id -u) == 0 ]] || { say "needs root: namespaces and queues are the kernel's (use --shape without it)"; exit 3; }

NAME=mecopt$$ FOLDER=$(mktemp -d) AGENT_PIDS=()
HUB=$NAME-hub
down() {
    for pid in "${AGENT_PIDS[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    for one in $NODES; do ip netns delete "$NAME-$one" 2>/dev/null || true; done
    ip netns delete "$HUB" 2>/dev/null || true  # its bridge and all links go with it
    rm -rf "$FOLDER"
}
trap down EXIT
allowed() { "$@" 2>"$FOLDER/why" || { say "this machine does not allow it: $*: $(head -n1 "$FOLDER/why")"; exit 3; }; }

allowed ip netns add "$HUB"
allowed ip -n "$HUB" link add bridge type bridge
allowed ip -n "$HUB" link set bridge up
allowed ip -n "$HUB" address add 10.77.0.254/24 dev bridge
ip -n "$HUB" link set lo up

number=0 names=""
for node in $NODES; do
    number=$((number + 1)) space=$NAME-$node
    allowed ip netns add "$space"
    allowed ip -n "$HUB" link add "port$number" type veth peer name eth0 netns "$space"
    ip -n "$HUB" link set "port$number" master bridge up
    ip -n "$space" address add "10.77.0.$number/24" dev eth0
    ip -n "$space" link set lo up
    ip -n "$space" link set eth0 up
    allowed tc -n "$space" qdisc add dev eth0 root handle 1: tbf rate "${RATE}mbit" burst "$BURST" limit 4mb
    [[ $LATENCY_MS == 0 ]] || allowed tc -n "$space" qdisc add dev eth0 parent 1:1 netem delay "${LATENCY_MS}ms"
    names+=",IP:10.77.0.$number"
done

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mecopt -addext "subjectAltName=${names#,}" \
    -keyout "$FOLDER/key.pem" -out "$FOLDER/certificate.pem" 2>/dev/null
openssl rand -hex 16 >"$FOLDER/token"
export TOKEN=$FOLDER/token CA=$FOLDER/certificate.pem AGENTS=""
number=0
for node in $NODES; do
    number=$((number + 1))
    ip netns exec "$NAME-$node" $MECOPT agent --listen "10.77.0.$number:7070" --token-file "$TOKEN" \
        --tls-cert "$CA" --tls-key "$FOLDER/key.pem" --tls-ca "$CA" >"$FOLDER/$node" 2>&1 &
    AGENT_PIDS+=($!)
    AGENTS+=",$node=10.77.0.$number:7070"
done
AGENTS=${AGENTS#,}
for node in $NODES; do
    for _ in $(seq 100); do grep -q "listens on" "$FOLDER/$node" && continue 2; sleep 0.1; done
    say "the agent of $node did not start: $(head -n1 "$FOLDER/$node")"
    exit 3
done
say "$NODES behind tbf of $RATE Mbit/s, bursts of $BURST bytes, latency $LATENCY_MS ms"
status=0
ip netns exec "$HUB" bash -c "$*" || status=$?
exit $status
