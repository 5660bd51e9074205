"""Launchers as they run, on machines that are none: network namespaces of this one, with homes of their own.

`python launcher_lab.py NAME FOLDER REPO` runs inside of namespaces that `run_lab` makes (mounts, processes, network),
so that `ray stop`, ports and mounts concern nothing else and all ends with it. Needs root, unshare and ip.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import yaml

PACKAGES = sysconfig.get_paths()["purelib"]
PYTHON = Path(sys.base_prefix) / "bin"
BRIDGE = "10.77.0.254"
HEAD = "10.77.0.1"  # what the service of the head is called by
USER = 1000
QUICK = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "RAY_health_check_timeout_ms": "60000"}
QUICK |= {"RAY_raylet_start_wait_time_s": "400", "RAY_NUM_REDIS_GET_RETRIES": "200"}  # slow is not dead


def can_run() -> bool:
    """Whether namespaces can be made here."""
    words = ["unshare", "--mount", "--pid", "--net", "--fork", "ip", "link", "set", "lo", "up"]
    try:
        return os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run_lab(name: str, folder: Path, repo: Path, timeout: float = 1100) -> subprocess.CompletedProcess:
    """The scenario in namespaces of its own; all its processes end with it."""
    words = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc", sys.executable]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [*words, __file__, name, str(folder), str(repo)],
        env=environment | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def build_network(folder: Path) -> None:
    """A bridge where hosts are plugged in; /tmp/ray, /run and /root/.ray are this lab's own."""
    sh(
        "mount --make-rprivate / && mount -t tmpfs lab /run && mkdir -p /run/netns /tmp/ray"
        " && mount -t tmpfs lab /tmp/ray"
    )
    venv = Path(PACKAGES).parents[2]
    sh(f"mount --bind {venv} {venv} && mount -o remount,ro,bind {venv}")
    sh(f"ip link set lo up && ip link add br0 type bridge && ip addr add {BRIDGE}/24 dev br0 && ip link set br0 up")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    sh(f"mount --bind {folder / 'hosts'} /etc/hosts")


class Host:
    """A machine by its address: a network namespace and a home."""

    def __init__(self, folder: Path, number: int, name: str, **environment: str) -> None:
        self.ip, self.name, self.home = f"10.77.0.{number}", name, folder / name
        self.home.mkdir()
        veth = f"h{number}"
        sh(f"ip netns add {self.ip} && ip link add {veth} type veth peer name eth0 netns {self.ip}")
        sh(f"ip link set {veth} master br0 up && ip -n {self.ip} link set lo up && ip -n {self.ip} link set eth0 up")
        sh(f"ip -n {self.ip} addr add {self.ip}/24 dev eth0 && ip -n {self.ip} route add default via {BRIDGE}")
        with (folder / "hosts").open("a") as file:
            file.write(f"{self.ip} {name}\n")
        self.environment = {
            "HOME": str(self.home),
            "USER": "lab",
            "PATH": f"{folder}/fakes:{PYTHON}:/usr/bin:/bin",
            **QUICK,
            **environment,
        }
        (self.home / ".environment").write_text(json.dumps(self.environment))

    def words(self, *words: str, user: int = 0, clean: bool = True) -> list[str]:
        """A command on this host."""
        start = f"hostname {self.name} && cd {shlex.quote(str(self.home))} && exec "
        start += f"setpriv --reuid {user} --regid {user} --clear-groups " if user else ""
        environment = [f"{k}={v}" for k, v in self.environment.items()] if clean else []
        inside = start + shlex.join(["env", *(["-i"] if clean else []), *environment, *words])
        return ["nsenter", f"--net=/run/netns/{self.ip}", "unshare", "--uts", "sh", "-c", inside]

    def popen(self, *words: str, user: int = 0) -> subprocess.Popen:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(self.words(*words, user=user), stdout=log, stderr=log)


def fake(folder: Path, name: str, body: str) -> None:
    """A program on every host's PATH."""
    path = folder / "fakes" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n" + body)
    path.chmod(0o755)


