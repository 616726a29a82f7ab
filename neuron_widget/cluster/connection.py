"""Where a Ray cluster is found, or started on this machine; the only file that imports Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_widget.errors import ClusterError, WrongType, first_line
from neuron_widget.setting import check_int

__all__ = ["Where", "connect", "connected", "environment_for", "import_ray", "pack", "unpack"]


@dataclass(frozen=True)
class Where:
    """Which cluster, and how its machines are divided among workers.

    Attributes
    ----------
    address
        ``"auto"``: the cluster that ``RAY_ADDRESS`` or ``ray start`` on this machine names, else
        one is started on this machine, for as long as the work takes. ``"local"``: the latter.
        Or a cluster's ``host:port``.
    cpus_per_worker
        Without GPUs: processors of a worker, default 1. With GPUs each worker has one of them, and
        an equal share of its machine's processors unless it is said here.
    device
        ``"cpu"``: GPUs are left alone. None: they are used where there are some.
    """

    address: str = "auto"
    cpus_per_worker: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.address, str) or not self.address.strip():
            raise WrongType(
                f"cluster must be 'auto', 'local' or an address such as 'host:6379', got "
                f"{self.address!r}"
            )
        if self.cpus_per_worker is not None:
            check_int("cpus_per_worker", self.cpus_per_worker, 1)


def import_ray() -> Any:
    """Return Ray, which is an extra; ClusterError says how to install it."""
    # Nothing is told to anybody; and how Ray treats GPUs of workers without one is as it was.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own parts
            import ray
    except ImportError as error:
        raise ClusterError(
            "work on a cluster needs Ray, which is not installed here: "
            "pip install 'neuron-widget[ray]'"
        ) from error
    return ray


def pack(what: Any) -> bytes:
    """Return an object as bytes, with the code of classes that are in no file."""
    import_ray()
    from ray import cloudpickle

    return bytes(cloudpickle.dumps(what))


def unpack(data: bytes) -> Any:
    """Return the object that :func:`pack` packed."""
    from ray import cloudpickle

    return cloudpickle.loads(data)


@contextmanager
def connected(where: Where) -> Iterator[Any]:
    """Ray, connected; what was started here ends here, and a cluster that runs is only left.

    A cluster started here listens on this machine alone, has no dashboard, and tells nobody of
    itself. A connection that the caller has already is used, and stays.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    before, mode = _signal_handler(), os.environ.get(_MODE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            connect(ray, where.address.strip())
        yield ray
    finally:
        ray.shutdown()
        if before is not None:  # Ray puts its own there
            signal.signal(signal.SIGTERM, before)
        if mode is None:  # of a cluster started here Ray asks for a token, and so of the next one
            os.environ.pop(_MODE, None)


_MODE = "RAY_AUTH_MODE"


def _known() -> Path:
    """Where `ray start` writes the address of this machine's cluster."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(folder, "ray", "ray_current_cluster")


def connect(ray: Any, address: str, *, client: bool = False) -> None:
    """Connect to a cluster, or start one on this machine; see :class:`Where`.

    ``client``: a Ray client server will do as well (``ray://host:10001``), which has no streams.
    Raises ClusterError.
    """
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    found = os.environ.get("RAY_ADDRESS", "") or _known().exists()
    if address == "local" or (address == "auto" and not found):
        with _loopback():
            _start(ray, how)
        return
    if address.startswith("ray://") and not client:
        raise ClusterError(
            f"{address} is the address of a Ray client server, which this does not use; expected "
            "the cluster's own: run the command on one of its machines, with 'auto' or 'host:6379'"
        )
    if address.startswith("ray://"):
        # Then whoever waits hears that the line is lost; Ray lets them wait for 30 s otherwise.
        os.environ.setdefault("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "3")
        logging.getLogger("ray.util.client").setLevel(logging.ERROR)  # says it besides us
        _take_token()
    try:
        ray.init(address, **how)
    except ImportError as error:
        raise ClusterError(
            f"{address} needs Ray's client, which is not installed here: "
            "pip install 'neuron-widget[ray]'"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        named = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
        raise ClusterError(
            f"no Ray cluster answers at {named or _known()} ({first_line(error)}); expected "
            "'auto', 'local' to start one on this machine, or the host:port that `ray start "
            "--head` printed. One that asks for a token says nothing without it: RAY_AUTH_TOKEN"
        ) from error


def _take_token() -> None:
    """Show a token that is at hand, as Ray does by itself but for a client server's address."""
    from ray._private.authentication import authentication_token_setup as setup

    with contextlib.suppress(AttributeError, TypeError):  # of another version of Ray
        loader = setup.AuthenticationTokenLoader.instance()
        if os.environ.get(_MODE) is None and loader.has_token(ignore_auth_mode=True):
            os.environ[_MODE] = "token"
            setup.Config.initialize("")  # it is read once


def _start(ray: Any, how: dict[str, Any], tries: int = 3) -> None:
    """Start a cluster. Ray gives its processes 30 s, which a busy machine may not have."""
    for left in reversed(range(tries)):
        try:
            ray.init("local", include_dashboard=False, **how)
        except Exception as error:
            ray.shutdown()
            if not left:
                raise ClusterError(
                    f"Ray did not start on this machine ({first_line(error)}); expected it to be "
                    "up within 30 s. Is the machine very busy?"
                ) from error
        else:
            return


@contextmanager
def _loopback() -> Iterator[None]:
    """A cluster that is started inside listens on 127.0.0.1, as Ray does by itself on macOS.

    Elsewhere it takes an address that other machines reach, also where 127.0.0.1 is asked for.
    """
    from ray._private import ray_constants

    before, named = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(_REACHABLE)
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[_REACHABLE] = "0"  # for what Ray starts
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if named is None:
            os.environ.pop(_REACHABLE, None)
        else:
            os.environ[_REACHABLE] = named


_REACHABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def environment_for(address: str) -> dict[str, str]:
    """What a process of another's needs besides to join a cluster: one of this machine alone."""
    return {_REACHABLE: "0"} if address.startswith("127.") else {}


def _signal_handler() -> Any:
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.getsignal(signal.SIGTERM)
