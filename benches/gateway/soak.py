#!/usr/bin/env python3
"""Keeps `upright serve` under load with faults, cancels and slow clients, and checks that it gives all back.

It measures the processor time of repeats, too.

Two stand-ins for hosts and all clients are in this process, so that a client can hang up at the moment at which a host
has its question. Each answer is compared with its text, which follows from the number of its question.
"""

import argparse
import asyncio
import collections
import os
import pathlib
import random
import re
import resource
import socket
import statistics
import sys
import tempfile
import time
import urllib.request

from run import ROOT, Processes, Unusable, connect, free_port, processor_time, receive, wait_ready

# --- the mix ---

CLIENTS, PLACES = 64, 24
FAULTS, CANCELS = 0.05, 0.05
# Each answer of this many has thousands of pieces, more than the gateway keeps of one.
LONG, LONG_PIECES, PIECES = 400, 2500, 8
PARTS = 10
LIMIT = 0.05
# Route, whether it streams, and its share.
ROUTES = [("/api/chat", True, 35), ("/api/chat", False, 35), ("/v1/chat/completions", True, 10),
          ("/v1/chat/completions", False, 10), ("/v1/messages", True, 10)]
# A host does it once for a question, and answers the next time; `differs` then has another text.
STREAM_FAULTS = ["refuse", "drop", "cut", "cut", "early", "says", "differs"]
WHOLE_FAULTS = ["refuse", "drop", "cut"]
# The client leaves: before the answer, after its first bytes, during a repeat, as soon as it has asked.
STREAM_CANCELS = ["before", "within", "repeat", "once"]
WHOLE_CANCELS = ["before", "once"]

# --- slow clients ---

SLOW, RATE, STREAM = 1000, 1024, 10_000_000
# Read at once, before.
FAST, SECONDS = 256 << 10, 20
SLOW_ROUTES = [("/api/chat", "lines"), ("/api/chat", "blocks"), ("/v1/chat/completions", "lines")]
BEYOND = 64 << 10
MEMORIES = [64 << 10, 4 << 10]

# --- repeats ---

# Each is an answer of `LONG_PIECES`. The first host's connection breaks before the last one.
ANSWERS, ROUNDS = 200, 5

CONFIG = """
[listen]
address = "127.0.0.1:{port}"

[log]
access = false

[retry]
base_delay = "5ms"
max_delay = "20ms"

# Of faults at random, many in a row are chance.
[breaker]
failure_threshold = 100
failure_rate_threshold = 2

[replay]
memory = {memory}
"""
UPSTREAM = """
[[upstream]]
url = "http://127.0.0.1:{port}"
{more}
"""

PLAN = re.compile(rb"plan (\d+) (\w+) (\d+)")
WHOLE = re.compile(rb'"stream": ?false')
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
TEXTS = {"/v1/messages": re.compile(rb'"text":"([^"]*)"')}
CONTENT = re.compile(rb'"content":"([^"]*)"')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
MODELS = b'{"models":[{"name":"m:latest","model":"m:latest","digest":"d","size":1,"context_length":4096}]}'
OWN = {b"/api/version": b'{"version":"0.33.0"}', b"/api/tags": MODELS, b"/api/ps": MODELS, b"/api/show": b'{"parameters":""}'}


def pieces_of(number, text=b"w"):
    return [b"%s%d-%d " % (text, number, at) for at in range(LONG_PIECES if number % LONG == 0 else PIECES)]


def line(piece, done=b"false"):
    return b'{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"%s"},"done":%s}\n' % (
        piece, done)


def chunk(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


def whole(status, body):
    return b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def post(route, plan, streamed):
    body = b'{"model":"m","max_tokens":100000,"stream":%s,"messages":[{"role":"user","content":"%s"}]}' % (
        b"true" if streamed else b"false", plan)
    return b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        route.encode(), len(body), body)


# A long text: a chunk for each line, as a host of models sends it, and one for all, as a proxy may.
LINES = [line(b"%04d of a text that goes on and on" % at + b", and on" * 20) for at in range(200)]
BLOCKS = {"lines": b"".join(map(chunk, LINES)), "blocks": chunk(b"".join(LINES))}


