"""The gland metrics written down point by point: slow, and independent of the package."""

import math
from collections import Counter
from itertools import product


class Side:
    """One direction: for every object its area, its Dice and its Hausdorff distance, over any number of images."""

    def __init__(self):
        self.objects = []

    def add_image(self, own, other, convention, spacing):
        own_regions, other_regions = regions(own), regions(other)
        for label, region in own_regions.items():
            if label == 0:
                continue
            under = Counter(int(other[point]) for point in region)
            counts = {partner: count for partner, count in under.items() if partner != 0}
            if counts and convention == "pinckaers":
                counts = under
            if counts:
                most = max(counts.values())
                partner = other_regions[min(partner for partner, count in counts.items() if count == most)]
                dice = 2 * len(region & partner) / (len(region) + len(partner))
                distance = hausdorff(region, partner, spacing)
            else:
                dice = 0.0
                candidates = [points for partner, points in other_regions.items() if partner != 0]
                distance = min((hausdorff(region, points, spacing) for points in candidates), default=math.inf)
            self.objects.append((len(region), dice, distance))

    @property
    def area(self):
        return sum(area for area, _, _ in self.objects)

    def dice_sum(self):
        return sum(area * dice for area, dice, _ in self.objects)

    def distance_sum(self):
        return sum(area * distance for area, _, distance in self.objects)


def regions(label_map):
    found = {}
    for point in product(*(range(side) for side in label_map.shape)):
        found.setdefault(int(label_map[point]), set()).add(point)
    return found


def hausdorff(one, other, spacing):
    def gap(a, b):
        return math.hypot((a[0] - b[0]) * spacing[0], (a[1] - b[1]) * spacing[1])

    there = max(min(gap(a, b) for b in other) for a in one)
    back = max(min(gap(a, b) for a in one) for b in other)
    return max(there, back)


def count_hits(prediction, truth, convention):
    """True objects hit, predicted objects that hit none, true objects missed."""
    predicted_regions, true_regions = regions(prediction), regions(truth)
    hit = set()
    for label, region in predicted_regions.items():
        if label == 0:
            continue
        counts = Counter(int(truth[point]) for point in region)
        del counts[0]
        if counts:
            most = max(counts.values())
            best = min(label for label, count in counts.items() if count == most)
            share = most / len(true_regions[best])
            if share > 0.5 or (share == 0.5 and convention == "challenge"):
                hit.add(best)
    predicted = len(predicted_regions.keys() - {0})
    true = len(true_regions.keys() - {0})
    return len(hit), predicted - len(hit), true - len(hit)


def brute_force(images, convention, spacing=(1.0, 1.0)):
    """The three metrics over the objects of all images, (prediction, truth) pairs."""
    hits, over_prediction, over_truth = [], Side(), Side()
    for prediction, truth in images:
        hits.append(count_hits(prediction, truth, convention))
        over_prediction.add_image(prediction, truth, convention, spacing)
        over_truth.add_image(truth, prediction, convention, spacing)
    tp, fp, fn = (sum(column) for column in zip(*hits, strict=True))
    sides = over_prediction, over_truth
    if not any(side.area for side in sides):
        return {"object_f1": 1.0, "object_dice": 1.0, "object_hausdorff": 0.0}
    if not all(side.area for side in sides):
        return {"object_f1": 0.0, "object_dice": 0.0, "object_hausdorff": math.inf}
    return {
        "object_f1": 2 * tp / (2 * tp + fp + fn),
        "object_dice": sum(side.dice_sum() / side.area for side in sides) / 2,
        "object_hausdorff": sum(side.distance_sum() / side.area for side in sides) / 2,
    }
