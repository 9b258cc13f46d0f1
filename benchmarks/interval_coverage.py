"""How often 95 % intervals of a mean score hold the true mean, and how often paired tests find what is not there.

    python benchmarks/interval_coverage.py      # prints, and writes benchmarks/results/interval_coverage.json

Scores are simulated. "skewed": as Dice per image tends to be, most images good and a few failed, a mixture of
93 % Beta(18, 2) and 7 % Beta(1.5, 3). "symmetric": normal, mean 0.8, standard deviation 0.05. For every sample,
`mean_interval` is called as a user would, and its ends are compared with the mean of the distribution. A share of k
simulations has a standard error of its own, which is printed.

For the tests both models draw from the skewed distribution, with a correlation of 0.8 between their scores on one image
(a Gaussian copula), so no model is better; a p value of 5 % or less is a false alarm. The interval of the mean
difference, which comes with a test, is counted on the same samples.
"""

import argparse
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

from monai_lightseg.atomic import write_text
from monai_lightseg.metrics.statistics import IntervalMethod, mean_interval, paired_permutation, paired_wilcoxon
from monai_lightseg.profiling import processor_name
