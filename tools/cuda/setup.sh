#!/usr/bin/env bash
# Prepares PREFIX so that `cargo build --release --features cuda` works on an x86-64 Linux machine without GPU, driver or
# CUDA toolkit, and so that the program it builds starts on one:
#   - the CUDA 13.0 compiler from Python wheels, or the installed toolkit where `nvcc` on PATH is 13.0 or newer;
#   - for each CUDA library that candle links, an archive that opens the real library at the first call (delay_load.c).
# Run it again after cudarc's version in Cargo.lock has changed: the archives hold the functions which cudarc declares.
set -euo pipefail

fail() {
    echo "setup.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || fail "name the folder to set up: tools/cuda/setup.sh PREFIX"
for tool in cargo gcc ar; do
    command -v "$tool" >/dev/null || fail "$tool is missing: install it, then run this again"
done
mkdir -p "$1"
prefix=$(cd "$1" && pwd)

# The root of the toolkit that belongs to the nvcc on PATH, if that is 13.0 or newer and not what this script made itself.
installed_toolkit() {
    local nvcc major
    nvcc=$(readlink -f "$(command -v nvcc)") && [[ $nvcc != "$prefix"/* ]] || return 1
    major=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    [ "${major:-0}" -ge 13 ] || return 1
    cd "$("$nvcc" --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')" && pwd -P
}

toolkit_from_wheels() {
    local root="$prefix/wheels/nvidia/cu13"
    if ! cmp -s "$here/wheels.txt" "$prefix/wheels/wheels.txt"; then
        rm -rf "$prefix/wheels"
        python3 -m pip install --quiet --no-deps --no-compile --require-hashes --disable-pip-version-check \
            --root-user-action=ignore --target "$prefix/wheels" --requirement "$here/wheels.txt" >&2 \
            || fail "the CUDA compiler's wheels could not be installed: see pip's message above"
        # pip keeps no permissions of programs that a wheel carries as data.
        chmod +x "$root"/bin/* "$root"/nvvm/bin/*
        cp "$here/wheels.txt" "$prefix/wheels/"
    fi
    echo "$root"
}

# delay_load LIBRARY CUDARC_MODULE SONAME ABSENT OUTDATED: writes libLIBRARY.a.
delay_load() {
    grep -oE '^ {12}fn \w+\(' "$cudarc/src/$2/sys/mod.rs" | sort -u | sed -E 's/ *fn (\w+)\(/FUNCTION(\1)/' >"$scratch/$1.h"
    [ -s "$scratch/$1.h" ] || fail "$cudarc/src/$2/sys/mod.rs declares no functions in the form that setup.sh expects"
    gcc -c -O2 -fPIC -Wall -Werror -DLIBRARY="\"$3\"" -DABSENT="$4" -DOUTDATED="$5" -DLIST="\"$scratch/$1.h\"" \
        "$here/delay_load.c" -o "$scratch/$1.o"
    rm -f "$tree/lib/lib$1.a"
    ar rcs "$tree/lib/lib$1.a" "$scratch/$1.o"
}

toolkit=$(installed_toolkit) && origin="installed" || { toolkit=$(toolkit_from_wheels) && origin="from wheels"; }
manifest=$(cargo metadata --locked --format-version 1 --all-features --manifest-path "$here/../../Cargo.toml" \
    | grep -oE '"manifest_path":"[^"]*/cudarc[^"/]*/Cargo.toml"' | cut -d'"' -f4)
[ -f "$manifest" ] || fail "cargo found no cudarc: see its message above"
cudarc=$(dirname "$manifest")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A toolkit of links with a lib folder of its own: cudarc gives the linker each folder below CUDA_HOME, lib first.
tree="$prefix/cuda"
rm -rf "$tree"
mkdir -p "$tree/lib"
for entry in "$toolkit"/*; do
    case $(basename "$entry") in
    lib | lib64) ;;
    *) ln -s "$entry" "$tree/" ;;
    esac
done
ln -s lib "$tree/lib64"

# Absent is "no device" for the driver and "not initialized" for the others; outdated is "driver mismatch", "not
# supported", "version mismatch" (nvrtc has but "internal error").
delay_load cuda driver libcuda.so.1 100 803
delay_load cublas cublas libcublas.so.13 1 15
delay_load cublasLt cublaslt libcublasLt.so.13 1 15
delay_load curand curand libcurand.so.10 203 100
delay_load nvrtc nvrtc libnvrtc.so.13 11 11
# The runtime goes into the program whole (it opens the driver by itself): candle-kernels asks for libcudart, nvcc for the
# other two.
for folder in lib lib64; do
    if [ -f "$toolkit/$folder/libcudart_static.a" ]; then
        cp "$toolkit/$folder/libcudart_static.a" "$tree/lib/libcudart.a"
        cp "$toolkit/$folder/libcudart_static.a" "$toolkit/$folder/libcudadevrt.a" "$tree/lib/"
    fi
done
[ -f "$tree/lib/libcudart.a" ] || fail "$toolkit holds no libcudart_static.a: install the toolkit's development files"

# Compute capability 8.0: PTX of it runs on every newer GPU too, while 9.0 would be compiled as 9.0a, for that GPU alone.
cat >"$prefix/env.sh" <<ENVIRONMENT
export CUDA_HOME="$tree" CUDA_PATH="$tree" CUDA_ROOT="$tree" NVCC="$tree/bin/nvcc" PATH="$tree/bin:\$PATH"
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-80}"
ENVIRONMENT
echo "CUDA $("$tree/bin/nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p'), $origin. Before cargo:"
echo "source $prefix/env.sh"
