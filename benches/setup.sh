#!/usr/bin/env bash
# One virtual environment for each peer under $PEERS; those that exist stay as they are.
set -eu
PEERS=${PEERS:-$HOME/.cache/neurenix-peers}
PYTHON=$("$(dirname "$0")/../scripts/find_python.sh")
install() { # name packages...
    if [ -d "$PEERS/$1" ]; then
        echo "there: $1"
    elif "$PYTHON" -m venv "$PEERS/$1" && "$PEERS/$1/bin/pip" install --quiet "${@:2}"; then
        echo "installed: $1"
    else
        rm -rf "${PEERS:?}/$1"
        echo "skipped: $1"
    fi
}
install torch torch numpy
install jax jax optax
install sklearn scikit-learn
install torchao torch torchao numpy
install bitsandbytes torch bitsandbytes numpy
install pytorch_optimizer torch pytorch-optimizer numpy
