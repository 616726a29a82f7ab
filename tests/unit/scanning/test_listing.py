"""Folders and patterns: whose photos count, and listings that can be stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.scanning import ImageDataset, listing, open_dataset, open_dataset_steps


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(path)


def names(photos: ImageDataset) -> list[str]:
    return [Path(photos.path(i)).name for i in range(len(photos))]


@pytest.mark.parametrize(
    "other",
    [
        "@eaDir/x.jpg",
        "cat/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
        ".thumbnails/x.png",
        "__MACOSX/cat/x.png",
        "cat/.ipynb_checkpoints/a-checkpoint.png",
        ".hidden/x.png",
        "cat/._a.png",
        "cat/.a.png",
        "#recycle/x.png",
        "$RECYCLE.BIN/x.png",
        "lost+found/x.png",
    ],
)
def test_what_other_programs_keep_beside_photos(tmp_path: Path, other: str) -> None:
    write(tmp_path / "cat" / "a.png", tmp_path / other)
    photos = open_dataset(tmp_path)
    assert names(photos) == ["a.png"]
    assert [photos.label(i) for i in range(len(photos))] == ["cat"]
    assert photos.note == ""


def test_folders_of_other_programs_are_no_splits_beside(tmp_path: Path) -> None:
    write(tmp_path / "train" / "a.png", tmp_path / "@eaDir" / "x.png", tmp_path / ".git" / "x.png")
    assert open_dataset(tmp_path).name.endswith("/train")


def test_files_left_out_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    for name in ("a.heic", "b.HEIC", "labels.txt", "README", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_text("no photo")
    photos = open_dataset(tmp_path)
    assert photos.note == "4 files left out: .heic (2), .txt (1), no ending (1)"


def test_closed_folders_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png", tmp_path / "closed" / "b.png")
    scandir = os.scandir

    def guarded(folder: str | Path) -> object:
        if Path(folder) == tmp_path / "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)  # root may open every folder
    assert open_dataset(tmp_path).note == "1 folder could not be opened"
    with pytest.raises(DatasetError, match="cannot be read: Permission denied"):
        open_dataset(tmp_path / "closed")


# ------------------------------------------------------------------ stopping


def test_links_in_circles_have_an_end(tmp_path: Path) -> None:
    for a in ("one", "two", "three"):
        write(tmp_path / a / f"{a}.png")
        for b in ("one", "two", "three"):
            (tmp_path / a / f"to-{b}").symlink_to(tmp_path / b)
    (tmp_path / "self").symlink_to("self")
    assert sorted(names(open_dataset(tmp_path))) == ["one.png", "three.png", "two.png"]
    assert len(open_dataset(f"{tmp_path}/**/*.png")) == 3


class Endless:
    """A folder of ever more names, as some file systems have them; counts what was read."""

    def __init__(self, deep: bool):
        self.read, self._deep = 0, deep

    def __call__(self, _: str) -> Iterator[os.DirEntry[str]]:
        while True:
            self.read += 1
            yield Entry(f"{self.read}.png", self._deep)  # type: ignore[misc]
            if self._deep:
                return


class Entry:
    def __init__(self, name: str, folder: bool):
        self.name, self._folder = name, folder

    def is_symlink(self) -> bool:
        return False

    def is_dir(self) -> bool:
        return self._folder

    def is_file(self) -> bool:
        return not self._folder


@pytest.mark.parametrize("deep", [False, True])
def test_an_endless_folder_is_listed_in_slices(
    deep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png")
    endless = Endless(deep)
    monkeypatch.setattr(listing, "entries_of", endless)
    steps = open_dataset_steps(tmp_path)
    before = 0
    for _ in range(20):
        next(steps)
        assert endless.read - before <= 1000
        before = endless.read
    assert endless.read > (10 if deep else 5000)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
    monkeypatch.setattr(listing, "_MOST_NAMES", 200)
    with pytest.raises(DatasetError, match=r"more than 200 files and folders .* nearer"):
        open_dataset(tmp_path)


def test_a_large_flat_folder_takes_many_steps(tmp_path: Path) -> None:
    for i in range(2100):
        (tmp_path / f"{i}.png").touch()
    steps = open_dataset_steps(tmp_path)
    assert sum(1 for _ in steps) >= 5
    assert len(open_dataset(tmp_path)) == 2100


# ------------------------------------------------------------------ patterns


@pytest.fixture
def album(tmp_path: Path) -> Path:
    write(
        *(tmp_path / "album" / name for name in ("b.jpg", "a.jpg", "c.png")),
        tmp_path / "album" / "cat" / "d.jpg",
        tmp_path / "album" / "cat" / "deep" / "e.jpg",
        tmp_path / "album" / "dog" / "f.jpg",
        tmp_path / "album" / "@eaDir" / "x.jpg",
    )
    return tmp_path / "album"


@pytest.mark.parametrize(
    ("pattern", "found", "labels"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"], ["", ""]),
        ("?.png", ["c.png"], [""]),
        ("*", ["a.jpg", "b.jpg", "c.png"], [""] * 3),
        ("*/*.jpg", ["d.jpg", "f.jpg"], ["cat", "dog"]),
        ("cat/*.jpg", ["d.jpg"], [""]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "d.jpg", "e.jpg", "f.jpg"], ["", "", "cat", "cat", "dog"]),
        ("**", ["a.jpg", "b.jpg", "c.png", "d.jpg", "e.jpg", "f.jpg"], None),
        ("[ab].jpg", ["a.jpg", "b.jpg"], ["", ""]),
    ],
)
@pytest.mark.parametrize("form", [str, Path])
def test_patterns(album: Path, form: type, pattern: str, found: list[str], labels: object) -> None:
    photos = open_dataset(form(album / pattern))
    assert names(photos) == found
    if labels is not None:
        assert [photos.label(i) for i in range(len(photos))] == labels
    assert photos.load(0).size == (40, 30)


def test_a_relative_pattern(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    photos = open_dataset("*.jpg")
    assert [photos.path(i) for i in range(2)] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("*.gif", r"no photo matches .*\*\*"), ("nothing/*.jpg", "there is no folder")],
)
def test_patterns_that_match_nothing(album: Path, pattern: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(str(album / pattern))


def test_a_folder_named_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "set[1]" / "a.png")
    assert names(open_dataset(tmp_path / "set[1]")) == ["a.png"]
