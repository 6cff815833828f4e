"""TimeSformer (Bertasius et al. 2021, https://arxiv.org/abs/2102.05095) as MMAction2 builds it.

An image transformer (ViT-B/16) that sees the patches of all frames. Divided attention compares a patch with the same
place in other frames first, then with the other places of its frame; joint attention compares all at once; space-only
attention sees frame by frame. Tensors are called as in TimeSformer's own code.
"""

from __future__ import annotations

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.model.vit import Attention, Block, LayerNorm, PatchEmbed, drop_path_rates, initialise

_WIDTH, _BLOCKS, _HEADS, _PATCH = 768, 12, 12, 16
_KINDS = ("divided_space_time", "joint_space_time", "space_only")


class DividedBlock(Block):
    """Attention over time, then over space, then two linear layers."""

    def __init__(self, width: int, heads: int, drop_path: float):
        super().__init__(width, heads, drop_path)
        self.temporal_norm1 = LayerNorm(width)
        self.temporal_attn = Attention(width, heads)
        self.temporal_fc = nn.Linear(width, width)

    def attend(self, cls: torch.Tensor, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The class token [B, 1, D] and the patches [B, T, P, D] → the same shapes."""
        batch, time, places, _ = patches.shape
        over_time = patches.transpose(1, 2).flatten(0, 1)  # [B*P, T, D]
        over_time = self.temporal_fc(self.drop_path(self.temporal_attn(self.temporal_norm1(over_time))))
        patches = patches + over_time.unflatten(0, (batch, places)).transpose(1, 2)

        of_frames = torch.cat([cls[:, None].expand(-1, time, -1, -1), patches], dim=2)  # [B, T, 1 + P, D]
        over_space = self.drop_path(self.attn(self.norm1(of_frames.flatten(0, 1))))
        over_space = over_space.unflatten(0, (batch, time))
        # Every frame has seen the class token in a way of its own: it takes their mean.
        cls, patches = cls + over_space[:, :, :1].mean(dim=1), patches + over_space[:, :, 1:]

        tokens = torch.cat([cls, patches.flatten(1, 2)], dim=1)  # [B, 1 + T*P, D]
        tokens = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return tokens[:, :1], tokens[:, 1:].unflatten(1, (time, places))


class TimeSformer(nn.Module):
    """[B, 3, T, H, W] → [B, D]: the class token."""

    def __init__(self, kind: str, frames: int, frame_size: int, drop_path: float):
        super().__init__()
        self.kind = kind
        self.patch_embed = PatchEmbed(nn.Conv2d(3, _WIDTH, _PATCH, _PATCH))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (frame_size // _PATCH) ** 2, _WIDTH))
        if kind != "space_only":
            self.time_embed = nn.Parameter(torch.zeros(1, frames, _WIDTH))
        block = DividedBlock if kind == "divided_space_time" else Block
        rates = drop_path_rates(drop_path, _BLOCKS)
        self.blocks = nn.ModuleList(block(_WIDTH, _HEADS, rate) for rate in rates)
        self.norm = LayerNorm(_WIDTH)
        self._initialise()

    def _initialise(self) -> None:
        initialise(self)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for block in self.blocks[1:]:  # attention over time begins as nothing, but for the first block's
            if isinstance(block, DividedBlock):
                nn.init.zeros_(block.temporal_fc.weight)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] → [B, D]."""
        frames = clip.transpose(1, 2)  # [B, T, 3, H, W]
        batch, time = frames.shape[:2]
        patches = self.patch_embed(frames.flatten(0, 1)) + self.pos_embed[:, 1:]  # [B*T, P, D]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)  # [B, 1, D]
        if self.kind == "space_only":
            tokens = torch.cat([cls.repeat_interleave(time, dim=0), patches], dim=1)  # [B*T, 1 + P, D]
            return self.norm(self._through_blocks(tokens).unflatten(0, (batch, time)).mean(dim=1))[:, 0]
        patches = patches.unflatten(0, (batch, time)) + self.time_embed[:, :, None]  # [B, T, P, D]
        if self.kind == "joint_space_time":
            tokens = torch.cat([cls, patches.flatten(1, 2)], dim=1)  # [B, 1 + T*P, D]
            return self.norm(self._through_blocks(tokens))[:, 0]
        for block in self.blocks:
            cls, patches = block.attend(cls, patches)  # type: ignore[operator]
        return self.norm(cls)[:, 0]

    def _through_blocks(self, tokens: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def timesformer(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of TimeSformer, named after its attention."""
    if model.backbone not in _KINDS:
        raise RecipeError(
            f'[model] backbone = "{model.backbone}" is not for timesformer, which takes {", ".join(_KINDS)}.'
        )
    return TimeSformer(model.backbone, model.frames, frame_size, model.drop_path)
