"""A ResNet small enough to train in a minute on a laptop's processor, for small frames and few classes."""

from __future__ import annotations

from torch import nn

from engine.torchvision_schemas import torchvision

_WIDTH = 16


def resnet10_slim(num_classes: int = 1000) -> torchvision.models.ResNet:
    """ResNet-10 of a quarter of the width (16, 32, 64, 128 channels) and a 3x3 stem: 0.3 M parameters.

    A torchvision ResNet like any other, so whatever takes one of those (TSM, dialects of weights) takes this one.
    """
    block = torchvision.models.resnet.BasicBlock
    resnet = torchvision.models.ResNet(block, [1, 1, 1, 1])
    resnet.inplanes = _WIDTH
    resnet.conv1 = nn.Conv2d(3, _WIDTH, kernel_size=3, stride=2, padding=1, bias=False)
    resnet.bn1 = nn.BatchNorm2d(_WIDTH)
    for number, stride in enumerate((1, 2, 2, 2)):
        stage = resnet._make_layer(block, _WIDTH * 2**number, blocks=1, stride=stride)
        setattr(resnet, f"layer{number + 1}", stage)
    resnet.fc = nn.Linear(_WIDTH * 8, num_classes)
    for module in resnet.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return resnet
