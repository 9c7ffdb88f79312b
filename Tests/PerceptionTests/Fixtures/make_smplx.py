"""Makes a tiny model with SMPL-X's arrays, a motion, and its joints by SciPy: smplx_model.npz, smplx_motion.npz."""

import pathlib

import numpy as np
from scipy.spatial.transform import Rotation

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(5)
parents = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
for wrist in (20, 21):
    for _ in range(5):
        parents += [wrist, len(parents), len(parents) + 1]
vertices, shapes, frames = 24, 10, 4
template = rng.normal(size=(vertices, 3)).round(3)
shapedirs = np.asfortranarray((rng.normal(size=(vertices, 3, shapes)) * 0.05).round(4))
regressor = rng.dirichlet(np.ones(vertices) * 0.2, size=55)
kintree = np.array([[p % 2**32 for p in parents], list(range(55))], np.int64)
np.savez_compressed(here / "smplx_model.npz", v_template=template, shapedirs=shapedirs, J_regressor=regressor, kintree_table=kintree)

betas = rng.normal(size=10)
poses = rng.normal(size=(frames, 165)) * 0.4
trans = rng.normal(size=(frames, 3))
rest = regressor @ (template + shapedirs @ betas)
expected = np.zeros((frames, 55, 3))
for f in range(frames):
    rotations = [None] * 55
    for j in range(55):
        local = Rotation.from_rotvec(poses[f, 3 * j : 3 * j + 3])
        p = parents[j]
        rotations[j] = local if p < 0 else rotations[p] * local
        expected[f, j] = rest[j] if p < 0 else expected[f, p] + rotations[p].apply(rest[j] - rest[p])
np.savez(here / "smplx_motion.npz", poses=poses, trans=trans, betas=betas, mocap_frame_rate=np.float64(30), joints=expected + trans[:, None])
