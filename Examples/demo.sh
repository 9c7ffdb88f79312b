#!/usr/bin/env bash
# Installs what is missing, builds, and runs the main job on the bundled example: a picture performs a clip.
set -euo pipefail
cd "$(dirname "$0")/.."
bash Examples/setup.sh
swift build -c release --product understudy
understudy="$(swift build -c release --show-bin-path)/understudy"
"$understudy" run Graphs/example.yaml "$@"
"$understudy" report --out out/report.html
echo "The film and its report are in out/"
