"""A policy with everything a robot must know about it: one directory, every byte of it accounted for."""

from robot_rlaas.bundle.build import build_bundle
from robot_rlaas.bundle.load import Bundle, load_bundle
from robot_rlaas.bundle.network import OnnxPolicy

__all__ = ["Bundle", "OnnxPolicy", "build_bundle", "load_bundle"]
