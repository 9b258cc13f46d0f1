import pytest
import torch
from torch import nn

pytest.importorskip("nnunetv2")

from monai_lightseg.networks import list_networks, network_card
from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.light_recipe import nnUNetTrainerLightsegCosine
from nnunet_trainers.trainers import trainer_classes
from nnunet_trainers.upsampled_deep_supervision import UpsampledDeepSupervisionLoss
from tests.nnunet_trainers import test_trainers
from tests.nnunet_trainers.test_light_recipe import with_labels
from tests.nnunet_trainers.test_trainers import Make

folders, make = test_trainers.folders, test_trainers.make

SUPERVISED = [
    trainer
    for trainer in (trainer_classes()[f"nnUNetTrainer{network_card(name).class_name}"] for name in list_networks())
    if trainer.auxiliary_weights
]
supervised = pytest.mark.parametrize("trainer", SUPERVISED, ids=lambda trainer: trainer.__name__)


class TwoOutputs(nnUNetTrainerLightsegCosine):
    auxiliary_weights = (0.5, 0.25)


def maps(channels: int, *sides: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, channels, side, 2 * side, generator=generator) for side in sides]


def stretch(length: int, to: int) -> torch.Tensor:
    """Matrix (to, length) of linear interpolation between first and last, both kept."""
    position = torch.linspace(0, length - 1, to)
    return (1 - (position[:, None] - torch.arange(length)).abs()).clamp(min=0)


def upsample(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return stretch(logits.shape[2], height) @ logits @ stretch(logits.shape[3], width).T


def expected_loss(loss: nn.Module, output: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    main, finer, coarser = output
    size = main.shape[2:]
    return loss(main, target) + loss(upsample(finer, *size), target) / 2 + loss(upsample(coarser, *size), target) / 4


def test_weighted_sum_at_the_size_of_the_target() -> None:
    (target,) = maps(1, 8)
    output = maps(1, 8, 4, 2)
    loss = UpsampledDeepSupervisionLoss(nn.MSELoss(), (0.5, 0.25))
    torch.testing.assert_close(loss(output, target), expected_loss(nn.MSELoss(), output, target))
    assert loss(output[0], target) == nn.MSELoss()(output[0], target)


def test_every_output_gets_a_gradient() -> None:
    output = [logits.requires_grad_() for logits in maps(1, 8, 4, 2)]
    UpsampledDeepSupervisionLoss(nn.MSELoss(), (0.5, 0.25))(output, torch.zeros(2, 1, 8, 16)).backward()
    assert all(logits.grad is not None and logits.grad.any() for logits in output)


def test_one_weight_for_each_output() -> None:
    with pytest.raises(ValueError, match="2 auxiliary outputs and 1 weights"):
        UpsampledDeepSupervisionLoss(nn.MSELoss(), (0.5,))(maps(1, 8, 4, 2), torch.zeros(2, 1, 8, 16))


@pytest.mark.parametrize(
    "dataset",
    [
        {},
        {"labels": {"background": 0, "lesion": 1, "ignore": 2}},
        {"labels": {"background": 0, "whole": [1, 2], "core": [1]}, "regions_class_order": [2, 1]},
    ],
    ids=["labels", "ignore", "regions"],
)
def test_losses_of_nnunet(dataset: dict[str, object], make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(monkeypatch, **dataset)
    plain, supervised = make(nnUNetTrainerLightsegCosine), make(TwoOutputs)
    for made in (plain, supervised):
        made.initialize()
    output = maps(2, 8, 4, 2)
    if "regions_class_order" in dataset:
        target = (maps(2, 8)[0] > 0).float()
    else:
        target = torch.zeros(2, 1, 8, 16)
        target[..., :4] = 1
        target[..., 12:] = 2 if "labels" in dataset else 0
    torch.testing.assert_close(supervised.loss(output, target), expected_loss(plain.loss, output, target))
    torch.testing.assert_close(supervised.loss(output[0], target), plain.loss(output[0], target))


def test_weights_of_the_papers() -> None:
    weights = {trainer.__name__: trainer.auxiliary_weights for trainer in SUPERVISED}
    assert weights == {"nnUNetTrainerEGEUNet": (0.5, 0.4, 0.3, 0.2, 0.1)}


@supervised
def test_training_step(trainer: type[nnUNetTrainerLightseg], make: Make) -> None:
    made = make(trainer)
    made.initialize()
    image = torch.randn(2, 3, 32, 48)
    outputs = made.network.train()(image)
    assert [logits.shape[1] for logits in outputs] == [2] * (1 + len(trainer.auxiliary_weights))
    # nnU-Net's own deep supervision would have its loader make a list of targets.
    target = next(made.get_dataloaders()[0])["target"]
    assert target.shape == (2, 1, *outputs[0].shape[2:])
    loss = made.train_step({"data": image, "target": target})["loss"]
    assert loss == pytest.approx(made.loss(outputs, target).item(), rel=1e-5)
    assert all(value.grad is not None for value in made.network.parameters())


@supervised
def test_validation_step(trainer: type[nnUNetTrainerLightseg], make: Make) -> None:
    made = make(trainer)
    made.initialize()
    made.network.eval()
    image, target = torch.randn(2, 3, 32, 48), torch.zeros(2, 1, 32, 48)
    with torch.no_grad():
        assert made.validation_step({"data": image, "target": target})["loss"] == pytest.approx(
            made.loss.loss(made.network(image), target).item(), rel=1e-5
        )
