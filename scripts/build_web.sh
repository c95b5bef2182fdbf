#!/usr/bin/env bash
# Builds the package for browsers into web/dist. The engine is compiled by the default Rust toolchain where that knows wasm32
# (rustup target add wasm32-unknown-unknown), else by Debian's (packages rustc-web cargo-web rust-web-src lld). With the argument
# --if-possible it is no failure that there is neither.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
most=1100000 # bytes, compressed
built=target/web
flags="-C target-feature=+simd128"

fail() { echo "build_web: $*" >&2; exit 1; }

compile() { # cargo, then further arguments
    local cargo=$1
    shift
    CARGO_TARGET_DIR=$built RUSTFLAGS=$flags "$cargo" build --quiet --locked --profile web -p phynexus-web --target $target "$@"
}

# The tool must have the version of the crate.
version=$(grep -A 1 '^name = "wasm-bindgen"$' Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p')
tool=$built/tools/bin/wasm-bindgen
install_tool() {
    if [ "$("$tool" --version 2>/dev/null)" = "wasm-bindgen $version" ]; then return; fi
    local arguments=(--quiet wasm-bindgen-cli --version "$version" --root $built/tools --target-dir $built/tools-build)
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    # The versions that its author tested; a registry that lacks one of them has others that fit.
    cargo install --locked "${arguments[@]}" || cargo install "${arguments[@]}"
}

echo "Building the engine for browsers (some minutes the first time)"
if [ -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ]; then
    install_tool &
    compile cargo
else
    linker=$(compgen -c wasm-ld | sort -u | head -n 1) || true
    if ! [ -x /usr/bin/cargo ] || ! [ -d /usr/lib/rustlib/src/rust/library/std ] || [ -z "$linker" ]; then
        advice="'rustup target add $target' or, on Debian, 'apt-get install rustc-web cargo-web rust-web-src lld'"
        [ "${1-}" = --if-possible ] || fail "no Rust toolchain here knows $target; install it with $advice"
        rm -rf web/dist
        echo "Not built for browsers, which needs $advice; the tests in a browser are skipped" >&2
        exit 0
    fi
    install_tool & # meanwhile: most of the time goes into one crate, which takes one core
    # Debian has no compiled standard library for this target, but its source.
    flags="$flags -C linker-flavor=wasm-ld -C linker=$linker"
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 compile /usr/bin/cargo -Zbuild-std=std,panic_abort
fi

wait $!
rm -rf web/dist
"$tool" --target web --remove-name-section --remove-producers-section --out-dir web/dist --out-name neurenix $built/$target/web/phynexus_web.wasm
cp web/README.md LICENSE web/dist/
if [ -f web/optimizers.json ]; then cp web/optimizers.json web/dist/; fi
package=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
cat > web/dist/package.json <<EOF
{
  "name": "neurenix",
  "version": "$package",
  "description": "Tensors, gradients and optimizers in the browser, on WebGPU and on the CPU",
  "license": "Apache-2.0",
  "type": "module",
  "main": "neurenix.js",
  "types": "neurenix.d.ts",
  "files": ["*.js", "*.wasm", "*.d.ts", "*.json"],
  "sideEffects": ["./neurenix.js"]
}
EOF

size=$(cat web/dist/neurenix.js web/dist/neurenix_bg.wasm | gzip -9 | wc -c)
echo "web/dist: $size bytes compressed, of which at most $most may be"
[ "$size" -le $most ] || fail "the package is too large"
