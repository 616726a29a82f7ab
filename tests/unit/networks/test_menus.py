"""The menu of layers of forty networks of torchvision and timm: what a person would name."""

from __future__ import annotations

import re

import pytest
import torch

from neuron_widget import load_model

# Name -> the layer to begin with, and others that a person would name.
MENUS: dict[str, tuple[str, str]] = {
    "torchvision/alexnet": ("features.9", "features.1 features.4"),
    "torchvision/convnext_tiny": ("features.5.4", "features.3 features.5.0"),
    "torchvision/densenet121": (
        "features.denseblock3",
        "features.denseblock1 features.transition2",
    ),
    "torchvision/efficientnet_b0": ("features.5.1", "features.1 features.4.0"),
    "torchvision/googlenet": ("inception4c", "conv1 inception3a inception5b"),
    "torchvision/inception_v3": ("Mixed_6b", "Conv2d_1a_3x3 Mixed_5b Mixed_7c"),
    "torchvision/maxvit_t": ("blocks.2.layers.2", "stem blocks.0 blocks.3"),
    "torchvision/mnasnet0_5": ("layers.11.0", "layers.8 layers.16"),
    "torchvision/mobilenet_v2": ("features.11", "features.1 features.18"),
    "torchvision/mobilenet_v3_small": ("features.7", "features.1 features.12"),
    "torchvision/regnet_y_400mf": ("trunk_output.block3", "stem trunk_output.block1"),
    "torchvision/resnet18": ("layer3.0", "conv1 layer1 layer4"),
    "torchvision/shufflenet_v2_x0_5": ("stage3.5", "stage2 stage4 conv5"),
    "torchvision/squeezenet1_1": ("features.9", "features.3 features.12"),
    "torchvision/swin_t": ("features.5.2", "features.1 features.7"),
    "torchvision/vgg11": ("features.12", "features.1 features.4"),
    "torchvision/vit_b_16": (
        "encoder.layers.encoder_layer_6",
        "conv_proj encoder.layers.encoder_layer_11 encoder.layers.encoder_layer_11.cls",
    ),
    "timm/cait_xxs24_224": ("blocks.14", "patch_embed blocks.0 blocks.22"),
    "timm/coatnet_nano_rw_224": ("stages.2.blocks.2", "stem stages.0 stages.3"),
    "timm/convnext_atto": ("stages.2.blocks.2", "stem stages.0 stages.3"),
    "timm/deit_tiny_distilled_patch16_224": ("blocks.6", "blocks.11 blocks.0.cls blocks.0.dist"),
    "timm/edgenext_xx_small": ("stages.2.blocks.2", "stem stages.0 stages.3"),
    "timm/efficientformer_l1": ("stages.2.blocks.3", "stem stages.0 stages.3"),
    "timm/eva02_tiny_patch14_224": ("blocks.6", "blocks.0 blocks.11 blocks.11.cls"),
    "timm/gmlp_ti16_224": ("blocks.17", "stem blocks.0 blocks.29"),
    "timm/hrnet_w18_small": ("transition3.3", "conv1 layer1"),
    "timm/levit_128s": ("stages.0", "stem"),
    "timm/mixer_s32_224": ("blocks.3", "stem blocks.0 blocks.7"),
    "timm/mobilevit_xxs": ("stages.3.0", "stem stages.1 stages.4"),
    "timm/pit_ti_224": ("transformers.1", "transformers.0 transformers.2"),
    "timm/poolformer_s12": ("stages.2.blocks.2", "stem stages.0 stages.3"),
    "timm/pvt_v2_b0": ("stages.2", "patch_embed stages.0 stages.3"),
    "timm/resmlp_12_224": ("blocks.6", "stem blocks.0 blocks.11"),
    "timm/resnet10t": ("layer3", "layer1 layer2 layer4"),
    "timm/swin_tiny_patch4_window7_224": ("layers.2.blocks.2", "patch_embed layers.0 layers.3"),
    "timm/twins_svt_small": ("blocks.2.5", "blocks.0.0 blocks.3.3"),
    "timm/vit_small_patch14_reg4_dinov2": ("blocks.6", "patch_embed blocks.0 blocks.11.cls"),
    "timm/vit_tiny_patch16_224": ("blocks.6", "patch_embed blocks.0 blocks.11.cls norm"),
    "timm/vit_tiny_r_s16_p8_224": ("blocks.6", "patch_embed blocks.0"),
    "timm/xcit_nano_12_p16_224": ("blocks.8", "patch_embed blocks.0 blocks.11"),
}

NOT_NAMED = re.compile(r"pool|drop|classifier|flatten|logits|(^|\.)(fc|qkv|mlp|attn|norm1|bn3)$")


def test_forty_networks_are_tried() -> None:
    assert len(MENUS) == 40


@pytest.mark.parametrize("name", MENUS)
def test_the_menu_holds_what_a_person_would_name(name: str) -> None:
    model = load_model(name, weights="random", device="cpu")
    default, others = MENUS[name]
    layers = {info.name: info for info in model.layers}
    assert model.default_layer == default
    assert {default, *others.split()} <= layers.keys()
    assert not [layer for layer in layers if NOT_NAMED.search(layer)]
    assert len(layers) <= 64
    assert all(info.group for info in layers.values())
    modules = dict(model.module.named_modules())
    for info in layers.values():
        assert info.name in modules or info.kind == "token"
    image = torch.rand(1, 3, model.input_size, model.input_size)
    with torch.no_grad():
        shape = tuple(model.reader(default)(image).shape)
    info = layers[default]
    assert shape == (1, info.channels, info.height, info.width)
    assert model.image_size(80, default) in (80, 84, model.input_size)
