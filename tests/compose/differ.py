#!/usr/bin/env python3
"""Looks for stack files that our loader and Docker Compose take differently.

    differ.py [--runs N] [--seed S] [--jobs N] [--ours PROGRAM] [--theirs PROGRAM] [--out DIRECTORY]

Makes random stacks out of the corpus: attributes of services and top-level parts of many cases put together, one or
two files, with scalars, lists and keys exchanged for odd ones. Both programs run `config --format json` on each; a
difference is reduced to the smallest files that still show it, and only one of each kind is kept. Each is written
to DIRECTORY as a case of the corpus could be. Needs PyYAML. The stacks of one seed are always the same.
"""

import argparse
import concurrent.futures
import copy
import glob
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NUMBERS = (
    ["0x10", "1_000", "1e3", "012", "0o17", "0b11", "-1", "+5", "0", "-0", "1.0", "1.50", "0.1", ".5", "1.", "\"5\"", "'012'"]
    + ["9223372036854775807", "9223372036854775808", "18446744073709551616", "1e400", "123456789012345678901234567890"]
    + ['"1.5"', "'0x10'", ".inf", "-.inf", ".nan", '"${X:-5}"', '"${X:-1_0}"', '" 5"', '"+5"', '"1e3"', "2147483648", "65536", "''"]
)
SIZES = (
    ["1g", "1GB", "1.5g", "1gib", "512 m", "-1m", "1e3k", "1kk", "0b", "1KiB", "5 b", "64M", "1t", '"${X:-5m}"', '"5"', "5", "1.5"]
)
TIMES = (
    ["10s", "1m30s", "500ms", "1.5h", "1d", "10", "-1s", "0s", "1h1h", "5S", "1us", "1µs", "10ns", "1w", '"${X:-1s}"', "0", "1h0m"]
)
BOOLEANS = ["yes", "No", "on", "~", "null", "true", "False", "TRUE", '"true"', '"yes"', '"${X:-true}"', '"${X:-n}"', "1", '"0"', "y"]
TEXTS = (
    ["text", "a b", "''", '""', '" "', '"yes"', "'5'", "ünïcödé", "世界", "🎉", "~", "5", "1.50", "true", "2024-01-01"]
    + ["a.b", "a/b", "./a", "../a", "/a", "~/a", "a:b", "a=b", "=", "a=", "=b", "a,b", "-a", "a-", "A", "1a", "a1", "a_b", "12:30"]
    + ["80", "80:80", "80:80/udp", "1-3:1-3", "[::1]:80:80", "127.0.0.1::80", "80/sctp", ":80", "0:80", "80:0", "65536", "190:20:30"]
    + ['"$$"', '"$X"', '"${SET}"', '"${X:-}"', '"${X-a}b${SET:+c}"', '"a$"', '"multi\\nline"', '"tab\\there"', '"trailing "']
    + ['" leading"', '"a\\\\b"', "\"quo'te\"", '"a#b"', "'a # b'", '"\\u0001"', "2024-01-01T10:00:00Z", '"C:\\\\a:/b"', "./a:/b:ro", "a:/b:z"]
)
KINDS = [
    (r"-?[\d.]+", NUMBERS),
    (r"[\d.]+ *[kmgtKMGT]?i?[bB]", SIZES),
    (r"[\d.]+[kmg]", SIZES),
    (r"(\d+(h|m|s|ms|us))+", TIMES),
    (r"true|false|yes|no|on|off", BOOLEANS),
]


def odd(rng, text):
    """Another scalar, most of the time of the same kind."""
    if rng.random() < 0.15:
        return rng.choice(NUMBERS + SIZES + TIMES + BOOLEANS + TEXTS)
    for pattern, values in KINDS:
        if re.fullmatch(pattern, text):
            return rng.choice(values)
    return rng.choice(TEXTS)


def plain(text):
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style="odd")


def key(text):
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=None)


def write(node, depth=0):
    """YAML of a node; scalars that were made here or stood plain are written as they are."""
    pad = "  " * depth
    tag = node.tag + " " if node.tag.startswith("!") else ""
    if isinstance(node, yaml.ScalarNode):
        return tag + scalar(node)
    if not node.value:
        return tag + ("{}" if isinstance(node, yaml.MappingNode) else "[]")
    lines = []
    for item in node.value:
        if isinstance(node, yaml.MappingNode):
            name, value = item
            start = f"{pad}{scalar(name)}:"
        else:
            value, start = item, f"{pad}-"
        text = write(value, depth + 1)
        lines.append(f"{start}{text}" if text.startswith(("\n", "!")) and "\n" in text else f"{start} {text}")
    return f"{tag}\n" + "\n".join(lines)


