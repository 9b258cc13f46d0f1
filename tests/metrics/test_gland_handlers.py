"""The gland metrics as ignite handlers, and that nothing else needs ignite."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_lightseg.metrics import ObjectDiceMetric, ObjectF1Metric, ObjectHausdorffMetric

ROOT = Path(__file__).parents[2]


def label_maps():
    return torch.randint(0, 4, (2, 5, 1, 12, 10), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("reduction", ["dataset", "mean"])
@pytest.mark.parametrize("as_list", [False, True])
def test_in_an_engine(reduction, as_list):
    engines = pytest.importorskip("ignite.engine")
    from monai_lightseg.metrics.gland_handlers import ObjectDice, ObjectF1, ObjectHausdorff

    predictions, truths = label_maps()
    options = {"convention": "pinckaers", "reduction": reduction}
    metrics = {
        "f1": ObjectF1Metric(**options),
        "dice": ObjectDiceMetric(**options),
        "hausdorff": ObjectHausdorffMetric(**options, spacing=2),
    }
    options["output_transform"] = lambda output: (output["pred"], output["label"])
    handlers = {
        "f1": ObjectF1(**options),
        "dice": ObjectDice(**options),
        "hausdorff": ObjectHausdorff(**options, spacing=2, save_details=False),
    }

    def step(engine, batch):
        kind = list if as_list else torch.stack
        return {"pred": kind([predictions[i] for i in batch]), "label": kind([truths[i] for i in batch])}

    engine = engines.Engine(step)
    for name, handler in handlers.items():
        handler.attach(engine, name)
    for _ in range(2):  # a second run starts anew
        engine.run([(0, 1), (2, 3), (4,)])
        for name, metric in metrics.items():
            metric.reset()
            metric(predictions, truths)
            assert engine.state.metrics[name] == metric.aggregate().item()
    assert engine.state.metric_details["f1"].shape == (5, 3)
    assert engine.state.metric_details["dice"].equal(metrics["dice"].get_buffer())
    assert "hausdorff" not in engine.state.metric_details


def test_metrics_do_without_ignite():
    code = (
        "import sys; sys.modules['ignite'] = None\n"
        "import monai_lightseg.metrics\n"
        "assert 'monai_lightseg.metrics.gland_handlers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
