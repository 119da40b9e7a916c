#!/usr/bin/env python3
"""A workload in Python that tells the cluster where its messages are.

    interlok-ha run -- examples/steps-python/orders.py INBOX SINK

Each file in INBOX is an order, its name the id. It is validated, then given to
SINK, a command that is called with the id, the file and the fencing token, and
must take each id once. When a master dies, its successor knows which orders
were under way, and which of them may be out already.

Only the standard library is needed.
"""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.parse


class Refused(Exception):
    """The instance did not take it; problem is what it said (RFC 9457)."""

    def __init__(self, problem):
        super().__init__(problem.get("detail", "refused"))
        self.problem = problem


class Instance:
    """The instance that runs this command."""

    def __init__(self, path):
        self.path = path

    def call(self, method, target, body=None):
        """One request: its status, headers and JSON."""
        conn = http.client.HTTPConnection("instance", timeout=30)
        conn.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.closing(conn):
            conn.sock.settimeout(30)
            conn.sock.connect(self.path)
            data = None if body is None else json.dumps(body)
            conn.request(method, target, data, {"Content-Type": "application/json"})
            answer = conn.getresponse()
            return answer.status, answer.headers, json.loads(answer.read())

    def report(self, *steps):
        """Tells of steps, in order. It returns when all are taken, a fenced one
        only after its fence; else it raises Refused."""
        while True:
            status, headers, answer = self.call("POST", "/v1/steps", steps)
            if status == 200:
                return answer
            if status != 429 and answer["kind"] != "no-replica":
                raise Refused(answer)
            # Too much at once, or no slave for the fence: the rest a little later.
            steps = steps[answer["taken"]:]
            time.sleep(float(headers.get("Retry-After", 1)))

    def in_flight(self):
        """What was begun and is not finished, the oldest first."""
        entries, after = [], {}
        while True:
            status, _, page = self.call("GET", "/v1/in-flight?" + urllib.parse.urlencode(after))
            if status != 200:
                raise Refused(page)
            entries += page["entries"]
            if not page["next"]:
                return sorted(entries, key=lambda e: e.get("started", ""))
            after = {"after": page["next"], "afterEncoding": page.get("nextEncoding", "")}

    def seen(self, id):
        """Was the message finished, here or by a predecessor?"""
        status, _, item = self.call("GET", "/v1/cache/FAILOVER_CACHE/" + urllib.parse.quote(id, safe=""))
        return status == 200 and item["state"] == "done"

    @contextlib.contextmanager
    def step(self, kind, name, id, **more):
        """with instance.step("service", "validate", id): the step is around the block."""
        this = {"id": id, "kind": kind, "step": name}
        self.report({**this, "phase": "started", **more})
        try:
            yield
        except Refused:
            raise  # the instance knows
        except Exception as e:
            self.report({**this, "phase": "failed", "error": str(e) or type(e).__name__})
            raise
        self.report({**this, "phase": "completed"})


def work(instance, file, sink, left):
    id = file.name
    if not instance.seen(id):
        with instance.step("workflow", "orders", id):
            with instance.step("service", "validate", id):
                if not file.read_bytes():
                    raise ValueError("the order is empty")
            # One that is known to be out is not sent again. One in doubt is: the
            # sink takes each id once.
            if "publish" not in left.get(id, {}).get("published", []):
                with instance.step("producer", "publish", id, fence=True):
                    token = pathlib.Path(os.environ["INTERLOK_HA_TOKEN_FILE"]).read_text().strip()
                    subprocess.run([sink, id, file, token], check=True)
    file.unlink()


def main(inbox, sink):
    instance = Instance(os.environ["INTERLOK_HA_SOCKET"])
    left = {e["key"]: e for e in instance.in_flight()}
    for id, e in left.items():
        print("left in flight:", id, "in doubt:", e.get("doubt", []), flush=True)
    while True:
        for file in sorted(pathlib.Path(inbox).glob("[!.]*")):
            try:
                work(instance, file, sink, left)
            except subprocess.CalledProcessError as e:
                print(file.name, e, file=sys.stderr, flush=True)  # again in a second
            except ValueError as e:
                print(file.name, e, file=sys.stderr, flush=True)
                file.rename(file.with_name(".bad-" + file.name))
        time.sleep(1)


if __name__ == "__main__":
    name = os.path.basename(sys.argv[0])
    if len(sys.argv) != 3:
        sys.exit(f"usage: interlok-ha run -- {name} INBOX SINK")
    if not os.environ.get("INTERLOK_HA_SOCKET"):
        sys.exit(f"{name}: INTERLOK_HA_SOCKET is not set: start it with interlok-ha run -- {name} INBOX SINK")
    if not os.path.isdir(sys.argv[1]):
        sys.exit(f"{name}: INBOX is no folder: {sys.argv[1]}")
    main(*sys.argv[1:])