def scalar(node):
    text = node.value
    if node.style == "odd":
        return text
    if node.style is None and re.fullmatch(r"[\w./$~+-][\w./$~+:@=-]*", text) and not text.endswith(":"):
        return text
    if node.style is None and text == "":
        return ""
    return json.dumps(text, ensure_ascii=False)


def corpus():
    """The roots of all files of the corpus that are YAML, with their services and parts."""
    services, parts = [], {}
    for path in sorted(glob.glob(os.path.join(HERE, "*/*.y*ml"))):
        if os.path.basename(path).startswith("expected.") or os.path.basename(os.path.dirname(path)).startswith("reject_"):
            continue
        try:
            documents = list(yaml.compose_all(open(path, encoding="utf-8"), yaml.SafeLoader))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for root in documents:
            if not isinstance(root, yaml.MappingNode):
                continue
            for name, value in root.value:
                if name.value == "services" and isinstance(value, yaml.MappingNode):
                    for name, service in value.value:
                        if name.value != "<<" and isinstance(service, yaml.MappingNode):
                            services += [(k, v) for k, v in service.value if k.value != "<<"]
                elif name.value in ("networks", "volumes", "secrets", "configs", "models") and isinstance(value, yaml.MappingNode):
                    if "override" not in path:
                        parts.setdefault(name.value, []).extend(value.value)
                elif name.value.startswith("x-") or name.value == "name":
                    parts.setdefault("", []).append((name, value))
    by_key = {}
    for name, value in services:
        by_key.setdefault(name.value, []).append(value)
    return by_key, parts


class Maker:
    def __init__(self, rng, pool, without, overrides=True):
        self.rng, (self.services, self.parts), self.overrides = rng, pool, overrides
        self.keys = sorted(k for k in self.services if k not in without)

    def mapping(self, pairs):
        return yaml.MappingNode("tag:yaml.org,2002:map", [(key(k), v) for k, v in pairs])

    def mutate(self, node, chance):
        rng = self.rng
        if rng.random() < chance:
            roll = rng.random()
            if isinstance(node, yaml.ScalarNode):
                return plain(odd(rng, node.value))
            if roll < 0.4:
                return self.mutate(node, chance / 2)
            if roll < 0.6:
                return plain(rng.choice(TEXTS))
            if roll < 0.7:
                return plain("")
            if roll < 0.8:
                return yaml.SequenceNode("tag:yaml.org,2002:seq", [])
            if roll < 0.9:
                return yaml.MappingNode("tag:yaml.org,2002:map", [])
            return yaml.SequenceNode("tag:yaml.org,2002:seq", [node])
        if isinstance(node, yaml.SequenceNode):
            items = [self.mutate(item, chance) for item in node.value]
            if items and rng.random() < chance:
                items.append(copy.deepcopy(rng.choice(items)))
            return yaml.SequenceNode(node.tag, items)
        if isinstance(node, yaml.MappingNode):
            pairs = [(k, self.mutate(v, chance)) for k, v in node.value if rng.random() > chance / 2]
            return yaml.MappingNode(node.tag, pairs)
        return node

    def service(self, chance, override):
        rng = self.rng
        count = rng.choice([1, 2, 3, 5, 8])
        pairs = {} if override else {"image": plain("a")}
        for name in rng.sample(self.keys, count):
            pairs[name] = self.mutate(copy.deepcopy(rng.choice(self.services[name])), chance)
        if "network_mode" in pairs and rng.random() < 0.9:
            pairs.pop("networks", None)
        return self.mapping(pairs.items())

    def file(self, chance, override):
        rng = self.rng
        names = ["web", "db", "redis"][: rng.choice([1, 1, 2, 3])]
        pairs = {"services": self.mapping([(name, self.service(chance, override)) for name in names])}
        for part in ("networks", "volumes", "secrets", "configs", "models"):
            if self.parts.get(part) and rng.random() < 0.6:
                chosen = rng.sample(self.parts[part], min(4, len(self.parts[part])))
                unique = {k.value: self.mutate(copy.deepcopy(v), chance) for k, v in chosen}
                pairs[part] = self.mapping(unique.items())
        # What a service names is there, most of the time.
        return self.declare(self.mapping(pairs.items()), override)

    def declare(self, root, override):
        if override or self.rng.random() < 0.1:
            return root
        top = {k.value: v for k, v in root.value}
        for part in ("networks", "secrets", "configs", "models", "volumes"):
            wanted = {}
            for _, service in top["services"].value:
                for k, v in service.value:
                    if k.value == part:
                        wanted.update(dict.fromkeys(names_of(part, v)))
            known = {k.value for k, _ in top[part].value} if part in top else set()
            missing = [name for name in wanted if name not in known]
            if not missing:
                continue
            entry = {"secrets": [("file", plain("./s"))], "configs": [("file", plain("./c"))], "models": [("model", plain("m"))]}
            value = self.mapping(entry.get(part, []))
            pairs = top[part].value if part in top else []
            top[part] = yaml.MappingNode("tag:yaml.org,2002:map", pairs + [(key(name), value) for name in missing])
        services = top["services"].value
        known = {k.value for k, _ in services}
        wanted = dict.fromkeys(name for _, service in services for name in needed(service) if name not in known)
        services += [(key(name), self.mapping([("image", plain("a"))])) for name in wanted]
        return self.mapping(top.items())

    def stack(self):
        rng = self.rng
        chance = rng.choice([0, 0.01, 0.02, 0.05, 0.1])
        files = {"compose.yaml": self.file(chance, False)}
        if self.overrides and rng.random() < 0.4:
            files["compose.override.yaml"] = self.file(chance, True)
        return files


