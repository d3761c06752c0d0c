"""Cameras: lens and pose from pictures of a ChArUco board."""