class Host(asyncio.Protocol):
    """A connection of a stand-in for a host."""

    open, held, again, asking = set(), set(), set(), {}

    def __init__(self):
        self.received, self.transport, self.is_ready, self.plan, self.left = b"", None, True, None, 0

    def connection_made(self, transport):
        self.transport = transport
        self.open.add(self)

    def connection_lost(self, _error):
        self.open.discard(self)
        self.held.discard(self)

    def pause_writing(self):
        self.is_ready = False

    def resume_writing(self):
        self.is_ready = True
        self.flood()

    def data_received(self, data):
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self.received, 0, end)
            after = end + 4 + (int(found[1]) if found else 0)
            if len(self.received) < after:
                return
            path, body = self.received.split(b" ", 2)[1], self.received[end + 4:after]
            self.received = self.received[after:]
            self.answer(path, body)

    def answer(self, path, body):
        if path in OWN:
            self.transport.write(whole(200, OWN[path]))
            return
        number, plan, count = PLAN.search(body).groups()
        number, plan, count = int(number), plan.decode(), int(count)
        streamed = not WHOLE.search(body)
        if plan in ("before", "fill") or (plan == "repeat" and number in self.again):
            self.again.discard(number)
            self.hold()
            if client := self.asking.get(number):
                client.leave()
        elif plan == "within":
            self.begin(pieces_of(number)[:count])
            self.hold()
        elif plan in BLOCKS:
            self.plan, self.left = plan, STREAM // len(BLOCKS[plan])
            self.transport.write(STREAM_HEAD)
            self.flood()
        elif plan in ("well", "once") or number in self.again:
            self.again.discard(number)
            self.well(pieces_of(number, b"o" if plan == "differs" else b"w"), streamed)
        else:
            self.again.add(number)
            self.fail(plan, pieces_of(number), count, streamed)

    def hold(self):
        self.held.add(self)

    def begin(self, pieces):
        self.transport.write(STREAM_HEAD + b"".join([chunk(line(piece)) for piece in pieces]))

    def well(self, pieces, streamed):
        if not streamed:
            self.transport.write(whole(200, line(b"".join(pieces), b"true")))
            return
        self.begin(pieces[:1])
        rest = b"".join([chunk(line(piece)) for piece in pieces[1:]])
        asyncio.get_running_loop().call_soon(self.transport.write, rest + chunk(line(b"", b"true")) + b"0\r\n\r\n")

    def fail(self, plan, pieces, count, streamed):
        if plan == "refuse":
            self.transport.write(whole(500, b'{"error":"an error was encountered while running the model"}'))
            return
        if plan == "cut" and not streamed:
            self.transport.write(whole(200, line(b"".join(pieces), b"true"))[:-10])
        elif plan != "drop":
            self.begin(pieces[:count])
        if plan == "early":
            self.transport.write(b"0\r\n\r\n")
        elif plan == "says":
            self.transport.write(chunk(b'{"error":"an error was encountered while running the model: unexpected EOF"}\n'))
            self.transport.write(b"0\r\n\r\n")
        else:
            self.transport.close()

    def flood(self):
        """Sends as fast as it is read."""
        while self.left and self.is_ready and not self.transport.is_closing():
            self.left -= 1
            self.transport.write(BLOCKS[self.plan])


class Client(asyncio.Protocol):
    """A client that asks one question after the other, on a connection that it keeps while it can."""

    def __init__(self, soak):
        self.soak, self.transport, self.request = soak, None, None
        self.received, self.length, self.left = bytearray(), None, False
        self.ended = asyncio.get_running_loop().create_future()

    async def connect(self):
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.soak.port)

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask()

    def ask(self):
        self.request = self.soak.take()
        if self.request is None:
            self.transport.close()
            self.ended.set_result(None)
            return
        number, route, streamed, plan, count = self.request
        self.received, self.length, self.left = bytearray(), None, False
        if plan in ("before", "repeat"):
            Host.asking[number] = self
        self.transport.write(post(route, b"plan %d %s %d" % (number, plan.encode(), count), streamed))
        if plan == "once":
            asyncio.get_running_loop().call_soon(self.leave)

    def leave(self):
        self.left = True
        self.transport.abort()

    def data_received(self, data):
        self.received += data
        if self.left or self.request is None:
            return
        if self.length is None:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            found = LENGTH.search(self.received, 0, end)
            self.length = end + 4 + int(found[1]) if found else 0
        if self.request[3] == "within" and not self.received.endswith(b"\r\n\r\n"):
            self.leave()
        elif len(self.received) >= self.length if self.length else self.received.endswith(b"\r\n0\r\n\r\n"):
            self.judge(False)
            self.ask()

    def connection_lost(self, _error):
        if self.request is None:
            return
        self.judge(True)
        self.request = None
        asyncio.ensure_future(self.connect())

    def judge(self, broken):
        number, route, _, plan, _ = self.request
        Host.asking.pop(number, None)
        if self.left:
            outcome = "left"
        else:
            text = b"".join(TEXTS.get(route, CONTENT).findall(self.received))
            expected = b"".join(pieces_of(number))
            is_error = broken or self.received[9:12] != b"200" or b'"error"' in self.received
            outcome = "error" if is_error else "whole"
            if text != expected and (outcome == "whole" or not expected.startswith(text)):
                outcome = "WRONG"
            if outcome in ("WRONG", "error") and plan != "differs":
                self.soak.show(outcome, self.request, self.received)
        self.soak.counts[plan, outcome] += 1


