"""python -m understudy_train STAGE --data FOLDER --out FOLDER …

    vae        the autoencoder
    keypoints  key points and head of generated actors
    face       face motion encoder, from expressions
    stage1     DiT and pose encoder: skeleton and sphere, no face      (--vae)
    stage2     face attention only                                     (--vae --previous stage1 --face)
    stage3     everything                                              (--vae --previous stage2)
    audio      speech to face motion tokens                            (--previous stage3)
    evaluate   held-out self-reenactment as JSON                       (--vae --previous)
    export     Hugging Face folders, bf16                              (--vae --keypoints --previous --audio, any of them)

Every training stage resumes: kill it at any moment, start the same command again. With several processes: torchrun
--nproc-per-node N -m understudy_train STAGE …
"""
import argparse
import importlib

import torch


def parser():
    p = argparse.ArgumentParser(prog="understudy_train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stage", choices=["vae", "keypoints", "face", "stage1", "stage2", "stage3", "audio", "evaluate", "export"])
    p.add_argument("--data", help="folder of shards")
    p.add_argument("--out", required=True, help="folder of this stage's checkpoint and curve (export, evaluate: of the result)")
    p.add_argument("--vae", help="folder of the vae stage, or of an export")
    p.add_argument("--previous", help="folder of the stage to go on from, or of an export")
    p.add_argument("--face", help="stages 2 and 3: folder of the face stage, if --previous was not trained with it")
    p.add_argument("--train-face", action=argparse.BooleanOptionalAction, default=False, help="stages 2 and 3: train the face motion encoder further")
    p.add_argument("--keypoints"), p.add_argument("--audio")
    p.add_argument("--steps", type=int, default=20000, help="length of the schedule")
    p.add_argument("--minutes", type=float, help="end the schedule after this much time, if the steps are not done before")
    p.add_argument("--batch", type=int, default=8, help="per process")
    p.add_argument("--rate", type=float, help="learning rate; each stage has its own default")
    p.add_argument("--muon", action=argparse.BooleanOptionalAction, default=True, help="stages 1 to 3: Muon for matrices, AdamW for the rest")
    p.add_argument("--average", type=float, default=0.995, help="decay of the moving average of the weights")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int)
    p.add_argument("--held-out", type=int, default=32, help="clips (people) kept for judging")
    p.add_argument("--frames", type=int, default=25, help="longest window, 1 + 4m frames")
    p.add_argument("--references", type=int, default=2, help="at most so many a clip, drawn at random")
    p.add_argument("--crop", type=int, default=48, help="vae: side of the training crops")
    p.add_argument("--z-dim", type=int, default=16)
    p.add_argument("--linear-clips", type=int, default=150, help="vae: clips that the linear start is solved from")
    p.add_argument("--transformer", help="JSON that overrides sizes of the DiT, for instance {\"dim\": 256, \"num_layers\": 8}")
    p.add_argument("--judge", type=int, default=8, help="held-out clips sampled at each judging")
    p.add_argument("--sample-steps", type=int, default=6)
    p.add_argument("--signals", type=int, default=3, choices=[1, 3], help="evaluate: 1 without face, 3 with")
    p.add_argument("--judgements", type=int, default=10, help="so often held-out clips are judged over the schedule; 0: never")
    p.add_argument("--save-every", type=float, default=60, help="seconds")
    return p


def run(options):
    """Runs a stage. Raises SystemExit with the reason when the options or the data do not do."""
    needed = {"vae": ["data"], "keypoints": ["data"], "face": ["data"], "stage1": ["data", "vae"], "stage2": ["data", "vae", "previous"],
              "stage3": ["data", "vae", "previous"], "audio": ["data", "previous"], "evaluate": ["data", "vae", "previous"], "export": []}
    missing = [n for n in needed[options.stage] if not getattr(options, n)]
    if missing:
        raise SystemExit(f"{options.stage} also needs {', '.join(missing)}")
    if options.frames < 5 or options.frames % 4 != 1:
        raise SystemExit(f"windows of {options.frames} frames: they must have 1 + 4m, at least 5")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    if options.stage in ("stage1", "stage2", "stage3"):
        from .stage_transformer import run as stage
        stage(options, int(options.stage[-1]))
    else:
        importlib.import_module(f".stage_{options.stage}", __package__).run(options)


if __name__ == "__main__":
    run(parser().parse_args())
