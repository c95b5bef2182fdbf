#!/bin/sh
# Runs a command on a machine with a simulated NVIDIA GPU: simulate.sh cargo test -p phynexus --test kernels
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
c++ -O2 -U_FORTIFY_SOURCE -shared -fPIC -o "$folder/libcuda.so.1" "$(dirname "$0")/cuda.cpp" -ldl
ln -s libcuda.so.1 "$folder/libnvrtc.so.13"
c++ -O2 -shared -fPIC -o "$folder/libcublas.so.13" "$(dirname "$0")/blas.cpp"
SIMULATED="$folder" LD_LIBRARY_PATH="$folder" NEURENIX_CACHE="$folder/cache" "$@"
