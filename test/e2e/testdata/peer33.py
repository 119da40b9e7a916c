#!/usr/bin/env python3
"""A peer of the 3.3 design that behaves as a Java instance does.

It sends and checks raw 70-byte pings, written from the description in
PROTOCOL.md, not from the program's code, so that an error in one shows in the
other. It ends with status 1 where a Java instance does: as master, when it
hears another master.

    peer33.py --multicast GROUP:PORT [--interface ADDRESS] ...
    peer33.py --tcp HOST:PORT --peers HOST:PORT;HOST:PORT ...

Each line on standard output is JSON: {"event": ...}. Events: "ready", "ping"
(one that was received), "bad" (what is no ping of a sound peer, and why),
"position", "promoted", "conflict". Times are seconds of CLOCK_MONOTONIC.
"""
import argparse
import json
import os
import socket
import struct
import sys
import threading
import time
import uuid

SIZE, HOST, PORT = 70, 40, 6
MASTER, SLAVE = 1, 2

say_lock = threading.Lock()


def say(event, **fields):
    with say_lock:
        print(json.dumps({"event": event, "at": round(time.monotonic(), 4), **fields}), flush=True)


def pack(host, port, ident, kind, position):
    b = host.encode().ljust(HOST, b"\0") + port.encode().ljust(PORT, b"\0")
    b += ident.bytes + struct.pack(">ii", kind, position)
    assert len(b) == SIZE
    return b


def check(b):
    """The fields of a ping, or why it is none."""
    if len(b) != SIZE:
        return None, "%d bytes" % len(b)
    host, port, ident = b[0:40], b[40:46], uuid.UUID(bytes=bytes(b[46:62]))
    kind, position = struct.unpack(">ii", b[62:70])
    for name, field in (("host", host), ("port", port)):
        text = field.rstrip(b"\0")
        if not text or b"\0" in text:
            return None, name + " is not text and then zeros"
        if any(c <= 0x20 or c >= 0x7f for c in text):
            return None, name + " is not printable"
    if not port.rstrip(b"\0").isdigit():
        return None, "port is no number"
    if kind not in (MASTER, SLAVE):
        return None, "type %d" % kind
    if position < 0 or kind == MASTER and position != 0:
        return None, "position %d of type %d" % (position, kind)
    return {
        "host": host.rstrip(b"\0").decode(), "port": port.rstrip(b"\0").decode(),
        "id": str(ident), "type": kind, "position": position,
    }, None


class Multicast:
    def __init__(self, group, port, interface):
        self.to = (group, port)
        # As Java does: one socket on every address of the port.
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("", port))
        ask = socket.inet_aton(group) + socket.inet_aton(interface)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, ask)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)

    def send(self, b):
        self.sock.sendto(b, self.to)

    def receive(self, hear):
        while True:
            hear(self.sock.recv(2000))


class Tcp:
    def __init__(self, host, port, peers):
        self.peers = peers
        self.listener = socket.create_server((host, port), backlog=50)

    def send(self, b):
        for peer in list(self.peers):  # one after the other, as Java does
            try:
                with socket.create_connection(peer, timeout=10) as c:
                    c.sendall(b)
            except OSError:
                pass

    def learn(self, peer):
        if peer not in self.peers:
            self.peers.append(peer)

    def receive(self, hear):
        while True:
            c, _ = self.listener.accept()
            threading.Thread(target=self.read, args=(c, hear), daemon=True).start()

    @staticmethod
    def read(c, hear):
        # Java reads once, and leaves the connection to the garbage collector.
        try:
            b = c.recv(SIZE)
        except OSError:
            return
        hear(b)
        time.sleep(2)
        c.close()


class Peer:
    """FailoverManager and its monitor."""

    def __init__(self, args, net):
        self.args, self.net = args, net
        self.id = uuid.UUID(args.id) if args.id else uuid.uuid4()
        self.kind, self.position = SLAVE, args.position
        self.master = None  # (id, time it was heard)
        self.slaves = {}  # id: [position, time]
        self.lock = threading.Lock()

    def hear(self, b):
        p, why = check(b)
        if why:
            say("bad", why=why, size=len(b))
            return
        ident = uuid.UUID(p["id"])
        if ident == self.id:
            return
        say("ping", **p)
        with self.lock:
            if p["type"] == MASTER:
                self.slaves.pop(ident, None)
                if self.kind == MASTER:
                    say("conflict", other=p["id"])
                    os._exit(1)
                self.master = (ident, time.time())
                return
            self.slaves[ident] = [p["position"], time.time()]
            if isinstance(self.net, Tcp):
                self.net.learn((p["host"], int(p["port"])))

    def gone(self, heard):
        return heard < time.time() - self.args.timeout

    def look(self):
        with self.lock:
            if self.kind == SLAVE and not self.assign():
                self.rise()
            for ident in [i for i, s in self.slaves.items() if self.gone(s[1])]:
                del self.slaves[ident]

    def assign(self):
        places = [s[0] for s in self.slaves.values()]
        if self.position != 0 and 0 not in places and self.position not in places:
            return False
        line = sorted([str(i) for i in self.slaves] + [str(self.id)])
        self.move(line.index(str(self.id)) + 1)
        return True

    def rise(self):
        if self.position == 1:
            if self.master is None or self.gone(self.master[1]):
                self.kind, self.position = MASTER, 0
                say("promoted")
            return
        for place, heard in self.slaves.values():
            if place == self.position - 1 and not self.gone(heard):
                return
        self.move(self.position - 1)

    def move(self, position):
        if position != self.position:
            say("position", position=position)
        self.position = position

    def every(self, period, do):
        def run():
            while True:
                time.sleep(period)
                do()
        threading.Thread(target=run, daemon=True).start()

    def ping(self):
        with self.lock:
            b = pack(self.args.host, self.args.port, self.id, self.kind, self.position)
        self.net.send(b)

    def run(self):
        threading.Thread(target=self.net.receive, args=(self.hear,), daemon=True).start()
        say("ready", id=str(self.id))
        time.sleep(self.args.monitor)
        if not self.args.mute:
            self.every(self.args.monitor, self.look)
            self.every(self.args.interval, self.ping)
        while True:
            time.sleep(3600)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--multicast", type=address)
    a.add_argument("--interface", default="127.0.0.1")
    a.add_argument("--tcp", type=address)
    a.add_argument("--peers", default="")
    a.add_argument("--id")
    a.add_argument("--position", type=int, default=0)
    a.add_argument("--interval", type=float, default=3)
    a.add_argument("--timeout", type=float, default=20)
    a.add_argument("--monitor", type=float, default=5)
    a.add_argument("--mute", action="store_true", help="only listens")
    args = a.parse_args()
    if args.tcp:
        args.host, args.port = args.tcp[0], str(args.tcp[1])
        net = Tcp(*args.tcp, [address(p) for p in args.peers.split(";") if p])
    else:
        args.host, args.port = args.interface, "0"
        net = Multicast(*args.multicast, args.interface)
    Peer(args, net).run()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
