#!/usr/bin/env python3
"""Measures `upright serve` beside nginx and LiteLLM, and prints one table.

The proxy runs alone on core 0. Load and upstream share core 1, so that no proxy is slowed down by them. Figures are
medians of interleaved rounds, because a machine's speed drifts. Every answer is compared with the recorded one before
it counts.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROXY, LOAD = "0", "1"
CONNECTIONS = 64
STREAMS = 1000
FIRST_BYTES, WARM_UP = 400, 20
STARTS = 5
MODEL = "smollm2"
# The longest recorded whole answer of /api/chat below 1 KiB, and a streamed one.
WHOLE, STREAMED = "chat-logprobs", "chat-stream"
LISTS = {"/api/version": "version", "/api/tags": "tags", "/api/ps": "ps-loaded"}
# No key, as with the others, and no list from the network.
LITELLM = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
DEBIAN = {"nginx": "nginx", "wrk": "wrk", "taskset": "util-linux"}

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type "application/json; charset=utf-8";
  keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  {inner}
}}
"""
NGINX_PROXY = """
  upstream host {{ server 127.0.0.1:{to}; keepalive 1024; keepalive_timeout 1h; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /healthz {{ return 200 "ok"; }}
    location / {{
      proxy_pass http://host; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering {buffering};
    }}
  }}
"""
UPRIGHT = """
[listen]
address = "127.0.0.1:{port}"

[[upstream]]
url = "http://127.0.0.1:{to}"

[log]
access = false
"""


class Unusable(Exception):
    """The measurement cannot be made."""


# --- what is sent, and what must come back ---

def recorded(name):
    """Body of a recorded answer; the frames of a chunked one are removed."""
    with open(ROOT / "tests/recordings/ollama.jsonl", encoding="utf-8") as file:
        answer = next(found["answer"]["text"] for found in map(json.loads, file) if found["name"] == name)
    head, body = answer.encode().split(b"\r\n\r\n", 1)
    if b"Transfer-Encoding: chunked" not in head:
        return body
    return dechunked(body)


def dechunked(body):
    whole = b""
    while body:
        size, body = body.split(b"\r\n", 1)
        length = int(size, 16)
        whole, body = whole + body[:length], body[length + 2:]
        if length == 0:
            return whole
    raise Unusable("an answer has no last chunk")


def question(streamed, hold=False, size=1024):
    """A request of `size` bytes. Its words are long: the recorded server read only ten tokens."""
    def body(filler):
        texts = ["HOLD" if hold else "Begin"] + ["x" * filler] * 4
        messages = [{"role": "user", "content": text} for text in texts]
        return json.dumps({"model": MODEL, "messages": messages, "stream": streamed}).encode()
    filled = body((size - len(body(0))) // 4)
    return filled[:-1] + b" " * (size - len(filled)) + b"}"


def post(path, body):
    return b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        path.encode(), len(body), body)


def connect(port, limit=60):
    connection = socket.create_connection(("127.0.0.1", port), timeout=limit)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection, received=b""):
    more = connection.recv(1 << 16)
    if not more:
        raise Unusable(f"a connection was closed after {received[:200]!r}")
    return received + more


def exchange(connection, request):
    """Sends a request. Returns seconds to the first byte of the answer's body, status line and body."""
    began = time.perf_counter()
    connection.sendall(request)
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0 or len(received) == end + 4:
        received = receive(connection, received)
    first = time.perf_counter() - began
    head, body = received[:end].lower(), received[end + 4:]
    if b"transfer-encoding: chunked" in head:
        while not body.endswith(b"0\r\n\r\n"):
            body = receive(connection, body)
        return first, head.split(b"\r\n")[0], dechunked(body)
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body = receive(connection, body)
    return first, head.split(b"\r\n")[0], body


# --- processes ---

class Processes:
    """Processes that this script started, each ended by its own id."""

    def __init__(self, folder):
        self.folder, self.all = folder, []

    def start(self, name, command, core):
        environment = {key: value for key, value in os.environ.items() if key != "RUST_LOG"}
        environment |= LITELLM
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(["taskset", "-c", core, *map(str, command)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, env=environment)
        self.all.append(process)
        return process

    def stop(self, process):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.all.remove(process)

    def stop_all(self):
        for process in reversed(list(self.all)):
            self.stop(process)


def family(process):
    """Ids of a process and of all below it."""
    ids = [process.pid]
    for pid in ids:
        for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            ids += map(int, children.read_text().split())
    return ids


def processor_time(process):
    """Seconds of processor time, of user and system."""
    # The clock of a process, as `clock_getcpuclockid` makes it.
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in map(int, family(process)))


