#!/usr/bin/env bash
# Fuzzes the readers of users' files, each for SECONDS (60 if not given): Tests/Fuzz/run.sh [SECONDS [KIND…]]
# What libFuzzer finds is left as crash-*, timeout-* or oom-* in .build-fuzz/found; new inputs of interest in .build-fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift || true
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(graph overlay safetensors manifest message openpose npz bvh archive picture)
# Foundation syncs every file it writes: readers of files are several times as fast in memory.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
export UNDERSTUDY_FUZZ=1 ASAN_OPTIONS=detect_leaks=0   # what the Swift runtime keeps for good looks like leaks
swift build -c release --product fuzz --scratch-path .build-fuzz \
    -Xswiftc -enable-testing -Xswiftc -use-ld=lld -Xswiftc -sanitize=fuzzer,address   # of two options only the last would count
mkdir -p .build-fuzz/found
for kind in "${kinds[@]}"; do
    mkdir -p ".build-fuzz/corpus/$kind"
    echo "== $kind"
    .build-fuzz/release/fuzz "$kind" -max_total_time="$seconds" -timeout=0 -rss_limit_mb=1024 -malloc_limit_mb=160 -max_len=65536 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix=".build-fuzz/found/$kind-" ".build-fuzz/corpus/$kind" "Tests/Fuzz/Corpus/$kind"
done
