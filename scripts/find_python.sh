#!/usr/bin/env bash
# Prints a Python of at least 3.10: python3, else a versioned one on the PATH, else one of pyenv's.
set -u
usable() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
for python in python3 python3.1{4,3,2,1,0} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[0-9]*/bin/python3; do
    if usable "$python"; then
        command -v "$python"
        exit 0
    fi
done
echo "neurenix needs Python 3.10 or newer with its venv module; found: $(python3 --version 2>&1 | head -n 1)" >&2
exit 1
