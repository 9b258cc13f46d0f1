"""What nnU-Net finds: the trainers of the installed package, those with a seed by way of `__getattr__`.

nnU-Net imports every module of the folder that `nnUNet_extTrainer` names, so this one has a name of its own and nothing
else in it. An error here would hide every other external trainer, hence the guard.
"""

import sys

try:
    from nnunet_trainers.trainers import __getattr__, trainer_classes  # noqa: F401 (nnU-Net looks for attributes)
except Exception as error:  # a broken torchvision raises RuntimeError, for one
    print(f"monai-lightseg: no trainers: {error}", file=sys.stderr)
else:
    globals().update(trainer_classes())
