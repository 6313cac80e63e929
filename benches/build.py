#!/usr/bin/env python3
"""Times builds of `stack image build` beside those of a Docker Engine, and prints medians as a Markdown table.

    benches/build.py [--runs N] [--only stack|docker]

STACK is the program (default: this checkout's release build). The engine is started here, with a socket and a data folder
of its own, and is ended by its pid; its classic builder and, where the command line has it, BuildKit are measured. Must run
as root; needs busybox-static.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CASES = ["overhead of RUN true", "five small steps", "unchanged", "last COPY changed", "800 files unchanged"]


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)


def base_archive(work):
    """A root file system of busybox."""
    root = work / "base"
    for name in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"]:
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ["sh", "true", "cat", "echo", "mkdir", "cp", "touch"]:
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
        run([self.program, "image", "import", archive, "base"], env=self.env)

    def build(self, directory, *flags):
        return [self.program, "image", "build", "-q", "-t", "bench", *flags, str(directory)], self.env

    def end(self):
        pass


class Docker:
    def __init__(self, host, buildkit):
        self.name = "BuildKit" if buildkit else "classic builder"
        self.env = dict(os.environ, DOCKER_HOST=host, DOCKER_BUILDKIT="1" if buildkit else "0")

    def build(self, directory, *flags):
        return ["docker", "build", "-q", "-t", "bench", *flags, str(directory)], self.env


class Engine:
    """A Docker Engine of our own."""

    def __init__(self, work, archive):
        self.host = f"unix://{work}/docker.sock"
        self.log = open(work / "dockerd.log", "w")
        self.process = subprocess.Popen(
            ["dockerd", "-H", self.host, "--data-root", work / "docker", "--exec-root", work / "docker-exec",
             "--pidfile", work / "docker.pid", "--iptables=false", "--ip6tables=false", "--bridge=none"],
            stdout=self.log, stderr=self.log)
        env = dict(os.environ, DOCKER_HOST=self.host)
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "version"], env=env, capture_output=True).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"dockerd does not start: see {work}/dockerd.log")
            time.sleep(0.1)
        run(["docker", "import", archive, "base"], env=env)

    def end(self):
        self.process.terminate()
        self.process.wait()


def write(directory, text):
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text(text)


def once(builder, directory, *flags):
    command, env = builder.build(directory, *flags)
    began = time.perf_counter()
    run(command, env=env)
    return (time.perf_counter() - began) * 1000


def measure(builder, work, runs):
    network = ["--network=none"]
    few, many, five, files = (work / name for name in ["few", "many", "five", "files"])
    steps = lambda count: "FROM base\n" + "".join(f"RUN true {n}\n" for n in range(count))
    write(few, steps(1))
    write(many, steps(11))
    write(five, "FROM base\nCOPY a /a\nRUN mkdir /x\nRUN echo 1 > /x/1\nRUN cp /a /x/a\nCOPY b /b\n")
    (five / "a").write_text("a")
    (five / "b").write_text("b")
    write(files, "FROM base\nCOPY . /all\nRUN true\n")
    for n in range(800):
        part = files / f"d{n % 20}"
        part.mkdir(exist_ok=True)
        (part / f"f{n}").write_text(str(n) * 300)
    found = {case: [] for case in CASES}
    for _ in range(runs):
        short = once(builder, few, "--no-cache", *network)
        found[CASES[0]].append((once(builder, many, "--no-cache", *network) - short) / 10)
        found[CASES[1]].append(once(builder, five, "--no-cache", *network))
        once(builder, five, *network)
        found[CASES[2]].append(once(builder, five, *network))
        (five / "b").write_text(f"b{time.time_ns()}")
        found[CASES[3]].append(once(builder, five, *network))
        once(builder, files, *network)
        found[CASES[4]].append(once(builder, files, *network))
    return {case: statistics.median(times) for case, times in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=["stack", "docker"])
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="stack-build-bench-"))
    engine = None
    try:
        archive = base_archive(work)
        columns = {}
        if options.only != "docker":
            columns["stack"] = measure(Stack(work, archive), work, options.runs)
        if options.only != "stack":
            engine = Engine(work, archive)
            for buildkit in [False, True]:
                docker = Docker(engine.host, buildkit)
                try:
                    columns[docker.name] = measure(docker, work, options.runs)
                except subprocess.CalledProcessError as error:
                    print(f"{docker.name}: {error.stderr.decode()[:300]}", file=sys.stderr)
        print("| ms | " + " | ".join(columns) + " |")
        print("| --- |" + " ---: |" * len(columns))
        for case in CASES:
            print(f"| {case} | " + " | ".join(f"{column[case]:.1f}" for column in columns.values()) + " |")
    finally:
        if engine:
            engine.end()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
