"""MCAP files that were cut off, as a recorder leaves them that was killed: all but the end of one can be read."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from robot_rlaas.cell.errors import InputError

if TYPE_CHECKING:
    from mcap.records import Channel, McapRecord, Schema

MAGIC = b"\x89MCAP0\r\n"
HEAD = struct.Struct("<BQ")  # of a record: what it is, and how many bytes follow


class Logged(NamedTuple):
    """A message in a file: its log time, a header's stamp as a rule, when it was sent, both in ns, and itself."""

    log_ns: int
    sent_ns: int
    message: Any


def is_cut(path: Path) -> bool:
    """Whether a file begins as an MCAP file does, and does not end as one.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC)) == MAGIC
            file.seek(max(0, path.stat().st_size - len(MAGIC)))
            return begins and file.read() != MAGIC
    except OSError as error:
        raise InputError(f"cannot read the file ({error})", file=path) from error


def read_cut(path: Path, topics: Sequence[str], first: bool = False) -> dict[str, list[Logged]]:
    """What the whole records of a file hold on each of these topics, or only the very first message.

    Raises:
        InputError: if it is damaged besides.
    """
    from mcap.records import Channel, Message, Schema
    from mcap_ros2.decoder import DecoderFactory

    factory, found = DecoderFactory(), dict[str, list[Logged]]({topic: [] for topic in topics})
    schemas, channels = dict[int, "Schema"](), dict[int, "Channel"]()
    with _undamaged(path):
        for record in _records(path):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message) and (channel := channels[record.channel_id]).topic in found:
                decode = factory.decoder_for(channel.message_encoding, schemas[channel.schema_id])
                assert decode is not None, "another encoding than CDR"
                found[channel.topic].append(Logged(record.log_time, record.publish_time, decode(record.data)))
                if first:
                    break
    return found


def told(path: Path) -> str:
    """How much of a file that was cut off is there, in words.

    Raises:
        InputError: if it is damaged besides.
    """
    from mcap.records import Message

    with _undamaged(path):
        last_ns = max((record.log_time for record in _records(path) if isinstance(record, Message)), default=0)
    lost = path.stat().st_size - _whole_bytes(path)
    until = f"what came after {datetime.fromtimestamp(last_ns * 1e-9, UTC):%H:%M:%S} UTC" if last_ns else "everything"
    return f"cut off: {until} is lost, and {lost} bytes of it were there"


def metadata_of(path: Path) -> dict[str, str]:
    """What a file says of itself, whether it was cut off or not."""
    from mcap.records import Metadata

    return {key: value for one in _records(path) if isinstance(one, Metadata) for key, value in one.metadata.items()}


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # decoders and decompressors raise whatever they like
        message = f"it was cut off, and is damaged before that ({type(error).__name__})"
        raise InputError(message, file=path, fix="leave this file out") from error


def _records(path: Path) -> "Iterator[McapRecord]":
    """The whole records of a file, in order."""
    from mcap.records import Chunk
    from mcap.stream_reader import StreamReader, breakup_chunk

    end = _whole_bytes(path)
    with path.open("rb") as file:
        for record in StreamReader(file, emit_chunks=True).records:
            if isinstance(record, Chunk):
                yield from breakup_chunk(record, validate_crc=True)
            else:
                yield record
            if file.tell() >= end:
                return


def _whole_bytes(path: Path) -> int:
    """Where a file's last whole record ends."""
    size, end = path.stat().st_size, len(MAGIC)
    with path.open("rb") as file:
        while end + HEAD.size <= size:
            file.seek(end)
            after = end + HEAD.size + HEAD.unpack(file.read(HEAD.size))[1]
            if after > size:
                break
            end = after
    return end
