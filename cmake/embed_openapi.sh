#!/bin/sh
# Runs embed_openapi.py with the Python that has Debian's python3-yaml, whatever python3 comes first in PATH.
set -eu
here=$(dirname "$0")
for python in /usr/bin/python3 python3; do
    if "$python" -c 'import yaml' 2>/dev/null; then
        exec "$python" "$here/embed_openapi.py" "$@"
    fi
done
echo "embed_openapi.sh: python3-yaml is missing; run scripts/install-deps" >&2
exit 1
