"""Every kind of data set and of image file; each bad input gives its stated error."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset, IterableDataset, Subset

from neuron_widget.errors import DatasetError
from neuron_widget.photos.decode import square
from neuron_widget.photos.files import open_photo
from neuron_widget.scanning.datasets import open_dataset
from neuron_widget.scanning.loading import load_batches

RED = (250, 10, 20)


def write(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


class Photos(Dataset):
    """A torch data set of ten grey levels, in a form the test chooses."""

    classes = ("even", "odd")

    def __init__(self, form: str):
        self.form = form

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int):
        level = 20 * i
        match self.form:
            case "pil":
                return Image.new("RGB", (30, 20), (level,) * 3)
            case "pair":
                return Image.new("L", (30, 20), level), i % 2
            case "float":
                return torch.full((3, 20, 30), level / 255), i % 2
            case "uint8":
                return torch.full((3, 20, 30), level, dtype=torch.uint8), torch.tensor(i % 2)
            case "grey":
                return torch.full((1, 20, 30), level / 255)
            case "array":
                return np.full((20, 30, 3), level, np.uint8), i % 2
            case "dict":
                return {"image": torch.full((3, 20, 30), level / 255), "label": i % 2}
            case "normalised":
                return torch.full((3, 20, 30), level / 255 * 4 - 2)
            case "text":
                return "no image", i % 2
        raise AssertionError(self.form)


# ------------------------------------------------------------------ folders


def test_flat_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", ".hidden.png", "notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            write(tmp_path / name)
    photos = open_dataset(tmp_path)
    assert [Path(photos.path(i)).name for i in range(len(photos))] == ["a.jpg", "b.png"]
    assert photos.label(0) == ""
    assert photos.name == tmp_path.name


def test_nested_folders_give_labels(tmp_path: Path) -> None:
    write(tmp_path / "cat" / "deep" / "1.png")
    write(tmp_path / "dog" / "2.PNG")
    write(tmp_path / "loose.png")
    (tmp_path / "cat" / "round").symlink_to(tmp_path)
    photos = open_dataset(str(tmp_path))
    assert {photos.label(i) for i in range(len(photos))} == {"cat", "dog", ""}
    assert len(photos) == 3


@pytest.mark.parametrize("called", ["val", "valid", "validation", "test", "Val"])
@pytest.mark.parametrize("asked", ["val", "valid", "test"])
def test_split_names(tmp_path: Path, called: str, asked: str) -> None:
    write(tmp_path / "train" / "cat" / "1.png")
    write(tmp_path / called / "dog" / "2.png")
    photos = open_dataset(tmp_path, split=asked)
    assert photos.label(0) == "dog"
    assert photos.name == f"{tmp_path.name}/{called}"
    assert open_dataset(tmp_path).label(0) == "cat"


def test_split_folder_itself(tmp_path: Path) -> None:
    write(tmp_path / "val" / "cat" / "1.png")
    assert open_dataset(tmp_path / "val").name == f"{tmp_path.name}/val"


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        write(tmp_path / name / "1.png")
    photos = open_dataset(tmp_path)
    assert [photos.label(i) for i in range(3)] == ["bus", "car", "train"]


def test_wordnet_numbers_become_names(tmp_path: Path) -> None:
    write(tmp_path / "n01443537" / "1.png")
    write(tmp_path / "n99999999" / "2.png")
    photos = open_dataset(tmp_path)
    assert [photos.label(0), photos.label(1)] == ["goldfish", "n99999999"]


def test_fingerprint_follows_content(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    before = open_dataset(tmp_path).fingerprint
    assert open_dataset(tmp_path).fingerprint == before
    write(tmp_path / "b.png")
    assert open_dataset(tmp_path).fingerprint != before


# ------------------------------------------------------------------ kinds of files


def _save(path: Path, mode: str) -> None:
    red = Image.new("RGB", (40, 30), RED)
    match mode:
        case "RGBA":
            red.putalpha(0)
            red.save(path)
        case "LA":
            Image.merge("LA", (Image.new("L", (40, 30), 9), Image.new("L", (40, 30), 0))).save(path)
        case "P transparent":
            palette = red.convert("P")
            palette.save(path, transparency=palette.getpixel((0, 0)))
        case "I;16":
            Image.fromarray(np.full((30, 40), 128 * 257, np.uint16)).save(path)
        case "I":
            Image.fromarray(np.full((30, 40), 128 * 257, np.int32)).save(path)
        case "F":
            Image.fromarray(np.full((30, 40), 128 / 255, np.float32)).save(path)
        case _:
            red.convert(mode).save(path, **({"quality": 100} if path.suffix == ".jpg" else {}))


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("RGB", ".png", RED),
        ("L", ".png", (82, 82, 82)),
        ("1", ".png", (255, 255, 255)),
        ("CMYK", ".jpg", RED),
        ("P", ".png", RED),
        ("RGBA", ".png", (255, 255, 255)),
        ("LA", ".png", (255, 255, 255)),
        ("P transparent", ".png", (255, 255, 255)),
        ("I;16", ".png", (128, 128, 128)),
        ("I", ".tif", (128, 128, 128)),
        ("F", ".tif", (128, 128, 128)),
        ("P", ".gif", RED),
        ("RGB", ".webp", RED),
    ],
)
def test_kinds_of_images(tmp_path: Path, mode: str, suffix: str, expected: tuple[int, ...]) -> None:
    _save(tmp_path / f"x{suffix}", mode)
    photo = open_dataset(tmp_path).load(0)
    assert (photo.mode, photo.size) == ("RGB", (40, 30))
    assert np.asarray(photo)[15, 20].tolist() == pytest.approx(
        expected, abs=30 if mode in "1P" else 6
    )


def test_exif_rotation(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 30), RED)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_dataset(tmp_path).load(0).size == (30, 40)


TEXT, SIGNED, RATIO = 2, 9, 5
ODD_TAGS = {
    "XResolution as text": struct.pack("<HHI4s", 0x11A, TEXT, 3, b"72\0\0"),
    "ImageWidth as text": struct.pack("<HHI4s", 0x100, TEXT, 3, b"60\0\0"),
    "ImageLength below zero": struct.pack("<HHIi", 0x101, SIGNED, 1, -1),
    "Make as a ratio": struct.pack("<HHII", 0x10F, RATIO, 1, 8),
}


@pytest.mark.parametrize("tag", ODD_TAGS)
@pytest.mark.parametrize("turned", [1, 3, 6])
def test_a_photo_with_an_odd_tag_is_turned_as_any_other(tag: str, turned: int) -> None:
    """As it is by Pillow without that tag."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).resize((120, 80)).save(file, "JPEG")
    plain = file.getvalue()

    def photo(*tags: bytes) -> io.BytesIO:
        entries = struct.pack("<H", len(tags)) + b"".join(sorted(tags)) + bytes(4)
        exif = b"Exif\0\0II*\0\x08\0\0\0" + entries
        length = struct.pack(">H", len(exif) + 2)
        return io.BytesIO(plain[:2] + b"\xff\xe1" + length + exif + plain[2:])

    turn = struct.pack("<HHIHH", 0x112, 3, 1, turned, 0)
    expected = ImageOps.exif_transpose(Image.open(photo(turn)))
    found = open_photo(photo(turn, ODD_TAGS[tag]), "IMG_1.jpg")
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_a_photo_that_is_given_is_another_object_than_what_is_seen() -> None:
    given = Image.new("RGB", (40, 30), RED)
    open_dataset([given]).load(0).putpixel((0, 0), (1, 2, 3))
    assert given.getpixel((0, 0)) == RED