SSH = """
import json, os, sys
words, folder = sys.argv[1:], {folder!r}
while words and words[0].startswith("-"):
    words = words[2:] if words[0] in ("-i", "-o", "-p", "-L", "-O", "-F") else words[1:]
target, command = words[0].rpartition("@")[2], " ".join(words[1:])
(home,) = [line.split()[1] for line in open(folder + "/hosts") if line.split()[0] == target]
home = folder + "/" + home
environment = json.load(open(home + "/.environment"))
os.chdir(home)
os.execvpe("nsenter", ["nsenter", "--net=/run/netns/" + target, "bash", "-c", command or "true"], environment)
"""
RSYNC = """
import os, shutil, sys
source, target = sys.argv[-2:]
names = {{a: n for a, n in (line.split() for line in open({folder!r} + "/hosts"))}}
def place(text):
    host, colon, path = text.rpartition(":")
    home = {folder!r} + "/" + names.get(host.rpartition("@")[2], "")
    return os.path.join(home, path.removeprefix("~/")) if colon else os.path.expanduser(path)
source, target = place(source), place(target)
if os.path.isdir(target):
    target = os.path.join(target, os.path.basename(source))
os.makedirs(os.path.dirname(target), exist_ok=True)
(shutil.copytree if os.path.isdir(source) else shutil.copyfile)(source, target)
"""


def small_config(folder: Path, images: int = 6, **more: object) -> Path:
    """A run of a few images by the fake method, on a share."""
    from s2st_aug.testing.datasets import make_config, make_dataset

    share = folder / "share"
    share.mkdir()
    root = make_dataset(share / "data", images)
    config = make_config(root, cluster={"batch_size": 1, "actors": [1, 2]}, **more)
    path = share / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    sh(f"chmod -R a+rwX {share}")
    return path


def fill(repo: Path, name: str, values: Mapping[str, str]) -> str:
    """A file of configs/cluster with its placeholders filled."""
    text = (repo / "configs/cluster" / name).read_text()
    for key, value in values.items():
        assert key in text, f"{name} has no {key}"
        text = text.replace(key, value)
    return text


MOUNT = """
import os, sys
assert sys.argv[1:4] == ["-t", "nfs4", "FILESERVER:/"], sys.argv
os.execv("{mount}", ["mount", "--bind", "{files}", sys.argv[4]])
"""


def in_cloud(folder: Path, repo: Path, name: str, head: Host, worker: Host, clone: Path) -> tuple[str, list[str]]:
    """A cloud's file with machines of this lab in the place of the provider's, and what is added to the command.

    Its commands stay as they are: setup with apt's check, pip's extras and the mount, and both starts.
    """
    files, at = folder / "fileserver", folder / "mnt"
    shutil.copytree(folder / "share/data", files / "bdd100k")
    fake(folder, "sudo", "import os, sys\nos.execvp(sys.argv[1], sys.argv[1:])\n")
    fake(folder, "mount", MOUNT.format(mount=shutil.which("mount"), files=files))
    for host in (head, worker):  # on the PATH of a login shell, which /etc/profile makes anew; and what pip would bring
        with (host.home / ".bashrc").open("a") as file:
            file.write(f"export PATH={folder}/fakes:$PATH\n")
        (host.home / "clients/google_api_python_client-2.0.dist-info").mkdir(parents=True)
        metadata = "Metadata-Version: 2.1\nName: google-api-python-client\nVersion: 2.0\n"
        (host.home / "clients/google_api_python_client-2.0.dist-info/METADATA").write_text(metadata)
    config = yaml.safe_load(fill(repo, name, {"REPOSITORY": str(clone), " /data": f" {at}"}))
    for key in ("available_node_types", "head_node_type", "max_workers"):
        del config[key]
    config["provider"] = {"type": "local", "head_ip": head.ip, "worker_ips": [worker.ip]}
    config["auth"] = {"ssh_user": "lab", "ssh_private_key": "~/.ssh/id_ed25519"}
    return yaml.safe_dump(config), ["--set", f"dataset.root={at}/bdd100k"]


