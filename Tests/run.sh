#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests, in release mode: the numerics are heavy.
set -euo pipefail
cd "$(dirname "$0")/.."
bash Examples/setup.sh ffmpeg
swift build -c release --build-tests -Xswiftc -enable-testing --scratch-path .build-tests
swift test -c release --skip-build -Xswiftc -enable-testing --scratch-path .build-tests "$@"
