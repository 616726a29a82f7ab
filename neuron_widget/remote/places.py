"""Where servers of sessions are: found by their name in a Ray cluster, or started there."""

from __future__ import annotations

import asyncio
import contextlib
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
    "leave",
    "named",
    "start",
    "token_file",
]

NAMESPACE = "neuron-widget"
_NAME = "sessions-"

_CALLS = 64  # threads of a server that answer calls, at most
_AT_ONCE = 1000  # calls and streams


class NamedPlace(NamedTuple):
    """A server's name and its handle."""

    name: str
    actor: Any


def join(address: str) -> Any:
    """Ray, connected for as long as this process lives; a connection that is there is used.

    Raises
    ------
    ClusterError
        Ray is not installed, or no cluster answers.
    """
    ray = import_ray()
    if not ray.is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own parts
            connect(ray, address, client=True)
    return ray


def leave() -> None:
    """Give up a connection that is broken, so that :func:`join` makes another."""
    with contextlib.suppress(Exception):
        import_ray().shutdown()


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
            found.append((ray.get(place.call.remote("load"), timeout=60), name, place))
    return NamedPlace(*min(found, key=lambda one: one[:2])[1:]) if found else None


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


def start(ray: Any, rules: Rules, *, stays: bool, device: str | None = None) -> list[Any]:
    """Start a server on each GPU of the cluster, or one without; those that run already stay.

    ``stays``: they end with this process, and not by themselves when nobody has a session. Without
    it they are there for all who come, and end some time after the last has gone.
    """
    gpus = 0 if device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
    return [_start(ray, i, rules, stays, gpu=gpus > 0) for i in range(max(1, gpus))]


def _start(ray: Any, number: int, rules: Rules, stays: bool, *, gpu: bool) -> Any:
    actor = ray.remote(
        num_gpus=1 if gpu else 0,
        num_cpus=0 if gpu else 1,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=_AT_ONCE,
    )(_methods(ray))
    try:
        return actor.options(
            name=f"{_NAME}{number}",
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime=None if stays else "detached",
        ).remote(rules, stays=stays)
    except Exception as error:
        raise ClusterError(
            f"no server of sessions starts on the cluster ({first_line(error)})"
        ) from error


def _methods(ray: Any) -> type:
    """The class as Ray runs it: what waits for something to say holds no thread meanwhile.

    Everything else runs in threads that come as they are needed: it may wait for the worker.
    """

    class Server:
        def __init__(self, rules: Rules, stays: bool):
            own = ray.get_runtime_context().current_actor
            self._sessions = Sessions(rules, None if stays else lambda: ray.kill(own))
            self._threads = ThreadPoolExecutor(_CALLS, "calls")

        @ray.method(num_returns="streaming")  # type: ignore[untyped-decorator]
        async def stream(self, key: str, after: int) -> Any:
            async for said in self._sessions.stream_later(key, after):
                yield said

        async def take(self, key: str, after: int) -> Any:
            return await self._sessions.take_later(key, after)

        async def call(self, method: str, *given: Any) -> Any:
            if method not in CALLS:
                raise ValueError(f"no server does {method!r}")
            work = functools.partial(getattr(self._sessions, method), *given)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    return Server