def ray_submit(folder: Path, repo: Path, name: str = "on_premise.yaml") -> int:
    """`ray up` and `ray submit` as documented, over an ssh that reaches the hosts of this lab."""
    build_network(folder)
    head, worker = (
        Host(folder, n, named, PYTHONPATH=f"{PACKAGES}:{folder / named / 'clients'}")
        for n, named in ((1, "head"), (2, "worker"))
    )
    fake(folder, "ssh", SSH.format(folder=str(folder)))
    fake(folder, "rsync", RSYNC.format(folder=str(folder)))
    for host in (head, worker):
        (host.home / ".config/pip").mkdir(parents=True)
        (host.home / ".config/pip/pip.conf").write_text("[global]\nno-index = true\nno-build-isolation = false\n")
        (host.home / "s2st-venv/bin").mkdir(parents=True)
        ray_script = (
            host.home / "s2st-venv/bin/ray"
        )  # what pip would have brought; the other dependencies are on a path
        ray_script.write_text('#!/bin/sh\nexec "${0%/*}/python" -m ray.scripts.scripts "$@"\n')
        ray_script.chmod(0o755)
        (host.home / ".bashrc").write_text("case $- in *i*) ;; *) return;; esac\n")
        (host.home / ".bash_profile").write_text("source ~/.bashrc\n")
    clone = folder / "origin"
    from ray_head import clean_clone

    clean_clone(repo, clone)
    sh(f"cd {clone} && git init -q && git add -A && git -c user.name=t -c user.email=t@t commit -qm t")
    config = small_config(folder)
    shutil.copyfile(config, clone / "configs/lab.yaml")
    sh(f"cd {clone} && git add -A && git -c user.name=t -c user.email=t@t commit -qm config")
    if name == "on_premise.yaml":
        values = {"HEAD": head.ip, "WORKER1, WORKER2": worker.ip, "USER": "lab", "REPOSITORY": str(clone)}
        filled, more = fill(repo, name, values), []
    else:
        filled, more = in_cloud(folder, repo, name, head, worker, clone)
    cluster = folder / "cluster.yaml"
    cluster.write_text(filled)
    client = folder / "client"
    (client / ".ssh").mkdir(parents=True)
    (client / ".ssh/id_ed25519").write_text("a key\n")
    environment = os.environ | {
        "HOME": str(client),
        "TMPDIR": str(client),
        "PATH": f"{folder}/fakes:{Path(sys.executable).parent}:/usr/bin:/bin",
        **QUICK,
    }
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    run = str(folder / "share/runs/night")
    subprocess.run([*ray, "up", "-y", "--no-config-cache", str(cluster)], env=environment, check=True)
    words = ["pipelines/augment.py", "s2st-aug/configs/lab.yaml", "--run", run, *more, "--address", "auto"]
    done = subprocess.run([*ray, "submit", str(cluster), *words], env=environment, cwd=clone, check=False)
    return done.returncode


def slurm(folder: Path, repo: Path) -> int:
    """The batch script on the first of two nodes, with srun and scontrol that know this lab."""
    build_network(folder)
    nodes = [Host(folder, n, f"node{n}") for n in (1, 2)]
    fake(
        folder,
        "scontrol",
        f"import sys; print('\\n'.join({[n.name for n in nodes]!r}) if 'show' in sys.argv else '')\n",
    )
    reach = {n.name: n.words(clean=False) for n in nodes}
    fake(
        folder,
        "srun",
        "import os, shlex, sys\n"
        f"reach = {reach!r}\n"
        "words = sys.argv[1:]\n"
        "node = [w.partition('=')[2] for w in words if w.startswith('--nodelist=')][0]\n"
        "while words[0].startswith('-'): words = words[1:]\n"
        "start = reach[node]\n"
        "start = [*start[:-1], start[-1] + ' ' + shlex.join(words)]\n"
        "os.execvp(start[0], start)\n",
    )
    venv = programs(folder / "venv/bin", PYTHON / "python3", f"{repo}:{PACKAGES}")
    job = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "2"}
    for node in nodes:  # the environment of the job goes to every step
        node.environment |= {"S2ST_FAKE_SLEEP": "1.5"}
    nodes[0].environment |= job | {"SLURM_SUBMIT_DIR": str(repo), "S2ST_VENV": str(venv.parent)}
    words = ["bash", str(repo / "configs/cluster/slurm.sbatch"), str(small_config(folder, run={"seed": 1}))]
    words += ["--run", str(folder / "share/runs/night")]
    stopped = subprocess.Popen(nodes[0].words(*words))
    until(lambda: any((folder / "share/runs/night/.state/rows").rglob("*.parquet")), stopped)
    # TERM to the batch shell alone, as Slurm sends it before the time limit
    sh(f"pkill -TERM -f '^bash {repo}/configs/cluster/slurm.sbatch'")
    assert stopped.wait(200) == 4, "a drained run says that it is not at its end"
    return subprocess.run(nodes[0].words(*words), check=False).returncode


