"""How the authors' state dict keys become ours: ordered (pattern, replacement) pairs per registered network.

The first pattern that matches a whole key renames it.
"""

__all__ = ["KEY_MAPS"]

KeyMap = tuple[tuple[str, str], ...]


def _double_conv(theirs: str, ours: str) -> KeyMap:
    """Their Sequential of convolution, norm, ReLU, convolution, norm, ReLU; the ReLUs hold nothing."""
    places = {0: "conv1", 1: "norm1", 3: "conv2", 4: "norm2"}
    return tuple((rf"{theirs}\.double_conv\.{i}\.(.+)", rf"{ours}.{place}.\1") for i, place in places.items())


def _unet_encoder() -> KeyMap:
    maps = _double_conv("inc", "encoder.levels.0")
    for i in range(1, 5):
        maps += _double_conv(rf"down{i}\.maxpool_conv\.1", f"encoder.levels.{i}")
    return maps


def _nmode_steps() -> KeyMap:
    maps: KeyMap = ()
    for i in range(5):
        for g in ("g", "g_post"):
            maps += (
                (rf"up{i + 1}\.{g}\.(?:0\.)?(weight|bias)", rf"decoder.steps.{i}.{g}.conv.\1"),
                (rf"up{i + 1}\.{g}\.1\.(.+)", rf"decoder.steps.{i}.{g}.norm.\1"),
            )
        # The place of the norm in their Sequential depends on the ordering; there is one at most.
        maps += ((rf"up{i + 1}\.sigma\.[01]\.(.+)", rf"decoder.steps.{i}.sigma.norm.\1"),)
    return maps


def _unet_decoder() -> KeyMap:
    maps: KeyMap = ()
    for i in range(4):
        maps += _double_conv(rf"up{i + 1}\.conv", f"decoder.levels.{i}")
    return maps


# The six levels down and the five up that MALUNet, EGE-UNet and UltraLight VM-UNet have in common.
_SIX_LEVELS = tuple((part, i) for part, levels in (("encoder", 6), ("decoder", 5)) for i in range(levels))


def _six_levels_frame() -> KeyMap:
    """Norms and head."""
    norms = tuple(
        (rf"{'ebn' if part == 'encoder' else 'dbn'}{i + 1}\.(.+)", rf"{part}.norms.{i}.\1") for part, i in _SIX_LEVELS
    )
    return (*norms, (r"final\.(.+)", r"decoder.head.\1"))


def _bare_levels() -> KeyMap:
    """Levels of one module, in a Sequential of one or bare."""
    return tuple((rf"{part}{i + 1}\.(?:0\.)?(.+)", rf"{part}.levels.{i}.\1") for part, i in _SIX_LEVELS)


def _bridge() -> KeyMap:
    attentions = tuple(
        (rf"scab\.catt\.att{i + 1}\.(.+)", rf"decoder.bridge.channel.attentions.{i}.\1") for i in range(5)
    )
    return (
        *attentions,
        (r"scab\.catt\.get_all_att\.weight", r"decoder.bridge.channel.mix.weight"),
        (r"scab\.satt\.shared_conv2d\.0\.(.+)", r"decoder.bridge.spatial.conv.\1"),
    )


def _malunet_levels() -> KeyMap:
    parts = {
        # external attention
        r"conv1": "query",
        r"linear_0": "keys",
        r"linear_1": "values",
        r"conv2": "project",
        # dilated gated attention; the norm layer is in both
        r"norm_layer": "norm",
        r"conv": "mix",
        r"gau\.cw": "unit.residual",
    }
    parts |= {rf"mda{i}": f"dilated.{i}" for i in range(4)}
    for theirs, ours in (("w1", "gate"), ("w2", "content"), ("wo", "project")):
        for i, name in enumerate(("conv1", "norm_layer", "conv2")):
            parts[rf"gau\.{theirs}\.0\.{name}"] = f"unit.{ours}.{i}"
    return tuple(
        (rf"{part}{i + 1}\.([01])\.{theirs}\.(weight|bias)", rf"{part}.levels.{i}.\1.{ours}.\2")
        for part, i in _SIX_LEVELS
        for theirs, ours in parts.items()
    )


