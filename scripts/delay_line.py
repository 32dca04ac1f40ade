#!/usr/bin/env python3
"""Joins network namespaces by a network whose packets take some time.

    scripts/delay_line.py MILLISECONDS NAMESPACE=ADDRESS...

Each namespace gets a TUN device `line` with its address in a /24. A packet from one to another arrives so many milliseconds
after it was sent. Prints `ready`, and runs until it is ended. Needs root, /dev/net/tun and iproute2; unlike the queueing
discipline netem of Linux it needs no module of the kernel.
"""

import ctypes
import fcntl
import heapq
import os
import select
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU = 9000


def enter(path):
    """Goes into the network namespace of this file."""
    with open(path) as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")


def device(namespace, address):
    """The end of a TUN device in a namespace."""
    own = f"/proc/{os.getpid()}/ns/net"
    with open(own) as home:
        enter(f"/run/netns/{namespace}")
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", b"line", IFF_TUN | IFF_NO_PI))
        enter(f"/proc/self/fd/{home.fileno()}")
    ip = ["ip", "-n", namespace]
    subprocess.run([*ip, "address", "add", f"{address}/24", "dev", "line"], check=True)
    subprocess.run([*ip, "link", "set", "line", "mtu", str(MTU), "up"], check=True)
    return end


def carry(ends, delay):
    """Carries packets between the ends, by their addresses, for ever."""
    waiting, count = [], 0
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(list(ends.values()), [], [], timeout)[0]:
            try:
                packet = os.read(end, MTU)
            except BlockingIOError:
                continue
            # The destination of an IPv4 packet; others have none here.
            if packet[0] >> 4 == 4 and (to := ends.get(packet[16:20])) is not None:
                heapq.heappush(waiting, (time.monotonic() + delay, count, to, packet))
                count += 1
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(waiting)
            try:
                os.write(to, packet)
            except BlockingIOError:
                pass  # As any network does when it is overfull.


def main():
    delay = float(sys.argv[1]) / 1000
    pairs = [argument.split("=") for argument in sys.argv[2:]]
    ends = {bytes(map(int, address.split("."))): device(name, address) for name, address in pairs}
    print("ready", flush=True)
    carry(ends, delay)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