class Soak:
    """Requests in their order, and what became of them."""

    def __init__(self, port, process, seed):
        self.port, self.process, self.random = port, process, random.Random(seed)
        self.next, self.last, self.counts, self.shown = 0, 0, collections.Counter(), 0

    def take(self):
        if self.next == self.last:
            return None
        self.next += 1
        route, streamed, _ = self.random.choices(ROUTES, [share for _, _, share in ROUTES])[0]
        chance, plan = self.random.random(), "well"
        if chance < FAULTS:
            plan = self.random.choice(STREAM_FAULTS if streamed else WHOLE_FAULTS)
        elif chance < FAULTS + CANCELS:
            plan = self.random.choice(STREAM_CANCELS if streamed else WHOLE_CANCELS)
        return self.next, route, streamed, plan, self.random.randint(1, PIECES)

    def show(self, outcome, request, received):
        self.shown += 1
        if self.shown <= 20:
            print(f"{outcome}: {request}: {bytes(received)[-600:]}", file=sys.stderr)

    async def lap(self, requests, parts=1):
        """Makes these requests. Returns the medians of memory and descriptors in each part."""
        begin, self.last = self.next, self.next + requests
        samples = [[] for _ in range(parts)]
        clients = [Client(self) for _ in range(CLIENTS)]
        await asyncio.gather(*[client.connect() for client in clients])
        ended = asyncio.gather(*[client.ended for client in clients])
        while not ended.done():
            await asyncio.wait([ended], timeout=0.25)
            part = min((self.next - begin) * parts // requests, parts - 1)
            samples[part].append((resident(self.process), descriptors(self.process)))
        await ended
        return [tuple(map(statistics.median, zip(*part))) for part in samples if part]

    async def rest(self):
        """Closes all connections. Returns memory and descriptors once the gateway has done so, too."""
        for host in list(Host.open - Host.held):
            host.transport.abort()
        # A probe may be under way.
        found = []
        for _ in range(40):
            await asyncio.sleep(0.1)
            found.append(descriptors(self.process))
        return resident(self.process), min(found)


class Same(Soak):
    """Long answers of one plan."""

    def __init__(self, port, process, plan):
        super().__init__(port, process, 0)
        self.plan = plan

    def take(self):
        if self.next == self.last:
            return None
        self.next += 1
        return self.next * LONG, "/api/chat", True, self.plan, LONG_PIECES - 1


def resident(process):
    """Resident memory, bytes."""
    pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found = collections.Counter()
    for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? ([\d.]+)$", text, re.MULTILINE):
        outcome = re.search(r'outcome="(\w+)"', labels)
        found[name.removeprefix("upright_gateway_"), outcome[1] if outcome else ""] += float(value)
    return found


async def measured(port, *keys):
    loop = asyncio.get_running_loop()
    return (await loop.run_in_executor(None, metrics, port))[keys]


async def settled(what, holds):
    """Waits until this holds; at most 20 s."""
    for _ in range(400):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise Unusable(f"after 20 s: not {what}")


async def start(processes, upright, memory, hosts, more=""):
    """Starts the gateway before this number of hosts."""
    loop, port = asyncio.get_running_loop(), free_port()
    servers = [await loop.create_server(Host, "127.0.0.1", 0, backlog=4096) for _ in range(hosts)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    config = processes.folder / f"{port}.toml"
    config.write_text(CONFIG.format(port=port, memory=memory) + "".join(UPSTREAM.format(port=at, more=more) for at in ports))
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    process = processes.start("upright", [upright, "serve", "--config", config], cores)
    await loop.run_in_executor(None, wait_ready, process, port, "/readyz")
    await asyncio.sleep(1)
    return process, port, servers


async def full(port):
    """Takes each place, and some of the queue. Returns the number of questions at the hosts, and of all in progress."""
    extra = 5
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * PLACES + extra)]
    for _, writer in streams:
        writer.write(post("/api/chat", b"plan 0 fill 0", True))
    total = len(streams)

    async def all_there():
        return len(Host.held) >= 2 * PLACES and await measured(port, "open_requests", "") == total
    await settled("all places taken", all_there)
    await asyncio.sleep(1)
    held, open_requests = len(Host.held), await measured(port, "open_requests", "")
    for _, writer in streams:
        writer.transport.abort()
    return held, open_requests - held


