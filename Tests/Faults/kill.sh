#!/usr/bin/env bash
# Kills understudy at COUNT random instants (300) and checks after each that nothing is lost: Tests/Faults/kill.sh [COUNT] [SEED]
# A failure names its round; the same COUNT and SEED choose the same instants again. Results so far: README.md in this folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
swift build -c release --product understudy
python3 Tests/Faults/kill.py "$(swift build -c release --show-bin-path)/understudy" "$@"