def resident(process):
    """Resident memory, MB of a million bytes."""
    pages = sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family(process))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_ready(process, port, path, limit=120):
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        if process.poll() is not None:
            raise Unusable(f"{process.args[3]} ended with {process.returncode}")
        try:
            with connect(port) as connection:
                if b" 200" in exchange(connection, request)[1]:
                    return
        except OSError:
            time.sleep(0.001)
    raise Unusable(f"{process.args[3]} was not ready within {limit} s")


class Peer:
    """A proxy: `command` writes its configuration and returns its command."""

    def __init__(self, name, command, ready="/healthz", path="/api/chat", is_same=True):
        self.name, self.command, self.ready, self.path, self.is_same = name, command, ready, path, is_same
        self.process, self.port, self.figures = None, None, {}

    def start(self, processes, to, streams):
        """Starts it. Returns seconds to its first answer."""
        self.port = free_port()
        folder = pathlib.Path(tempfile.mkdtemp(dir=processes.folder))
        command = self.command(folder, self.port, to, streams)
        began = time.perf_counter()
        self.process = processes.start(self.name.replace(" ", "_"), command, PROXY)
        wait_ready(self.process, self.port, self.ready)
        return time.perf_counter() - began


def nginx_command(folder, inner):
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, inner=inner))
    return ["nginx", "-c", folder / "nginx.conf"]


def nginx(folder, port, to, streams):
    return nginx_command(folder, NGINX_PROXY.format(port=port, to=to, buffering="off" if streams else "on"))


def upright(path, *flags):
    def command(folder, port, to, _streams):
        (folder / "upright.toml").write_text(UPRIGHT.format(port=port, to=to))
        return [path, "serve", "--workers", 1, "--config", folder / "upright.toml", *flags]
    return command


