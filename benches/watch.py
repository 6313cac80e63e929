#!/usr/bin/env python3
"""Times how long a saved file takes into a container with `watch`, beside Docker Compose, and prints medians as a Markdown
table, in milliseconds.

    benches/watch.py [--runs N] [--only stack,docker] [--many N]

A file is saved in place; the clock stops when inotify sees its new content under the container's own root. `many` files are
then written at once, and the clock stops when the last of them is in the container. STACK is the program (default: this
checkout's release build). The Docker Engine is started here, with a socket and a data folder of its own, and is ended by its
pid; `docker-compose` must be there. Must run as root; needs busybox-static.
"""

import argparse
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60
LIBC = ctypes.CDLL(None, use_errno=True)
IN_CLOSE_WRITE, IN_MOVED_TO = 0x8, 0x80

STACK_FILE = """
services:
  app:
    image: bench-watch
    init: true
    command: [sleep, "100000"]
    develop: {watch: [{action: sync, path: ./src, target: /src}]}
"""


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def base_archive(work):
    """A root file system of busybox."""
    root = work / "base"
    for name in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "src"]:
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ["sh", "sleep", "rm", "tar"]:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    archive = work / "base.tar"
    run(["tar", "-C", root, "-cf", archive, "."])
    return archive


class Stack:
    name = "stack"

    def __init__(self, work, archive):
        self.program = os.environ.get("STACK", str(HERE.parent / "target/release/stack"))
        self.env = dict(os.environ, STACK_ROOT=str(work / "stack-root"))
        run([self.program, "image", "import", archive, "bench-watch"], env=self.env)
        self.watch = [self.program, "watch"]
        self.down = [self.program, "down", "-t", "0"]

    def pid(self):
        found = run([self.program, "inspect", "bench-app-1"], env=self.env).stdout
        return json.loads(found)[0]["State"]["Pid"]

    def end(self):
        pass


class Docker:
    name = "Docker Compose"

    def __init__(self, work, archive):
        docker = work / "docker"
        docker.mkdir()
        host = f"unix://{docker}/d.sock"
        command = ["dockerd", "-H", host, "--data-root", docker / "data", "--exec-root", docker / "exec"]
        command += ["--pidfile", docker / "pid", "--bridge", "none", "--iptables=false", "--ip6tables=false"]
        self.engine = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.env = dict(os.environ, DOCKER_HOST=host)
        eventually(lambda: subprocess.run(["docker", "info"], env=self.env, capture_output=True).returncode == 0)
        run(["docker", "import", archive, "bench-watch"], env=self.env)
        self.watch = ["docker-compose", "watch"]
        self.down = ["docker-compose", "down", "-t", "0"]

    def pid(self):
        return int(run(["docker", "inspect", "-f", "{{.State.Pid}}", "bench-app-1"], env=self.env).stdout)

    def end(self):
        self.engine.send_signal(signal.SIGTERM)
        self.engine.wait()


def eventually(found):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError("it never happened")


class Seen:
    """What inotify sees in a directory."""

    def __init__(self, directory):
        self.fd = LIBC.inotify_init1(os.O_CLOEXEC)
        if LIBC.inotify_add_watch(self.fd, os.fsencode(directory), IN_CLOSE_WRITE | IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {directory}")

    def names(self):
        if not select.select([self.fd], [], [], PATIENCE)[0]:
            raise TimeoutError("nothing came")
        data, at = os.read(self.fd, 1 << 16), 0
        while at < len(data):
            _, _, _, length = struct.unpack_from("iIII", data, at)
            yield data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length

    def until(self, wanted):
        wanted = set(wanted)
        while wanted:
            wanted.difference_update(self.names())
        return time.monotonic()


def measure(tool, project, runs, many):
    source = project / "src"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    out = project / "out"
    with open(out, "wb") as file:
        watch = subprocess.Popen(tool.watch, cwd=project, env=tool.env, stdout=file, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: b"Watch enabled" in out.read_bytes())
        seen = Seen(f"/proc/{tool.pid()}/root/src")
        single = []
        for number in range(runs + 3):
            time.sleep(0.3)
            began = time.monotonic()
            (source / "file").write_text(f"{number}\n")
            single.append(1000 * (seen.until(["file"]) - began))
        time.sleep(1)
        names = [f"many-{number}" for number in range(many)]
        began = time.monotonic()
        for name in names:
            (source / name).write_text("content\n")
        written = 1000 * (time.monotonic() - began)
        return single[3:], 1000 * (seen.until(names) - began), written
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait()
        subprocess.run(tool.down, cwd=project, env=tool.env, capture_output=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--only", default="stack,docker")
    flags = parser.parse_args()
    if os.geteuid():
        sys.exit("watch.py: must run as root")
    work = pathlib.Path(tempfile.mkdtemp(prefix="stack-watch.", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    project = work / "bench"
    project.mkdir()
    (project / "compose.yaml").write_text(STACK_FILE)
    try:
        archive = base_archive(work)
        print(f"| tool | median | best | worst | {flags.many} files | of that, writing them |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for kind in [Stack, Docker]:
            if kind.__name__.lower() not in flags.only.split(","):
                continue
            tool = kind(work, archive)
            try:
                single, many, written = measure(tool, project, flags.runs, flags.many)
            finally:
                tool.end()
            median = statistics.median(single)
            numbers = f"{median:.1f} | {min(single):.1f} | {max(single):.1f} | {many:.0f} | {written:.0f}"
            print(f"| {tool.name} | {numbers} |", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
