"""Weights: conversion of the authors' state dicts into ours."""

from monai_lightseg.checkpoints.conversion import convert

__all__ = ["convert"]
