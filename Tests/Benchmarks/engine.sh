#!/usr/bin/env bash
# Measures the engine and the programs that it is compared with, side by side: measured, to be reached, ratio.
#
#     Tests/Benchmarks/engine.sh [section]    noop, peers, disk, decode, or a section of engine-benchmarks
#
# Snakemake and DVC are installed into a folder that is removed at the end. BENCHMARK_FOLDER chooses the disk,
# SKIP_BUILD=1 measures what is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
want=${1:-}
if [ -z "${SKIP_BUILD:-}" ]; then
    swift build -c release --product understudy >&2
    swift build -c release --product engine-benchmarks >&2
fi
folder=$(mktemp -d "${BENCHMARK_FOLDER:-${TMPDIR:-/tmp}}/engine-XXXXXX")
trap 'rm -rf "$folder"' EXIT
understudy=.build/release/understudy
graph=Graphs/example.yaml

# line WHAT MEASURED UNIT REACH over|under
line() {
    awk -v what="$1" -v m="$2" -v unit="$3" -v reach="$4" -v sense="$5" 'BEGIN {
        reached = sense == "under" ? m < reach : m > reach
        printf "%-54s %.3g %s (%s %.3g; ratio %.2f)%s\n", what, m, unit, sense, reach, m / reach, reached ? "" : "  NOT REACHED" }'
}
# Best of COUNT runs of a command, in milliseconds.
best() {
    local count=$1 least=1e9 start
    shift
    for ((i = 0; i < count; i++)); do
        start=$EPOCHREALTIME
        "$@" >/dev/null 2>&1
        least=$(awk -v a="$start" -v b="$EPOCHREALTIME" -v l="$least" 'BEGIN { t = (b - a) * 1000; print t < l ? t : l }')
    done
    echo "$least"
}
# Drops a file's clean pages from memory.
forget() { dd if="$1" iflag=nocache count=0 status=none; }

noop() {
    $understudy run $graph --cache "$folder/cache" --out "$folder/out" --quiet
    ours=$(best 20 $understudy run $graph --cache "$folder/cache" --out "$folder/out")
    line "no-op rerun of the main graph, whole process" "$ours" ms 60 under
}

peers() {
    [ -n "${ours:-}" ] || noop
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet snakemake dvc
    $understudy graph $graph --format dot >"$folder/graph.dot"
    mkdir "$folder/snakemake" "$folder/dvc"
    python3 Tests/Benchmarks/peers.py "$folder/graph.dot" "$folder/snakemake" "$folder/dvc"
    (
        cd "$folder/snakemake"
        "$folder/venv/bin/snakemake" --cores 2 --quiet all >/dev/null 2>&1
    )
    theirs=$(best 3 "$folder/venv/bin/snakemake" --directory "$folder/snakemake" --snakefile "$folder/snakemake/Snakefile" --cores 2)
    line "Snakemake, the same DAG with nothing to do: times ours" "$(awk -v a="$theirs" -v b="$ours" 'BEGIN { print a / b }')" "×" 10 over
    cd "$folder/dvc"
    "$folder/venv/bin/dvc" init --no-scm --quiet
    "$folder/venv/bin/dvc" config core.analytics false
    "$folder/venv/bin/dvc" repro --quiet
    theirs=$(best 3 "$folder/venv/bin/dvc" repro)
    cd - >/dev/null
    line "DVC, the same DAG with nothing to do: times ours" "$(awk -v a="$theirs" -v b="$ours" 'BEGIN { print a / b }')" "×" 10 over
}

disk() {
    local file=$folder/gigabyte
    speed() { awk -v a="$1" 'BEGIN { print 1073.741824 / a * 1000 }'; }  # MB/s of ms
    local write read
    write=$(best 3 dd if=/dev/zero of="$file" bs=8M count=128 conv=fsync)
    sync
    read=1e9
    for _ in 1 2 3; do
        forget "$file"
        read=$(best 1 dd if="$file" of=/dev/null bs=8M | awk -v l="$read" '{ print $1 < l ? $1 : l }')
    done
    rm "$file"
    DD_WRITE=$(speed "$write") DD_READ=$(speed "$read") BENCHMARK_FOLDER=$folder .build/release/engine-benchmarks disk
}

decode() {
    local film=$folder/film.mp4
    ffmpeg -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=30:duration=20 -pix_fmt yuv420p -c:v libx264 -g 60 "$film"
    local theirs
    theirs=$(best 3 ffmpeg -loglevel error -threads 1 -i "$film" -fps_mode passthrough -f rawvideo -pix_fmt rgb24 \
        -sws_flags bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact -filter_threads 1 -y /dev/null)
    FILM=$film FFMPEG=$theirs BENCHMARK_FOLDER=$folder .build/release/engine-benchmarks decode
}

case $want in
    noop | peers | disk | decode) $want ;;
    "") noop; peers; disk; decode; BENCHMARK_FOLDER=$folder .build/release/engine-benchmarks ;;
    *) BENCHMARK_FOLDER=$folder .build/release/engine-benchmarks "$want" ;;
esac