def litellm(program):
    def command(folder, port, to, _streams):
        parameters = {"model": f"ollama_chat/{MODEL}", "api_base": f"http://127.0.0.1:{to}"}
        models = {"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}
        # JSON is YAML.
        (folder / "litellm.yaml").write_text(json.dumps(models))
        return [program, "--config", folder / "litellm.yaml", "--host", "127.0.0.1", "--port", port, "--num_workers", 1]
    return command


# --- measurements ---

def streams(processes, peers, direct):
    """Time to ready, memory, and the first streamed byte."""
    to = free_port()
    lines = recorded(STREAMED)
    (processes.folder / "lines").write_bytes(lines)
    upstream = processes.start("stream", [sys.executable, HERE / "stream.py", to, processes.folder / "lines"], LOAD)
    wait_ready(upstream, to, "/api/version")
    for peer in list(peers):
        try:
            starts = [peer.start(processes, to, True)]
        except Unusable as error:
            if peer.is_same:
                raise
            print(f"{peer.name.upper()} IS SKIPPED: {error}", file=sys.stderr)
            peers.remove(peer)
            continue
        # A start of this takes seconds.
        while starts[0] < 2 and len(starts) < STARTS:
            processes.stop(peer.process)
            starts.append(peer.start(processes, to, True))
        time.sleep(1)
        peer.figures |= {"ready": statistics.median(starts) * 1000, "idle": resident(peer.process)}
    direct.port = to
    first = {peer: [] for peer in [direct, *peers]}
    connections = {peer: connect(peer.port) for peer in first}
    # A slow peer would leave cold caches to the others.
    for group in [[peer for peer in first if peer.is_same], [peer for peer in first if not peer.is_same]]:
        for number in range(WARM_UP + FIRST_BYTES if group else 0):
            if number == WARM_UP:
                before = {peer: processor_time(peer.process) for peer in group if peer.process}
            turn = number % len(group)
            for peer in group[turn:] + group[:turn]:
                seconds, status, body = exchange(connections[peer], post(peer.path, question(True)))
                if b" 200" not in status or peer.is_same and body != lines:
                    raise Unusable(f"{peer.name} streamed {status!r} {body[:300]!r}")
                if number >= WARM_UP:
                    first[peer].append(seconds * 1e6)
        for peer in filter(lambda peer: peer.process, group):
            peer.figures["streamed"] = (processor_time(peer.process) - before[peer]) / FIRST_BYTES * 1e6
    for peer, times in first.items():
        peer.figures["first"] = statistics.median(times)
        peer.figures["first_added"] = peer.figures["first"] - statistics.median(first[direct])
        connections[peer].close()
    for peer in peers:
        peer.figures["streams"] = held(peer)
        processes.stop(peer.process)
    processes.stop(upstream)


def held(peer):
    """Memory with open streams; `None` if they do not all open."""
    connections = []
    try:
        for _ in range(STREAMS):
            connections.append(connect(peer.port))
            connections[-1].sendall(post(peer.path, question(True, hold=True, size=512)))
        for connection in connections:
            received = b""
            while (end := received.find(b"\r\n\r\n")) < 0 or len(received) == end + 4:
                received = receive(connection, received)
            if b" 200" not in received.split(b"\r\n")[0]:
                raise Unusable(received[:200])
        time.sleep(1)
        return resident(peer.process)
    except (OSError, Unusable) as error:
        print(f"{peer.name}: {STREAMS} streams did not open: {error}", file=sys.stderr)
        return None
    finally:
        for connection in connections:
            connection.close()


def load(processes, peers, direct, seconds, rounds):
    """Requests a second, processor time a request, and latencies."""
    to = free_port()
    answer = recorded(WHOLE)
    folder = processes.folder / "upstream"
    folder.mkdir()
    routes = {"/api/chat": answer, **{path: recorded(name) for path, name in LISTS.items()}}
    quoted = {path: body.decode().replace("\\", "\\\\").replace("'", "\\'") for path, body in routes.items()}
    locations = "".join(f"location = {path} {{ return 200 '{body}'; }}\n" for path, body in quoted.items())
    inner = f"server {{ listen 127.0.0.1:{to} backlog=4096;\n{locations} }}"
    upstream = processes.start("upstream", nginx_command(folder, inner), LOAD)
    wait_ready(upstream, to, "/api/version")
    body = question(False)
    (processes.folder / "body").write_bytes(body)
    direct.port = to
    for peer in peers:
        peer.start(processes, to, False)
    for peer in [direct, *peers]:
        with connect(peer.port) as connection:
            _, status, got = exchange(connection, post(peer.path, body))
            if b" 200" not in status or peer.is_same and got != answer:
                raise Unusable(f"{peer.name} answered {status!r} {got[:300]!r}")
    # Let hosts be probed and lists be read.
    time.sleep(1)
    measured = {peer: [] for peer in [direct, *peers]}
    for number in range(rounds):
        order = list(measured)
        turn = number % len(order)
        for peer in order[turn:] + order[:turn]:
            measured[peer].append(wrk(peer, processes.folder / "body", seconds))
    for peer, runs in measured.items():
        peer.figures |= {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def wrk(peer, body, seconds):
    url = f"http://127.0.0.1:{peer.port}{peer.path}"
    command = ["taskset", "-c", LOAD, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "-s",
               HERE / "post.lua", url, "--", body]
    before = processor_time(peer.process) if peer.process else 0
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    after = processor_time(peer.process) if peer.process else 0
    last = run.stdout.strip().splitlines()[-1:]
    if run.returncode != 0 or not last or not last[0].startswith("{"):
        raise Unusable(f"wrk against {peer.name} failed: {run.stdout} {run.stderr}")
    found = json.loads(last[0])
    if found["failed"] or not found["requests"]:
        raise Unusable(f"{peer.name}: {found['failed']} of {found['requests']} requests failed")
    figures = {"rate": found["requests"] / found["microseconds"] * 1e6, "p50": found["p50"], "p99": found["p99"]}
    if peer.process:
        spent = (after - before) * 1e6
        figures |= {"cpu": spent / found["requests"], "busy": spent / found["microseconds"] * 100}
    return figures


# --- the table ---

# Name, key, digits after the point; then the limit of Upright's figure: its words, whether it is a maximum, its value.
ROWS = [
    ("requests a second", "rate", 0, "0.7 × nginx's", False, lambda peers: 0.7 * peers["nginx"]["rate"]),
    ("requests a second", "rate", 0, "100 × LiteLLM's", False, lambda peers: 100 * peers["LiteLLM"]["rate"]),
    ("CPU a request, µs", "cpu", 1, "1.5 × nginx's", True, lambda peers: 1.5 * peers["nginx"]["cpu"]),
    ("CPU a request, µs", "cpu", 1, "1.05 × --no-recovery", True, lambda peers: 1.05 * peers["--no-recovery"]["cpu"]),
    ("proxy's core busy, %", "busy", 0, None, None, None),
    ("latency p50, µs", "p50", 0, None, None, None),
    ("latency p99, µs", "p99", 0, None, None, None),
    ("first streamed byte, µs", "first", 0, None, None, None),
    ("… later than direct, µs", "first_added", 0, "80 µs", True, lambda _: 80),
    ("CPU a streamed answer, µs", "streamed", 0, None, None, None),
    ("ready after, ms", "ready", 1, "100 ms", True, lambda _: 100),
    ("memory idle, MB", "idle", 1, "25 MB", True, lambda _: 25),
    (f"memory, {STREAMS} streams, MB", "streams", 1, "60 MB", True, lambda _: 60),
]


def table(peers):
    """The table's lines, and the number of limits that were missed."""
    figures = {peer.name.removeprefix("upright "): peer.figures for peer in peers}
    rows, missed = [["", *(peer.name for peer in peers), "limit of upright", ""]], 0
    for name, key, digits, words, is_most, limit in ROWS:
        cells = ["–" if (value := peer.figures.get(key)) is None else f"{value:,.{digits}f}" for peer in peers]
        verdict = ["", ""]
        if words:
            try:
                value, most = figures["upright"][key], limit(figures)
                met = value is not None and (value <= most if is_most else value >= most)
                verdict = [f"{'≤' if is_most else '≥'} {most:,.{digits}f} ({words})", "met" if met else "MISSED"]
                missed += not met
            except KeyError:
                verdict = [words, "not measured"]
        rows.append([name, *cells, *verdict])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]], missed


