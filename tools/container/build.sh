# The steps of check.sh that build: roots for the images that no registry serves here, and the Dockerfile on them.
# shellcheck shell=bash disable=SC2154

root_image=localhost/palabra-check/debian
service_image=localhost/palabra-check/service-$DEVICE

# buildah without a daemon and without namespaces of the network: it works inside containers and sandboxes as well.
builder() {
    buildah --storage-driver "$driver" --root "$folder/storage" --runroot "$folder/running" "$@"
}

builder_works() {
    [ "$(id -u)" -eq 0 ] || skip "buildah needs root" || return 1
    debian_tool buildah buildah || return 1
    export BUILDAH_ISOLATION=chroot
    # overlay shares layers; vfs, which copies them, works everywhere.
    for driver in overlay vfs; do
        if container=$(builder from scratch 2>"$folder/driver.log") \
            && builder mount "$container" >/dev/null 2>>"$folder/driver.log"; then
            builder rm "$container" >/dev/null
            trap tidy EXIT
            return
        fi
    done
    skip "buildah cannot store images here: $(tail -n 1 "$folder/driver.log")"
}

# Nothing goes on running or stays mounted, so that target/container can be deleted.
tidy() {
    local process
    for process in $(service_process); do
        kill -KILL "$process"
    done
    builder rm --all >/dev/null 2>&1 || true
    [ -z "${models:-}" ] || rm -rf "$models"
    ! mountpoint --quiet "$folder/storage/overlay" || umount "$folder/storage/overlay"
}

has_image() {
    builder inspect --type image "$1" >/dev/null 2>&1
}

# commit CONTAINER IMAGE
commit() {
    builder commit --quiet --rm "$1" "$2" >/dev/null
}

# An empty Debian in place of debian:bookworm-slim: from this machine's own mirror, with nothing but what Debian calls essential.
debian_root() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 -E '/debian/?$' || true)
    echo "debootstrap: an empty Debian"
    rm -rf "$folder/root"
    debootstrap --variant=minbase bookworm "$folder/root" ${mirror:+"$mirror"} >"$folder/debootstrap.log" 2>&1 \
        || fail "debootstrap failed: see $folder/debootstrap.log"
    container=$(builder from scratch)
    builder add --quiet "$container" "$folder/root" / >/dev/null
    builder config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd bash "$container"
    commit "$container" "$root_image"
    rm -rf "$folder/root"
}

# What was built for another compiler or other dependencies only takes space, gigabytes of it.
forget_images() {
    builder images --all --format '{{.ID}} {{.Name}}' | grep -v "$root_image\$" | cut -d' ' -f1 | sort -u \
        | xargs --no-run-if-empty buildah --storage-driver "$driver" --root "$folder/storage" --runroot "$folder/running" rmi --force \
            >/dev/null 2>&1 || true
}

# In place of rust:1.95-bookworm: that root with C's compiler, and this machine's certificates and settings of cargo and pip.
# Its Rust and what cargo has fetched and compiled come in as mounts.
rust_root() {
    local home=$1 mounted file
    echo "buildah: that Debian with C's compiler"
    forget_images
    container=$(builder from "$root_image")
    builder run "$container" -- sh -c 'apt-get update -q && apt-get install -q -y --no-install-recommends build-essential ca-certificates' \
        >"$folder/rust.log" 2>&1 || fail "C's compiler could not be installed: see $folder/rust.log"
    mounted=$(builder mount "$container")
    for file in "$home/config.toml" /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
        [ ! -f "$file" ] || install -D -m 644 "$file" "$mounted$file"
    done
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$mounted/etc/ssl/certs/"
    # Files that cargo has generated name the folder that they were generated in.
    mkdir -p "$mounted/source" "$(dirname "$mounted$compiled")"
    ln -s /source/target "$mounted$compiled"
    builder config --env "PATH=/usr/local/rust/bin:$home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        --env "CARGO_HOME=$home" "$container"
    commit "$container" "$rust_image"
}

