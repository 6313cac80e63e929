#!/usr/bin/env python3
"""Measures what a published port carries: from a container to a program of the host, through 127.0.0.1.

    benches/port.py [--seconds N] [--rounds N]

STACK is the program (default: this checkout's release build). Rows: straight to the container's address, the published port of one
replica and of three, and `docker-proxy` in front of the same container where that program is installed. The rows take turns, the table
has the medians. Must run as root; needs busybox-static and python3, which is also what the containers run (the host's root is mounted
read-only). Everything happens in a network namespace of its own.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVER = """
import os, socket, threading
data = bytes(1 << 20)
def serve(stream):
    try:
        what = stream.recv(1)
        if what == b'p':
            while stream.send(stream.recv(1)): pass
        while True: stream.sendall(data)
    except OSError: pass
listener = socket.create_server(('', 9000), backlog=64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def throughput(address, seconds):
    """GB/s of one connection."""
    stream = socket.create_connection(address)
    stream.sendall(b"d")
    buffer = bytearray(1 << 20)
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:
        stream.recv_into(buffer)
    start, total = time.perf_counter(), 0
    while (now := time.perf_counter()) < start + seconds:
        total += stream.recv_into(buffer)
    stream.close()
    return total / (now - start) / 1e9


def latency(address):
    """Microseconds of one byte there and back."""
    stream = socket.create_connection(address)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(b"p")
    times = []
    for _ in range(1000):
        start = time.perf_counter()
        stream.sendall(b"x")
        stream.recv(1)
        times.append(time.perf_counter() - start)
    stream.close()
    return statistics.median(times) * 1e6


def connections(address, seconds):
    """Connections a second, one after the other."""
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        stream = socket.create_connection(address)
        stream.sendall(b"p")
        stream.sendall(b"x")
        stream.recv(1)
        stream.close()
        count += 1
    return count / seconds


def base_archive(work):
    root = work / "base"
    for name in ["bin", "host", "proc", "sys", "dev"]:
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    (root / "bin/chroot").symlink_to("busybox")
    archive = work / "base.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    return archive


def start_docker_proxy(target):
    program = shutil.which("docker-proxy")
    if not program:
        return None
    reader, writer = os.pipe()
    # It tells its parent on descriptor 3 that it listens.
    process = subprocess.Popen(
        ["sh", "-c", f'exec 3>&{writer}; exec "$@"', "sh", program, "-proto", "tcp", "-host-ip", "127.0.0.1",
         "-host-port", "19002", "-container-ip", target, "-container-port", "9000"],
        pass_fds=[writer])
    os.close(writer)
    os.read(reader, 16)
    return process


def wait_for(address):
    deadline = time.monotonic() + 20
    while True:
        try:
            latency(address)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def measure(program, work, options):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    env = dict(os.environ, STACK_ROOT=str(work / "root"), COMPOSE_PROJECT_NAME="portbench")
    (work / "server.py").write_text(SERVER)
    service = {
        "image": "base", "volumes": ["/:/host:ro"],
        "command": ["chroot", "/host", sys.executable, str(work / "server.py")],
    }
    services = {
        "one": {**service, "ports": ["19000:9000"]},
        "three": {**service, "ports": ["19001:9000"], "deploy": {"replicas": 3}},
    }
    (work / "stack.yaml").write_text(json.dumps({"services": services}))
    stack = lambda *arguments: subprocess.run(
        [program, *arguments], check=True, cwd=work, env=env, capture_output=True, text=True).stdout
    stack("image", "import", str(base_archive(work)), "base")
    proxy = None
    try:
        stack("up", "-d")
        networks = json.loads(stack("inspect", "portbench-one-1"))[0]["NetworkSettings"]["Networks"]
        target = next(iter(networks.values()))["IPAddress"]
        rows = {
            "straight to the container": (target, 9000),
            "published, one replica": ("127.0.0.1", 19000),
            "published, three replicas": ("127.0.0.1", 19001),
        }
        proxy = start_docker_proxy(target)
        if proxy:
            rows["docker-proxy"] = ("127.0.0.1", 19002)
        found = {name: ([], [], []) for name in rows}
        for address in rows.values():
            wait_for(address)
        for _ in range(options.rounds):
            for name, address in rows.items():
                found[name][0].append(throughput(address, options.seconds))
                found[name][1].append(latency(address))
                found[name][2].append(connections(address, options.seconds / 2))
        print("| | GB/s | µs there and back | connections a second |")
        print("| --- | --- | --- | --- |")
        for name, columns in found.items():
            speed, time_, count = (statistics.median(column) for column in columns)
            print(f"| {name} | {speed:.2f} | {time_:.0f} | {count:.0f} |")
    finally:
        if proxy:
            proxy.terminate()
            proxy.wait()
        stack("down")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    program = os.path.abspath(os.environ.get("STACK", str(HERE.parent / "target/release/stack")))
    if options.inside:
        return measure(program, pathlib.Path(options.inside), options)
    work = tempfile.mkdtemp(prefix="stack-port-bench-")
    try:
        subprocess.run(["unshare", "-n", sys.executable, __file__, *sys.argv[1:], "--inside", work], check=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