def said(*command):
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=os.environ | LITELLM)
    return (run.stdout + run.stderr).strip() or "unknown version"


def machine(arguments, program):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        named = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    versions = [said(arguments.upright, "--version"), said("nginx", "-v"), said("wrk", "-v").split(" [")[0]]
    versions += [line for line in said(program, "--version").splitlines() if "Version" in line] if program else []
    lines = [
        f"{(named or [platform.machine()])[0]}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"load average before {os.getloadavg()[0]:.2f}",
        "; ".join([*versions, f"Python {platform.python_version()}"]),
        f"Proxy on core {PROXY}, load and upstream on core {LOAD}; one worker each; no access log.",
        f"wrk: {CONNECTIONS} connections, {arguments.rounds} rounds of {arguments.seconds} s; "
        f"body of {len(question(False)):,} bytes, answer of {len(recorded(WHOLE)):,} bytes and its headers.",
    ]
    if pathlib.Path(arguments.upright).resolve().parent.name == "debug":
        lines.append("THE BINARY IS A DEBUG BUILD: its figures mean nothing.")
    return lines


def prepared(arguments):
    """Checks what is needed. Returns LiteLLM's program, if it is there."""
    os.environ["PATH"] += ":/usr/sbin"
    missing = [DEBIAN[name] for name in DEBIAN if not shutil.which(name)]
    if missing:
        raise Unusable(f"programs are missing; on Debian: apt-get install {' '.join(missing)}")
    if not os.access(arguments.upright, os.X_OK):
        raise Unusable(f"{arguments.upright} is no program; run `cargo build --release`, or name one with --upright")
    if not {int(PROXY), int(LOAD)} <= os.sched_getaffinity(0):
        raise Unusable(f"cores {PROXY} and {LOAD} are needed")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # A proxy holds two descriptors for each stream.
    if hard < 3 * STREAMS:
        raise Unusable(f"the limit of open files is {hard}; at least {3 * STREAMS} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {int(LOAD)})
    program = arguments.litellm and pathlib.Path(arguments.litellm) / "bin/litellm"
    if program and program.exists() and subprocess.run([program, "--version"], capture_output=True).returncode == 0:
        return program
    why = f"{program} does not run; pip install 'litellm[proxy]'" if program else "no --litellm VENV"
    print(f"LITELLM IS SKIPPED: {why}", file=sys.stderr)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    release = ROOT / "target/release/upright"
    parser.add_argument("--upright", default=release, metavar="PATH", help=f"the command's binary [default: {release}]")
    parser.add_argument("--other", metavar="PATH", help="another build of the command, measured in the same rounds")
    parser.add_argument("--litellm", metavar="VENV", help="a virtual environment with litellm[proxy]")
    parser.add_argument("--seconds", type=int, default=8, help="length of a round of wrk [default: 8]")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds [default: 3]")
    parser.add_argument("--check", action="store_true", help="end with an error if a limit is missed")
    arguments = parser.parse_args()
    direct = Peer("direct", None)
    bare = Peer("upright --no-recovery", upright(arguments.upright, "--no-recovery"))
    peers = [Peer("nginx", nginx), Peer("upright", upright(arguments.upright)), bare]
    if arguments.other:
        peers.append(Peer("other build", upright(arguments.other)))
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(pathlib.Path(folder))
        try:
            program = prepared(arguments)
            if program:
                paths = {"ready": "/health/liveliness", "path": "/v1/chat/completions"}
                peers.append(Peer("LiteLLM", litellm(program), **paths, is_same=False))
            about = machine(arguments, program)
            streams(processes, peers, direct)
            load(processes, peers, direct, arguments.seconds, arguments.rounds)
        except Unusable as error:
            for log in sorted(pathlib.Path(folder).glob("*.log")):
                if text := log.read_text(errors="replace")[-1000:]:
                    print(f"--- {log.name}\n{text}", file=sys.stderr)
            sys.exit(f"error: {error}")
        finally:
            processes.stop_all()
    lines, missed = table([direct, *peers])
    print("\n".join([*about, "", *lines]))
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