def until(true: Callable[[], bool], process: subprocess.Popen, seconds: float = 400) -> None:
    """Wait for something while a process lives."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, f"ended with {process.returncode} before its time"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


def programs(folder: Path, python: Path, path: str) -> Path:
    """`python`, `ray` and `s2st-aug` as an environment has them."""
    folder.mkdir(parents=True)
    libraries = f"export LD_LIBRARY_PATH={python.parents[1] / 'lib'}\n"
    script = folder / ".scripts" / "s2st-aug"  # named as pip's is: a pod's hook finds the process by this name
    for name, words in {"python": "", "ray": " -m ray.scripts.scripts", "s2st-aug": f" {script}"}.items():
        (folder / name).write_text(f'#!/bin/sh\nexport PYTHONPATH={path}\n{libraries}exec {python}{words} "$@"\n')
        (folder / name).chmod(0o755)
    script.parent.mkdir()
    script.write_text("import sys\nfrom s2st_aug.cli import main\nsys.argv[0] = 's2st-aug'\nmain()\n")
    return folder


def kuberay(folder: Path, repo: Path) -> int:
    """The RayJob's pods as the operator starts them, a stop in the middle by the pods' own hooks, and the next try."""
    build_network(folder)
    share = small_config(folder, images=24).parent  # more than the actors take up at once, which a drain ends
    values = {"/share/configs/bdd100k_sd21.yaml": f"{share}/run.yaml", "/share/bdd100k": f"{share}/data"}
    job = yaml.safe_load(fill(repo, "kuberay_rayjob.yaml", {**values, "/share/runs": f"{share}/runs"}))
    cluster = job["spec"]["rayClusterSpec"]
    image(folder, repo)
    groups = {"head": cluster["headGroupSpec"], "worker": cluster["workerGroupSpecs"][0]}
    pods = {}
    for number, (name, group) in enumerate(groups.items(), 1):
        container = group["template"]["spec"]["containers"][0]
        given = {e["name"]: e["value"] for e in container.get("env", ())} | {"S2ST_FAKE_SLEEP": "1.5"}
        pods[name] = Host(folder, number, name, **given, **of_operator(folder, cluster, name))
    pods["submitter"] = Host(folder, 3, "submitter", **of_operator(folder, cluster, "submitter"))
    for pod in pods.values():
        pod.home.chmod(0o777)
    tries = 0
    while True:
        tries += 1
        processes = [start_pod(pods[name], group, head=name == "head") for name, group in groups.items()]
        until(lambda: health(pods["worker"]) == 0, processes[0])
        logs = submit(pods["submitter"], job["spec"]["entrypoint"], f"try-{tries}")
        if tries == 2:
            code = logs.wait(400)
            assert "finished" in (pods["submitter"].home / "log").read_text()
            return code
        until(lambda: any((share / "runs/night/.state/rows").rglob("*.parquet")), logs)
        for name, group in groups.items():
            spec = group["template"]["spec"]
            command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
            user = spec["securityContext"]["runAsUser"]
            grace = spec["terminationGracePeriodSeconds"]
            subprocess.run(pods[name].words(*command, user=user), check=False, timeout=grace)
        state = json.loads((share / "runs/night/progress.json").read_text())
        assert state["state"] == "stopped" and 0 < state["ok"] < 48, state
        for process in reversed(processes):
            process.terminate()
            process.wait(60)


def image(folder: Path, repo: Path) -> None:
    """What the Dockerfile installs, for a user who may not read this one's Python."""
    (folder / "python").mkdir()
    sh(f"mount --bind {sys.base_prefix} {folder / 'python'}")
    package = folder / "image/lib/s2st_aug"
    shutil.copytree(repo / "s2st_aug", package, ignore=shutil.ignore_patterns("street-photo", "__pycache__"))
    shutil.copytree(repo / "datasets", package / "formats/cards")
    programs(folder / "image/bin", folder / "python/bin/python3", f"{folder}/image/lib:{PACKAGES}")


