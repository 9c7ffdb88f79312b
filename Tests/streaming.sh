#!/usr/bin/env bash
# Checks that a chain of frame-wise nodes over a long 1080p film stays under 1.5 GB of memory and leaves no frames on disk, and that it
# makes the same film as with everything stored.
#
#     Tests/streaming.sh [SECONDS]      length of the film, 60 if missing; that of the stored run, for comparison, is 5 s at most
#
# UNDERSTUDY=PROGRAM tries that program instead of a fresh build.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if [ -z "${UNDERSTUDY:-}" ]; then
    swift build -c release --product understudy
    UNDERSTUDY=$(swift build -c release --show-bin-path)/understudy
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A copy: builds may go on meanwhile.
understudy=$folder/understudy
cp "$UNDERSTUDY" "$understudy"
cat > "$folder/chain.yaml" <<'YAML'
understudy: 1
name: chain
inputs: { film: { type: video } }
nodes:
  frames: { type: video.decode, in: { file: inputs.film } }
  darker: { type: pose.overlay, in: { video: frames.video }, with: { dim: 0.5 } }
  film:   { type: video.encode, in: { video: darker.overlay }, with: { crf: 30 } }
outputs: { film: film.file }
YAML

film() { ffmpeg -v error -f lavfi -i "testsrc2=size=1920x1080:rate=24:duration=$1" -c:v libx264 -preset ultrafast -pix_fmt yuv420p "$folder/$2.mp4"; }

# Runs the chain on a film in a cache of its own; prints seconds, peak memory and largest size of the cache in bytes.
run() {
    local most=0 size start=$EPOCHREALTIME
    "$understudy" run "$folder/chain.yaml" --input film="$folder/$1.mp4" --cache "$folder/$2" --out "$folder/$2-out" --quiet "${@:3}" &
    local process=$! peak=0 now
    while kill -0 $process 2> /dev/null; do
        now=$(awk '/VmHWM/ { print $2 * 1024 }' /proc/$process/status 2> /dev/null || true)
        if ((${now:-0} > peak)); then peak=$now; fi
        size=$(du -sb "$folder/$2" 2> /dev/null | cut -f1 || true)
        if ((${size:-0} > most)); then most=$size; fi
        sleep 0.2
    done
    wait $process
    awk -v a="$start" -v b="$EPOCHREALTIME" -v p="$peak" -v m="$most" 'BEGIN { printf "%.1f %d %d\n", b - a, p, m }'
}

short=$((seconds < 5 ? seconds : 5))
film "$short" short
read -r a memory disk < <(run short stored --stream-above 1T)
echo "$short s, stored:   $a s, $((memory / 1000000)) MB of memory, $((disk / 1000000)) MB on disk"
read -r b memory disk < <(run short streamed --stream-above 0)
echo "$short s, streamed: $b s, $((memory / 1000000)) MB of memory, $((disk / 1000000)) MB on disk"
cmp "$folder/stored-out/chain/film.mp4" "$folder/streamed-out/chain/film.mp4"
film "$seconds" long
read -r c memory disk < <(run long long --stream-above 0)
echo "$seconds s, streamed: $c s, $((memory / 1000000)) MB of memory, $((disk / 1000000)) MB on disk"
if ((memory >= 1500000000 || disk >= 1500000000)); then
    echo "error: more than 1.5 GB" >&2
    exit 1
fi
