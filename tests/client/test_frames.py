import io
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.delivery import MAX_BYTES
from covey.errors import ProtocolError
from covey_client import frames


@given(st.lists(st.binary(max_size=3000), max_size=4))
def test_frames_arrive_as_they_were_sent(sent: list[bytes]) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(5)
        other.settimeout(5)
        for data in sent:
            frames.send(one, data)
        one.close()
        found = [frames.receive(other, blame="peer") for _ in sent]
        assert found == sent
        assert frames.receive(other, blame="peer") is None


@given(st.binary(max_size=100))
def test_a_pipe_carries_the_same_frames(data: bytes) -> None:
    file = io.BytesIO()
    frames.write(file, data)
    file.seek(0)
    assert frames.read(file, blame="worker") == data


@pytest.mark.parametrize("sent", [b"\0", b"\0\0\0\5", b"\0\0\0\5four"])
def test_a_frame_that_is_cut_off_is_refused(sent: bytes) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(sent)
        one.close()
        other.settimeout(5)
        with pytest.raises(ProtocolError, match="peer: a frame that is cut off"):
            frames.receive(other, blame="peer")
    with pytest.raises(ProtocolError, match="cut off"):
        frames.read(io.BytesIO(sent), blame="worker")


def test_a_long_frame_is_refused_before_it_is_read() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(struct.pack(">I", 11) + b"only this")
        other.settimeout(5)
        with pytest.raises(ProtocolError, match="a frame of 11 bytes, at most 10"):
            frames.receive(other, blame="peer", limit=10)
    with pytest.raises(ProtocolError, match="at most"):
        frames.read(io.BytesIO(struct.pack(">I", MAX_BYTES + 1)), blame="worker")


def test_a_peer_that_says_nothing_does_not_hold_the_reader_for_ever() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"\0\0")
        other.settimeout(0.05)
        with pytest.raises(TimeoutError):
            frames.receive(other, blame="peer")
