"""Weight files: where they are looked for, how they are fetched, and what is refused.

Files from outside are untrusted: they are opened with ``weights_only=True``, compared with what
the network expects before anything is loaded, and downloads are checked by content.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import pickle
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuron_widget.errors import WeightsRefused, WeightsUnavailable

__all__ = ["check_fits", "find_inception_weights", "git_object_id", "read_state_dict"]

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
            file = Path(given).expanduser()
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


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a ``.pth``/``.pt`` state dict or a ``.safetensors`` file, on the CPU.

    Raises
    ------
    WeightsUnavailable
        If there is no such file.
    WeightsRefused
        If it is truncated, holds anything but tensors, or would run code when opened.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise WeightsUnavailable(f"there is no weights file at {str(file)!r}")
    expected = "expected a state dict of tensors saved by torch.save, or a .safetensors file"
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsRefused(
            f"{file} was not opened: it holds something other than tensors, which could run code "
            f"on this machine; {expected}. Save the weights again with "
            f"torch.save(model.state_dict(), ...) ({_first_line(error)})"
        ) from error
    except Exception as error:  # a broken file can fail anywhere in the readers
        kind = (
            "truncated or damaged" if zipfile.is_zipfile(file) or file.stat().st_size else "empty"
        )
        raise WeightsRefused(
            f"{file} ({file.stat().st_size:,} bytes) could not be read, it looks {kind}; "
            f"{expected}. Fetch or copy it again ({_first_line(error)})"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()
    ):
        raise WeightsRefused(f"{file} holds a {type(content).__name__}; {expected}")
    return dict(content)


def check_fits(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Raise :class:`WeightsRefused` if names or shapes are not those of ``expected``."""
    missing = [k for k in expected if k not in given]
    unknown = [k for k in given if k not in expected]
    wrong = [
        f"{k} is {tuple(given[k].shape)}, not {tuple(expected[k].shape)}"
        for k in expected
        if k in given and given[k].shape != expected[k].shape
    ]
    if missing or unknown or wrong:
        parts = [
            f"{len(items)} {what} ({', '.join(items[:3])}{', ...' if len(items) > 3 else ''})"
            for what, items in (
                ("missing", missing),
                ("unknown", unknown),
                ("of another shape", wrong),
            )
            if items
        ]
        raise WeightsRefused(
            f"{source} are the weights of another network: of {len(expected)} tensors expected, "
            f"{'; '.join(parts)}. Give weights of this architecture, or name the right model"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
