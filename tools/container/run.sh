# The step of check.sh that runs the image as an orchestrator would: its user, entry point, command and health check.
# shellcheck shell=bash disable=SC2154

# The seconds between SIGTERM and SIGKILL in compose.yaml.
grace() {
    sed -n 's/^ *stop_grace_period: \([0-9]*\)s$/\1/p' compose.yaml
}

# setting TEMPLATE: a field of the image's configuration.
setting() {
    builder inspect --type image --format "{{$1}}" "$service_image"
}

# inside PROGRAM ARGUMENT...: runs in the container as the image's user, with the port and the folders of this check.
inside() {
    builder run --env "PALABRA_PORT=$port" "${mounts[@]}" "$container" -- "$@"
}

# The service's own process, if it runs: the one with the container's root.
service_process() {
    local process
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2>/dev/null)" = palabra ] && [ "$(stat -Lc %d:%i "$process/root" 2>/dev/null)" = "${root_inode:-}" ]; then
            basename "$process"
        fi
    done
}

free_port() {
    local candidate
    for candidate in $(seq 18000 18999); do
        (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || { echo "$candidate" && return; }
    done
}

# Starts the image's command in the background and waits until the image's health check is content.
start_service() {
    local attempt command health
    read -ra command <<<"$(setting '.Docker.Config.Entrypoint' | tr -d '[]') $(setting '.Docker.Config.Cmd' | tr -d '[]')"
    read -ra health <<<"$(setting '.Docker.Config.Healthcheck.Test' | tr -d '[]' | sed 's/^CMD //')"
    inside "${command[@]}" >"$folder/service.log" 2>&1 &
    waiter=$!
    for attempt in $(seq 60); do
        if inside "${health[@]}" >"$folder/health.log" 2>&1; then
            echo "healthy after ${attempt} attempts: ${command[*]}"
            return
        fi
        kill -0 "$waiter" 2>/dev/null || fail "the service ended: $(cat "$folder/service.log")"
        sleep 0.5
    done
    fail "the health check ${health[*]} fails: $(cat "$folder/health.log")"
}

# Tells the service to end, as an orchestrator does, and expects an exit code of 0 in time.
stop_service() {
    local process begun=$SECONDS code=0
    process=$(service_process)
    [ -n "$process" ] || fail "the service's process was not found"
    [ "$(stat -c %u "/proc/$process")" = 10001 ] || fail "the service runs as user $(stat -c %u "/proc/$process"), not 10001"
    kill -TERM "$process"
    wait "$waiter" || code=$?
    [ "$code" -eq 0 ] || fail "the service ended with $code after SIGTERM: $(tail -n 5 "$folder/service.log")"
    [ $((SECONDS - begun)) -lt "$(grace)" ] || fail "the service took $((SECONDS - begun)) s to end"
    echo "ended with 0, $((SECONDS - begun)) s after SIGTERM"
}

# What the image is: its settings, its user, and nothing in it that only a build needs.
contents() {
    local mounted program
    mounted=$(builder mount "$container")
    root_inode=$(stat -Lc %d:%i "$mounted")
    expect "$(setting .Docker.Config.User) $(setting .Docker.Config.ExposedPorts) $(setting .Docker.Config.Volumes)" \
        10001:10001 8000/tcp /app/model_cache
    for program in cc gcc c++ ld cargo rustc nvcc python python3 perl5 pip pip3; do
        [ -z "$(find "$mounted/usr/bin" "$mounted/usr/local" "$mounted/opt" -name "$program" -print -quit)" ] || fail "the image holds $program"
    done
    [ ! -e "$mounted/source" ] || fail "the image holds the source"
    echo "$(inside palabra --version), $(du -sm "$mounted" | cut -f1) MB, $(stat -c %s "$mounted/usr/local/bin/palabra" | numfmt --to=iec) of them the program"
}

# From an empty volume: healthy without a model, and done in time.
empty_cache() {
    mounts=(--volume "$models:/app/model_cache")
    ! inside palabra health >"$folder/health.log" 2>&1 || fail "the health check is content without a service"
    start_service
    # A program for GPUs that finds none works, and says that it is less than was asked for.
    local status=ok
    [ "$DEVICE" = cpu ] || status=degraded
    expect "$(curl -sS "http://127.0.0.1:$port/health")" "\"status\":\"$status\"" '"device_in_use":"cpu"'
    expect "$(curl -sS "http://127.0.0.1:$port/ready")" '"status":"ready"'
    [ "$DEVICE" = cpu ] || expect "$(cat "$folder/service.log")" 'running on the CPU'
    stop_service
}

# Whether the service works for another request than the one that asks.
request_is_inside() {
    local _ page
    for _ in $(seq 100); do
        page=$(curl -sS "http://127.0.0.1:$port/metrics")
        [[ ! $page =~ palabra_http_requests_in_flight\ [2-9] ]] || return 0
        sleep 0.1
    done
    return 1
}

# With the models that this machine has, and the three mounts of the replaced service: a transcript that is under way when
# the service is told to end.
transcript() {
    local cached=${PALABRA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/palabra} clip answer="$folder/answer.json" request name
    clip=$cached/models/sample/sample.wav
    if ! [ -f "$clip" ] || ! [ -f "$cached/models/whisper-base/model.safetensors" ]; then
        skip "no transcript: the default models are not in $cached (palabra transcribe --sample fetches them)" || return 0
    fi
    mkdir -p "$models/whisper"
    cp -a "$cached/models" "$models/whisper/"
    mkdir -p "$models/alignment" "$models/huggingface"
    chown -R 10001:10001 "$models"/*
    mounts=()
    for name in whisper alignment huggingface; do
        mounts+=(--volume "$models/$name:/app/model_cache/$name")
    done
    start_service
    curl -sS -F "audio_file=@$clip" -F diarize_audio=true -o "$answer" "http://127.0.0.1:$port/transcribe/" &
    request=$!
    request_is_inside || fail "the service counts no request: $(cat "$answer" 2>/dev/null)"
    stop_service
    wait "$request" || fail "the request that was inside was cut off: $(tail -n 5 "$folder/service.log")"
    expect "$(cat "$answer")" '"language":"en"' 'Chicago' 'SPEAKER_01'
    echo "a request that was inside got its transcript: $(grep -o '"full_text":"[^"]*"' "$answer" | cut -c 14-60)..."
}

run() {
    builder_works || return 0
    has_image "$service_image" || skip "there is no image to run: the step build makes it" || return 0
    debian_tool curl curl || return 0
    models="$folder/models"
    rm -rf "$models"
    install -d -m 1777 "$models"
    port=$(free_port)
    mounts=()
    container=$(builder from "$service_image")
    contents
    empty_cache
    transcript
}
