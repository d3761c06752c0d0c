"""Plays targets that are known beforehand. Parameters besides those of `motion_node`: targets_rad (N, k)."""

import numpy as np

from robot_rlaas.deploy.motion import Played
from robot_rlaas.deploy.ros.motion_node import main

if __name__ == "__main__":
    main(lambda params: Played(np.array(params["targets_rad"])))
