# Palabra in a container: compiled with cargo, run by an ordinary user in an image without compiler and without Python.
# By default it serves on port 8000; any other command of palabra works as well.
#
#   docker build -t palabra .                              for NVIDIA GPUs; runs on the processor where there is none
#   docker build -t palabra:cpu --build-arg DEVICE=cpu .   for the processor alone: a small image
#   docker run --rm --gpus all -p 8000:8000 -v palabra-models:/app/model_cache palabra
#   docker run --rm -v palabra-models:/app/model_cache -v "$PWD:/audio" palabra:cpu transcribe talk.mp3
#
# The layers of the dependencies depend on Cargo.toml and Cargo.lock, not on the source. As layers, and not in a cache mount,
# a registry can hand them on to other machines (`--cache-to`).

# cuda or cpu, and more features of cargo: otlp sends traces to an OpenTelemetry collector.
ARG DEVICE=cuda
ARG FEATURES=otlp
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG CPU_IMAGE=debian:bookworm-slim
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04

FROM ${BUILD_IMAGE} AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /source

# The dependencies as a file that changes only when they do.
FROM chef AS recipe
COPY . /source
RUN cargo chef prepare --recipe-path /recipe.json

FROM chef AS toolchain-cpu
ARG FEATURES
ENV FEATURES="$FEATURES"
COPY --from=recipe /recipe.json /recipe.json
RUN touch /environment

# CUDA's compiler comes from wheels, so that pip is needed here, and here only. The CUDA libraries are opened when the
# program first calls them, so that it starts on a machine without a driver as well.
FROM chef AS toolchain-cuda
ARG FEATURES
ENV FEATURES="cuda $FEATURES"
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
COPY --from=recipe /recipe.json /recipe.json
COPY tools/cuda /source/tools/cuda
RUN cargo chef cook --no-build --recipe-path /recipe.json \
    && tools/cuda/setup.sh /opt/cuda-build && ln -s /opt/cuda-build/env.sh /environment

# hadolint ignore=DL3006
FROM toolchain-${DEVICE} AS dependencies
RUN . /environment && cargo chef cook --release --locked --bin palabra --features "$FEATURES" --recipe-path /recipe.json

FROM dependencies AS build
COPY . /source
RUN . /environment && cargo build --release --locked --bin palabra --features "$FEATURES" \
    && install -D target/release/palabra /out/palabra

FROM ${CPU_IMAGE} AS runtime-cpu
FROM ${CUDA_IMAGE} AS runtime-cuda

# hadolint ignore=DL3006
FROM runtime-${DEVICE} AS service
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
# Anyone may write here, so that --user "$(id -u)" works as well: files then belong to the caller.
RUN useradd --system --uid 10001 --home-dir /app --no-create-home palabra \
    && install -d -m 1777 /app/model_cache /app/model_cache/whisper /app/model_cache/huggingface /audio
COPY --from=build /out/palabra /usr/local/bin/palabra
# The folders of the service that this one replaces. What the GPU's driver compiles is kept beside the models, so that only
# the first start waits for it. A container is reached from outside or not at all: the ports that are published say who
# may come in.
ENV PALABRA_CACHE=/app/model_cache/whisper \
    HF_HOME=/app/model_cache/huggingface \
    CUDA_CACHE_PATH=/app/model_cache/whisper/cuda \
    PALABRA_HOST=0.0.0.0
# Says at once if this image lacks a library that the program needs to start.
RUN palabra --version
VOLUME /app/model_cache
WORKDIR /audio
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
EXPOSE 8000
# The program asks its own service, so that the image needs no curl; another port than 8000 is set by PALABRA_PORT, for both.
HEALTHCHECK --interval=30s --timeout=6s --start-period=20s --retries=3 CMD ["palabra", "health"]
ENTRYPOINT ["palabra"]
CMD ["serve"]
