"""Bags that were cut off: whatever reached the disk as a whole is kept, and gets the index that was missing.

    repair(path) -> Repair      of a closed bag: nothing to do; of any other: cut at the end of its last whole chunk

Works on rosbag files of version 2.0, whoever wrote them, without ROS: https://wiki.ros.org/Bags/Format/2.0. A file that
somebody is writing (who holds its lock, as our recorder does) is left alone.
"""

from __future__ import annotations

import bz2
import fcntl
import io
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from uniros_msgs.errors import BagInUse, MalformedData

MAGIC = b"#ROSBAG V2.0\n"
HEADER_SIZE = 4096  # bytes of the file header's record without its two lengths
KINDS = MESSAGE, FILE_HEADER, INDEX, CHUNK, CHUNK_INFO, CONNECTION = 2, 3, 4, 5, 6, 7  # of records
MALFORMED = (EOFError, KeyError, IndexError, ValueError, OSError, RuntimeError, struct.error)
_U32 = struct.Struct("<I")
_ENTRY = struct.Struct("<QI")  # of an index: time, offset
ACTIVE = ".active"  # what the name of a bag ends in while it is written

Fields = dict[str, bytes]


@dataclass(frozen=True)
class Repair:
    """What became of a bag."""

    path: Path  # where it is now: without .active
    repaired: bool  # False: there was nothing to do
    chunks: int = 0  # that it has
    lost: int = 0  # bytes that were no whole chunk


@dataclass
class _Chunk:
    """A whole chunk, as the index at the end of the file tells of it."""

    position: int
    first: int = 0  # the earliest and the latest message, as the file writes times
    last: int = 0
    counts: dict[int, int] = field(default_factory=dict)  # connection -> messages


@dataclass
class _Inside:
    """Of a chunk: the records of the connections that begin in it, and the connections that have messages in it."""

    connections: dict[int, bytes] = field(default_factory=dict)
    messages: set[int] = field(default_factory=set)


def repair(path: Path) -> Repair:
    """Make `path` a bag that any reader takes, and take ".active" off its name.

    Raises BagInUse when it is being written, MalformedData when it is no bag, OSError when the disk is full or says no;
    then nothing was lost, and it may be tried again.
    """
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BagInUse(f"{path} is being recorded: end the recorder first, or wait until it begins another file"
                           ) from None
        done = _repair(file, path)
    if path.name.endswith(ACTIVE):
        target = path.with_name(path.name[: -len(ACTIVE)])
        target = free_name(target) if target.exists() else target
        os.replace(path, target)
        return Repair(target, done.repaired, done.chunks, done.lost)
    return done


def free_name(path: Path) -> Path:
    """`path`, or the same with a number before its suffix when there is such a bag, be it a finished one or not."""
    count, wanted = 2, path
    while path.exists() or path.with_name(path.name + ACTIVE).exists():
        path = wanted.with_name(f"{wanted.stem}-{count}{wanted.suffix}")
        count += 1
    return path


def _repair(file: BinaryIO, path: Path) -> Repair:
    if _index_position(file, path):
        return Repair(path, False)
    size = os.fstat(file.fileno()).st_size
    chunks, connections, end = _scan(file, size)
    file.truncate(end)
    file.seek(end)
    file.write(b"".join([*connections.values(), *map(_chunk_info, chunks)]))
    file.flush()
    os.fsync(file.fileno())
    file.seek(len(MAGIC))
    file.write(file_header(end, len(connections), len(chunks)))
    file.flush()
    os.fsync(file.fileno())
    return Repair(path, True, len(chunks), size - end)


def _index_position(file: BinaryIO, path: Path) -> int:
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise MalformedData(f"{path} is not a rosbag file of version 2.0")
    try:
        fields, _ = _record(file)
        return int.from_bytes(fields["index_pos"], "little")
    except (KeyError, EOFError, ValueError) as error:
        raise MalformedData(f"{path} ends within its first record: nothing was written to it") from error