def _egeunet() -> KeyMap:
    parts = {
        r"params_xy": "plane",
        r"params_zx": "height",
        r"params_zy": "width",
        r"conv_xy\.(.+)": r"plane_conv.\1",
        r"conv_zx\.(.+)": r"height_conv.\1",
        r"conv_zy\.(.+)": r"width_conv.\1",
        r"dw\.(.+)": r"local.\1",
        r"ldw\.(.+)": r"project.\1",
    }
    attention = tuple(
        (rf"{part}{i + 1}\.0\.{theirs}", rf"{part}.levels.{i}.{ours}")
        for part, i in _SIX_LEVELS
        for theirs, ours in parts.items()
    )
    bridges: KeyMap = ()
    for i in range(5):
        # Their bridges count from the finest, their masks as ours from the deepest.
        ours = f"decoder.bridges.{4 - i}"
        bridges += (
            (rf"GAB{i + 1}\.pre_project\.(.+)", rf"{ours}.project.\1"),
            (rf"GAB{i + 1}\.g([0-3])\.(.+)", rf"{ours}.groups.\1.\2"),
            (rf"GAB{i + 1}\.tail_conv\.(.+)", rf"{ours}.merge.\1"),
            (rf"gt_conv{i + 1}\.0\.(.+)", rf"decoder.masks.{i}.\1"),
        )
    return attention + bridges


def _ulite() -> KeyMap:
    maps: KeyMap = ((r"conv_in\.(.+)", r"encoder.stem.\1"), (r"conv_out\.(.+)", r"decoder.head.\1"))
    axial = {"h": "height", "w": "width"}
    for i in range(5):
        encoder, decoder = rf"e{i + 1}\.", rf"d{5 - i}\."
        maps += (
            (rf"{encoder}bn\.(.+)", rf"encoder.norms.{i}.\1"),
            (rf"{encoder}pw\.(.+)", rf"encoder.widen.{i}.\1"),
            (rf"{decoder}pw\.(.+)", rf"decoder.levels.{i}.narrow.\1"),
            (rf"{decoder}bn\.(.+)", rf"decoder.levels.{i}.norm.\1"),
            (rf"{decoder}pw2\.(.+)", rf"decoder.levels.{i}.mix.\1"),
        )
        for theirs, ours in axial.items():
            maps += (
                (rf"{encoder}dw\.dw_{theirs}\.(.+)", rf"encoder.axial.{i}.{ours}.\1"),
                (rf"{decoder}dw\.dw_{theirs}\.(.+)", rf"decoder.levels.{i}.axial.{ours}.\1"),
            )
    for i in range(3):
        maps += tuple(
            (rf"b5\.dw{i + 1}\.dw_{theirs}\.(.+)", rf"encoder.bottleneck.axial.{i}.{ours}.\1")
            for theirs, ours in axial.items()
        )
    for theirs, ours in (("pw1", "reduce"), ("bn", "norm"), ("pw2", "mix")):
        maps += ((rf"b5\.{theirs}\.(.+)", rf"encoder.bottleneck.{ours}.\1"),)
    return maps


def _lightm_unet() -> KeyMap:
    return (
        (r"convInit\.([01])\.conv\.(.+)", r"encoder.levels.0.0.\1.\2"),
        (r"down_layers\.(\d+\.\d+)\.conv([12])\.(.+)", r"encoder.levels.\1.mamba\2.\3"),
        (r"down_layers\.(.+)", r"encoder.levels.\1"),
        (r"up_samples\.(\d+)\.0\.conv\.(.+)", r"decoder.narrow.\1.\2"),
        (r"up_layers\.(\d+\.\d+\.conv\.[01])\.conv\.(.+)", r"decoder.levels.\1.\2"),
        (r"up_layers\.(.+)", r"decoder.levels.\1"),
        (r"conv_final\.0\.(.+)", r"decoder.norm.\1"),
        (r"conv_final\.2\.([01])\.conv\.(.+)", r"decoder.head.\1.\2"),
    )


def _unext_block(theirs: str, ours: str) -> KeyMap:
    parts = {"norm2": "norm", r"mlp\.fc1": "linear1", r"mlp\.dwconv\.dwconv": "depthwise", r"mlp\.fc2": "linear2"}
    return tuple((rf"{theirs}\.0\.{part}\.(.+)", rf"{ours}.{name}.\1") for part, name in parts.items())


