"""InceptionV1's weights: where they are looked for, and how they are fetched.

Downloads are checked by content. What is read of a file is :mod:`.checkpoints`'s affair.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import torch

from neuron_widget.errors import WeightsRefused, WeightsUnavailable
from neuron_widget.names import as_path

__all__ = ["Report", "find_inception_weights", "git_object_id", "inception_at_hand"]

ENVIRONMENT_VARIABLE = "NEURON_WIDGET_WEIGHTS"

# The file as lucid's users know it, converted from TensorFlow's graph; lucent's own download.
INCEPTION_FILE = "inception5h.pth"
INCEPTION_GIT_OBJECT = "119f77db85c8352960933e025312b507d9a96ed7"

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0

Report = Callable[[str], None]


def find_inception_weights(path: str | os.PathLike[str] | None, report: Report) -> Path:
    """The file with InceptionV1's weights; downloaded if it is nowhere at hand.

    Looked for in this order: ``path``; the environment variable ``NEURON_WIDGET_WEIGHTS``; torch's
    hub cache; lucent's address (28 MB, checked by its git object id, written atomically into the
    hub cache).

    Raises
    ------
    WeightsUnavailable
        If ``path`` or the variable name no file, or nothing is at hand and the download failed.
    WeightsRefused
        If the cached or downloaded file is not the file it claims to be.
    """
    for source, given in (
        ("weights=", path),
        (ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE)),
    ):
        if given:
            file = as_path(given, source.strip("="), WeightsUnavailable, example="weights.pth")
            if not file.is_file():
                raise WeightsUnavailable(
                    f"{source} names {str(file)!r}, but there is no such file; "
                    "give the path of a state dict of InceptionV1 (.pth or .safetensors)"
                )
            return file
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if cached.is_file():
        found = git_object_id(cached)
        if found != INCEPTION_GIT_OBJECT:
            raise WeightsRefused(
                f"{cached} is not the file it is named after: expected git object id "
                f"{INCEPTION_GIT_OBJECT}, found {found} ({cached.stat().st_size:,} bytes; "
                "a broken download?). Delete it to fetch it again, or, if it is another training "
                f"of InceptionV1, name it with weights={str(cached)!r}"
            )
        return cached
    _download_inception(cached, report)
    return cached


def inception_at_hand() -> bool:
    """Whether InceptionV1 can be opened without a download."""
    if given := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(given).expanduser().is_file()
    return (Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE).is_file()


def git_object_id(path: Path) -> str:
    """The sha1 that git gives the content of ``path``."""
    # Git's name of the content, not a signature.
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class _ImpatientConnection(http.client.HTTPSConnection):
    """Gives up connecting after 3 s, but lets a slow line finish a download."""

    def connect(self) -> None:
        self.timeout = CONNECT_TIMEOUT_S
        super().connect()
        self.sock.settimeout(READ_TIMEOUT_S)


class _ImpatientHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ImpatientConnection, req)


def _download_inception(target: Path, report: Report) -> None:
    # Imported here: lucent is slow to import, and only its address is wanted.
    from lucent.modelzoo.inceptionv1.InceptionV1 import model_urls

    url = model_urls["inceptionv1"]
    report(f"Downloading InceptionV1's weights (28 MB) from {url}")
    opener = urllib.request.build_opener(_ImpatientHandler)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with opener.open(url) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with tempfile.NamedTemporaryFile(
                dir=target.parent, prefix=INCEPTION_FILE, suffix=".part", delete=False
            ) as file:
                temporary = Path(file.name)
                done = 0
                while chunk := response.read(1 << 18):
                    file.write(chunk)
                    done += len(chunk)
                    if total:
                        report(
                            f"Downloading InceptionV1's weights: {done / 1e6:.0f} of "
                            f"{total / 1e6:.0f} MB"
                        )
                file.flush()
                os.fsync(file.fileno())
        found = git_object_id(temporary)
        if found != INCEPTION_GIT_OBJECT:
            raise WeightsRefused(
                f"the download from {url} is not the expected file: git object id {found} "
                f"({temporary.stat().st_size:,} bytes), expected {INCEPTION_GIT_OBJECT}. "
                f"Fetch it by another way and name it with weights= or {ENVIRONMENT_VARIABLE}"
            )
        temporary.replace(target)
        temporary = None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise WeightsUnavailable(
            f"InceptionV1's weights are not at hand and {url} could not be reached ({reason}). "
            f"Three ways out: fetch that file elsewhere and pass its path as weights=; set "
            f"{ENVIRONMENT_VARIABLE} to its path; or put it at {target}. Without any download, "
            "model='efficientnet_lite0' opens the network that comes with this package"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
