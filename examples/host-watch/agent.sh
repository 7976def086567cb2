# What all agents share: registering, hydrating, saving, heartbeats. To be sourced, not run.
#
# An agent sets agent_name, agent_kind, agent_depends_on (a JSON array) and defines two functions:
#   sample   prints what it sees now as a JSON object; $state holds the state so far
#   assess   reads a sample on stdin and prints {"health":0..1,"status":"...","metrics":{...}}
# then calls agent_main. Its state is
#   {"agent", "rounds", "hydrations", "sample", "history": the last 60 of {"at", "health", "metrics"}}
# and goes on where it stopped, whichever side was restarted.
# shellcheck shell=sh disable=SC2154

HISTORY_LENGTH=60

agent_main() {
    set -eu
    umask 077 # the token goes into a file here, not onto curl's command line
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    sleeper=
    trap 'kill $sleeper 2>/dev/null; exit 130' INT TERM
    printf '%s' "${HOST_WATCH_TOKEN:+Authorization: Bearer $HOST_WATCH_TOKEN}" >"$scratch/headers"
    resource=/v1/systems/$HOST_WATCH_SYSTEM/components/$agent_name
    until register && hydrate; do
        pause
    done
    done_rounds=0
    while [ "$HOST_WATCH_ROUNDS" -eq 0 ] || [ "$done_rounds" -lt "$HOST_WATCH_ROUNDS" ]; do
        observe
        save || hydrate || true
        heartbeat || true
        done_rounds=$((done_rounds + 1))
        pause
    done
}

say() {
    echo "host-watch: $agent_name: $*" >&2
}

# In the background, so that a signal ends the wait at once.
pause() {
    sleep "$HOST_WATCH_INTERVAL" &
    sleeper=$!
    wait $sleeper
}

# request METHOD PATH [curl arguments]: the answer's status is in $status (000: no answer), its body and head in files.
request() {
    method=$1 path=$2
    shift 2
    status=$(curl -sS -X "$method" --max-time 10 -H "@$scratch/headers" -D "$scratch/head" -o "$scratch/body" \
        -w '%{http_code}' "$@" "$HOST_WATCH_URL$path" 2>"$scratch/error") || status=000
}

explain() {
    if [ "$status" = 000 ]; then
        cat "$scratch/error"
    else
        jq -r '"\(.status) \(.code): \(.detail)"' "$scratch/body" 2>/dev/null || echo "status $status"
    fi
}

header() {
    tr -d '\r' <"$scratch/head" | awk -v name="$1" -F ': ' 'tolower($1) == tolower(name) { print $2 }'
}

register() {
    jq -nc --arg kind "$agent_kind" --argjson dependsOn "$agent_depends_on" --argjson interval "$HOST_WATCH_INTERVAL" \
        '{$kind, $dependsOn, heartbeatIntervalMs: ($interval * 3000 | ceil), requiredPointers: ["/rounds", "/sample"]}' \
        >"$scratch/registration"
    request PUT "$resource" -H 'Content-Type: application/json' --data-binary "@$scratch/registration"
    case $status in
    200 | 201) return 0 ;;
    esac
    say "cannot register: $(explain)"
    return 1
}

# Takes up the stored state, or starts a new one when there is none.
hydrate() {
    request GET "$resource/state"
    case $status in
    200)
        etag=$(header ETag)
        epoch=$(header State-Epoch)
        state=$(jq -c '.hydrations += 1' "$scratch/body")
        say "goes on after round $(echo "$state" | jq .rounds)"
        ;;
    404)
        etag=
        epoch=
        state=$(jq -nc --arg agent "$agent_name" '{$agent, rounds: 0, hydrations: 0, sample: null, history: []}')
        say "starts"
        ;;
    *)
        say "cannot hydrate: $(explain)"
        return 1
        ;;
    esac
}

# One round: a new sample joins the state.
observe() {
    now=$(sample)
    report=$(echo "$now" | assess)
    state=$(echo "$state" | jq -c --argjson sample "$now" --argjson report "$report" --argjson length $HISTORY_LENGTH '
        .rounds += 1
        | .sample = $sample
        | .history = (.history + [{at: (now * 1000 | floor), health: $report.health, metrics: $report.metrics}])[-$length:]')
}

# Uploads the state. Only the successor of the version that this agent knows is accepted, and only in the epoch it was
# read in: after a restore, or when another agent of this name writes, it fails and the agent hydrates again. While
# the service is away the state stays in memory and goes with a later round.
save() {
    printf '%s' "$state" >"$scratch/state"
    if [ -n "$etag" ]; then
        set -- -H "If-Match: $etag" -H "State-Epoch: $epoch"
    else
        set -- -H 'If-None-Match: *'
    fi
    request PUT "$resource/state" -H 'Content-Type: application/json' "$@" --data-binary "@$scratch/state"
    case $status in
    200 | 201)
        etag=$(header ETag)
        epoch=$(jq .epoch "$scratch/body")
        if [ -n "$HOST_WATCH_JOURNAL" ]; then
            jq -r '"\(.component) \(.version) \(.hash)"' "$scratch/body" >>"$HOST_WATCH_JOURNAL"
        fi
        ;;
    409 | 412)
        say "was overtaken: $(explain)"
        return 1
        ;;
    *) say "keeps round $(echo "$state" | jq .rounds) in memory: $(explain)" ;;
    esac
}

heartbeat() {
    printf '%s' "$report" >"$scratch/report"
    request POST "$resource/heartbeat" -H 'Content-Type: application/json' --data-binary "@$scratch/report"
    [ "$status" = 204 ] || say "no heartbeat: $(explain)"
}