def of_operator(folder: Path, cluster: dict, pod: str) -> dict[str, str]:
    """What KubeRay adds to every container's environment."""
    given = {"PATH": f"{folder}/image/bin:/usr/bin:/bin", "FQ_RAY_IP": HEAD, "RAY_IP": HEAD}
    if pod != "submitter":
        given["RAY_ADDRESS"] = "127.0.0.1:6379" if pod == "head" else f"{HEAD}:6379"
    if cluster.get("authOptions", {}).get("mode") == "token":
        given |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}
    return given


def start_pod(pod: Host, group: dict, *, head: bool) -> subprocess.Popen:
    """The command that KubeRay makes of rayStartParams and limits."""
    spec = group["template"]["spec"]
    limits = spec["containers"][0]["resources"]["limits"]
    given = {"num-cpus": limits["cpu"], "num-gpus": limits.get("nvidia.com/gpu", "0"), "metrics-export-port": "8080"}
    if head:
        given |= {"port": "6379", "dashboard-host": "0.0.0.0"}
    else:
        given |= {"address": f"{HEAD}:6379"}
    words = shlex.join(f"--{k}={v}" for k, v in {**given, **group["rayStartParams"]}.items())
    wait = "" if head else f"until ray health-check --address {HEAD}:6379 > /dev/null 2>&1; do sleep 2; done; "
    command = f"ulimit -n 65536; {wait}ray start {'--head ' if head else ''}--block {words}"
    return pod.popen("/bin/bash", "-c", "--", command, user=spec["securityContext"]["runAsUser"])


def health(pod: Host) -> int:
    words = pod.words("ray", "health-check", "--address", f"{HEAD}:6379", user=USER)
    return subprocess.run(words, capture_output=True, check=False).returncode


def submit(pod: Host, entrypoint: str, name: str) -> subprocess.Popen:
    """The submitter's pod: it reaches the dashboard over the network alone."""
    at = f"--address http://{HEAD}:8265"
    command = f"until ray job submit {at} --no-wait --submission-id {name} -- {entrypoint}; do sleep 3; done; "
    command += f"ray job logs {at} --follow {name}; ray job status {at} {name} 2>&1 | grep -qi succeeded"
    return pod.popen("/bin/bash", "-c", "--", command, user=USER)


