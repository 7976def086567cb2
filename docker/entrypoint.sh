#!/bin/sh
# Starts the server. At the first start it makes a token for the operator, because the server refuses to listen beyond
# loopback without tokens. What is given after the image's name goes to holdfast-server.
set -eu
umask 077

case ${1:-serve} in
serve | -*) ;;
*) exec holdfast-server "$@" ;;
esac

tokens=${PERSISTENCE_TOKENS_FILE:-}
if [ -n "$tokens" ] && [ ! -e "$tokens" ]; then
    case ${PERSISTENCE_LISTEN:-127.0.0.1} in
    127.* | localhost:* | '[::1]:'*)
        unset PERSISTENCE_TOKENS_FILE # only this container can connect
        ;;
    *)
        kept=${PERSISTENCE_DATA_DIRECTORY:-/data}/operator-token
        # Under another name until the operator's copy is written: a start that is cut short makes no token nobody has.
        rm -f "$tokens.new"
        holdfast-server token create --role operator --description 'made at the first start' \
            --tokens-file "$tokens.new" >"$kept" 2>/dev/null
        mv "$tokens.new" "$tokens"
        echo "holdfast: made a token for the operator; it is in $kept and shown here once: $(cat "$kept")" >&2
        ;;
    esac
fi

exec holdfast-server "$@"