def test_square_is_torchvisions() -> None:
    from torchvision import transforms

    noise = np.random.default_rng(0).integers(0, 255, (300, 411, 3), np.uint8)
    image = Image.fromarray(noise)
    expected = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)
    assert np.array_equal(np.asarray(square(image, 224)), np.asarray(expected))
    assert square(image, 299).size == (299, 299)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (90, 90), (60, 480), (900, 100), (33, 5)])
def test_square_of_ordinary_shapes_is_as_ever(size: tuple[int, int]) -> None:
    from torchvision.transforms import functional

    noise = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise)
    whole = functional.center_crop(functional.resize(image, [256]), [224, 224])
    difference = np.abs(np.asarray(square(image, 224), int) - np.asarray(whole, int))
    within = 0 if max(size) <= 8 * min(size) else 8  # a quarter of a pixel's shift
    assert difference.max() <= within


@pytest.mark.parametrize("size", [(8000, 1), (1, 8000), (3, 20_001)])
def test_a_long_thin_photo_is_not_resized_whole(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    resized: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watch(image: Image.Image, to: tuple[int, int], *how: object, **named: object):
        resized.append(to)
        return resize(image, to, *how, **named)

    monkeypatch.setattr(Image.Image, "resize", watch)
    image = Image.new("RGB", size, "black")
    image.paste(RED, tuple(side // 2 - 20 for side in size) + tuple(s // 2 + 20 for s in size))
    assert np.asarray(square(image, 224))[112, 112].tolist() == list(RED)
    assert max(resized[0]) <= 256 * 12


# ------------------------------------------------------------------ other sources


@pytest.mark.parametrize("form", ["pil", "pair", "float", "uint8", "grey", "array", "dict"])
def test_torch_datasets(form: str) -> None:
    photos = open_dataset(Photos(form))
    assert len(photos) == 10
    assert photos.load(3).size == (30, 20)
    assert np.asarray(photos.load(3))[0, 0].tolist() == [60, 60, 60]
    assert photos.label(3) == ("" if form in ("pil", "grey") else "odd")
    assert photos.path(3) == "Photos[3]"


@pytest.mark.parametrize(("form", "says"), [("normalised", "Normalize"), ("text", "PIL image")])
def test_torch_items_that_are_no_photos(form: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(Photos(form)).load(0)


def test_torchvision_folder_and_subset(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    write(tmp_path / "cat" / "1.png")
    path = write(tmp_path / "dog" / "2.png")
    photos = open_dataset(Subset(ImageFolder(str(tmp_path)), [1]))
    assert (len(photos), photos.label(0), photos.path(0)) == (1, "dog", str(path))


def test_hugging_face_dataset() -> None:
    datasets = pytest.importorskip("datasets")
    images = [Image.new("RGB", (30, 20), (20 * i,) * 3) for i in range(4)]
    features = datasets.Features(
        {"photo": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    table = datasets.Dataset.from_dict({"photo": images, "label": [0, 1, 0, 1]}, features=features)
    photos = open_dataset(table)
    assert (len(photos), photos.label(1)) == (4, "dog")
    assert np.asarray(photos.load(2))[0, 0].tolist() == [40, 40, 40]
    assert photos.fingerprint == open_dataset(table).fingerprint
    raw = open_dataset(table.cast_column("photo", datasets.Image(decode=False)))
    assert raw.load(2).size == (30, 20)
    by_split = datasets.DatasetDict({"train": table, "test": table.select([3])})
    assert len(open_dataset(by_split, split="val")) == 1
    with pytest.raises(DatasetError, match="no image column"):
        open_dataset(table.remove_columns("photo"))


def test_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    photos = open_dataset([str(path), path, Image.new("L", (9, 9), 7)])
    assert [photos.load(i).mode for i in range(3)] == ["RGB"] * 3
    assert [photos.path(i) for i in range(3)] == [str(path), str(path), "list[2]"]


ITEMS = [
    lambda level: {"image": torch.full((3, 20, 30), level / 255), "labels": "odd"},
    lambda level: (Image.new("RGB", (30, 20), (level,) * 3), "odd"),
    lambda level: [np.full((20, 30, 3), level, np.uint8), "odd"],
    lambda level: np.full((20, 30, 3), level, np.uint8),
    lambda level: torch.full((3, 20, 30), level, dtype=torch.uint8),
]


@pytest.mark.parametrize("item", ITEMS, ids=["dict", "tuple", "list", "array", "tensor"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_lists_of_items(item, kind: type) -> None:
    """The ways out that the errors name: a list of a torch or Hugging Face data set's items."""
    made = [item(20 * i) for i in range(4)]
    photos = open_dataset(kind(made))
    assert np.asarray(photos.load(3))[0, 0].tolist() == [60, 60, 60]
    labelled = isinstance(made[0], dict | tuple | list)
    assert (photos.label(3), photos.path(3)) == ("odd" if labelled else "", f"{kind.__name__}[3]")


@pytest.mark.parametrize(
    "typed",
    ["{}", "  {} ", '"{}"', "'{}'", " '{} ' ", "file://{}", '"file://{}"'],
)
def test_paths_as_people_type_them(tmp_path: Path, typed: str) -> None:
    write(tmp_path / "my photos" / "1.png")
    folder = str(tmp_path / "my photos")
    url = folder.replace(" ", "%20") if "file:" in typed else folder
    assert open_dataset(typed.format(url)).name == "my photos"


def test_samples_need_no_download() -> None:
    photos = open_dataset("samples")
    assert 200 <= len(photos) <= 500
    labels = {photos.label(i) for i in range(len(photos))}
    assert {"astronaut", "cat", "coffee", "rocket"} <= labels
    crop = photos.load(len(photos) - 1)
    assert crop.mode == "RGB"
    assert crop.width == crop.height >= 90


@pytest.mark.parametrize("kind", ["samples", "list", "torch"])
def test_pickled_copies_are_the_same(kind: str) -> None:
    opened = {"samples": "samples", "list": [Image.new("RGB", (9, 9))], "torch": Photos("pair")}
    photos = open_dataset(opened[kind])
    photos.load(0)
    copy = pickle.loads(pickle.dumps(photos))
    assert copy.fingerprint == photos.fingerprint
    assert np.array_equal(np.asarray(copy.load(0)), np.asarray(photos.load(0)))


def test_open_dataset_takes_an_open_one() -> None:
    photos = open_dataset("samples")
    assert open_dataset(photos) is photos


# ------------------------------------------------------------------ bad inputs


class Endless(IterableDataset):
    def __iter__(self):
        return iter(())


def _only_train(folder: Path) -> Path:
    write(folder / "train" / "1.png")
    return folder


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder, "no image in .* Give the folder"),
        (lambda folder: folder / "photoz", "did you mean .*photos"),
        (lambda folder: folder / "nothing" / "below", "there is no 'nothing'"),
        (lambda folder: write(folder / "x.png"), r"is a file.* its folder, '.*', or .*list"),
        (lambda _: r"C:\photos\mine", r"no folder 'C:\\photos\\mine'"),
        (lambda _: "imagenete", "did you mean 'imagenette'"),
        (lambda _: 7, "cannot read int 7"),
        (lambda _: None, "cannot read NoneType"),
        (lambda _: Image.new("RGB", (9, 9)), r"\[image\]"),
        (lambda _: [], "empty"),
        (lambda _: ["a.png", 3], "item 1 .* int"),
        (lambda _: Endless(), "no length"),
        (lambda _: {}, "empty"),
    ],
)
def test_bad_inputs(tmp_path: Path, make, says: str) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DatasetError, match=says):
        open_dataset(make(tmp_path))


def test_missing_split_says_which_exist(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no split 'val' .* it has 'train'"):
        open_dataset(_only_train(tmp_path), split="val")


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"split must be .* got None"):
        open_dataset(write(tmp_path / "a.png").parent, split=None)
    for workers, error in ((-1, ValueError), (True, TypeError)):
        with pytest.raises(error, match="workers must be"):
            next(load_batches(open_dataset(tmp_path), [0], 32, 1, workers))


def test_imagenette_is_not_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=r"0\.3 GB.*download=True"):
        open_dataset("imagenette")


def test_imagenette_at_hand_has_readable_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data" / "imagenette2-320" / "train" / "n02102040" / "1.JPEG")
    photos = open_dataset("imagenette")
    assert (photos.name, photos.label(0)) == ("imagenette/train", "English springer")
