"""A policy with everything a robot must know about it: a directory or one .zip, signed, every byte accounted for."""

from robot_rlaas.bundle.build import build_bundle
from robot_rlaas.bundle.load import Bundle, load_bundle
from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.bundle.trust import Origin, Trust

__all__ = ["Bundle", "OnnxPolicy", "Origin", "Trust", "build_bundle", "load_bundle"]
