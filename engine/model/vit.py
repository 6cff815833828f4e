"""Vision transformers for clips, as VideoMAE trains them (Tong et al. 2022, https://arxiv.org/abs/2203.12602).

A clip is cut into tubes of 2 frames and 16 x 16 pixels; all of them attend to each other. Tensors are called as in the
transformers of timm and of VideoMAE's own code.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.torchvision_schemas import torchvision

# Width, blocks and heads.
SIZES = {
    "vit_small_p16": (384, 12, 6),
    "vit_base_p16": (768, 12, 12),
    "vit_large_p16": (1024, 24, 16),
    "vit_huge_p16": (1280, 32, 16),
}
_PATCH, _TUBE = 16, 2  # pixels, frames

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class Attention(nn.Module):
    """Multi-head self-attention. Without key_bias only queries and values have one: a key's changes no weight."""

    def __init__(self, width: int, heads: int, key_bias: bool = True):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=key_bias)
        if not key_bias:
            self.q_bias = nn.Parameter(torch.zeros(width))
            self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, N, D] → [B, N, D]."""
        qkv = self.qkv(tokens)
        if self.qkv.bias is None:
            qkv = qkv + torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        query, key, value = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, N, D/heads]
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two linear layers, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, drop_path: float, key_bias: bool = True):
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = Attention(width, heads, key_bias)
        self.norm2 = LayerNorm(width)
        layers = OrderedDict(fc1=nn.Linear(width, 4 * width), gelu=nn.GELU(), fc2=nn.Linear(4 * width, width))
        self.mlp = nn.Sequential(layers)
        self.drop_path = torchvision.ops.StochasticDepth(drop_path, "row")

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, N, D] → [B, N, D]."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class PatchEmbed(nn.Module):
    """A convolution whose kernel is a patch: [B, 3, …] → [B, N, D]."""

    def __init__(self, proj: nn.Module):
        super().__init__()
        self.proj = proj

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.proj(pixels).flatten(2).transpose(1, 2)


class VideoTransformer(nn.Module):
    """[B, 3, T, H, W] → [B, D]: the mean of all tokens."""

    def __init__(self, width: int, blocks: int, heads: int, frames: int, frame_size: int, drop_path: float):
        super().__init__()
        tube = (_TUBE, _PATCH, _PATCH)
        self.patch_embed = PatchEmbed(nn.Conv3d(3, width, tube, tube))
        count = (frames // _TUBE) * (frame_size // _PATCH) ** 2
        self.register_buffer("pos_embed", sinusoids(count, width))
        rates = drop_path_rates(drop_path, blocks)
        self.blocks = nn.ModuleList(Block(width, heads, rate, key_bias=False) for rate in rates)
        self.fc_norm = LayerNorm(width)
        initialise(self)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] → [B, D]."""
        tokens = self.patch_embed(clip) + self.pos_embed  # [B, T/2 * H/16 * W/16, D]
        for block in self.blocks:
            tokens = block(tokens)
        return self.fc_norm(tokens.mean(dim=1))


def drop_path_rates(drop_path: float, blocks: int) -> list[float]:
    """Rising evenly from 0 to drop_path (Huang et al. 2016, https://arxiv.org/abs/1603.09382)."""
    return [drop_path * number / (blocks - 1) for number in range(blocks)]


def sinusoids(count: int, width: int) -> torch.Tensor:
    """[1, count, width]: sines and cosines of each place (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762)."""
    place = torch.arange(count, dtype=torch.float64)[:, None]
    exponent = torch.arange(width, dtype=torch.float64) // 2 * 2 / width
    angle = place / 10000**exponent
    table = torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())
    return table.float()[None]


def initialise(transformer: nn.Module) -> None:
    """Linear layers from a truncated normal distribution, without bias."""
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def videomae(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of VideoMAE."""
    if model.backbone not in SIZES:
        raise RecipeError(f'[model] backbone = "{model.backbone}" is not for videomae, which takes {", ".join(SIZES)}.')
    width, blocks, heads = SIZES[model.backbone]
    return VideoTransformer(width, blocks, heads, model.frames, frame_size, model.drop_path)