def _unext() -> KeyMap:
    maps: KeyMap = ((r"decoder5\.(.+)", r"decoder.last.\1"), (r"final\.(.+)", r"decoder.head.\1"))
    for i in range(3):
        maps += (
            (rf"encoder{i + 1}\.(.+)", rf"encoder.levels.{i}.0.\1"),
            (rf"ebn{i + 1}\.(.+)", rf"encoder.levels.{i}.1.\1"),
        )
    for i in range(4):
        maps += (
            (rf"decoder{i + 1}\.(.+)", rf"decoder.levels.{i}.0.\1"),
            (rf"dbn{i + 1}\.(.+)", rf"decoder.levels.{i}.1.\1"),
        )
    for i in range(2):
        # The token levels: patch embedding, block, norm on the way down, block and norm on the way up.
        level = f"encoder.levels.{i + 3}"
        maps += (
            (rf"patch_embed{i + 3}\.proj\.(.+)", rf"{level}.0.\1"),
            (rf"patch_embed{i + 3}\.norm\.(.+)", rf"{level}.1.\1"),
            *_unext_block(rf"block{i + 1}", f"{level}.2"),
            (rf"norm{i + 3}\.(.+)", rf"{level}.3.\1"),
            *_unext_block(rf"dblock{i + 1}", f"decoder.blocks.{i}.0"),
            (rf"dnorm{i + 3}\.(.+)", rf"decoder.blocks.{i}.1.\1"),
        )
    return maps


def _halving_frame(theirs: str, ours: str) -> KeyMap:
    """U-Node and U-ResNet, whose blocks have these names around their places."""
    maps: KeyMap = ((r"input_1x1\.(.+)", r"encoder.stem.\1"), (r"classifier\.(.+)", r"decoder.head.\1"))
    maps += ((rf"{theirs.format('embedding')}\.(.+)", rf"encoder.{ours.format(4)}.\1"),)
    for i, (down, up) in enumerate((("1_2", "_embed_1"), ("2_3", "1_2"), ("3_4", "2_3"), ("4_embed", "3_4"))):
        maps += (
            (rf"conv_down{down}\.(.+)", rf"encoder.widen.{i}.\1"),
            (rf"conv_up{up}\.(.+)", rf"decoder.narrow.{i}.\1"),
            (rf"{theirs.format(f'down{i + 1}')}\.(.+)", rf"encoder.{ours.format(i)}.\1"),
            (rf"{theirs.format(f'up{i + 1}')}\.(.+)", rf"decoder.{ours.format(i)}.\1"),
        )
    return maps


def _unet_valid() -> KeyMap:
    maps: KeyMap = ((r"out\.(.+)", r"decoder.head.\1"),)
    for i in range(5):
        # Their levels lie in each other; the deepest has no way up.
        theirs = r"main\." + i * r"next\."
        for place, conv in ((0, "conv1"), (2, "conv2")):
            maps += (
                (rf"{theirs}(?:encode|embed)\.{place}\.(.+)", rf"encoder.levels.{i}.{conv}.\1"),
                (rf"{theirs}decode\.{place}\.(.+)", rf"decoder.levels.{3 - i}.{conv}.\1"),
            )
        maps += ((rf"{theirs}up\.(.+)", rf"decoder.up.{3 - i}.\1"),)
    return maps


_HEAD: KeyMap = ((r"outc\.conv\.(weight|bias)", r"decoder.head.\1"),)

KEY_MAPS: dict[str, KeyMap] = {
    "egeunet": _egeunet() + _bare_levels() + _six_levels_frame(),
    "lightm_unet": _lightm_unet(),
    "malunet": _malunet_levels() + _bare_levels() + _six_levels_frame() + _bridge(),
    "ulite": _ulite(),
    "ultralight_vm_unet": _bare_levels() + _six_levels_frame() + _bridge(),
    "unet_bilinear": _unet_encoder() + _unet_decoder() + _HEAD,
    "unet_valid": _unet_valid(),
    "unext": _unext(),
    "unext_s": _unext(),
    "nmode_unet": _unet_encoder() + _nmode_steps() + _HEAD,
    "unode": _halving_frame(r"odeblock_{}\.odefunc", "blocks.{}.rate"),
    "uresnet": _halving_frame("block_{}", "blocks.{}"),
}