def needed(service):
    """The services that a service names."""
    found = []
    for k, v in service.value:
        if k.value in ("depends_on", "links", "volumes_from"):
            found += [name for name in names_of("volumes", v) if name != "container"]
        elif k.value in ("network_mode", "ipc", "pid", "uts") and isinstance(v, yaml.ScalarNode):
            found += v.value.split(":")[1:] if v.value.startswith("service:") else []
        elif k.value == "build" and "service:" in write(v):
            found += re.findall(r"service:(\w+)", write(v))
    return found


def names_of(part, node):
    if isinstance(node, yaml.MappingNode):
        return [k.value for k, _ in node.value]
    if not isinstance(node, yaml.SequenceNode):
        return []
    found = []
    for item in node.value:
        if isinstance(item, yaml.ScalarNode):
            found.append(item.value.split(":")[0] if part == "volumes" else item.value)
        elif isinstance(item, yaml.MappingNode):
            found += [v.value for k, v in item.value if k.value == "source" and isinstance(v, yaml.ScalarNode)]
    return [name for name in found if re.fullmatch(r"[\w][\w.-]*", name)]


ENV = {"PATH": os.environ["PATH"], "HOME": "/home/me", "DOCKER_HOST": "unix:///nonexistent", "SET": "set"}


class Programs:
    def __init__(self, ours, theirs, home):
        self.ours, self.theirs, self.home = ours, theirs, home
        self.rejected = 0

    def run(self, program, directory):
        return subprocess.run(
            [*program, "--format", "json"], cwd=directory, env=dict(ENV, PWD=directory), stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )

    def compare(self, files):
        """What differs, as a word or two that stay the same when the files are reduced; None if nothing."""
        directory = tempfile.mkdtemp(dir=self.home)
        place = os.path.join(directory, "case")
        os.mkdir(place)
        try:
            for name, root in files.items():
                with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                    file.write(write(root).lstrip("\n") + "\n")
            # Files that a stack names.
            for name in set(re.findall(r"[\w./-]+\.(?:env|labels)\b|\.env\.\w+", "".join(map(write, files.values())))):
                path = os.path.normpath(os.path.join(place, name))
                if path.startswith(place) and not os.path.exists(path):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with open(path, "w", encoding="utf-8") as file:
                        file.write("FROM=file\nA='x y'\n")
            theirs = self.run(self.theirs, place)
            ours = self.run(self.ours, place)
        except subprocess.TimeoutExpired:
            return ("timeout",)
        finally:
            shutil.rmtree(directory)
        if ours.returncode not in (0, 1):
            return ("panic", ours.stderr.decode()[-300:])
        if b"goroutine" in theirs.stderr:
            return None
        if theirs.returncode and ours.returncode:
            self.rejected += 1
            return None
        if theirs.returncode:
            return ("accepted", signature(theirs.stderr.decode()))
        if ours.returncode:
            lines = ours.stderr.decode().splitlines()
            first = [line.split("error: ", 1)[1] for line in lines if "error: " in line]
            return ("rejected", signature("\n".join(first)))
        if ours.stdout.strip() == theirs.stdout.strip():
            return None
        try:
            return ("differs", place_of(json.loads(ours.stdout), json.loads(theirs.stdout)) or "layout")
        except ValueError:
            return ("differs", "no JSON")


