#!/usr/bin/env bash
# Checks that the peak memory of the main job grows by less than a third when the driving clip is ten times as long.
#
#     Tests/memory.sh [--set animate.with.steps=2 …]      further arguments go to both runs
set -euo pipefail
cd "$(dirname "$0")/.."
swift build -c release --product understudy
understudy=$(swift build -c release --show-bin-path)/understudy
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ffmpeg -v error -stream_loop 9 -i Examples/mira/driving.mp4 -c:v libx264 -crf 14 -pix_fmt yuv420p -c:a aac "$folder/long.mp4"

# Runs the example in a cache of its own, one node at a time, and prints the largest peak of any node in bytes.
peak() {
    "$understudy" run Graphs/example.yaml --cache "$folder/$1" --out "$folder/out" --threads 1 --quiet "${@:2}"
    "$understudy" runs show --json --cache "$folder/$1" |
        awk '/"memory"/ { getline; gsub(/[^0-9]/, ""); if ($0 + 0 > most) most = $0 + 0 } END { print most }'
}
short=$(peak short "$@")
long=$(peak long --input driving="$folder/long.mp4" "$@")
echo "peak memory: $((short / 1000000)) MB for the clip, $((long / 1000000)) MB for one ten times as long"
if ((long * 3 >= short * 4)); then
    echo "error: it grew by a third or more; 'understudy runs show' tells which node it was" >&2
    exit 1
fi
