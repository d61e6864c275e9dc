"""What a container is called: from its runtime's own files where they may be read, else from its socket.

Files: Docker's ``config.v2.json``; the OCI bundle that containerd and CRI-O keep of a running container, whose
annotations name pod and namespace; podman's store; the kubelet's links in ``/var/log/containers``. Sockets: Docker's
and podman's, which both answer ``GET /containers/ID/json``. containerd's and the CRI's speak gRPC and are not asked.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_tui.clock import Clock
from gpu_tui.telemetry.cgroups import Keeper

_MOST_BYTES = 4 * 1024 * 1024
TIMEOUT_S = 0.25
"""For each step of a question to a socket. The reading waits for it, once per container."""
AGAIN_S = 60.0
"""How long a socket that did not answer is left alone."""
_WORDS_MAX = 200
_STORE = "var/lib/containers/storage"
"""Of podman and CRI-O."""

_POD_NAME = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
_NAMESPACE = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
_NAME = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name")
_IMAGE = ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "nerdctl/image-name")
"""Annotations and labels by which containerd's CRI plugin, CRI-O, dockershim and nerdctl tell the same."""
_COMPOSE = ("com.docker.compose.service", "io.podman.compose.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """None where nothing tells it."""

    name: str | None = None
    image: str | None = None
    pod: str | None = None
    namespace: str | None = None
    compose_service: str | None = None
    source: str | None = None
    """Where it was read: a file, or a socket."""


class Containers:
    """Names of containers, each looked for once. Not thread-safe."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock = clock
        self._root = root
        self._known: dict[str, Named] = {}
        self._silent: dict[Path, float] = {}
        self.refused: dict[str, str] = {}
        """Files and sockets that are there and did not tell, with the reason in a few words."""

    def named(self, who: Keeper, uid: int | None = None) -> Named:
        """What this container is called.

        Args:
            who: a control group with a container.
            uid: of its process; a rootless podman keeps its store in that user's home.
        """
        if who.container is None:
            return Named()
        known = self._known.get(who.container)
        if known is None:
            if len(self._known) > 4096:
                self._known.clear()
            known = self._known[who.container] = self._find(who.container, uid)
        return known

    def compose_service(self, who: Keeper, uid: int | None = None) -> str | None:
        """The compose service whose container this is, by its labels; None where nothing that may be read tells it."""
        if who.container is None:
            return None
        found = (one.compose_service for one in self._answers(who.container, uid))
        return next((service for service in found if service is not None), None)

    def _find(self, container: str, uid: int | None) -> Named:
        best = Named()
        for found in self._answers(container, uid):
            best = _joined(best, found)
            if best.name is not None and best.image is not None:
                break
        return best

    def _answers(self, container: str, uid: int | None) -> Iterator[Named]:
        yield self._docker(container)
        yield from self._bundles(container)
        yield from self._podman(container, uid)
        yield self._kubelet(container)
        for path in self._sockets(uid):
            yield self._asked(path, container)

    def _docker(self, container: str) -> Named:
        path = self._root / "var/lib/docker/containers" / container / "config.v2.json"
        return _of_inspect(self._json(path), str(path))

    def _bundles(self, container: str) -> Iterator[Named]:
        tasks = self._root / "run/containerd/io.containerd.runtime.v2.task"
        paths = [tasks / space / container / "config.json" for space in ("k8s.io", "default", "moby")]
        stores = [self._root / store / "overlay-containers" for store in ("run/containers/storage", _STORE)]
        paths += [store / container / "userdata/config.json" for store in stores]
        for path in paths:
            annotations = _table(_table(self._json(path)).get("annotations"))
            if annotations:
                yield _of_labels(annotations, str(path))

    def _podman(self, container: str, uid: int | None) -> Iterator[Named]:
        stores = [self._root / _STORE]
        home = _home(uid)
        if home is not None:
            stores.append(self._root / home.relative_to("/") / ".local/share/containers/storage")
        for store in stores:
            for file in ("containers.json", "volatile-containers.json"):
                path = store / "overlay-containers" / file
                rows = self._json(path)
                for row in rows if isinstance(rows, list) else ():
                    if _table(row).get("id") == container:
                        yield _of_podman(_table(row), str(path))

    def _kubelet(self, container: str) -> Named:
        """Links are called ``POD_NAMESPACE_CONTAINER-ID.log``; none of the three names holds an underscore."""
        folder = self._root / "var/log/containers"
        try:
            names = [name for name in os.listdir(folder) if name.endswith(f"-{container}.log")]  # noqa: PTH208 - fast
        except OSError as error:
            self._refuse(folder, error)
            return Named()
        found = re.fullmatch(r"([^_]+)_([^_]+)_([^_]+)-[0-9a-f]{64}\.log", names[0]) if names else None
        if found is None:
            return Named()
        return Named(pod=_words(found[1]), namespace=_words(found[2]), name=_words(found[3]), source=str(folder))

    def _sockets(self, uid: int | None) -> Iterator[Path]:
        yield self._root / "run/docker.sock"
        yield self._root / "run/podman/podman.sock"
        for owner in dict.fromkeys((uid, os.getuid())):
            if owner:
                yield self._root / f"run/user/{owner}/podman/podman.sock"

    def _asked(self, path: Path, container: str) -> Named:
        now = self._clock.monotonic()
        if not path.is_socket() or now - self._silent.get(path, -AGAIN_S) < AGAIN_S:
            return Named()
        connection = _UnixConnection(path)
        try:
            connection.request("GET", f"/containers/{container}/json", headers={"Host": "localhost"})
            answer = connection.getresponse()
            body = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._silent[path] = now
            self._refuse(path, error)
            return Named()
        finally:
            connection.close()
        if answer.status != 200:
            return Named()  # not one of its own
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            return Named()
        return _of_inspect(told, str(path))

    def _json(self, path: Path) -> Any:
        try:
            with path.open("rb") as file:
                return json.loads(file.read(_MOST_BYTES))
        except OSError as error:
            self._refuse(path, error)
        except (ValueError, RecursionError):
            self.refused[str(path)] = "no JSON"
        return None

    def _refuse(self, path: Path, error: Exception) -> None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return  # this runtime is not here
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self.refused[str(path)] = str(words).lower()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def _joined(best: Named, other: Named) -> Named:
    return Named(
        name=best.name or other.name,
        image=best.image or other.image,
        pod=best.pod or other.pod,
        namespace=best.namespace or other.namespace,
        compose_service=best.compose_service or other.compose_service,
        source=best.source or other.source,
    )


def _of_inspect(told: Any, source: str) -> Named:
    """Docker's file and the answer of ``/containers/ID/json`` agree in these."""
    table = _table(told)
    config = _table(table.get("Config"))
    labels = _of_labels(_table(config.get("Labels")), source)
    name = labels.name or _words(str(table.get("Name") or "").lstrip("/"))
    image = labels.image or _words(config.get("Image"))
    if name is None and image is None and labels.compose_service is None:
        return Named()
    return _joined(labels, Named(name=name, image=image, source=source))


def _of_labels(labels: dict[str, Any], source: str) -> Named:
    def first(keys: tuple[str, ...]) -> str | None:
        return next((words for key in keys if (words := _words(labels.get(key))) is not None), None)

    found = Named(
        name=first(_NAME),
        image=first(_IMAGE),
        pod=first(_POD_NAME),
        namespace=first(_NAMESPACE),
        compose_service=first(_COMPOSE),
    )
    return Named() if found == Named() else _joined(found, Named(source=source))


def _of_podman(row: dict[str, Any], source: str) -> Named:
    names = row.get("names")
    try:
        metadata = _table(json.loads(row.get("metadata") or "{}"))
    except (ValueError, TypeError, RecursionError):
        metadata = {}
    name = _words(names[0]) if isinstance(names, list) and names else None
    return Named(name=name or _words(metadata.get("name")), image=_words(metadata.get("image-name")), source=source)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> str | None:
    return value[:_WORDS_MAX] if isinstance(value, str) and value else None


def _home(uid: int | None) -> Path | None:
    try:
        home = Path(pwd.getpwuid(uid).pw_dir) if uid else None
    except KeyError:
        return None
    return home if home is not None and home.is_absolute() else None
