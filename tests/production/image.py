"""
The Dockerfile's steps, read from the file and carried out on this machine, in their order: ``python
tests/production/image.py FOLDER``.

What stands for what an engine would do:

* FROM a virtual environment of this machine's Python in FOLDER/venv; what the base image holds
  (Airflow) the lock brings.
* USER: whoever runs this.
* /opt/airflow: is FOLDER/opt/airflow, and only what .dockerignore lets through is copied there.
* RUN: by ``sh`` in the working directory, without ``--no-cache``, which only saves space. As with
  an engine's layers, a step is not repeated while it, the files copied before it and all earlier
  steps are the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


ROOT = Path(__file__).parents[2]
HOME = "/opt/airflow"  # AIRFLOW_HOME of the base image

_OPTION = re.compile(r"^(--[\w-]+=\S+\s+)+")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(slots=True)
class Image:
    """
    What the steps have made: its *folder*, the environment that ENV set, the *account* that USER
    named.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    account: str = "root"

    @property
    def home(self) -> Path:
        return self.folder / HOME.lstrip("/")

    def here(self, text: str) -> str:
        """Return *text* with the image's paths as they are on this machine."""
        return text.replace(HOME, str(self.home))


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Return the instructions of *dockerfile*, each with its arguments in one line."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def build(folder: Path) -> Image:
    """
    Carry out the steps of the Dockerfile in *folder*; raises `CalledProcessError` where one fails.
    """
    image = Image(folder)
    image.home.mkdir(parents=True, exist_ok=True)
    layers = _Layers(folder / "layers")
    arguments: dict[str, str] = {}
    for name, rest in steps(ROOT / "Dockerfile"):
        layers.digest.update(f"{name} {rest}\n".encode())
        match name:
            case "FROM":
                image.environment |= {"AIRFLOW_HOME": str(image.home)}
                arguments.clear()
            case "ARG":
                variable, _, value = rest.partition("=")
                arguments[variable] = value.strip('"')
            case "COPY":
                *sources, target = _OPTION.sub("", rest).split()
                for source in sources:
                    _copy(ROOT / source, image.home / target, layers)
            case "RUN":
                if layers.has_next():
                    continue
                if layers.is_first:
                    subprocess.run([_program("uv"), "venv", "--quiet", "--clear", folder / "venv"], check=True)
                _run(image, rest, arguments)
                layers.keep()
            case _:
                _set(image, name, rest)
    return image


class _Layers:
    """
    Which RUN steps were carried out, each as the digest of all that it depends on; *file* keeps it.
    """

    def __init__(self, file: Path) -> None:
        self.digest = hashlib.sha256(sys.version.encode())
        self._file = file
        self._kept = file.read_text().split() if file.exists() else []
        self._made: list[str] = []

    @property
    def is_first(self) -> bool:
        return len(self._made) == 1

    def has_next(self) -> bool:
        """Whether the next step, and all before it, are as they were."""
        self._made.append(self.digest.hexdigest())
        return self._kept[: len(self._made)] == self._made

    def keep(self) -> None:
        """Note that the last step was carried out; what came after it no longer counts."""
        self._kept = list(self._made)
        self._file.write_text("\n".join(self._kept))


def _set(image: Image, name: str, rest: str) -> None:
    match name:
        case "ENV":
            image.environment |= dict(pair.split("=", 1) for pair in image.here(rest).split())
        case "USER":
            image.account = rest
        case "WORKDIR":
            assert rest == HOME
        case _:
            raise NotImplementedError(f"the Dockerfile has a step that this does not know: {name}")


def environment(image: Image) -> dict[str, str]:
    """
    Return what every process in the image finds: nothing of this machine's own but where programs
    are.
    """
    programs = os.pathsep.join((str(image.folder / "venv" / "bin"), os.environ["PATH"]))
    return {
        "PATH": programs,
        "VIRTUAL_ENV": str(image.folder / "venv"),
        "HOME": str(image.folder),
        "LANG": "C.UTF-8",
    } | image.environment


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the image in *folder* for this process alone, waiting for whoever has it."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(image: Image, command: str, arguments: dict[str, str]) -> None:
    env = (
        os.environ | environment(image) | {"HOME": os.environ["HOME"]} | arguments
    )  # how to reach the network, and caches
    env["PATH"] += os.pathsep + str(Path(sys.executable).parent)  # where make has put uv
    text = image.here(command).replace("--no-cache ", "")
    step = subprocess.run(["sh", "-c", text], cwd=image.home, env=env, check=False, capture_output=True, text=True)
    if step.returncode:
        print(step.stdout, step.stderr, file=sys.stderr)
        step.check_returncode()


def _copy(source: Path, target: Path, layers: _Layers) -> None:
    if not _is_let_through(source.relative_to(ROOT).parts[0]):
        raise FileNotFoundError(f".dockerignore keeps {source.name} out of the image")
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target = target / source.name if target.is_dir() else target
        shutil.copyfile(source, target)
    for file in sorted(path for path in (target.rglob("*") if target.is_dir() else [target]) if path.is_file()):
        layers.digest.update(str(file.relative_to(target.parent)).encode() + file.read_bytes())


def _is_let_through(name: str) -> bool:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return "*" in lines and f"!{name}" in lines


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else (shutil.which(name) or name)


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
