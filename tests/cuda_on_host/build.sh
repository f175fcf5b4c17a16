#!/usr/bin/env bash
# Builds libcuda.so.1, libcublas.so.13 and libcurand.so.10 that run on the CPU into FOLDER (README.md):
#   tests/cuda_on_host/build.sh FOLDER [--sanitize]
# Needs g++, cargo and the toolkit that tools/cuda/setup.sh prepares. Candle's kernels are compiled from the sources that
# cargo has downloaded, ours from kernels/. What has not changed since the last build is kept.
set -euo pipefail

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || fail "name the folder for the libraries: tests/cuda_on_host/build.sh FOLDER [--sanitize]"
[ -f "${CUDA_HOME:-}/include/cuda_fp16.h" ] || fail "source the file that tools/cuda/setup.sh prints first"
mkdir -p "$1"
out=$(cd "$1" && pwd)
flags=(-std=c++17 -O2 -g1 -march=native -fPIC -fvisibility=hidden -w -DCUDA_ON_HOST_TOOLKIT)
flags+=(-I"$root/tests/kernels/host" -I"$here" -isystem "$CUDA_HOME/include")
for cccl in "$CUDA_HOME/include/cccl" "$CUDA_HOME/targets/x86_64-linux/include/cccl"; do
    [ ! -d "$cccl" ] || flags+=(-isystem "$cccl")
done
[ "${2:-}" != --sanitize ] || flags+=(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)

# object NAME SOURCE FLAGS..: compiles unless the object is newer than all that it was made from.
object() {
    local name=$1 source=$2
    shift 2
    objects+=("$out/$name.o")
    if [ -f "$out/$name.o" ] && [ -f "$out/$name.d" ] && [ "$(cat "$out/$name.flags")" = "${flags[*]} $*" ] \
        && [ -z "$(sed 's/^[^:]*://; s/\\$//' "$out/$name.d" | xargs -n1 | xargs -I{} find {} -newer "$out/$name.o")" ]; then
        return
    fi
    g++ "${flags[@]}" "$@" -MMD -MF "$out/$name.d" -c "$source" -o "$out/$name.o"
    echo "${flags[*]} $*" >"$out/$name.flags"
}

# replace FILE: takes standard input for its new contents, and leaves it alone where they are the old ones.
replace() {
    cat >"$1.new"
    if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

# kernels ORIGIN FILE FLAGS..: compiles a kernel file together with a line for each of its kernels that makes it known.
kernels() {
    local origin=$1 file=$2 name known
    name=$origin-$(basename "$file" .cu)
    shift 2
    known=$(g++ "${flags[@]}" "$@" -DCUDA_ON_HOST_LIST -E -P -x c++ - <<LIST | tr '\n' ' ' \
        | grep -oE '__global__ +(void +)?(BOUNDS\[[^]]*\] *)?(void +)?\w+ *\(' \
        | sed -E 's/__global__|void |\($//g; s/BOUNDS\[([^],]*)[^]]*\](.*)/\2 \1/'
#include "cuda_on_host.h"
#undef __launch_bounds__
#define __launch_bounds__(...) BOUNDS[__VA_ARGS__]
#include "$file"
LIST
    ) || fail "$file does not compile, or has no kernel in a form that build.sh knows"
    {
        # A namespace and a prefix: one name may mean different things in candle's files and ours.
        echo "#include \"cuda_on_host.h\""
        while read -r kernel bounds; do echo "#define $kernel ${origin}_$kernel"; done <<<"$known"
        echo "namespace {"
        echo "#include \"$file\""
        while read -r kernel bounds; do
            echo "const bool known_$kernel = cuda_on_host::add<&$kernel>(\"$origin $kernel\"${bounds:+, $bounds});"
        done <<<"$known"
        echo "}"
    } | replace "$out/$name.cpp"
    object "$name" "$out/$name.cpp" "$@"
}

manifest=$(cargo metadata --locked --format-version 1 --all-features --manifest-path "$root/Cargo.toml" \
    | grep -oE '"manifest_path":"[^"]*/candle-kernels[^"/]*/Cargo.toml"' | cut -d'"' -f4)
candle=$(dirname "$manifest")/src
[ -f "$candle/affine.cu" ] || fail "cargo found no candle-kernels: see its message above"

objects=()
for file in affine binary cast conv fill indexing reduce ternary unary; do
    kernels candle "$candle/$file.cu"
done
# `extern __shared__` has no counterpart on the host.
sed -E 's/extern __shared__ (\w+) (\w+)\[\];/DYNAMIC_SHARED(\1, \2);/' "$candle/sort.cu" | replace "$out/sort.cu"
kernels candle "$out/sort.cu" -I"$candle"
for file in "$root"/kernels/*.cu; do
    kernels palabra "$file" -DPALABRA_ON_HOST -I"$root/kernels"
done
for file in device memory stream launch; do
    object "$file" "$here/$file.cpp"
done

# library NAME OBJECTS..: the others find the driver's state in libcuda.so.1, which stands beside them.
library() {
    local name=$1
    shift
    g++ "${flags[@]}" -shared -Wl,-soname,"$name" -Wl,-rpath,'$ORIGIN' -Wl,--no-undefined -o "$out/$name" "$@"
}
library libcuda.so.1 "${objects[@]}"
objects=()
object blas "$here/blas.cpp" -O3 -fassociative-math -fno-signed-zeros -fno-trapping-math -fno-math-errno
library libcublas.so.13 "${objects[@]}" "$out/libcuda.so.1"
objects=()
object random "$here/random.cpp"
library libcurand.so.10 "${objects[@]}" "$out/libcuda.so.1"
echo "LD_LIBRARY_PATH=$out"
