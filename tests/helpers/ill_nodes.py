"""A run on Ray nodes of this machine, some ill, by itself: `python ill_nodes.py KIND FOLDER`.

A process of its own, since the tests' Ray may be up in theirs. The kinds:

nodes      one node's device is broken, another has an empty disk where the run's share is
stopped    the only worker is stopped (SIGSTOP) in the middle
finisher   those that judge and commit are stopped
tracker    the one whose word they wait for is stopped
read-only  two of three nodes can read the run's share and not write there: they translate and cannot finish
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
NODE = {"num_cpus": 2, "object_store_memory": 100 << 20}
STOPPED = {
    "stopped": "ray::MapWorker(MapBatches(TranslateActor))",
    "finisher": "ray::MapWorker(MapBatches(FinishActor))",
    "tracker": "ray::AttemptTracker",
}


@contextmanager
def head() -> Iterator[Callable[..., None]]:
    """A Ray of our own; gives what adds a node, after a shell command, with an environment."""
    import ray
    from ray.cluster_utils import Cluster

    from s2st_aug.engine.ray_session import LEAN

    os.environ |= LEAN
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    started: list[subprocess.Popen] = []

    def add(before: str = "true", **environment: str) -> None:
        start = [*RAY, "start", f"--address={cluster.address}", "--num-cpus=2", "--object-store-memory=100000000"]
        command = ["unshare", "--mount", "sh", "-c", f'{before} && exec "$@"', "sh", *start, "--block"]
        started.append(subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL))
        for _ in range(600):
            if sum(node["Alive"] for node in ray.nodes()) == len(started) + 1:
                return
            if started[-1].poll() is not None:
                sys.exit("no node: may we unshare and mount here?")
            time.sleep(0.1)
        sys.exit("the node did not come up")

    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield add
    finally:
        ray.shutdown()
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)
        cluster.shutdown()


def main(kind: str, folder: Path) -> None:
    """Prints one JSON line: exit code, what is stopped, counts, the process that was stopped, batches given back."""
    from s2st_aug.engine.augment import Options, augment
    from s2st_aug.testing.datasets import make_config

    hit: list[int] = []

    def stop(snapshot: object) -> None:
        if kind in STOPPED and not hit:
            for process in psutil.process_iter(["cmdline"]):
                if " ".join(process.info["cmdline"] or ()).startswith(STOPPED[kind]):
                    hit.append(process.pid)
            hit[:] = [pid for pid in hit if str(psutil.Process(pid).ppid()) in raylets()]
            for pid in hit:
                os.kill(pid, signal.SIGSTOP)

    returned = Returned()
    logging.getLogger("s2st_aug").addHandler(returned)
    with head() as add:
        several, share = kind not in STOPPED, folder / "share"
        if kind == "nodes":
            add(S2ST_FAKE_ILL="device")
            add(f"mount -t tmpfs tmpfs {share}")
        if kind == "read-only":
            for _ in range(2):
                add(f"mount --bind {share} {share} && mount -o remount,bind,ro {share}")
        cluster = {"actors": [3, 3] if several else [1, 1], "batch_size": 1, "share_seconds": 2, "hang_seconds": 4}
        summary = augment(make_config(folder / "data", cluster=cluster), share / "run", Options(watch=stop))
    gone = not [pid for pid in hit if psutil.pid_exists(pid)]
    told = {"code": summary.exit_code, "stopped": summary.stopped, "ok": summary.snapshot.ok, "hit": hit, "gone": gone}
    print(json.dumps(told | {"returned": returned.count}))


class Returned(logging.Handler):
    """Counts the batches that came back from workers that could not do them."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "is faulty and is replaced" in record.getMessage()


def raylets() -> list[str]:
    """Of this process."""
    return [str(p.pid) for p in psutil.Process().children(recursive=True) if p.name() == "raylet"]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], Path(sys.argv[2]))
