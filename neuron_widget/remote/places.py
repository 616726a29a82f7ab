"""Where servers of sessions are: found by their name in a Ray cluster, or started there."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from neuron_widget.cluster.connection import connect, import_ray
from neuron_widget.errors import ClusterError, first_line
from neuron_widget.remote.rules import Rules
from neuron_widget.remote.server import CALLS, Sessions

__all__ = [
    "NAMESPACE",
    "NamedPlace",
    "asks_for_token",
    "find",
    "join",
    "joined",
    "leave",
    "named",
    "start",
    "token_file",
]

NAMESPACE = "neuron-widget"
_NAME = "sessions-"

_CALLS = 64  # threads of a server that answer calls, at most
_AT_ONCE = 1000  # calls and streams
_ANSWERS_S = 60.0
_STARTS_S = 180.0
_THREADS = "OMP_NUM_THREADS"
_ARENA_MAX = -8  # M_ARENA_MAX


class NamedPlace(NamedTuple):
    """A server's name, its handle, and whether somebody looks after it: ``neuron-widget serve``."""

    name: str
    actor: Any
    served: bool


def join(address: str) -> tuple[Any, bool]:
    """Ray, connected for as long as this process lives; whether it was not before.

    Raises
    ------
    ClusterError
        Ray is not installed, or no cluster answers.
    """
    ray = import_ray()
    if ray.is_initialized():
        return ray, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own parts
        connect(ray, address, client=True)
    return ray, True


def joined() -> bool:
    """Whether there is a connection, as far as Ray knows."""
    return bool(import_ray().is_initialized())


def leave() -> None:
    """Give up a connection that is broken, so that :func:`join` makes another."""
    ray = import_ray()
    for end in (ray.util.client.ray.disconnect, ray.shutdown):  # the first: of a client, as well
        with contextlib.suppress(Exception):
            end()


def asks_for_token() -> bool:
    """Whether Ray lets nobody in without its token."""
    import_ray()
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def token_file() -> Path:
    """Where Ray's token is on this machine."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def find(ray: Any) -> NamedPlace | None:
    """The server with the fewest sessions; None where there is none."""
    found = []
    for name in _names(ray):
        with contextlib.suppress(ValueError, ray.exceptions.RayError):
            place = ray.get_actor(name, namespace=NAMESPACE)
            facts = ray.get(place.call.remote("facts"), timeout=_ANSWERS_S)
            found.append((facts["sessions"], NamedPlace(name, place, facts["served"])))
    return min(found, key=lambda one: (one[0], one[1].name))[1] if found else None


def named(ray: Any, name: str) -> Any:
    """The server of that name. ValueError where there is none."""
    return ray.get_actor(name, namespace=NAMESPACE)


def _names(ray: Any) -> list[str]:
    every = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        one["name"]
        for one in every
        if one["namespace"] == NAMESPACE and str(one["name"]).startswith(_NAME)
    )


def start(ray: Any, rules: Rules, *, stays: bool, device: str | None = None) -> list[NamedPlace]:
    """Start a server on each GPU of the cluster, or one without; those that run already stay.

    ``stays``: they end with this process, and not by themselves when nobody has a session. Without
    it they are there for all who come, and end some time after the last has gone.

    Raises
    ------
    ClusterError
        None starts, or none has room.
    """
    gpus = 0 if device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
    servers = [_start(ray, i, rules, stays, gpu=gpus > 0) for i in range(max(1, gpus))]
    need = "GPU" if gpus else "processor"
    facts = [place.actor.call.remote("facts") for place in servers]
    try:
        ray.get(facts, timeout=_STARTS_S)
    except ray.exceptions.GetTimeoutError as error:
        raise ClusterError(
            f"no server of sessions started within {_STARTS_S:.0f} s: each needs a {need} of the "
            "cluster that nothing else has (`ray status` tells)"
        ) from error
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"no server of sessions starts on the cluster ({first_line(error)})"
        ) from error
    return servers


def _start(ray: Any, number: int, rules: Rules, stays: bool, *, gpu: bool) -> NamedPlace:
    actor = ray.remote(
        num_gpus=1 if gpu else 0,
        num_cpus=0 if gpu else 1,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=_AT_ONCE,
    )(_methods(ray))
    name = f"{_NAME}{number}"
    made = actor.options(
        name=name,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime=None if stays else "detached",
    )
    return NamedPlace(name, made.remote(rules, stays, os.environ.get(_THREADS)), stays)


def _few_arenas() -> None:
    """Have threads share their memory: each of the many that answer calls would keep some."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not the C library of GNU
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def _methods(ray: Any) -> type:
    """The class as Ray runs it: what waits for something to say holds no thread meanwhile.

    Everything else runs in threads that come as they are needed: it may wait for the worker.
    """

    class Server:
        def __init__(self, rules: Rules, stays: bool, threads: str | None):
            _few_arenas()
            # Ray gives it as many as it counts processors; a widget here has the machine's.
            os.environ.pop(_THREADS, None)
            if threads is not None:
                os.environ[_THREADS] = threads
            own = ray.get_runtime_context().current_actor
            self._sessions = Sessions(rules, None if stays else lambda: ray.kill(own))
            self._threads = ThreadPoolExecutor(_CALLS, "calls")

        @ray.method(num_returns="streaming")  # type: ignore[untyped-decorator]
        async def stream(self, key: str, after: int) -> Any:
            async for said in self._sessions.stream(key, after):
                yield said

        async def take(self, key: str, after: int) -> Any:
            return await self._sessions.take(key, after)

        async def call(self, method: str, *given: Any) -> Any:
            if method not in CALLS:
                raise ValueError(f"no server does {method!r}")
            work = functools.partial(getattr(self._sessions, method), *given)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    return Server
