"""From the bytes of a picture to grey."""

import cv2
import numpy as np

CHANNELS = {"mono8": 1, "8UC1": 1, "rgb8": 3, "bgr8": 3}


def gray_of(encoding: str, width: int, height: int, step: int, content: bytes | memoryview) -> np.ndarray:
    """A picture as ROS's sensor_msgs/Image describes it -> (height, width) uint8.

    Args:
        encoding: mono8, rgb8 or bgr8.
        step: bytes from one row to the next.

    Raises:
        ValueError: in words, if it is in another encoding, or not all there.
    """
    if encoding not in CHANNELS:
        raise ValueError(f"the pictures are in '{encoding}'; allowed are mono8, rgb8 and bgr8")
    channels = CHANNELS[encoding]
    if min(width, height) < 1 or step < width * channels or len(content) < step * height:
        raise ValueError(f"a picture of {width} x {height} in '{encoding}' has {len(content)} bytes, {step} in a row")
    rows = np.frombuffer(content, np.uint8, step * height).reshape(height, step)[:, : width * channels]
    if channels == 1:
        return np.ascontiguousarray(rows)
    to_gray = cv2.COLOR_RGB2GRAY if encoding == "rgb8" else cv2.COLOR_BGR2GRAY
    return cv2.cvtColor(np.ascontiguousarray(rows).reshape(height, width, 3), to_gray)
