"""Which of the images made for a class would another network recognise?

    NEURON_WIDGET_TEST_DATA=... python benchmarks/natural.py [--quick] [--classes 50] [--steps 256]
                                [--pictures FOLDER] [--sheet sheet.jpg] [--results FILE]

Classes of InceptionV1 (fixed, spread over all; known by the same name to both networks) are
rendered at 224 px with each parameterisation, and by torch-lucent with its own settings (its
Fourier images, its transforms, Adam at 0.05). EfficientNet-Lite0, which never saw InceptionV1, says
what they are. With ``--pictures`` the images are kept, and a run goes on where one was stopped.

A vision transformer (of DINOv2's kind) is asked too: it lays a picture beside photos of a hundred
classes, one of them of the picture's own, by the class token of its last block.

Four facets of a channel of mixed4a (``--facets``): how much they differ, which is 1 minus the mean
cosine of their Gram matrices, and how much of the single picture's activation they keep, for
several weights of the likeness; torch-lucent's with its own ``diversity``.

A step's time is the processor's, of one thread, by turns and the least of several: it holds beside
other work. Every step is one image of 224 px for the network, so the ratio is what the
parameterisation and its augmentations cost.

``--sheet`` puts classes and channels of mixed5b into one picture, a row a parameterisation.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from report import Goal, machine, results, show_goals, test_data, test_weights
from torch import Tensor
from torch.nn.functional import normalize
from torchvision.transforms.functional import center_crop, resize, to_tensor

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render, render_steps
from neuron_widget.rendering.lucent_engine import RightLRN, lucent_module, lucents
from neuron_widget.settings import RENDER
from neuron_widget.targets import parse

SIZE = 224
FORMS = tuple(choice.name for choice in RENDER["param"].choices)
LUCENT = "lucent"
TRANSFORMER = "vit_small_patch14_dinov2"
FACETS = (68, 97, 257, 427, 486, 501)
CHANNELS = tuple(f"mixed5b:{n}" for n in range(5, 1024, 113))


def same_classes(model: VisionModel, judge: VisionModel, count: int) -> list[tuple[str, int]]:
    """Targets, and the judge's class of the same name."""
    ours, theirs = model.layer("logits").names, judge.layer("logits").names
    known = [
        (f"logits:{i}", theirs.index(name))
        for i, name in enumerate(ours)
        if name and ours.count(name) == theirs.count(name) == 1
    ]
    return [known[i * len(known) // count] for i in range(count)]


def lucents_own(model: VisionModel, target: str, steps: int) -> NDArray[np.float32]:
    """An image ``(H, W, 3)`` of torch-lucent's ``render_vis`` as it is called by default."""
    param, objectives = lucents("optvis.param"), lucents("optvis.objectives")
    what = parse(target)
    layer = {"logits": "softmax2_pre_activation_matmul"}.get(what.layer, what.layer)
    torch.manual_seed(what.neuron)
    np.random.seed(what.neuron)  # lucent draws from it
    with warnings.catch_warnings(), RightLRN():
        warnings.simplefilter("ignore")
        images = lucents("optvis.render").render_vis(
            # It needs no gradients of weights, which it would compute.
            copy.deepcopy(lucent_module(model)).requires_grad_(False),
            objectives.channel(layer, what.neuron),
            param_f=lambda: param.image(SIZE),
            transforms=[*lucents("optvis.transform").standard_transforms, model.preprocess],
            preprocess=False,
            thresholds=(steps,),
            progress=False,
            show_image=False,
        )
    return images[0][0]


class Pictures:
    """Images in a folder, made when they are asked for."""

    def __init__(self, model: VisionModel, folder: Path, steps: int):
        self.model, self.folder, self.steps = model, folder, steps
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, form: str, target: str) -> Path:
        """Where an image is, or will be."""
        name = target.replace(":", "_")
        return self.folder / f"{form}_{name}_{self.steps}.png"

    def make(self, form: str, targets: Iterable[str]) -> None:
        """Make those that are not there."""
        missing = [target for target in targets if not self.file(form, target).is_file()]
        if form == LUCENT:
            for target in missing:
                pixels = lucents_own(self.model, target, self.steps)
                levels = (pixels * 255).round().clip(0, 255).astype(np.uint8)
                Image.fromarray(levels).save(self.file(form, target))
            return
        for i in range(0, len(missing), 4):
            some = missing[i : i + 4]
            made = render(self.model, some, steps=self.steps, size=SIZE, param=form, progress=False)
            for k, target in enumerate(some):
                made.to_pil(k).save(self.file(form, target))

    def get(self, form: str, target: str) -> Image.Image:
        """An image that was made."""
        with Image.open(self.file(form, target)) as opened:
            return opened.convert("RGB")


def ranks(judge: VisionModel, images: list[Image.Image], classes: list[int]) -> list[int]:
    """At which place the judge names the class of each image; 1 is the first."""
    found = []
    with torch.inference_mode(), judge.reading("logits") as read:
        for image, wanted in zip(images, classes, strict=True):
            pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
            outputs = read(pixels.float()).flatten()
            found.append(int((outputs > outputs[wanted]).sum()) + 1)
    return found


def places_among_photos(images: list[Image.Image], outputs: list[int]) -> list[int]:
    """At which place a transformer finds the photo of each image's class among 100; 1 is the first.

    ``outputs`` are InceptionV1's; images whose class has no photo are left out.
    """
    weights = test_data("weights", f"{TRANSFORMER}.safetensors")
    labels = Path(str(test_data("weights", "labels_1008.txt"))).read_text().splitlines()
    files = {f.parent.name: f for f in sorted(Path(str(test_data("photos"))).glob("*/*/*"))}
    asked = [(image, labels[i].split()[0]) for image, i in zip(images, outputs, strict=True)]
    asked = [(image, name) for image, name in asked if name in files]
    own = [name for _, name in asked]
    # The others are spread over all classes.
    rest = [name for name in files if name not in own]
    names = own + [rest[i * len(rest) // (100 - len(own))] for i in range(100 - len(own))]
    model = load_model(f"timm/{TRANSFORMER}", weights=weights, device="cpu")
    read = model.reader("blocks.11.cls")

    def token(image: Image.Image) -> Tensor:
        pixels = to_tensor(resize(center_crop(image, min(image.size)), [SIZE, SIZE]))
        return normalize(read(pixels[None]).flatten(), dim=0)

    with torch.inference_mode():
        photos = torch.stack([token(Image.open(files[name]).convert("RGB")) for name in names])
        found = []
        for i, (image, _) in enumerate(asked):
            likeness = photos @ token(image)
            found.append(int((likeness > likeness[i]).sum()) + 1)
    return found


def differ(images: NDArray[np.float32], model: VisionModel) -> float:
    """1 minus the mean cosine of the Gram matrices of mixed4a, over all pairs of images."""
    with torch.inference_mode():
        flat = model.reader("mixed4a")(torch.from_numpy(images).permute(0, 3, 1, 2)).flatten(2)
        grams = normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
        likeness = grams @ grams.T
    n = len(images)
    return 1 - float((likeness.sum() - n) / (n * (n - 1)))


def kept(images: NDArray[np.float32], model: VisionModel, neuron: int, alone: float) -> float:
    """Mean clean activation of images, as a share of that of the single picture."""
    with torch.inference_mode():
        maps = model.reader("mixed4a")(torch.from_numpy(images).permute(0, 3, 1, 2))
    return float(maps[:, neuron].mean()) / alone


def show_facets(model: VisionModel, neurons: tuple[int, ...], steps: int) -> None:
    """A table: weights of the likeness, how much four facets differ and keep."""
    how = {"steps": steps, "size": 128, "progress": False}
    print(f"\nfour facets of mixed4a {neurons}, {steps} steps, 128 px: differ (keep)")
    alone = {n: float(render(model, f"mixed4a:{n}", **how).activation[0]) for n in neurons}
    rows: dict[str, list[tuple[float, float]]] = {}
    for weight in (0, 30, 100, 300, 1000):
        text = f" - {weight}*diversity(mixed4a)" if weight else ""
        for n in neurons:
            made = render(model, f"mixed4a:{n}{text} [4 images]", **how).images
            seen = differ(made, model), kept(made, model, n, alone[n])
            rows.setdefault(f"ours, {weight}", []).append(seen)
    for share in (0.25, 0.5, 1):  # as the widget's facets are made: 0.5
        for n in neurons:
            text = f"apart(mixed4a:{n}, mixed4a, {share}) [4 images]"
            made = render(model, text, **how).images
            seen = differ(made, model), kept(made, model, n, alone[n])
            rows.setdefault(f"apart, {share}", []).append(seen)
    for weight in (0, 30, 100, 300, 1000):
        for n in neurons:
            made = lucents_facets(model, n, weight, steps)
            seen = differ(made, model), kept(made, model, n, alone[n])
            rows.setdefault(f"lucent, {weight}", []).append(seen)
    for name, found in rows.items():
        mean = np.mean(found, axis=0)
        each = "  ".join(f"{d:.2f} ({k:.2f})" for d, k in found)
        print(f"{name:<14}{mean[0]:6.2f} ({mean[1]:.2f})    {each}", flush=True)


def lucents_facets(
    model: VisionModel, neuron: int, weight: float, steps: int
) -> NDArray[np.float32]:
    """Four images ``(4, H, W, 3)`` of torch-lucent, made to differ by its ``diversity``."""
    param, objectives = lucents("optvis.param"), lucents("optvis.objectives")
    torch.manual_seed(neuron)
    np.random.seed(neuron)  # lucent draws from it
    what = objectives.channel("mixed4a", neuron)
    if weight:
        what = what - weight * objectives.diversity("mixed4a")
    with warnings.catch_warnings(), RightLRN():
        warnings.simplefilter("ignore")
        images = lucents("optvis.render").render_vis(
            copy.deepcopy(lucent_module(model)).requires_grad_(False),
            what,
            param_f=lambda: param.image(128, batch=4),
            transforms=[*lucents("optvis.transform").standard_transforms, model.preprocess],
            preprocess=False,
            thresholds=(steps,),
            progress=False,
            show_image=False,
        )
    return images[0]


def seconds_a_step(model: VisionModel, rounds: int, steps: int) -> dict[str, float]:
    """Processor seconds of a step of one image, by parameterisation; one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        works = {}
        for form in FORMS:
            work = render_steps(model, "mixed4a:68", steps=100_000, size=SIZE, param=form)
            for _ in range(18):  # past those with redirected ReLU
                next(work)
            works[form] = work
        least = dict.fromkeys(FORMS, float("inf"))
        for _ in range(rounds):
            for form, work in works.items():
                start = time.process_time()
                for _ in range(steps):
                    next(work)
                least[form] = min(least[form], (time.process_time() - start) / steps)
        return least
    finally:
        torch.set_num_threads(threads)


def sheet(pictures: Pictures, forms: Iterable[str], targets: list[str], file: Path) -> None:
    """A row a form, a column a target."""
    side, head, forms = SIZE, 22, list(forms)
    canvas = Image.new("RGB", (side * len(targets), (side + head) * len(forms)), "white")
    draw = ImageDraw.Draw(canvas)
    for row, form in enumerate(forms):
        pictures.make(form, targets)
        for column, target in enumerate(targets):
            at = (column * side, row * (side + head))
            what = parse(target)
            called = pictures.model.layer(what.layer).names
            name = called[what.neuron] if called else target
            draw.text((at[0] + 4, at[1] + 4), f"{form}: {name}"[:36], fill="black")
            canvas.paste(pictures.get(form, target), (at[0], at[1] + head))
    canvas.save(file, quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="6 classes, 64 steps")
    parser.add_argument("--classes", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--forms", nargs="+", default=[LUCENT, *FORMS])
    parser.add_argument("--pictures", type=Path, help="a folder that keeps the images")
    parser.add_argument("--sheet", type=Path, help="a picture of pictures")
    parser.add_argument("--facets", type=int, nargs="*", help="channels of mixed4a; alone")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    args = parser.parse_args()
    count = args.classes or (6 if args.quick else 50)
    steps = args.steps or (64 if args.quick else 256)
    weights = test_weights()
    if weights is None:
        print("No trained InceptionV1: NEURON_WIDGET_TEST_DATA names no folder with weights.")
        return
    model = load_model("inceptionv1", weights=weights, device="cpu")
    judge = load_model("efficientnet_lite0", device="cpu")
    with results(args.results, f"Classes that another network knows{', quick' * args.quick}"):
        print(machine(model.device))
        if args.facets is not None:
            show_facets(model, tuple(args.facets) or FACETS, steps)
            return
        classes = same_classes(model, judge, count)
        targets, wanted = [t for t, _ in classes], [c for _, c in classes]
        print(f"{count} classes of {model.title}, {steps} steps, {SIZE} px, read by {judge.title}")
        print(f"\n{'made of':<12}{'top 1':>8}{'top 5':>8}{'median rank':>14}")
        top5 = {}
        with tempfile.TemporaryDirectory() as folder:
            pictures = Pictures(model, args.pictures or Path(folder), steps)
            for form in args.forms:
                pictures.make(form, targets)
                found = ranks(judge, [pictures.get(form, t) for t in targets], wanted)
                top1 = np.mean([rank <= 1 for rank in found])
                top5[form] = float(np.mean([rank <= 5 for rank in found]))
                print(f"{form:<12}{top1:8.0%}{top5[form]:8.0%}{np.median(found):14.0f}", flush=True)
            print(f"\n{TRANSFORMER}: place of the class's own photo among 100")
            print(f"{'made of':<12}{'first':>8}{'first 5':>8}{'median':>14}")
            for form in args.forms:
                outputs = [parse(t).neuron for t in targets]
                found = places_among_photos([pictures.get(form, t) for t in targets], outputs)
                first, five = (np.mean([place <= k for place in found]) for k in (1, 5))
                line = f"{form:<12}{first:8.0%}{five:8.0%}{np.median(found):14.0f}"
                print(f"{line}  ({len(found)} classes)", flush=True)
            if args.sheet is not None:
                some = targets[:: max(1, count // 10)][:10]
                sheet(pictures, args.forms, [*some, *CHANNELS], args.sheet)
        goals = []
        ours = {form: share for form, share in top5.items() if form != LUCENT}
        if ours:
            goals.append(Goal("top 5, the best form of ours", max(ours.values()), 0.9, 1, ".2f"))
        if ours and top5.get(LUCENT):
            ratio = max(ours.values()) / top5[LUCENT]
            goals.append(Goal("top 5, ours / torch-lucent's", ratio, 1.3, 1.5, ".2f"))
        if not args.no_times:
            quick = args.quick
            least = seconds_a_step(model, 3 if quick else 9, 4 if quick else 8)
            print("\nms a step, processor time of one thread, mixed4a, batch 1")
            for form, seconds in least.items():
                print(f"{form:<12}{seconds * 1e3:8.1f}")
            ratio = least["maco"] / least["fourier"]
            goals.append(Goal("a MACO step / a Fourier step", ratio, 1.15, 1.05, ".2f"))
        show_goals(goals)


if __name__ == "__main__":
    main()
