"""How far pictures predict neurons, layer by layer: the figures, and a sheet to look at.

    NEURON_WIDGET_TEST_DATA=... python benchmarks/predictability.py --store S --sheet sheet.jpg

Photos, scans, images and vectors are kept in the store: a second run takes seconds. Times are of
the processor, of one thread: they hold beside other work.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from neuron_widget import load_model, open_dataset, predictability, stability
from neuron_widget.analysis.embedding import Embedding, embed_steps
from neuron_widget.analysis.judging import Judge
from neuron_widget.analysis.observers import open_observer
from neuron_widget.analysis.predicting import Predictability
from neuron_widget.scanning import ImageDataset, ScanResult
from neuron_widget.scanning.pairs import DEPTH, QUESTIONS, REFERENCES, source_of
from neuron_widget.scanning.tables import Ranks
from neuron_widget.store import Store
from neuron_widget.store.reuse import render_steps, scan_steps

LAYERS = ("conv2d2", "mixed3b", "mixed4a", "mixed4d", "mixed5b")


def drain(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def mean(found: Predictability, condition: str, neurons: list[int] | None = None) -> str:
    shares = found.share(condition)
    if neurons is not None:
        shares = shares[neurons]
    return f"{100 * np.nanmean(shares):6.1f}" if np.isfinite(shares).any() else "     -"


def row(name: str, found: Predictability) -> None:
    if found.reason:
        print(f"{name:<22} {found.reason}")
        return
    share = found.share()
    tenth, median = np.nanquantile(share, [0.1, 0.5])
    print(
        f"{name:<22}{np.isfinite(share).sum():5d}"
        + "".join(mean(found, c) for c in ("photos", "most", "photo"))
        + f"{100 * np.nanmin(share):6.1f}{100 * tenth:6.1f}{100 * median:6.1f}"
        f"{found.reliability():7.2f}{int(np.median(found.pairs())):7d}",
        flush=True,
    )


def knows_nothing(scan: ScanResult, embedding: Embedding) -> None:
    """Random vectors, and scores given to other photos."""
    numbers = np.random.default_rng(0)
    photos = len(scan._photos)
    ranks = scan.tables.ranked("top"), scan.tables.ranked("bottom")
    noise = Embedding(
        embedding.index, numbers.normal(size=embedding.vectors.shape).astype(np.float32)
    )
    order = np.stack([numbers.permutation(photos) for _ in scan.mean])
    shuffled = [Ranks(np.take_along_axis(order, r.index, 1), r.score) for r in ranks]
    for name, seen, sides in (
        ("random vectors", noise, ranks),
        ("shuffled scores", embedding, shuffled),
    ):
        judge = _judge(seen, sides[0], sides[1], scan._photos)
        told = [judge.answers(n).shares["photos"].share for n in range(len(scan.mean))]
        print(f"{name:<22}{100 * np.mean(told):11.1f}", flush=True)


def _judge(
    seen: Embedding, top: Ranks, bottom: Ranks, photos: ImageDataset, parts: tuple[int, ...] = ()
) -> Judge:
    return Judge(
        seen,
        top,
        bottom,
        source_of(photos),
        photos=len(photos),
        references=REFERENCES,
        questions=QUESTIONS,
        parts=parts,
    )


def dictionary(
    scan: ScanResult,
    embedding: Embedding,
    parts: tuple[int, ...],
    latents: int,
    seed: int,
) -> None:
    """The same questions about the latents of a non-negative factorisation of the layer."""
    from sklearn.decomposition import MiniBatchNMF

    maps = []
    for batch, found in scan.activations(range(len(scan._photos))):
        assert not batch.skipped
        pooled = torch.nn.functional.adaptive_avg_pool2d(found, 7)
        maps.append(pooled.flatten(2).transpose(1, 2).cpu().numpy())  # (N, positions, C)
    values = np.concatenate(maps)
    photos, places, channels = values.shape
    flat = np.maximum(values.reshape(-1, channels), 0)
    chosen = np.random.default_rng(seed).permutation(len(flat))[:8000]
    fit = MiniBatchNMF(latents, random_state=seed, max_iter=100).fit(flat[chosen])
    scores = fit.transform(flat).reshape(photos, places, latents).mean(axis=1).T
    sides = []
    for sign in (-1, 1):
        order = np.argsort(sign * scores, axis=1, kind="stable")[:, :DEPTH]
        sides.append(Ranks(order, np.take_along_axis(scores, order, 1).astype(np.float32)))
    judge = _judge(embedding, sides[0], sides[1], scan._photos, parts)
    answers = [judge.answers(n) for n in range(latents)]
    share = np.array([a.shares["photos"].share for a in answers if a.shares])
    print(
        f"{scan.layer}, NMF of {latents}, seed {seed}: {len(share)} latents, mean "
        f"{100 * share.mean():.1f}, tenth {100 * np.quantile(share, 0.1):.1f}, "
        f"median {100 * np.median(share):.1f}",
        flush=True,
    )


def sheet(scan: ScanResult, found: Predictability, path: Path) -> None:
    """The eight best and worst predicted neurons with their photos, most left and least right."""
    share = found.share()
    order = np.argsort(-np.where(np.isfinite(share), share, -1), kind="stable")
    known = [int(n) for n in order if np.isfinite(share[n])]
    side, left = 72, 110
    page = Image.new("RGB", (left + 18 * side + 20, 16 * (side + 4)), "white")
    draw = ImageDraw.Draw(page)
    for line, neuron in enumerate([*known[:8], *known[-8:]]):
        y = line * (side + 4)
        draw.text((4, y + 20), f"neuron {neuron}\n{100 * share[neuron]:.1f} %", fill="black")
        for i, example in enumerate([*scan.top(neuron), *scan.bottom(neuron)]):
            tile = example.image().resize((side, side))
            page.paste(tile, (left + i * side + (20 if i >= 9 else 0), y))
    page.save(path, quality=88)
    print(f"best {known[:8]}, worst {known[-8:]}: {path}")


def pick(scan: ScanResult, neurons: int) -> list[int]:
    """So many neurons, drawn among those that fire."""
    alive = [n for n in range(len(scan.mean)) if n not in scan.dead]
    chosen: list[int] = np.random.default_rng(0).permutation(alive)[:neurons].tolist()
    return chosen


def cost(scan: ScanResult) -> None:
    """Processor seconds of a layer whose photos no observer has seen."""
    with tempfile.TemporaryDirectory() as folder:
        open_observer(None, scan._model)
        begin = time.process_time()
        predictability(scan, store=folder, progress=False)
        first = time.process_time() - begin
        begin = time.process_time()
        predictability(scan, store=folder, progress=False)
        print(
            f"{scan.layer}: {first:.1f} s of one processor, {time.process_time() - begin:.1f} s "
            "when the photos have been seen (another layer)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("NEURON_WIDGET_TEST_DATA"))
    parser.add_argument("--store", default="predictability-store")
    parser.add_argument("--layers", nargs="*", default=list(LAYERS))
    parser.add_argument("--neurons", type=int, default=12)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs=3, default=[0, 1, 2])
    parser.add_argument("--latents", type=int, default=64)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data, store = Path(asked.data), Store(asked.store)
    model = load_model(weights=data / "weights" / "inceptionv1_google2015.pth")
    photos = {split: open_dataset(data / "photos", split=split) for split in ("train", "val")}
    both = [d.path(i) for d in photos.values() for i in range(len(d))]
    photos["both"] = open_dataset(both)
    scans: dict[tuple[str, str], ScanResult] = {}
    print("right answers, %           neurons  9+9     9     1 least tenth median halves pairs")
    for layer in asked.layers:
        for name, dataset in photos.items():
            scans[layer, name] = drain(scan_steps(store, model, layer, dataset))
            row(f"{layer}, {name}", predictability(scans[layer, name], store=store, progress=False))
    main_layer = "mixed4a" if "mixed4a" in asked.layers else asked.layers[0]
    scan = scans[main_layer, "train"]
    observer, _ = open_observer(None, model)
    parts = getattr(observer, "parts", ())
    seen = drain(embed_steps(observer, scan._photos, range(len(scan._photos)), store))
    knows_nothing(scan, seen)
    for seed in asked.seeds[:2]:
        dictionary(scan, seen, parts, asked.latents, seed)
    if asked.sheet:
        sheet(scan, predictability(scan, store=store, progress=False), asked.sheet)
    cost(scan)
    print(f"\nthe same {asked.neurons} neurons of each layer: photos, one photo, one image")
    how = {"steps": asked.steps, "size": asked.size}
    for layer in asked.layers:
        scan = scans[layer, "train"]
        chosen = pick(scan, asked.neurons)
        for seed in asked.seeds[:2]:
            images = drain(render_steps(store, model, layer, chosen, seed=seed, **how))
            found = predictability(scan, rendered=images, store=store, progress=False)
            print(
                f"{layer:<10} seed {seed}"
                + "".join(f"  {c} {mean(found, c, chosen)}" for c in ("photos", "photo"))
                + "".join(f"  {c} {mean(found, c, chosen)}" for c in ("image", "both")),
                flush=True,
            )
    for layer in asked.layers:
        chosen = pick(scans[layer, "train"], asked.neurons)
        told = stability(
            model, layer, chosen, seeds=asked.seeds, store=store, progress=False, **how
        )
        print(f"{layer:<10} pictures of three seeds told apart: {100 * told.share.mean():.1f} %")


if __name__ == "__main__":
    main()
