"""What all stages share: the loop, checkpoints that survive a kill, moving averages, curves, several processes."""
import copy
import json
import math
import os
import pathlib
import signal
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open


class Report:
    """Lines for a person on stderr; JSON lines for the engine on stdout when a request started us."""

    machine = False

    @classmethod
    def say(cls, **message):
        if cls.machine:
            cls.write(sys.stdout, json.dumps(message))

    @classmethod
    def progress(cls, done, total, unit="steps"):
        cls.say(progress={"done": done, "total": total, "unit": unit})

    @classmethod
    def line(cls, text):
        cls.write(sys.stderr, text)

    @staticmethod
    def write(stream, text):
        try:
            print(text, file=stream, flush=True)
        except OSError:                                                              # nobody listens any more: save and end all the same
            pass


def world():
    """(rank, processes). Starts torch.distributed when torchrun started us."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return (dist.get_rank(), size) if size > 1 else (0, 1)


def device():
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def autocast():
    """bf16 where the machine multiplies it in hardware, else f32."""
    kind = device().type
    fast = kind == "cuda" or any(getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=fast)


def save_atomically(value, path):
    path = pathlib.Path(path)
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as file:
        torch.save(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton–Schulz steps (Jordan et al., 2024), scaled to AdamW's step size (Liu et al., 2025).

    torch.optim.Muon does the same in bf16 always, which processors without bf16 arithmetic emulate slowly; this one goes by `autocast`.
    """

    def __init__(self, parameters, lr, weight_decay, momentum=0.95, iterations=5):
        super().__init__(parameters, dict(lr=lr, weight_decay=weight_decay, momentum=momentum, iterations=iterations))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(momentum, group["momentum"])
                if wide := x.shape[0] > x.shape[1]:
                    x = x.T
                x = x / (x.norm() + 1e-7)
                with autocast():
                    for _ in range(group["iterations"]):
                        gram = x @ x.T
                        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(x.T if wide else x, alpha=-0.2 * group["lr"] * max(p.shape) ** 0.5)