# What cargo has compiled of the dependencies, as links where the file system allows: it takes from there what is unchanged.
# Without what utoipa-swagger-ui generates: it names the folder of its first build even where the whole target was copied since.
reuse_compiled() {
    local release="$folder/target-$DEVICE/release" kind link
    [ ! -d "$release" ] && [ -d "$compiled/release/deps" ] || return 0
    mkdir -p "$release"
    for kind in deps build .fingerprint; do
        link=()
        [ "$kind" != deps ] || link=(--link)
        (cd "$compiled/release" && find "$kind" -type f -not -path '*palabra*' -not -path '*utoipa-swagger-ui*' \
            \( -not -path 'deps/*' -o -name '*.rlib' -o -name '*.rmeta' -o -name '*.so' -o -name '*.d' \) -print0 \
            | xargs -0 cp --parents --preserve=all "${link[@]}" --target-directory="$release" 2>"$folder/reuse.log") \
            || echo "what cargo has compiled cannot be used whole: see $folder/reuse.log"
    done
}

# image_of CONTEXT STAGE TAG OPTION...: the Dockerfile up to a stage, from the cache as far as it goes.
image_of() {
    local context=$1 stage=$2 tag=$3
    shift 3
    builder build --layers --format docker --target "$stage" --tag "$tag" --build-arg "DEVICE=$DEVICE" \
        --build-arg "BUILD_IMAGE=$rust_image" --build-arg "CPU_IMAGE=$root_image" --build-arg "CUDA_IMAGE=$root_image" \
        --build-arg "FEATURES=${FEATURES:-}" "$@" "$context"
}

build() {
    builder_works || return 0
    command -v cargo >/dev/null || skip "cargo is missing: install Rust with rustup" || return 0
    if ! has_image "$root_image"; then
        debian_tool debootstrap debootstrap || return 0
        debian_root
    fi
    local home=${CARGO_HOME:-$HOME/.cargo} rust
    rust=$(rustc --print sysroot)
    compiled=${CARGO_TARGET_DIR:-$PWD/target}
    rust_image="localhost/palabra-check/rust:$({ rustc -vV && echo "$rust $home $compiled"; } | sha256sum | cut -c1-16)"
    has_image "$rust_image" || rust_root "$home"
    reuse_compiled
    mkdir -p "$home/registry" "$folder/target-$DEVICE"
    local mounts=(--volume "$rust:/usr/local/rust:ro" --volume "$home/registry:$home/registry"
        --volume "$folder/target-$DEVICE:/source/target")
    built build "${mounts[@]}"
    echo "dependencies that were compiled: $(sed -n '/ AS dependencies$/,/ AS build$/p' "$folder/build.log" | grep -c '^ *Compiling')"
    # The stage that people get, without those mounts.
    built service
    changed_source "${mounts[@]}"
}

# built STAGE OPTION...: its image, with what is worth saying.
built() {
    local stage=$1
    shift
    image_of . "$stage" "localhost/palabra-check/$stage-$DEVICE" "$@" 2>&1 | tee "$folder/build.log" \
        | grep --line-buffered -E '^(\[[0-9/]*\] STEP|STEP|error|warning: unused)|Compiling palabra|Finished|--> Using cache' \
        || fail "the image was not built: see $folder/build.log"
}

# A change of the source, a new file and a new version of Palabra leave the layer of the dependencies as it is.
# OPTION...: those of the build.
changed_source() {
    local before after copy="$folder/changed"
    before=$(image_of . dependencies localhost/palabra-check/before "$@" 2>&1 | tail -n 1)
    rm -rf "$copy" && mkdir "$copy"
    tar -c --exclude=./target --exclude=./.git . | tar -C "$copy" -x
    echo '//! Nothing.' >"$copy/src/unused.rs"
    echo '// Changed.' >>"$copy/src/main.rs"
    sed -i '/^name = "palabra"$/{n;s/^version = .*/version = "99.0.0"/}' "$copy/Cargo.toml" "$copy/Cargo.lock"
    cmp -s Cargo.toml "$copy/Cargo.toml" && fail "the version in Cargo.toml was not found"
    after=$(image_of "$copy" dependencies localhost/palabra-check/after "$@" 2>&1 | tail -n 1)
    rm -rf "$copy"
    [[ -n $before && $before == "$after" ]] || fail "a change of the source compiles the dependencies again ($before, $after)"
    echo "a change of the source leaves the dependencies' layer as it was ($before)"
}