async def mix(processes, arguments):
    """Many requests with faults and cancels. Returns lines about them, and what is wrong."""
    process, port, servers = await start(processes, arguments.upright, 64 << 10, 2, f"concurrency = {PLACES}")
    soak, wrong = Soak(port, process, arguments.seed), []
    fresh = await soak.rest()
    await soak.lap(arguments.requests // PARTS)
    warm = await soak.rest()
    began = time.perf_counter()
    laps = await soak.lap(arguments.requests - arguments.requests // PARTS, PARTS)
    seconds = time.perf_counter() - began

    async def none_open():
        return await measured(port, "open_requests", "") == 0 and not Host.held
    await settled("every request ended", none_open)
    end = await soak.rest()
    found = await asyncio.get_running_loop().run_in_executor(None, metrics, port)
    counted = {outcome: int(value) for (name, outcome), value in found.items() if name == "requests_total"}
    places, waiting = await full(port)
    await settled("every place free", none_open)
    by = collections.Counter()
    for (_, outcome), count in soak.counts.items():
        by[outcome] += count
    kinds = sorted({plan for plan, _ in soak.counts} - {"well"})
    table = [f"| {plan} | {sum(count for (of, _), count in soak.counts.items() if of == plan):,} | " + ", ".join(
        f"{outcome} {count:,}" for (of, outcome), count in sorted(soak.counts.items()) if of == plan) + " |"
        for plan in ["well", *kinds]]
    memory, files = [lap[0] for lap in laps], [lap[1] for lap in laps]
    once = sum(count for (plan, _), count in soak.counts.items() if plan == "once")
    checks = [
        ("answers that are wrong or mixed", by["WRONG"], by["WRONG"] == 0),
        ("healthy questions without a whole answer", soak.counts["well", "error"], soak.counts["well", "error"] == 0),
        ("requests without an outcome", soak.next - sum(by.values()), soak.next == sum(by.values())),
        # The gateway may not have read the question of a client that left at once.
        ("requests by /metrics", f"{sum(counted.values()):,} of {soak.next:,}, of which {once:,} may have come to nothing", soak.next - once <= sum(counted.values()) <= soak.next),
        ("places that can be taken at the end", f"{places} of {2 * PLACES}, {waiting:.0f} questions wait", (places, waiting) == (2 * PLACES, 5)),
        ("descriptors at rest: fresh, warm, end", f"{fresh[1]}, {warm[1]}, {end[1]}", end[1] <= fresh[1]),
        ("memory at rest, MB: fresh, warm, end", ", ".join(f"{at[0] / 1e6:.1f}" for at in (fresh, warm, end)),
         end[0] <= warm[0] * (1 + LIMIT)),
        ("memory under load, MB, by tenths", ", ".join(f"{at / 1e6:.1f}" for at in memory), memory[-1] <= memory[0] * (1 + LIMIT)),
        ("descriptors under load, by tenths", ", ".join(f"{at:.0f}" for at in files), files[-1] <= files[0] * (1 + LIMIT)),
    ]
    lines = [f"{soak.next:,} requests, {(soak.next * (1 - 1 / PARTS)) / seconds:,.0f} a second, seed {arguments.seed}", "",
             "| question | number | outcome |", "|---|--:|---|", *table, "",
             f"gateway: {', '.join(f'{outcome} {count:,}' for outcome, count in sorted(counted.items()))}; rescues "
             + ", ".join(f"{outcome} {int(value):,}" for (name, outcome), value in sorted(found.items()) if name == "rescues_total"),
             "", *rows(checks)]
    wrong = [name for name, _, holds in checks if not holds]
    await stop(processes, process, servers)
    return lines, wrong


async def repeats(processes, arguments):
    """The gateway's processor time for whole answers, and for answers that are cut before their end and repeated."""
    process, port, servers = await start(processes, arguments.upright, 64 << 10, 2)
    plans = [Same(port, process, plan) for plan in ("well", "cut")]
    times = {soak.plan: [] for soak in plans}
    for number in range(1 + ROUNDS):
        for soak in plans:
            before = processor_time(process)
            await soak.lap(ANSWERS)
            if number > 0:
                times[soak.plan].append((processor_time(process) - before) / ANSWERS * 1e6)
    first, cut = (statistics.median(times[soak.plan]) for soak in plans)
    whole = sum(soak.counts[soak.plan, "whole"] for soak in plans)
    repeated = await measured(port, "rescues_total", "finished")
    await stop(processes, process, servers)
    checks = [
        ("an answer that comes whole", f"{first:,.0f} µs", whole == 2 * (1 + ROUNDS) * ANSWERS),
        ("the repeat of one that was cut", f"{cut - first:,.0f} µs", cut - first <= first),
        ("repeats", f"{repeated:,.0f}", repeated == (1 + ROUNDS) * ANSWERS),
    ]
    lines = [f"processor time of the gateway, answers of {LONG_PIECES:,} pieces, median of {ROUNDS} rounds of {ANSWERS}", *rows(checks)]
    return lines, [name for name, _, holds in checks if not holds]


async def stop(processes, process, servers):
    for server in servers:
        server.close()
    for host in list(Host.open):
        host.transport.abort()
    processes.stop(process)


def rows(checks):
    return [f"{name:45} {found} {'' if holds else '  MISSED'}".rstrip() for name, found, holds in checks]


async def slow(processes, arguments):
    """Clients that read slowly. Returns lines about the gateway's memory for each, and what is wrong."""
    checks = []
    for memory in MEMORIES:
        for route, plan in SLOW_ROUTES:
            each, read, waiting = await slowly(processes, arguments, memory, route, plan)
            checks.append((f"{route}, {plan}, replay.memory {memory >> 10} KiB",
                           f"{each / 1024:.1f} KiB a client; each read {read / 1024:.0f} KiB, {waiting} hosts wait",
                           each <= BEYOND + memory and waiting == SLOW))
    lines = [f"{SLOW:,} clients read {FAST >> 10} KiB of a stream of {STREAM / 1e6:.0f} MB, and then {RATE:,} bytes a second for "
             f"{arguments.seconds} s; limit: {BEYOND >> 10} KiB and replay.memory", *rows(checks)]
    return lines, [name for name, _, holds in checks if not holds]


async def slowly(processes, arguments, memory, route, plan):
    """The gateway's memory for each client, the bytes that each read, and the number of hosts that wait."""
    process, port, servers = await start(processes, arguments.upright, memory, 1)
    # All that the first streams load.
    for number in range(1, 50):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(route, b"plan %d well 0" % number, True))
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
    loop, before, sockets, read = asyncio.get_running_loop(), resident(process), [], 0
    for number in range(SLOW):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * RATE)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, post(route, b"plan %d %s 0" % (number, plan.encode()), True))
        sockets.append(client)
    # So all of `replay.memory` is used.
    async def fast(client):
        left = FAST
        while left > 0:
            left -= len(await loop.sock_recv(client, min(left, 1 << 16)))
    await asyncio.gather(*map(fast, sockets))
    most = 0
    for _ in range(arguments.seconds):
        began = loop.time()
        for client in sockets:
            read += len(await loop.sock_recv(client, RATE))
        while loop.time() < began + 1:
            await asyncio.sleep(0.1)
            most = max(most, resident(process))
    waiting = sum(not host.is_ready for host in Host.open)
    for client in sockets:
        client.close()
    await stop(processes, process, servers)
    return (most - before) / SLOW, FAST + read / SLOW, waiting


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    release = ROOT / "target/release/upright"
    parser.add_argument("--upright", default=release, metavar="PATH", help=f"the command's binary [default: {release}]")
    parser.add_argument("--requests", type=int, default=2_000_000, help="number of requests of the mix [default: 2000000]")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"time of slow clients [default: {SECONDS}]")
    parser.add_argument("--seed", type=int, default=1, help="chooses faults and cancels [default: 1]")
    parser.add_argument("--only", choices=["slow", "repeats", "mix"], help="only this part")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(pathlib.Path(folder))
        try:
            for name, part in (("slow", slow), ("repeats", repeats), ("mix", mix)):
                if arguments.only in (None, name):
                    lines, wrong = asyncio.run(part(processes, arguments))
                    print("\n".join([*lines, ""]), flush=True)
                    missed += wrong
        except Unusable as error:
            print((processes.folder / "upright.log").read_text(errors="replace")[-2000:], file=sys.stderr)
            sys.exit(f"error: {error}")
        finally:
            processes.stop_all()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
