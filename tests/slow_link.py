"""A slow and lossy cable: carries frames between two interfaces late, one after another, and drops some.

What tc-netem(8) does, for kernels without it. A process of its own, in the namespace of both interfaces, by
the standard library alone:

    python slow_link.py LEFT RIGHT MILLISECONDS LOSS_PERCENT BITS_PER_SECOND SEED

0 bits a second is as fast as it goes. It says "ready" and carries until it is killed. Which frames are lost
depends on the seed and on the order of frames alone.
"""

import errno
import heapq
import random
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

EVERYTHING = 3
"""ETH_P_ALL of linux/if_ether.h."""
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
"""Of linux/if_packet.h: with the header that carries a checksum which is yet to be computed."""
HEADER = 10
"""Bytes of that header, struct virtio_net_hdr."""
LONGEST = 1000
"""Frames that wait in one direction before the next is dropped, netem's own default."""


@dataclass
class Way:
    """One direction.

    Attributes:
        seconds: Of delay.
        loss: Probability.
        rate: Bits a second; 0 for no limit.
        rng: Decides what is lost.
        waiting: Frames by the time at which they leave.
        busy: Until when the one before is being sent.
    """

    seconds: float
    loss: float
    rate: float
    rng: random.Random
    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    busy: float = 0.0
    count: int = 0

    def take(self, frame: bytes, now: float) -> None:
        """A frame that came."""
        self.count += 1
        if self.rng.random() < self.loss or len(self.waiting) >= LONGEST:
            return
        took = (len(frame) - HEADER) * 8 / self.rate if self.rate else 0.0
        self.busy = max(now, self.busy) + took
        heapq.heappush(self.waiting, (self.busy + self.seconds, self.count, frame))

    def due(self, now: float) -> list[bytes]:
        """Frames that leave now."""
        found = []
        while self.waiting and self.waiting[0][0] <= now:
            found.append(heapq.heappop(self.waiting)[2])
        return found


def opened(interface: str) -> socket.socket:
    """All that comes by an interface, and a way out by it."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind((interface, EVERYTHING))
    made.setblocking(False)
    return made


def carry(left: socket.socket, right: socket.socket, there: Way, back: Way) -> None:
    """For ever."""
    ways = {left: (there, right), right: (back, left)}
    while True:
        next_time = min((way.waiting[0][0] for way in (there, back) if way.waiting), default=None)
        wait = None if next_time is None else max(0.0, next_time - time.monotonic())
        for came in select.select(list(ways), [], [], wait)[0]:
            receive(came, ways[came][0])
        for way, out in ways.values():
            for frame in way.due(time.monotonic()):
                send(out, frame)


def receive(came: socket.socket, way: Way) -> None:
    """All that is there."""
    try:
        while True:
            frame, address = came.recvfrom(1 << 17)
            if address[2] != PACKET_OUTGOING:
                way.take(frame, time.monotonic())
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.ENETDOWN}:  # a cable that is pulled comes back
            raise


def send(out: socket.socket, frame: bytes) -> None:
    """What cannot be sent is lost."""
    try:
        out.send(frame)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.ENETDOWN, errno.ENOBUFS}:
            raise


def main(words: Sequence[str]) -> None:
    """Say that it is ready, and carry."""
    left, right = opened(words[0]), opened(words[1])
    milliseconds, loss, rate = (float(word) for word in words[2:5])
    seed = random.Random(words[5])
    ways = [Way(milliseconds / 1000, loss / 100, rate, random.Random(seed.random())) for _ in range(2)]
    print("ready", flush=True)  # noqa: T201 - its way to say so
    carry(left, right, *ways)


if __name__ == "__main__":
    main(sys.argv[1:])
