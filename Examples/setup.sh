#!/usr/bin/env bash
# Installs the system packages that are missing (Debian, Ubuntu) and checks the Swift toolchain. Sourced by demo.sh and Tests/run.sh.
set -euo pipefail

packages=(
    pkg-config libyaml-dev libavformat-dev libavcodec-dev libswscale-dev libswresample-dev libavutil-dev libopenblas-dev
    libdnnl-dev libsqlite3-dev libssl-dev libcairo2-dev zlib1g-dev libarchive-dev fonts-dejavu-core espeak-ng python3-venv "$@"
)
missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "Installing: ${missing[*]}"
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! command -v swift >/dev/null; then
    echo "error: no Swift toolchain found; install Swift 6 (swift.org/install) and put it on the PATH" >&2
    exit 1
fi