def _scan(file: BinaryIO, size: int) -> tuple[list[_Chunk], dict[int, bytes], int]:
    """Whole chunks, the records of all connections in them, and where the last of all that ends."""
    chunks: list[_Chunk] = []
    connections: dict[int, bytes] = {}
    end = file.tell()
    while file.tell() < size:
        chunk = _Chunk(file.tell())
        try:
            fields, data = _record(file)
            if fields["op"][0] != CHUNK or not data:
                break
            sound = _read_index(file, size, chunk)
            if not sound or not connections.keys() >= chunk.counts.keys():
                inside = _inside(_decompress(data, fields["compression"]))
                if chunk.counts.keys() != inside.messages:
                    break
                connections |= inside.connections
        except MALFORMED:
            break
        chunks.append(chunk)
        end = file.tell()
    return chunks, connections, end


def _read_index(file: BinaryIO, size: int, chunk: _Chunk) -> bool:
    """Read the records behind a chunk that tell what is in it. False when what follows them is no record at all."""
    times: list[int] = []
    sound = True
    while (at := file.tell()) < size:
        try:
            fields, data = _record(file)
            sound = fields["op"][0] in KINDS
        except MALFORMED:
            sound = False
        if not sound or fields["op"][0] != INDEX:
            file.seek(at)
            break
        entries = list(_ENTRY.iter_unpack(data))
        chunk.counts[int.from_bytes(fields["conn"], "little")] = len(entries)
        times += [(stamp & 0xFFFFFFFF) << 32 | stamp >> 32 for stamp, _ in entries]  # seconds come first, and low
    if times:
        chunk.first, chunk.last = min(times), max(times)
    return sound and bool(times)


def _inside(data: bytes) -> _Inside:
    """What is in a chunk that was not compressed, or is no longer."""
    found, file = _Inside(), io.BytesIO(data)
    while (start := file.tell()) < len(data):
        fields, _ = _record(file)
        connection = int.from_bytes(fields["conn"], "little")
        if fields["op"][0] == CONNECTION:
            found.connections[connection] = data[start : file.tell()]
        else:
            found.messages.add(connection)
    return found


def _decompress(data: bytes, compression: bytes) -> bytes:
    if compression == b"lz4":
        try:
            from lz4.frame import decompress
        except ImportError:  # a robot computer has ROS' own
            from roslz4 import decompress
        return decompress(data)
    return bz2.decompress(data) if compression == b"bz2" else data


# --- records -------------------------------------------------------------------------------------------------------


def _record(file: BinaryIO) -> tuple[Fields, bytes]:
    """The next record: its header's fields, and its data. Raises EOFError when the file ends before it does."""
    fields, header = {}, _sized(file)
    at = 0
    while at < len(header):
        (length,) = _U32.unpack_from(header, at)
        name, _, value = header[at + 4 : at + 4 + length].partition(b"=")
        fields[name.decode()] = value
        at += 4 + length
    return fields, _sized(file)


def _sized(file: BinaryIO) -> bytes:
    head = file.read(4)
    if len(head) < 4:
        raise EOFError
    (length,) = _U32.unpack(head)
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _header(**fields: bytes) -> bytes:
    raw = b"".join(_U32.pack(len(name) + 1 + len(value)) + name.encode() + b"=" + value
                   for name, value in fields.items())
    return _U32.pack(len(raw)) + raw


def file_header(index_position: int, connections: int, chunks: int) -> bytes:
    """The first record of a bag, at its fixed size."""
    head = _header(op=bytes([FILE_HEADER]), index_pos=index_position.to_bytes(8, "little"),
                   conn_count=_U32.pack(connections), chunk_count=_U32.pack(chunks))
    padding = HEADER_SIZE - (len(head) - 4)
    return head + _U32.pack(padding) + b" " * padding


def _chunk_info(chunk: _Chunk) -> bytes:
    head = _header(op=bytes([CHUNK_INFO]), ver=_U32.pack(1), chunk_pos=chunk.position.to_bytes(8, "little"),
                   start_time=_time(chunk.first), end_time=_time(chunk.last), count=_U32.pack(len(chunk.counts)))
    data = b"".join(struct.pack("<II", *pair) for pair in chunk.counts.items())
    return head + _U32.pack(len(data)) + data


def _time(value: int) -> bytes:
    return struct.pack("<II", value >> 32, value & 0xFFFFFFFF)
