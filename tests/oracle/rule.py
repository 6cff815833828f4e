"""Weight/input rule of the oracle.  numpy only."""

import zlib

import numpy as np


def make_value(key, shape, dtype_is_float=True):
    """Value of one state_dict entry; depends only on the MMAction2 key name and
    its shape.  Returns None = leave the entry as the constructor built it
    (integer index buffers)."""
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if not dtype_is_float:
        return None  # relative_position_index
    rng = np.random.default_rng(zlib.crc32(key.encode("utf-8")))
    shape = tuple(shape)
    if leaf == "running_var":
        v = rng.uniform(0.5, 1.5, shape)
    elif leaf == "running_mean" or leaf == "bias" or leaf.endswith("_bias"):
        v = rng.normal(size=shape) * 0.1
    elif leaf == "weight" and len(shape) == 1:  # BatchNorm / LayerNorm
        v = rng.uniform(0.5, 1.5, shape)
    elif leaf in ("weight", "in_proj_weight") and len(shape) >= 2:
        fan_in = int(np.prod(shape[1:]))
        v = rng.normal(size=shape) * np.sqrt(1.0 / fan_in)
    else:  # cls_token, pos_embed, time_embed, rel_pos_*, *_bias_table
        v = rng.normal(size=shape) * 0.2
    return np.asarray(v, np.float64).astype(np.float32)


def make_frames(n, t, h, w):
    """uint8 RGB frames [n, t, 3, h, w]: per-video brightness range x per-frame
    colour x coarse tiles + noise.  (Pure noise frames would all look alike
    after global pooling, and nothing would notice a swapped frame.)"""
    rng = np.random.default_rng(0)
    cast = rng.uniform(0, 1, (n, t, 3, 1, 1)) ** 2  # frame colour
    vid = np.linspace(1.0, 0.25, n).reshape(n, 1, 1, 1, 1)  # video brightness
    tiles = rng.uniform(0, 1, (n, t, 3, h // 56 + 1, w // 56 + 1)) ** 2
    big = np.repeat(np.repeat(tiles, 56, axis=3), 56, axis=4)[..., :h, :w]
    noise = rng.uniform(-0.05, 0.05, (n, t, 3, h, w))
    x = vid * (0.6 * cast + 0.4 * big) + noise
    return (np.clip(x, 0.0, 1.0) * 255.0).astype(np.uint8)
