"""The recorder's node: topics into MCAP files, as they came over the wire.

Parameters: file, part_bytes, topics, arm, metadata. A file larger than `part_bytes` is closed, and the next one begins.
Without a log, nothing moves: the supervisor waits until the recorder hears what the `arm` measures, and stops the arm
when it says that it cannot write any more.
Messages are never decoded here. The log time of a message is its header's stamp, or, for a type without a header, the
time at which its publisher sent it. A file without a footer was cut off; its chunks, one or two per second, are whole.
"""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import CompressionType, Writer
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from robot_rlaas.deploy import names
from robot_rlaas.deploy.recorded import later_parts, part
from robot_rlaas.deploy.ros.definitions import definition, message_class
from robot_rlaas.deploy.ros.process import ALIVE, LATCHED, every, main

CHUNK_BYTES = 16 * 1024
QOS = {
    "sensor": QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT),
    "reliable": QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE),
    "latched": LATCHED,
}


class _Part:
    """One MCAP file, with all schemas, channels and metadata in it: it is complete by itself.

    Args:
        path: of the file.
        types: message type by topic.
        metadata: whose log it is.
    """

    def __init__(self, path: Path, types: Mapping[str, str], metadata: dict[str, str]) -> None:
        self._file = path.open("wb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile="ros2", library="robot_rlaas")
        self._writer.add_metadata("robot_rlaas", metadata)
        self._channels = {topic: self._channel(topic, name) for topic, name in types.items()}

    def add(self, topic: str, log_ns: int, message: bytes, sent_ns: int) -> None:
        """Write a message."""
        self._writer.add_message(self._channels[topic], log_ns, message, sent_ns)

    @property
    def size_bytes(self) -> int:
        """Of what is in the file by now."""
        return self._file.tell()

    def flush(self) -> None:
        """Let a file that is cut off from now on have all whole chunks."""
        self._file.flush()

    def close(self) -> None:
        """Write the footer: the file is whole."""
        try:
            self._writer.finish()
        finally:
            self._file.close()

    def _channel(self, topic: str, name: str) -> int:
        schema = self._writer.register_schema(name, SchemaEncoding.ROS2, definition(name).encode())
        return self._writer.register_channel(topic, MessageEncoding.CDR, schema)


class RecorderNode(Node):
    """Subscribes to topics {name: {"type": ..., "qos": one of QOS}} and writes what comes."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(names.RECORDER_NODE)
        self._path, self._part_bytes, self._number = Path(params["file"]), params["part_bytes"], 0
        self._types = {topic: how["type"] for topic, how in params["topics"].items()}
        self._metadata = {key: str(value) for key, value in params["metadata"].items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for old in later_parts(self._path):
            old.unlink()
        self._part = self._new_part()
        self._failed, self._unheard = "", set(params["arm"])
        self._send_state = self.create_publisher(String, names.RECORDER, ALIVE).publish
        for topic, how in params["topics"].items():
            self._record(topic, how["type"], how["qos"])
        every(self, 1.0, lambda: self._write(self._part.flush))
        self._tell()

    def close(self) -> None:
        """Close the last file."""
        self._write(self._part.close)

    def _new_part(self) -> _Part:
        return _Part(part(self._path, self._number), self._types, self._metadata | {"part": str(self._number)})

    def _write(self, how: Callable[[], None]) -> None:
        """Write something, or say that nothing can be written any more."""
        if self._failed:
            return
        try:
            how()
        except OSError as error:
            self._failed = f"cannot write the log: {error.strerror}"
            self.get_logger().error(self._failed)
            self._tell()

    def _tell(self) -> None:
        self._send_state(String(data=json.dumps({"failed": self._failed, "hears": not self._unheard})))

    def _record(self, topic: str, type_name: str, qos: str) -> None:
        message_type = message_class(type_name)
        has_header = "header" in message_type.get_fields_and_field_types()

        def write(message: bytes, info: Any) -> None:
            sent_ns = info["source_timestamp"]
            log_ns = _stamp_ns(message) if has_header else sent_ns
            self._write(lambda: self._add(topic, log_ns or sent_ns, message, sent_ns))
            if topic in self._unheard:
                self._unheard.remove(topic)
                self._tell()

        self.create_subscription(message_type, topic, write, QOS[qos], raw=True)

    def _add(self, topic: str, log_ns: int, message: bytes, sent_ns: int) -> None:
        if self._part_bytes is not None and self._part.size_bytes > self._part_bytes:
            self._part.close()
            self._number += 1
            self._part = self._new_part()
        self._part.add(topic, log_ns, message, sent_ns)


def _stamp_ns(message: bytes) -> int:
    """The header's stamp of a CDR message: its first two fields, after four bytes that tell the byte order."""
    seconds, nanoseconds = struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)
    return seconds * 10**9 + nanoseconds


if __name__ == "__main__":
    main(RecorderNode, SingleThreadedExecutor, urgency=0)  # the events executor cannot tell when a message was sent
