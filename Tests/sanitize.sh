#!/usr/bin/env bash
# Runs the tests under a sanitizer: Tests/sanitize.sh thread|address [options of swift test]
# A race or a wrong access is printed with its stack and makes the command fail.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-}
case "$kind" in
    thread | address) shift ;;
    *) echo "usage: Tests/sanitize.sh thread|address [options of swift test]" >&2; exit 2 ;;
esac
bash Examples/setup.sh ffmpeg
options=(-c release -Xswiftc -enable-testing --scratch-path ".build-$kind" --sanitize "$kind")
swift build --build-tests "${options[@]}"
export TSAN_OPTIONS="exitcode=66 ${TSAN_OPTIONS:-}"
# The Swift runtime keeps what looks like leaks. Tests ask for more memory than there is, and are to be told so.
export ASAN_OPTIONS="detect_leaks=0 allocator_may_return_null=1 ${ASAN_OPTIONS:-}"
swift test --skip-build "${options[@]}" "$@"