class Training:
    """One stage. `networks` (name → module) are trained where their parameters require a gradient; the rest of them is kept beside.

    `loss(batch, rng)` returns a scalar and a dictionary of numbers for the curve; `batch(rng)` draws one. Everything random comes from
    `rng`, keyed by (seed, process, step), so a resumed run goes on as if it had not stopped.
    """

    def __init__(self, folder, networks, *, steps, minutes=None, rate=1e-3, warmup=50, decay=0.01, average=0.998, seed=0, clip=1.0,
                 muon=False, configuration=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rank, self.size = world()
        self.networks = networks
        self.steps, self.minutes, self.rate, self.warmup, self.average, self.seed, self.clip = steps, minutes, rate, warmup, average, seed, clip
        self.configuration = configuration or {}
        self.parameters = [p for n in networks.values() for p in n.parameters() if p.requires_grad]
        matrices = [p for p in self.parameters if p.dim() == 2 and muon]
        tensors = [p for p in self.parameters if p.dim() > 1 and not (p.dim() == 2 and muon)]
        others = [p for p in self.parameters if p.dim() <= 1]
        groups = [{"params": tensors, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizers = [torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.97))]
        if matrices:
            self.optimizers.append(Muon(matrices, lr=rate, weight_decay=decay))
        self.averaged = {k: copy.deepcopy(n).eval().requires_grad_(False) for k, n in networks.items()}
        self.step, self.seconds = 0, 0.0
        self.judged = 0                                                              # times that held-out clips were judged
        self.sums, self.count = {}, 0                                                # of what the next line of the curve averages
        self.stopping = False
        self.resume()

    @property
    def path(self):
        return self.folder / "checkpoint.pt"

    def resume(self):
        curve = self.folder / "curve.jsonl"
        if not self.path.exists():
            curve.unlink(missing_ok=True)
            return
        state = torch.load(self.path, map_location=device(), weights_only=False)
        for k, n in self.networks.items():
            n.config.update(state["configurations"][k])
            self.averaged[k].config.update(state["configurations"][k])
            n.load_state_dict(state["networks"][k])
            self.averaged[k].load_state_dict(state["averaged"][k])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        self.judged, self.sums, self.count = state.get("curve", (0, {}, 0))
        if curve.exists() and self.rank == 0:                                        # what came after the checkpoint comes again
            rows = [row for row in curve.read_text().splitlines(True) if row.endswith("\n") and json.loads(row)["step"] <= self.step]
            curve.write_text("".join(rows))
        Report.line(f"resumed at step {self.step}, after {self.seconds / 60:.1f} minutes")

    def save(self):
        if self.rank:
            return
        save_atomically({"networks": {k: n.state_dict() for k, n in self.networks.items()},
                         "averaged": {k: n.state_dict() for k, n in self.averaged.items()},
                         "configurations": {k: n.config for k, n in self.networks.items()},
                         "optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "seconds": self.seconds,
                         "curve": (self.judged, self.sums, self.count), "stage": self.configuration}, self.path)

    def fraction(self):
        """How much of the training is done, 0…1: by steps or by minutes, whichever is further."""
        by_time = self.seconds / (60 * self.minutes) if self.minutes else 0
        return min(1.0, max(self.step / self.steps, by_time))

    def curve(self, **values):
        if self.rank == 0:
            with open(self.folder / "curve.jsonl", "a") as file:
                file.write(json.dumps({"step": self.step, "minutes": round(self.seconds / 60, 2), **values}) + "\n")

    def run(self, batch, loss, evaluate=None, judgements=10, save_every=60):
        """Trains to the end of the schedule; at SIGTERM or SIGINT saves and exits. `evaluate(averaged)` gives numbers of held-out clips, at
        the start, at the end and between, so that the schedule falls into `judgements` parts; 0: never. save_every in seconds."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: setattr(self, "stopping", True))
        if self.rank or not judgements:
            evaluate = None
        every = max(1, self.steps // 200)                                            # steps that a line of the curve averages
        started, already = time.monotonic(), self.seconds
        last_save = last_line = last_progress = started
        while self.fraction() < 1 and not self.stopping:
            if evaluate and self.fraction() * judgements >= self.judged:
                self.evaluate(evaluate)
                self.judged = int(self.fraction() * judgements) + 1
            rng = np.random.default_rng([self.seed, self.rank, self.step])
            torch.manual_seed(int(rng.integers(2 ** 31)))
            rate = self.rate * min(1, (self.step + 1) / self.warmup) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * self.fraction())))
            for group in (g for o in self.optimizers for g in o.param_groups):
                group["lr"] = rate
            with autocast():
                value, numbers = loss(batch(rng), rng)
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            value.backward()
            if self.size > 1:
                self.average_gradients()
            numbers["gradient"] = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.clip))
            if math.isfinite(numbers["gradient"]):
                for optimizer in self.optimizers:
                    optimizer.step()
            self.step += 1
            keep = min(self.average, self.step / (self.step + 10))
            with torch.no_grad():
                for k, n in self.networks.items():
                    for a, p in zip(self.averaged[k].parameters(), n.parameters()):
                        a.lerp_(p, 1 - keep)
            for k, v in {"loss": float(value.detach()), **numbers}.items():
                self.sums[k] = self.sums.get(k, 0.0) + v
            self.count += 1
            now = time.monotonic()
            self.seconds = already + now - started
            means = {k: round(v / self.count, 5) for k, v in self.sums.items()}
            if now - last_line > 20:
                Report.line(f"step {self.step}  {self.seconds / 60:.1f} min  " + "  ".join(f"{k} {v}" for k, v in means.items()))
                last_line = now
            if now - last_progress > 1:
                Report.progress(int(self.fraction() * self.steps), self.steps)
                last_progress = now
            if self.step % every == 0:
                self.curve(rate=rate, **means)
                self.sums, self.count = {}, 0
            if now - last_save > save_every:
                self.save()
                last_save = time.monotonic()
        self.save()
        if evaluate and not self.stopping:
            self.evaluate(evaluate)
        if self.size > 1:
            dist.barrier()
        if self.stopping:
            Report.line(f"stopped at step {self.step}; the same command goes on from here")
            sys.exit(130)

    def average_gradients(self):
        """Over all processes, in one message: each has its latency."""
        together = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.parameters])
        dist.all_reduce(together)
        together /= self.size
        for p, g in zip(self.parameters, together.split([p.numel() for p in self.parameters])):
            p.grad = g.view_as(p)

    def evaluate(self, evaluate):
        with torch.no_grad():
            values = evaluate(self.averaged)
        self.curve(held_out=values)
        Report.line(f"step {self.step}  held out: {json.dumps(values)}")


CLASSES = {"vae": "BlockVAE", "keypoints": "KeypointNet", "transformer": "DreamActorTransformer", "pose": "PoseEncoder",
           "face": "FaceMotionEncoder", "audio": "AudioEncoder"}


def folder_of(network):
    """Of an export's folder, the one that a network is in."""
    return f"{network}_encoder" if network in ("pose", "face", "audio") else network


def load_averaged(source, name):
    """One network as (configuration, state): the averaged weights of a stage's folder, finished or stopped; or a model, which is a
    safetensors file with its configuration in the metadata, a Hugging Face folder, or one of those in an export's folder. A dictionary has
    a source for each name."""
    path = pathlib.Path(source[name] if isinstance(source, dict) else source)
    if (path / "model_index.json").exists():
        path = path / folder_of(name)
    if path.is_file() or (path / "config.json").exists():
        config, state = load_model(path)
    else:
        path = path / "checkpoint.pt"
        if not path.exists():
            raise SystemExit(f"{path}: no checkpoint there; run the stage that writes it first")
        saved = torch.load(path, map_location="cpu", weights_only=False)
        if name not in saved["averaged"]:
            raise SystemExit(f"{path}: holds {', '.join(saved['averaged'])}, not {name}")
        config, state = saved["configurations"][name], saved["averaged"][name]
    if config.get("_class_name") != CLASSES[name]:
        raise SystemExit(f"{path}: is a {config.get('_class_name')}; a {CLASSES[name]} is needed")
    return config, state


def load_model(path):
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise SystemExit(f"{path}: holds {len(files)} safetensors files; one is expected")
    with safe_open(files[0], "pt") as file:
        config = (file.metadata() or {}).get("config") if path.is_file() else (path / "config.json").read_text()
        if not config:
            raise SystemExit(f"{path}: has no 'config' in its metadata; a model is needed")
        return json.loads(config), {k: file.get_tensor(k) for k in file.keys()}
