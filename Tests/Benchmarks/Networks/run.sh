#!/usr/bin/env bash
# Networks and their parts, ours beside PyTorch's: Tests/Benchmarks/Networks/run.sh [--quick] [--threads N] [part of an item's name …]
# PYTHON names an interpreter with torch, diffusers and safetensors; without it a virtual environment is made in .build/benchmarks.
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=.build/benchmarks
mkdir -p "$work"
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$work/venv/bin/python
    if [ ! -x "$PYTHON" ]; then
        python3 -m venv "$work/venv"
        "$PYTHON" -m pip install --quiet torch diffusers transformers safetensors numpy
    fi
fi
swift build -c release --product benchmarks
exec "$PYTHON" Tests/Benchmarks/Networks/compare.py --program .build/release/benchmarks --work "$work" "$@"
