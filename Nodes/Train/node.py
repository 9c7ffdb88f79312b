"""A training node: python node.py REQUEST, by the engine's protocol for external nodes. The request's node type names the stage."""
import fcntl
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time

from understudy_train.__main__ import parser, run
from understudy_train.training import Report, load_averaged

import torch
from safetensors.torch import save_file

NETWORKS = {"vae": "vae", "keypoints": "keypoints", "transformer": "transformer", "poseEncoder": "pose", "faceEncoder": "face",
            "audioEncoder": "audio"}  # port: network
OUTPUTS = {"vae": {"model": "vae"}, "keypoints": {"model": "keypoints"}, "face": {"model": "face"}, "audio": {"model": "audio"},
           "dit": {port: NETWORKS[port] for port in ("transformer", "poseEncoder", "faceEncoder")}}  # stage: port: network


def options_of(request, stage, folder):
    """The command's options: its defaults, then what the request says."""
    inputs, parameters = request["inputs"], dict(request["parameters"])
    number = parameters.pop("stage", None)
    options = parser().parse_args([f"stage{number}" if number else stage, "--out", str(folder)])
    options.data, options.threads = inputs["clips"], request["threads"]
    sizes = {name: parameters.pop(key, None) for key, name in (("width", "dim"), ("layers", "num_layers"), ("heads", "num_heads"))}
    sizes = {name: value for name, value in sizes.items() if value}
    if "dim" in sizes:
        sizes["ffn_dim"] = 4 * sizes["dim"]
    if "face" in parameters:
        options.signals = 3 if parameters.pop("face") else 1
    if "channels" in parameters:
        options.z_dim = parameters.pop("channels")
    for name, value in parameters.items():
        setattr(options, re.sub("[A-Z]", lambda c: "_" + c[0].lower(), name), value)
    if inputs.get("vae"):
        options.vae = inputs["vae"][0]
    parts = {name: inputs[port][0] for port, name in NETWORKS.items() if port != "vae" and inputs.get(port)}
    if stage == "dit" and parts:
        if len(parts) < 3:
            raise SystemExit("wire 'transformer', 'poseEncoder' and 'faceEncoder' together: a stage goes on from all three")
        if sizes:
            raise SystemExit("'width', 'layers' and 'heads' are for a new DiT; this one goes on from the wired 'transformer'")
    options.previous, options.transformer = parts or None, json.dumps(sizes) if sizes else None
    return options


def write_model(path, config, state):
    """One key of metadata: several would be written in random order."""
    save_file({k: v.contiguous() for k, v in state.items()}, path, {"config": json.dumps(config, indent=2, sort_keys=True)})


def unit_of(name):
    units = {"psnr": "dB", "person": "dB", "frame": "dB", "pixels": "pixels", "metres": "metres", "degrees": "degrees"}
    return units.get(re.split(r"[._]", name)[-1], "")


def write_table(path, rows):
    """Rows of named numbers; what a row lacks is NaN."""
    names = sorted(dict.fromkeys(name for row in rows for name in row), key=lambda name: name.startswith("held_out."))
    values = torch.tensor([[row.get(name, float("nan")) for name in names] for row in rows], dtype=torch.float64)
    meta = {"columns": [{"name": name, "unit": unit_of(name)} for name in names], "labels": [""] * len(rows)}
    save_file({"values": values.reshape(len(rows), len(names))}, path,
              {"understudy.type": "table", "understudy.meta": json.dumps(meta, sort_keys=True)})


def curve_of(folder):
    """The stage's curve, a row a step; without times, which no two runs share."""
    rows = {}
    for line in (folder / "curve.jsonl").read_text().splitlines():
        row = json.loads(line)
        held_out = {f"held_out.{k}": v for k, v in row.pop("held_out", {}).items()}
        row.pop("minutes")
        rows.setdefault(row["step"], {}).update(row | held_out)
    return list(rows.values())


def train(request, stage):
    folder = pathlib.Path(request["checkpoint"])
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        Report.say(message="an interrupted run is still saving; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    options = options_of(request, stage, folder)
    run(options)
    for port, name in OUTPUTS[stage].items():
        write_model(request["outputs"][port], *load_averaged(folder, name))
    write_table(request["outputs"]["curve"], curve_of(folder))


def evaluate(request):
    folder = pathlib.Path(request["scratch"])
    run(options_of(request, "evaluate", folder))
    write_table(request["outputs"]["table"], [json.loads((folder / "evaluation.json").read_text())])


def export(request):
    from understudy_train.stage_export import packed

    for port, path in request["outputs"].items():
        config, state = load_averaged(request["inputs"][port][0], NETWORKS[port])
        write_model(path, config, packed(state))


def end_with(parent):
    """The engine cannot tell us when it is killed itself: save and end then too."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def main(path):
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    Report.machine = True
    request = json.loads(pathlib.Path(path).read_text())
    stage = request["node"].removeprefix("train.")
    try:
        {"export": export, "evaluate": evaluate}.get(stage, lambda request: train(request, stage))(request)
    except SystemExit as error:
        if isinstance(error.code, str):
            Report.say(error=error.code)
        raise


if __name__ == "__main__":
    main(sys.argv[1])
