"""Packets of Protocol 2.0 against the examples in ROBOTIS' documents, and the reader against all kinds of noise."""

from __future__ import annotations

import random

import pytest

from uniros_env_server.emulation.packets import BROADCAST, Packet, PacketReader, crc16, fast_status, frame, status

EXAMPLES = {  # ROBOTIS e-manual, "DYNAMIXEL Protocol 2.0": (id, instruction, parameters) -> the packet
    "ping": ((1, 0x01, ""), "FF FF FD 00 01 03 00 01 19 4E"),
    "broadcast ping": ((BROADCAST, 0x01, ""), "FF FF FD 00 FE 03 00 01 31 42"),
    "ping status": ((1, 0x55, "00 06 04 26"), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
    "read": ((1, 0x02, "84 00 04 00"), "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
    "read status": ((1, 0x55, "00 A6 00 00 00"), "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
    "write": ((1, 0x03, "74 00 00 02 00 00"), "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89"),
    "status": ((1, 0x55, "00"), "FF FF FD 00 01 04 00 55 00 A1 0C"),
    "reg write": ((1, 0x04, "68 00 C8 00 00 00"), "FF FF FD 00 01 09 00 04 68 00 C8 00 00 00 AE 8E"),
    "action": ((1, 0x05, ""), "FF FF FD 00 01 03 00 05 02 CE"),
    "factory reset": ((1, 0x06, "01"), "FF FF FD 00 01 04 00 06 01 A1 E6"),
    "reboot": ((1, 0x08, ""), "FF FF FD 00 01 03 00 08 2F 4E"),
    "clear": ((1, 0x10, "01 44 58 4C 22"), "FF FF FD 00 01 08 00 10 01 44 58 4C 22 B1 DC"),
    "sync read": ((BROADCAST, 0x82, "84 00 04 00 01 02"), "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"),
    "sync write": ((BROADCAST, 0x83, "74 00 04 00 01 96 00 00 00 02 AA 00 00 00"),
                   "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87"),
    "bulk read": ((BROADCAST, 0x92, "01 90 00 02 00 02 92 00 01 00"),
                  "FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00 1A 05"),
    "bulk write": ((BROADCAST, 0x93, "01 20 00 02 00 A0 00 02 1F 00 01 00 50"),
                   "FF FF FD 00 FE 10 00 93 01 20 00 02 00 A0 00 02 1F 00 01 00 50 B7 68"),
}
FAST_SYNC_READ = ["FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 08", "00 07 1F 08 00 00 16 CA",
                  "00 04 FF 03 00 00 D1 9E"]
NASTY = bytes.fromhex("FF FF FD 00 FF FF FD FD FF FF FF FD FF FF FD")


@pytest.mark.parametrize("example", EXAMPLES)
def test_packets_are_those_of_the_documents(example: str) -> None:
    (number, instruction, parameters), packet = EXAMPLES[example]
    assert frame(number, instruction, bytes.fromhex(parameters)) == bytes.fromhex(packet)


def test_the_pieces_of_a_fast_sync_read_are_those_of_the_documents() -> None:
    parts = [(3, 0, bytes.fromhex("A6000000")), (7, 0, bytes.fromhex("1F080000")), (4, 0, bytes.fromhex("FF030000"))]
    assert [piece.hex(" ").upper() for piece in fast_status(parts, 25)] == FAST_SYNC_READ


def test_check_sums_continue() -> None:
    assert crc16(NASTY[5:], crc16(NASTY[:5])) == crc16(NASTY)


@pytest.mark.parametrize("data", [NASTY, b"\xff\xff\xfd", b"\xff" * 20, b"\xff\xff\xfd\xfd" * 5, b""])
def test_what_is_stuffed_comes_out_as_it_went_in(data: bytes) -> None:
    raw = status(7, 0, data)
    assert b"\xff\xff\xfd" not in raw[3:].replace(b"\xff\xff\xfd\xfd", b"")
    assert list(PacketReader().feed(raw)) == [Packet(7, 0x55, b"\0" + data, len(raw))]


def test_random_packets_survive_any_cut_and_noise_between() -> None:
    chance = random.Random(1)
    sent, stream = [], b""
    for _ in range(200):
        data = bytes(chance.choice((0xFF, 0xFD, 0x00, chance.randrange(256))) for _ in range(chance.randrange(30)))
        raw = frame(chance.randrange(253), chance.choice((1, 3, 0x83)), data)
        sent.append(raw)
        stream += bytes(chance.choice((0x00, 0xFF, 0x12)) for _ in range(chance.randrange(4))) + raw
    reader, found = PacketReader(), []
    while stream:
        cut = chance.randrange(1, 40)
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert [frame(packet.number, packet.instruction, packet.parameters) for packet in found] == sent
    assert all(packet.intact for packet in found)


def test_a_wrong_byte_is_noticed() -> None:
    raw = bytearray(frame(1, 2, b"\x84\0\4\0"))
    raw[9] ^= 1
    (packet,) = PacketReader().feed(bytes(raw))
    assert not packet.intact and packet.number == 1


def test_a_length_that_cannot_be_does_not_swallow_what_follows() -> None:
    wrong = b"\xff\xff\xfd\0\x01\xff\xff\x01"
    assert [packet.number for packet in PacketReader().feed(wrong + frame(2, 1))] == [2]


def test_half_a_packet_can_be_forgotten() -> None:
    reader = PacketReader()
    assert list(reader.feed(frame(1, 1)[:6])) == []
    reader.forget()
    assert [packet.number for packet in reader.feed(frame(2, 1))] == [2]