def docker(folder: Path, repo: Path) -> int:
    """The Dockerfile's steps one by one in a root of their own, then its command as its user, without apt and PyPI."""
    root = folder / "root"
    root.mkdir()
    sh(f"mount --make-rprivate / && mount -t tmpfs lab {root} && mkdir -m 1777 {root}/tmp && mkdir {root}/layers")
    for name in ("usr", "etc"):  # this machine's, and what is written stays here
        layer, to = root / "layers" / name, root / name
        sh(f"mkdir -p {layer}/upper {layer}/work {to}")
        sh(f"mount -t overlay lab -o lowerdir=/{name},upperdir={layer}/upper,workdir={layer}/work {to}")
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for source, name in ((sys.base_prefix, sys.base_prefix), ("/dev", "/dev"), (PACKAGES, "/packages")):
        sh(f"mkdir -p {root}{name} && mount --bind {source} {root}{name}")
    sh(f"mkdir -p {root}/proc {root}/home {root}/opt && mount -t proc proc {root}/proc && chmod go+x {root}/root")
    base_image(root)
    path = "/usr/local/bin:/opt/python/bin:/usr/bin:/bin:/usr/sbin"
    environment = {"HOME": "/root", "PATH": path, "PYTHONPATH": "/packages"}
    environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/etc/pip.conf"}
    user, place, command = 0, "/", {"ENTRYPOINT": [], "CMD": []}

    def run(*words: str) -> int:
        start = f"cd {place} && exec setpriv --reuid {user} --regid {user} --clear-groups " + shlex.join(words)
        return subprocess.run(["chroot", str(root), "/bin/sh", "-c", start], env=environment, check=False).returncode

    for step, rest in steps_of(repo / "Dockerfile"):
        print("STEP", step, rest, flush=True)
        if step in ("ENV", "ARG"):
            environment |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif step == "WORKDIR":
            place = rest
            (root / rest.strip("/")).mkdir(parents=True, exist_ok=True)
        elif step == "COPY":
            copy_step(repo, root, place, rest)
        elif step == "USER":
            user, environment["HOME"] = int(rest), "/home/worker"
        elif step in command:
            command[step] = json.loads(rest)
        elif step == "RUN":
            assert run("/bin/sh", "-c", rest) == 0, rest
    assert run(*command["ENTRYPOINT"], *command["CMD"]) == 0
    assert run("python", "-c", "import s2st_aug; assert '.venv' not in s2st_aug.__file__, s2st_aug.__file__") == 0
    return run("python", "-c", "from s2st_aug.formats.cards import load_card; load_card('bdd100k')")


def steps_of(dockerfile: Path) -> list[tuple[str, str]]:
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    steps = (line.split(maxsplit=1) for line in "\n".join(lines).replace("\\\n", " ").splitlines())
    return [(step, rest) for step, rest in steps if step != "FROM"]


def base_image(root: Path) -> None:
    """What python:3.11-slim has, by this machine's Python; and an apt that only says what it was asked for."""
    subprocess.run(["chroot", str(root), str(PYTHON / "python3"), "-m", "venv", "/opt/python"], check=True)
    (root / "etc/pip.conf").write_text("[global]\nno-index = true\nno-build-isolation = false\n")
    for name in ("passwd", "group", "shadow"):
        lines = (root / "etc" / name).read_text().splitlines(keepends=True)
        (root / "etc" / name).write_text("".join(x for x in lines if ":1000:" not in x))
    apt = root / "usr/local/bin/apt-get"
    apt.write_text('#!/bin/sh\necho "apt-get $@"\n')
    apt.chmod(0o755)


def copy_step(repo: Path, root: Path, place: str, rest: str) -> None:
    """COPY with the context that .dockerignore leaves."""
    ignored = (repo / ".dockerignore").read_text().split() if (repo / ".dockerignore").is_file() else []
    words = [word for word in rest.split() if not word.startswith("--")]
    owner = USER if "--chown=worker" in rest else 0
    target = root / place.strip("/") / words[-1]
    for word in words[:-1]:
        source = repo / word
        to = target / source.name if words[-1].endswith("/") and source.is_file() else target
        if source.is_dir():
            shutil.copytree(source, to, ignore=lambda d, names: [
                n for n in names if n == "__pycache__" or str((Path(d) / n).relative_to(repo)) in ignored
            ], dirs_exist_ok=True)  # fmt: skip
        else:
            shutil.copyfile(source, to)
        sh(f"chown -R {owner}:{owner} {to}")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[3])
    scenarios: dict[str, Callable[[Path, Path], int]] = {
        "ray_submit": ray_submit,
        "aws": partial(ray_submit, name="aws.yaml"),
        "gcp": partial(ray_submit, name="gcp.yaml"),
        "slurm": slurm,
        "kuberay": kuberay,
        "docker": docker,
    }
    sys.exit(scenarios[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3])))
