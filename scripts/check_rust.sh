#!/usr/bin/env bash
# Says in one line how to get what the build needs, when it is missing: a C linker, and Rust of the workspace's version.
set -u
cd "$(dirname "$0")/.."
need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cc >/dev/null; then
    echo "The build needs a C compiler for linking: install gcc (Debian: apt-get install build-essential)." >&2
    exit 1
fi
have=$(cargo --version 2>/dev/null | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$need" "${have:-0}" | sort -V | head -n 1)" != "$need" ]; then
    echo "The build needs Rust $need or newer (found: ${have:-none}): install it from https://rustup.rs, or run: rustup update stable" >&2
    exit 1
fi
