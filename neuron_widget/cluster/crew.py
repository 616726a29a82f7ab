"""Workers on a Ray cluster, and pieces of work, each of which is made once.

Ray is asked for little: processes where there is room, and word when one is lost. Its own retries
are off, since what counts is in the store: a piece whose worker is lost goes back to the others,
and a new worker is asked for in its place. It may have to wait for room; the others do not.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from neuron_widget.cluster.connection import Where
from neuron_widget.cluster.worker import Piece, Said, Setup, Worker
from neuron_widget.errors import ClusterError, first_line

__all__ = ["ClusterProgress", "Crew"]

POLL_S = 0.5
"""Seconds without a word from any worker after which the caller is told all the same."""

_ROOM_EVERY_S = 2.0  # between two looks at how large the cluster is
_GRACE_S = 10.0  # for a step and a checkpoint, when all is to stop
_PATIENT_S = 30.0  # without any worker, until that is told
_MOST_DEATHS = 10  # of the workers of one piece, or before any one has opened the network


@dataclass(frozen=True)
class ClusterProgress:
    """How far work on a cluster is.

    Attributes
    ----------
    task
        ``"scan"``, ``"images"`` or ``"rest"``.
    done, total
        Photos or images.
    found
        How many of those done were there before.
    workers
        Each one's name, and how much it has done.
    note
        What is waited for; "" if nothing is.
    """

    task: str
    done: int
    total: int
    found: int
    workers: tuple[tuple[str, int], ...] = ()
    note: str = ""


class _Hand:
    """A worker as it is seen from here."""

    def __init__(self, number: int, actor: Any, opening: Any):
        self.number = number
        self.actor = actor
        self.pending = opening  # what is waited for: its opening, then the words on its piece
        self.host: str | None = None  # None until it has opened the network
        self.piece: int | None = None
        self.done = 0.0
        self.before = 0.0

    @property
    def name(self) -> str:
        return f"worker {self.number} on {self.host}"


class Crew:
    """Workers; a context manager, at whose end they are gone.

    Parameters
    ----------
    ray
        Ray, connected.
    setup, where
        What they are told, and where they are.
    """

    def __init__(self, ray: Any, setup: Setup, where: Where):
        self._ray = ray
        self._where = where
        self._setup = ray.put(setup)  # once: each machine fetches it once
        self._hands: list[_Hand] = []
        self._room: tuple[float, int, Mapping[str, int]] = (0.0, 1, {})
        self._lost_starts = 0
        self._alone_since = time.monotonic()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hand in self._hands:
            self._kill(hand)
        self._hands = []

    def run(
        self, pieces: Sequence[Piece], total: int, found: int = 0
    ) -> Generator[ClusterProgress, None, list[Any]]:
        """Make the pieces, and return what each gave; closed, it lets workers end their step.

        ``total`` is what all of them have to do, in photos or images, with ``found`` that were
        there before. Raises what a worker raises,
        and ClusterError if workers cannot live.
        """
        left = deque(range(len(pieces)))
        ends: dict[int, Said] = {}
        deaths: Counter[int] = Counter()
        try:
            while len(ends) < len(pieces):
                self._hire(len(pieces) - len(ends))
                for hand in self._hands:
                    if left and hand.host is not None and hand.piece is None:
                        hand.piece, hand.done = left.popleft(), 0.0
                        hand.pending = hand.actor.work.remote(pieces[hand.piece])
                yield self._progress(pieces[0].task, ends.values(), total, found)
                for hand in self._listening():
                    piece = hand.piece
                    try:
                        said = self._hear(hand)
                    except _Lost as loss:
                        self._dismiss(hand)
                        if piece is None:
                            self._count_lost_start(loss)
                            continue
                        left.appendleft(piece)
                        deaths[piece] += 1
                        if deaths[piece] >= _MOST_DEATHS:
                            raise ClusterError(
                                f"{deaths[piece]} workers were lost at the same piece of work, "
                                f"{_told(pieces[piece])} ({loss}); expected one to live. Is it "
                                "memory? --batch-size, or more --cpus-per-worker, need less"
                            ) from None
                        continue
                    if said is not None and said.ended and piece is not None:
                        hand.piece, hand.pending = None, None
                        hand.before += said.done - said.found
                        hand.done = 0.0
                        ends[piece] = said
            yield self._progress(pieces[0].task, ends.values(), total, found)
        except BaseException:
            self._stop()
            raise
        return [ends[i].result for i in range(len(pieces))]

    # -------------------------------------------------------------- words of workers

    def _listening(self) -> list[_Hand]:
        """Workers that have something to say; none after a while without a word."""
        waiting = [hand for hand in self._hands if hand.pending is not None]
        if not waiting:
            time.sleep(POLL_S)
            return []
        refs = [hand.pending for hand in waiting]
        ready, _ = self._ray.wait(refs, num_returns=1, timeout=POLL_S)
        return [hand for hand in waiting if any(hand.pending is ref for ref in ready)]

    def _hear(self, hand: _Hand) -> Said | None:
        """The next word of a worker; None for one that has opened everything."""
        error_of = self._ray.exceptions
        try:
            if hand.host is None:
                hand.host = str(self._ray.get(hand.pending))
                hand.pending = None
                self._lost_starts = 0
                return None
            said: Said = self._ray.get(next(hand.pending))
        except error_of.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, Exception) and not isinstance(cause, error_of.RayError):
                raise cause from error
            raise ClusterError(f"a worker failed: {first_line(error)}") from error
        except (error_of.RayError, StopIteration) as error:
            raise _Lost(first_line(error)) from error
        hand.done = said.done - said.found
        return said

    def _progress(self, task: str, ends: Any, total: int, before: int) -> ClusterProgress:
        done = before + sum(said.done for said in ends)
        found = before + sum(said.found for said in ends)
        here = [hand for hand in self._hands if hand.host is not None]
        under_way = sum(hand.done for hand in here if hand.piece is not None)
        workers = tuple((hand.name, int(hand.before + hand.done)) for hand in here)
        if here:
            self._alone_since = time.monotonic()
            note = ""
        elif time.monotonic() - self._alone_since < _PATIENT_S:
            note = f"{len(self._hands)} workers are starting"
        else:
            note = f"waiting for room on the cluster: {len(self._hands)} workers are asked for"
        all_done = min(total, int(done + under_way))
        return ClusterProgress(task, all_done, total, int(found), workers, note)

    # -------------------------------------------------------------- workers come and go

    def _hire(self, most: int) -> None:
        """Ask for workers until there are as many as there is room for, or work."""
        looked, room, each = self._room
        if not each or time.monotonic() - looked >= _ROOM_EVERY_S:
            room, each = self._look_for_room()
            self._room = (time.monotonic(), room, each)
        taken = {hand.number for hand in self._hands}
        free = (number for number in range(1, room + len(taken) + 2) if number not in taken)
        while len(self._hands) < min(room, most):
            kind = self._ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=2, **each)
            actor = kind(Worker).remote(each["num_cpus"])
            self._hands.append(_Hand(next(free), actor, actor.open.remote(self._setup)))

    def _look_for_room(self) -> tuple[int, Mapping[str, int]]:
        """How many workers the cluster has room for, one at least, and what each takes of it."""
        found = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        nodes = [(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in found]
        wanted = self._where.cpus_per_worker
        if self._where.device != "cpu" and any(gpus for _, gpus in nodes):
            nodes = [(cpus, gpus) for cpus, gpus in nodes if gpus]
            share = wanted or max(1, min(cpus // gpus for cpus, gpus in nodes))
            room = sum(min(gpus, cpus // share) for cpus, gpus in nodes)
            each = {"num_cpus": share, "num_gpus": 1}
        else:
            share = wanted or 1
            room = sum(cpus // share for cpus, _ in nodes)
            each = {"num_cpus": share}
        largest = max((cpus for cpus, _ in nodes), default=0)
        if not room and largest and wanted:
            raise ClusterError(
                f"no machine of the cluster has room for a worker of {wanted} processors; expected "
                f"cpus_per_worker (--cpus-per-worker) of 1 to {largest}"
            )
        return max(1, room), each

    def _count_lost_start(self, loss: _Lost) -> None:
        self._lost_starts += 1
        if self._lost_starts >= _MOST_DEATHS:
            raise ClusterError(
                f"{self._lost_starts} workers were lost before they had opened the network "
                f"({loss}); expected neuron-widget to be installed on all machines, and memory "
                "enough for a copy of the network in each worker"
            ) from None

    def _dismiss(self, hand: _Hand) -> None:
        self._hands.remove(hand)
        self._kill(hand)

    def _kill(self, hand: _Hand) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and the cluster too
            self._ray.kill(hand.actor)

    def _stop(self) -> None:
        """Let workers end their step and keep a checkpoint, if they do so soon."""
        at_work = [hand for hand in self._hands if hand.piece is not None]
        due = time.monotonic() + _GRACE_S
        with contextlib.suppress(Exception):
            for hand in at_work:
                hand.actor.stop.remote()
            while at_work and time.monotonic() < due:
                for hand in self._listening():
                    try:
                        said = self._hear(hand)
                        ended = said is not None and said.ended
                    except Exception:  # noqa: BLE001  # it is over, in whatever way
                        ended = True
                    if ended and hand in at_work:
                        at_work.remove(hand)
                        hand.pending = None


class _Lost(Exception):
    """A worker that is gone; says why."""


def _told(piece: Piece) -> str:
    if piece.task == "scan":
        return f"shard {piece.shard[0]} of {piece.shard[1]} of the photos"
    return f"neurons {', '.join(map(str, piece.neurons[:3]))}..."
