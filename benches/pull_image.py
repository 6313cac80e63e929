#!/usr/bin/env python3
"""Makes an image of eight gzip layers from the files of this machine, as an OCI image layout.

    pull_image.py DIRECTORY [MEGABYTES]

The files are those of /usr, dealt out in turn until there are so many bytes (default: 670 million), so that small and
large ones are mixed as they are in real images. Layers are compressed as builders do it (level 6), two at a time.
"""

import gzip
import hashlib
import io
import json
import multiprocessing
import os
import sys
import tarfile
from pathlib import Path

LAYERS = 8


def files(most):
    total = 0
    for directory, names, leaves in os.walk("/usr"):
        names.sort()
        for leaf in sorted(leaves):
            path = os.path.join(directory, leaf)
            try:
                stat = os.lstat(path)
            except OSError:
                continue
            if not os.path.islink(path) and not os.path.isfile(path) or stat.st_size > 60_000_000:
                continue
            total += stat.st_size
            if total > most:
                return
            yield path


def layer(job):
    number, paths, blobs = job
    raw = io.BytesIO()
    described = set()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(path):
            # Each layer has its own top directory: no file of one hides that of another.
            archive.add(path, arcname=f"layer{number}{path}", recursive=False)

        for path in paths:
            try:
                # As builders do it, directories come before what is in them.
                for parent in reversed(Path(path).parents):
                    if parent not in described:
                        described.add(parent)
                        add(str(parent))
                add(path)
            except OSError:
                continue
    raw = raw.getvalue()
    packed = gzip.compress(raw, 6, mtime=0)
    digest = hashlib.sha256(packed).hexdigest()
    (blobs / digest).write_bytes(packed)
    return digest, len(packed), hashlib.sha256(raw).hexdigest(), len(raw)


def main():
    directory = Path(sys.argv[1])
    most = int(sys.argv[2] if len(sys.argv) > 2 else 670) * 1_000_000
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    paths = list(files(most))
    # Runs of a hundred: neighbours stay together, as a package's files do.
    dealt = [[] for _ in range(LAYERS)]
    for start in range(0, len(paths), 100):
        dealt[start // 100 % LAYERS].extend(paths[start : start + 100])
    with multiprocessing.Pool(2) as pool:
        made = pool.map(layer, [(number, part, blobs) for number, part in enumerate(dealt)], chunksize=1)

    def document(value, media_type):
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    kind = "application/vnd.oci.image"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}" for _, _, diff, _ in made]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": document(config, f"{kind}.config.v1+json"),
        "layers": [
            {"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": size}
            for digest, size, _, _ in made
        ],
    }
    entry = document(manifest, manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": "bench"}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    packed, raw = sum(size for _, size, _, _ in made), sum(size for _, _, _, size in made)
    print(f"{len(paths)} files, {packed / 1e6:.0f} MB packed, {raw / 1e6:.0f} MB unpacked")


main()
