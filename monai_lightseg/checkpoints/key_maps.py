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


def _ultralight_vm_unet() -> KeyMap:
    maps: KeyMap = ()
    for part, norm, levels in (("encoder", "ebn", 6), ("decoder", "dbn", 5)):
        for i in range(levels):
            # A level is a convolution or a PVM layer, in a Sequential of one or bare.
            maps += (
                (rf"{part}{i + 1}\.(?:0\.)?(.+)", rf"{part}.levels.{i}.\1"),
                (rf"{norm}{i + 1}\.(.+)", rf"{part}.norms.{i}.\1"),
            )
    for i in range(5):
        maps += ((rf"scab\.catt\.att{i + 1}\.(.+)", rf"decoder.bridge.channel.attentions.{i}.\1"),)
    return (
        *maps,
        (r"scab\.catt\.get_all_att\.weight", r"decoder.bridge.channel.mix.weight"),
        (r"scab\.satt\.shared_conv2d\.0\.(.+)", r"decoder.bridge.spatial.conv.\1"),
        (r"final\.(.+)", r"decoder.head.\1"),
    )


_HEAD: KeyMap = ((r"outc\.conv\.(weight|bias)", r"decoder.head.\1"),)

KEY_MAPS: dict[str, KeyMap] = {
    "ultralight_vm_unet": _ultralight_vm_unet(),
    "unet_bilinear": _unet_encoder() + _unet_decoder() + _HEAD,
    "nmode_unet": _unet_encoder() + _nmode_steps() + _HEAD,
}