def signature(message):
    lines = [line for line in message.splitlines() if line and not line.startswith("time=")]
    text = lines[0] if lines else ""
    if text.startswith("decoding failed") and len(lines) > 1:
        text = lines[1]
    text = re.sub(r"/\S*/case/", "", text)
    text = re.sub(r"[`\"'][^`\"']*[`\"']", "_", text)
    text = re.sub(r"services\.\w+", "services._", text)
    return re.sub(r"\d+", "0", text)[:110]


def place_of(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(set(ours) | set(theirs)):
            inner = f"{path}.{name}" if path.count(".") != 1 else f"{path}._"
            if name not in ours:
                return inner + " missing"
            if name not in theirs:
                return inner + " too much"
            found = place_of(ours[name], theirs[name], inner)
            if found:
                return found
        return None
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return path + " length"
        for left, right in zip(ours, theirs):
            found = place_of(left, right, path + "[]")
            if found:
                return found
        return None
    return None if ours == theirs and type(ours) is type(theirs) else path


def reduce(programs, files, kind):
    """Takes away what can be taken away with the difference staying."""

    def still(candidate):
        return programs.compare(candidate) == kind

    changed = True
    while changed:
        changed = False
        for name in sorted(files):
            if len(files) > 1 and name != "compose.yaml":
                fewer = {k: v for k, v in files.items() if k != name}
                if still(fewer):
                    files, changed = fewer, True
                    continue
            for path in sorted(paths(files[name]), key=len):
                candidate = {k: (copy.deepcopy(v) if k == name else v) for k, v in files.items()}
                if drop(candidate[name], path) and still(candidate):
                    files, changed = candidate, True
                    break
            if changed:
                break
    return files


def paths(node, path=()):
    if isinstance(node, (yaml.MappingNode, yaml.SequenceNode)):
        for at, item in enumerate(node.value):
            yield path + (at,)
            yield from paths(item[1] if isinstance(node, yaml.MappingNode) else item, path + (at,))


def drop(root, path):
    node = root
    for at in path[:-1]:
        if at >= len(node.value):
            return False
        node = node.value[at]
        if isinstance(node, tuple):
            node = node[1]
    if path[-1] >= len(node.value):
        return False
    del node.value[path[-1]]
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ours", default=os.path.join(ROOT, "target/debug/stack") + " config")
    parser.add_argument("--theirs", default=os.environ.get("DOCKER_COMPOSE", "docker-compose") + " config")
    parser.add_argument("--out", default="differences")
    parser.add_argument("--without", default="extends", help="attributes that are left out, with commas")
    parser.add_argument("--single", action="store_true", help="no override files")
    options = parser.parse_args()
    pool = corpus()
    kinds, seen, count = {}, 0, 0
    with tempfile.TemporaryDirectory() as home, concurrent.futures.ThreadPoolExecutor(options.jobs) as threads:
        programs = Programs(options.ours.split(), options.theirs.split(), home)

        def trial(number):
            rng = random.Random(options.seed * 1_000_003 + number)
            files = Maker(rng, pool, options.without.split(","), not options.single).stack()
            return number, files, programs.compare(files)

        for number, files, kind in threads.map(trial, range(options.runs)):
            seen += 1
            if kind is None:
                continue
            count += 1
            if kind in kinds:
                kinds[kind] += 1
                continue
            kinds[kind] = 1
            files = reduce(programs, files, kind)
            target = os.path.join(options.out, f"d{options.seed}_{number}")
            os.makedirs(target, exist_ok=True)
            for name, root in files.items():
                with open(os.path.join(target, name), "w", encoding="utf-8") as file:
                    file.write(write(root).lstrip("\n") + "\n")
            print(f"{target}: {': '.join(kind)}", flush=True)
    print(f"{seen} stacks, {programs.rejected} rejected by both, {count} differences of {len(kinds)} kinds")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
