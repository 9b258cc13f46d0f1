"""Put an nmODE decoder on networks of five libraries: what it saves, and what is kept.

    python examples/slim_any_network.py

Each line: parameters and multiply-accumulates of the host and of the slim network (one image of 128 x 128), encoder
tensors kept with their values, and the largest difference between the slim network and its torch.export form.
Libraries that are not installed are left out.
"""

import importlib.util
from collections.abc import Callable

import torch
from monai.networks.nets import BasicUNet, FlexibleUNet
from torch import nn

from monai_lightseg.networks import UNetLike, create_network, replace_decoder
from monai_lightseg.profiling import count_macs, count_parameters

INPUT = (1, 3, 128, 128)


def main() -> None:
    """Print the table."""
    print(f"{'host':34}{'parameters, M':>18}{'MACs, G':>18}{'kept':>12}{'export':>10}")
    for name, build in hosts().items():
        torch.manual_seed(0)
        host = build().eval()
        slim = replace_decoder(host, "nmode", solver="euler", out_channels=2)
        slim(torch.rand(2, *INPUT[1:])).square().mean().backward()
        parameters = f"{count_parameters(host) / 1e6:.2f} -> {count_parameters(slim) / 1e6:.2f}"
        macs = f"{count_macs(host, INPUT) / 1e9:.2f} -> {count_macs(slim, INPUT) / 1e9:.2f}"
        print(f"{name:34}{parameters:>18}{macs:>18}{kept(host, slim):>12}{export_difference(slim):>10.0e}")


def hosts() -> dict[str, Callable[[], nn.Module]]:
    """One network of each library that is installed."""
    found: dict[str, Callable[[], nn.Module]] = {
        "monai_lightseg unet_bilinear": lambda: create_network("unet_bilinear", out_channels=2),
        "MONAI BasicUNet": lambda: BasicUNet(spatial_dims=2, in_channels=3, out_channels=2),
        "MONAI FlexibleUNet efficientnet-b0": lambda: FlexibleUNet(3, 2, "efficientnet-b0"),
    }
    if importlib.util.find_spec("dynamic_network_architectures"):
        from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

        shape = {
            "input_channels": 3,
            "n_stages": 5,
            "features_per_stage": [32, 64, 128, 256, 512],
            "conv_op": nn.Conv2d,
            "kernel_sizes": 3,
            "strides": [1, 2, 2, 2, 2],
            "num_classes": 2,
            "n_conv_per_stage_decoder": 2,
            "conv_bias": True,
            "norm_op": nn.InstanceNorm2d,
            "norm_op_kwargs": {"affine": True},
            "nonlin": nn.LeakyReLU,
        }
        found["nnU-Net PlainConvUNet"] = lambda: PlainConvUNet(**shape, n_conv_per_stage=2)
        shape_residual = shape | {"n_blocks_per_stage": [1, 3, 4, 6, 6], "n_conv_per_stage_decoder": 1}
        found["nnU-Net ResidualEncoderUNet"] = lambda: ResidualEncoderUNet(**shape_residual)
    if importlib.util.find_spec("segmentation_models_pytorch"):
        import segmentation_models_pytorch

        found["SMP Unet resnet18"] = lambda: segmentation_models_pytorch.Unet(
            "resnet18", encoder_weights=None, classes=2
        )
    if importlib.util.find_spec("timm"):
        import timm

        found["timm resnet18 features"] = lambda: timm.create_model("resnet18", features_only=True)
    return found


def kept(host: nn.Module, slim: UNetLike) -> str:
    """Encoder tensors that the slim network has from the host with the same values, of all its encoder's tensors."""
    of_host: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for tensor in host.state_dict().values():
        of_host.setdefault(tuple(tensor.shape), []).append(tensor)
    encoder = slim.encoder.state_dict().values()
    found = sum(any(torch.equal(tensor, other) for other in of_host.get(tuple(tensor.shape), [])) for tensor in encoder)
    return f"{found}/{len(encoder)}"


def export_difference(network: UNetLike) -> float:
    """Largest difference between the network and its exported form."""
    x = torch.rand(2, *INPUT[1:])
    exported = torch.export.export(network.eval(), (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    with torch.no_grad():
        return (exported(x) - network(x)).abs().max().item()


if __name__ == "__main__":
    main()
