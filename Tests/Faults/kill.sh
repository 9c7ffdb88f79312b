#!/usr/bin/env bash
# Kills understudy at COUNT random instants (300) and checks after each that nothing is lost: Tests/Faults/kill.sh [COUNT] [SEED]
# A failure names its round; the same COUNT and SEED choose the same instants again. Results so far: README.md in this folder.
# UNDERSTUDY=PROGRAM tries that program instead of a fresh build.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${UNDERSTUDY:-}" ]; then
    swift build -c release --product understudy
    UNDERSTUDY=$(swift build -c release --show-bin-path)/understudy
fi
# A copy: builds may go on meanwhile.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$UNDERSTUDY" "$folder/understudy"
python3 Tests/Faults/kill.py "$folder/understudy" "$@"
