"""Writes a graph, as `understudy graph --format dot` draws it, as a Snakefile and as a dvc.yaml of file-to-file steps."""

import re
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text()
snakemake, dvc = Path(sys.argv[2]), Path(sys.argv[3])
nodes = re.findall(r"^  (n\d+) \[", text, re.M)
wires = {}
for source, target in re.findall(r"^  (\w+) -> (n\d+) \[", text, re.M):
    wires.setdefault(target, [])
    if source not in wires[target]:
        wires[target].append(source)
files = sorted({s for sources in wires.values() for s in sources if s.startswith("i")})
for folder in (snakemake, dvc):
    for file in files:
        (folder / f"{file}.txt").write_text(file * 1000)

rules = ["rule all:\n    input: " + ", ".join(f'"{n}.txt"' for n in nodes)]
stages = ["stages:"]
for node in nodes:
    inputs = [f"{s}.txt" for s in wires.get(node, [])]
    listed = ", ".join(f'"{i}"' for i in inputs)
    rules.append(f'rule {node}:\n    input: {listed}\n    output: "{node}.txt"\n    shell: "cat {{input}} > {{output}}"')
    stages.append(f"  {node}:\n    cmd: cat {' '.join(inputs)} > {node}.txt\n    deps:")
    stages += [f"      - {i}" for i in inputs]
    stages += ["    outs:", f"      - {node}.txt"]
(snakemake / "Snakefile").write_text("\n\n".join(rules) + "\n")
(dvc / "dvc.yaml").write_text("\n".join(stages) + "\n")
