"""Runs the comparison for compare.sh, which sets everything up: makes the stacks, times the commands, prints the table."""

import argparse
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

# Ends at once when asked to, as a well-made service does, so that `down` times the engine and not the programs.
SERVICE = {"image": "busybox", "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]}


def independent(count):
    return {f"s{i}": SERVICE for i in range(count)}


def chain(count):
    services = independent(count)
    return {
        name: service | ({"depends_on": [f"s{i - 1}"]} if i else {}) for i, (name, service) in enumerate(services.items())
    }


def health_chain(ready_after):
    """Two services that are healthy a while after their start, and one behind them."""
    gated = {
        "image": "busybox",
        "command": ["sh", "-c", f"trap 'exit 0' TERM; sleep {ready_after}; touch /tmp/ready; sleep 1000 & wait"],
        "healthcheck": {"test": ["CMD", "test", "-f", "/tmp/ready"], "interval": "1s"},
    }
    return {
        "first": gated,
        "second": gated | {"depends_on": {"first": {"condition": "service_healthy"}}},
        "third": SERVICE | {"depends_on": {"second": {"condition": "service_healthy"}}},
    }


# PID 1 without a handler: the kernel drops the signal.
DEAF = {"deaf": {"image": "busybox", "command": ["sh", "-c", "sleep 1000"]}}

STACKS = {
    "one": independent(1),
    "ten": independent(10),
    "fifty": independent(50),
    "chain": chain(10),
    "health": health_chain(0.3),
    "deaf": DEAF,
}

# name → (what the table calls it, stack, the timed command, whether it needs the stack running before it)
CASES = {
    "up-1": ("`up -d`, 1 service", "one", ["up", "-d"], False),
    "up-10": ("`up -d`, 10 independent services", "ten", ["up", "-d"], False),
    "up-50": ("`up -d`, 50 independent services", "fifty", ["up", "-d"], False),
    "chain-10": ("`up -d`, chain of 10 (`depends_on`)", "chain", ["up", "-d"], False),
    "nothing": ("`up -d`, 10 services, nothing to do", "ten", ["up", "-d"], True),
    "down-1": ("`down`, 1 service", "one", ["down"], True),
    "down-10": ("`down`, 10 services", "ten", ["down"], True),
    "down-50": ("`down`, 50 services", "fifty", ["down"], True),
    "health": ("`up -d`, two health-gated links, ready after 0.3 s each", "health", ["up", "-d"], False),
    "stop-deaf": ("`stop` of `sh -c 'sleep 1000'`", "deaf", ["stop"], True),
}
MEMORY = "memory"


class Side:
    """One of the two programs, with its environment."""

    def __init__(self, name, command, environment, work):
        self.name = name
        self.command = command
        self.environment = os.environ | environment
        self.work = work

    def run(self, stack, arguments, tries=1):
        """Seconds that the command took; a failure ends the comparison, because its time would mean nothing. (A busy
        engine sometimes fails to remove a network at the first try: it may try again there; only the try that succeeded counts.)"""
        file = self.work / "stacks" / stack / "stack.yaml"
        command = [*self.command, "-f", str(file), "-p", f"bench-{stack}", *arguments]
        start = time.perf_counter()
        done = subprocess.run(
            command, env=self.environment, cwd=file.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        took = time.perf_counter() - start
        if done.returncode != 0 and tries > 1:
            return self.run(stack, arguments, tries - 1)
        if done.returncode != 0:
            sys.exit(f"{self.name}: `{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return took, done.stdout

    def running(self, stack):
        return len(self.run(stack, ["ps", "-q"])[1].split())


def measure(side, case):
    _, stack, command, running_before = CASES[case]
    if running_before:
        side.run(stack, ["up", "-d"])
    took, _ = side.run(stack, command, tries=2 if command[0] == "down" else 1)
    expected = len(STACKS[stack]) if command[0] == "up" else 0
    found = side.running(stack)
    if found != expected:
        sys.exit(f"{side.name}: {found} containers run after {command[0]} of {stack}, not {expected}: the time is worthless")
    if command[0] != "down":
        side.run(stack, ["down", "-t", "0"], tries=3)
    return took


def proportional_memory(pid):
    """The process's memory in bytes, what it shares divided among those that share it; 0 if it has just ended."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def processes():
    """Every process as (pid, program file, arguments)."""
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            yield int(entry.name), os.readlink(entry / "exe"), (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue


def engine_processes(side, work):
    """Docker: dockerd, and what names its folder (containerd, shims). stack: every process that runs its program."""
    if side.name == "docker":
        return {pid for pid, _, arguments in processes() if str(work / "docker") in arguments}
    program = os.path.realpath(side.command[0])
    return {pid for pid, executable, _ in processes() if executable == program}


def measure_memory(side, work):
    # The engine of Docker is there before the first container and counts; other stacks of the same program do not.
    before = set() if side.name == "docker" else engine_processes(side, work)
    side.run("ten", ["up", "-d"])
    time.sleep(2)
    used = sum(proportional_memory(pid) for pid in engine_processes(side, work) - before)
    side.run("ten", ["down", "-t", "0"])
    return used


def write_stacks(work):
    for name, services in STACKS.items():
        folder = work / "stacks" / name
        folder.mkdir(parents=True)
        # JSON is YAML: no library needed.
        (folder / "stack.yaml").write_text(json.dumps({"services": services}, indent=2))


def docker_api(path, body, length):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    connection.request("POST", path, body=body, headers={"Content-Type": "application/x-tar", "Content-Length": str(length)})
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= 300:
        sys.exit(f"docker: {path}: {answer.status} {text}")


def import_busybox(side, tar):
    if side.name == "docker":
        with open(tar, "rb") as body:
            docker_api("/images/create?fromSrc=-&repo=busybox&tag=latest", body, os.path.getsize(tar))
        return
    command = [*side.command, "image", "import", tar, "busybox"]
    done = subprocess.run(command, env=side.environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"stack: `{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def show(value, case):
    if case == MEMORY:
        return f"{value / 2**20:.1f} MiB"
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def table(results, sides):
    names = [side.name for side in sides]
    heads = {"docker": "Docker Compose", "stack": "stack"}
    head = ["", *(heads[name] for name in names), *(["ratio"] if len(names) == 2 else [])]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |"]
    for case in results:
        label = "memory of the engine and shims, 10 containers" if case == MEMORY else CASES[case][0]
        medians = [statistics.median(results[case][name]) for name in names]
        cells = [label, *(show(median, case) for median in medians)]
        if len(names) == 2:
            cells.append(f"{medians[0] / medians[1]:.1f}×")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compare(options):
    work = pathlib.Path(options.work)
    write_stacks(work)
    sides = []
    if options.only != "stack":
        # An empty configuration folder: the user's contexts and plug-ins stay out.
        (work / "docker-config").mkdir()
        sides.append(Side("docker", [options.compose], {"DOCKER_CONFIG": str(work / "docker-config")}, work))
    if options.only != "docker":
        sides.append(Side("stack", [options.stack], {"STACK_ROOT": str(work / "stack")}, work))
    for side in sides:
        import_busybox(side, options.busybox)

    cases = options.cases.split(",") if options.cases else [*CASES, MEMORY]
    if unknown := set(cases) - {*CASES, MEMORY}:
        sys.exit(f"no case {', '.join(sorted(unknown))}; there are: {', '.join([*CASES, MEMORY])}")
    load_before = os.getloadavg()[0]
    results = {}
    for case in cases:
        results[case] = {side.name: [] for side in sides}
        # One more than asked for: the first warms caches and is not counted.
        for round_ in range(options.runs + 1):
            for side in sides:
                value = measure_memory(side, work) if case == MEMORY else measure(side, case)
                if round_ > 0:
                    results[case][side.name].append(value)
        shown = ", ".join(
            f"{name} " + " ".join(show(value, case) for value in sorted(values)) for name, values in results[case].items()
        )
        print(f"{case}: {shown}", file=sys.stderr, flush=True)
    print(table(results, sides))
    print(
        f"\nMedians of {options.runs} runs in turn after one to warm up, {os.cpu_count()} processors,"
        f" Linux {os.uname().release}, load {load_before:.1f} before and {os.getloadavg()[0]:.1f} after."
    )
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=2))


def ping(path):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(path)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ping").add_argument("socket")
    run = commands.add_parser("run")
    for name in ("--work", "--busybox", "--stack", "--compose"):
        run.add_argument(name, required=True)
    run.add_argument("--runs", type=int, default=5)
    run.add_argument("--only", choices=["stack", "docker"])
    run.add_argument("--cases")
    run.add_argument("--json")
    options = parser.parse_args()
    if options.command == "ping":
        sys.exit(0 if ping(options.socket) else 1)
    compare(options)


if __name__ == "__main__":
    main()
