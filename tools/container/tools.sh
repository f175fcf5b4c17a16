# What the steps of check.sh share: refusals, expectations, and tools that are installed where they are missing.
# shellcheck shell=bash disable=SC2154

fail() {
    echo "check.sh: $*" >&2
    exit 1
}

skip() {
    echo "skipped: $*"
    skipped+=("$*")
    return 1
}

# expect TEXT PART...: the text holds every part.
expect() {
    local text=$1 part
    shift
    for part in "$@"; do
        [[ $text == *"$part"* ]] || fail "'$part' is missing in:
$text"
    done
}

install_package() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$1"; } >"$folder/apt.log" 2>&1
}

# debian_tool PROGRAM PACKAGE: the program is there, installed where this is Debian and we are root.
debian_tool() {
    command -v "$1" >/dev/null || install_package "$2" || true
    command -v "$1" >/dev/null || skip "$1 is missing, and Debian's package $2 could not be installed"
}

# python_tool PROGRAM REQUIREMENT: the program is on PATH, from a virtual environment of these checks.
python_tool() {
    local environment="$folder/python"
    PATH="$environment/bin:$PATH"
    command -v "$1" >/dev/null && return
    if ! [ -x "$environment/bin/pip" ]; then
        debian_tool python3 python3 || return 1
        # Debian keeps what a virtual environment needs in a package of its own.
        python3 -c 'import ensurepip' 2>/dev/null || install_package python3-venv || true
        python3 -m venv "$environment" >"$folder/python.log" 2>&1 || skip "Python makes no virtual environment for $1" || return 1
    fi
    "$environment/bin/pip" install --quiet --disable-pip-version-check "$2" && hash -r
    command -v "$1" >/dev/null || skip "$2 could not be installed from the Python package index"
}
