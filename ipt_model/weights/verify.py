"""`python -m ipt_model.weights.verify FOLDER`: run every case of a parity folder, and say how far
we are from it.

A parity folder is a checkpoint in the released layout with `cases.json` and `cases.safetensors`:
inputs, and the numbers the reference implementation gave for them in float32. Exit 0 when all
cases pass, 1 when any fails, 2 when the folder cannot be used. Holds for any dimensions the
folder's configuration names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..inference.context import Context
from ..inference.flow import FlowSettings, draw
from ..network.config import ConfigError
from ..network.packing import LatentSegment, Sample, TextSegment, VitSegment, pack
from ..network.transforms import fit_size
from .checkpoint import load_codec, load_model
from .tensors import CheckpointError, TensorEntry, read_header

#: Largest relative error, max|got - expected| / max|expected|.
TOLERANCE = 2e-5
DRAWN_TOLERANCE = 5e-5
GRADIENT_TOLERANCE = 1e-4
#: 8-bit pictures: share of values that may be off, by one level.
EDGE_VALUES = 1e-3


@dataclass(frozen=True)
class Result:
    """One comparison. error: relative, or the number of differing entries where equality is asked
    for."""

    case: str
    error: float
    tolerance: float
    passed: bool
    note: str = ""


class FixtureError(ValueError):
    """The parity folder is not usable; the message says what is missing or malformed."""


class Cases:
    """cases.json with its tensors: `cases[name]` reads a tensor by the name the JSON gives."""

    def __init__(self, folder: Path) -> None:
        path = folder / "cases.json"
        try:
            self.json: dict[str, Any] = json.loads(path.read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise FixtureError(f"{path}: expected the cases as JSON, {error}") from error
        self.entries: dict[str, TensorEntry] = read_header(folder / "cases.safetensors")

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.entries:
            raise FixtureError(f"cases.json names the tensor {name!r}, cases.safetensors has none")
        return self.entries[name].read()


def close(case: str, got: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> Result:
    """Relative error of a float tensor."""
    if got.shape != expected.shape:
        note = f"got {tuple(got.shape)}, expected {tuple(expected.shape)}"
        return Result(case, float("inf"), tolerance, False, note)
    if not expected.numel():
        return Result(case, 0.0, tolerance, True)
    scale = expected.abs().max().clamp_min(1e-30)
    error = float((got.double() - expected.double()).abs().max() / scale)
    return Result(case, error, tolerance, error <= tolerance)


def same(case: str, got: Any, expected: Any) -> Result:
    """Equality of ids, masks or positions."""
    got, expected = torch.as_tensor(got).long(), torch.as_tensor(expected).long()
    if got.shape != expected.shape:
        note = f"got {tuple(got.shape)}, expected {tuple(expected.shape)}"
        return Result(case, float("inf"), 0, False, note)
    wrong = int((got != expected).sum())
    return Result(case, wrong, 0, wrong == 0, f"{wrong} of {got.numel()} differ" if wrong else "")


def same_picture(case: str, got: Tensor, expected: Tensor) -> Result:
    """8-bit pictures: equal but for rare values one level off."""
    if got.shape != expected.shape:
        return Result(case, float("inf"), EDGE_VALUES, False, f"shape {tuple(got.shape)}")
    off = (got.int() - expected.int()).abs()
    share = float((off > 0).float().mean())
    allowed = max(EDGE_VALUES, 1.0 / off.numel())
    passed = int(off.max()) <= 1 and share <= allowed
    return Result(case, share, allowed, passed, f"largest difference {int(off.max())} levels")


class Verifier:
    """The model and codec of one parity folder, and a check for every kind of case."""

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FixtureError(f"{folder}: expected a parity folder, found no such folder")
        self.cases = Cases(self.folder)
        self.device = device
        self.model = load_model(self.folder, device, torch.float32)
        self.codec = load_codec(self.folder, self.model.config, device, torch.float32)
        self.checks: dict[str, Callable[[Any], Iterator[Result]]] = {
            "vit": self.vit,
            "time": self.time,
            "vae": self.vae,
            "train": self.train,
            "greedy": self.greedy,
            "generate": self.generate,
            "turn": self.turn,
            "decode": self.decode,
            "resize_sizes": self.resize_sizes,
        }

    def run(self) -> Iterator[Result]:
        """Every case; a kind this program does not know counts as failed."""
        for kind, case in self.cases.json.items():
            if kind not in self.checks:
                yield Result(kind, float("nan"), 0, False, "no check for this kind of case")
                continue
            try:
                yield from self.checks[kind](case)
            except (KeyError, TypeError) as error:
                raise FixtureError(f"cases.json: {kind} is malformed, {error!r}") from error

    def tensor(self, name: str) -> Tensor:
        return self.cases[name].to(self.device)

    # -- parts
    @torch.no_grad()
    def vit(self, case: dict[str, Any]) -> Iterator[Result]:
        from ..network.embeddings import grid_ids
        from ..network.vision import patches

        pixels, shape = self.tensor(case["pixels"]), self.model.config.vit
        rows, columns = pixels.shape[0] // shape.patch, pixels.shape[1] // shape.patch
        ids = grid_ids(rows, columns, shape.side)
        yield same("vit.position_ids", ids, self.cases[case["position_ids"]])
        x = patches(pixels[None], shape.patch, torch.float32)
        features = self.model.vit_model(x, ids.to(self.device), rows)[0]
        yield close("vit.features", features, self.tensor(case["features"]))
        yield close("vit.tokens", self.model.look(pixels[None])[0], self.tensor(case["tokens"]))

    @torch.no_grad()
    def time(self, case: dict[str, Any]) -> Iterator[Result]:
        got = self.model.time_embedder(self.tensor(case["t"]))
        yield close("time.embed", got, self.tensor(case["embed"]))

    def vae(self, case: dict[str, Any]) -> Iterator[Result]:
        mean = self.codec.encode(self.tensor(case["pixels"]))
        yield close("vae.mean", mean, self.tensor(case["mean"]))
        decoded = self.codec.decode(self.tensor(case["latent_in"]))
        yield close("vae.decoded", decoded, self.tensor(case["decoded"]))

    def decode(self, case: dict[str, Any]) -> Iterator[Result]:
        got = self.codec.picture(self.tensor(case["latents"]), case["height"], case["width"])
        yield same_picture("decode", got, self.tensor(case["image"]))

    def resize_sizes(self, case: dict[str, Any]) -> Iterator[Result]:
        for rule in ("vae", "vit"):
            columns = case["columns"]
            expected, got = [], []
            for row in case["rows"]:
                entry = dict(zip(columns, row, strict=True))
                expected.append([entry[f"{rule}_width"], entry[f"{rule}_height"]])
                settings = case[f"{rule}_transform"]
                got.append(list(fit_size(entry["width"], entry["height"], **settings)))
            yield same(f"resize_sizes.{rule}", got, expected)

    # -- training
    def train(self, case: dict[str, Any]) -> Iterator[Result]:
        batch = pack([self.sample(s["segments"]) for s in case["samples"]], self.model.config)
        batch = batch.to(self.device)
        for i, sample in enumerate(case["samples"]):
            yield same(f"train.{sample['name']}.length", batch.lengths[i], sample["length"])
            mask = batch.sample_mask(i)
            yield same(f"train.{sample['name']}.mask", mask, self.tensor(sample["mask"]))
        yield same("train.position_ids", batch.rope_ids(), self.tensor(case["position_ids"]))
        yield same("train.is_gen", batch.is_gen(), self.tensor(case["is_gen"]))
        with torch.no_grad():
            last = self.model(batch, hidden=True).last_hidden
        yield close("train.last_hidden", last, self.tensor(case["last_hidden"]))
        self.model.zero_grad()
        out = self.model(batch)
        for name in ("ce_positions", "ce_labels", "mse_positions"):
            yield same(f"train.{name}", out[name], self.tensor(case[name]))
        for name in ("ce", "mse"):
            yield close(f"train.{name}", out[name].detach(), self.tensor(case[name]))
        loss = out.ce.mean() + out.mse.mean()
        for name, value in (
            ("ce_mean", out.ce.mean()),
            ("mse_mean", out.mse.mean()),
            ("loss_total", loss),
        ):
            yield close(f"train.{name}", value.detach().cpu(), torch.tensor(case[name]))
        loss.backward()
        yield from self.gradients(case)
        self.model.zero_grad()

    def gradients(self, case: dict[str, Any]) -> Iterator[Result]:
        """Norms of all gradients and the first entries of some.

        Where the true gradient is zero (a key bias of the ViT) what both sides hold is rounding:
        below 1e-5 of the largest norm the difference is taken relative to that largest norm.
        """
        of = dict(self.model.named_parameters())
        names = case["grad_norms"]["names"]
        unknown = [n for n in (*names, *case["gradients"]) if n not in of or of[n].grad is None]
        if unknown:
            yield Result("train.grad_norms", float("nan"), 0, False, f"no gradient: {unknown[:3]}")
            return
        expected = self.tensor(case["grad_norms"]["tensor"])
        got = torch.stack([of[n].grad.norm() for n in names])  # type: ignore[union-attr]
        scale = torch.where(expected < 1e-5 * expected.max(), expected.max(), expected)
        relative = (got - expected).abs() / scale
        worst, error = int(relative.argmax()), float(relative.max())
        ok = error <= GRADIENT_TOLERANCE
        note = f"{len(names)} parameters, worst {names[worst]}"
        yield Result("train.grad_norms", error, GRADIENT_TOLERANCE, ok, note)
        for name, info in case["gradients"].items():
            grad = of[name].grad
            assert grad is not None
            first = torch.tensor(info["first8"])
            there = grad.flatten()[: len(first)].cpu()
            error = float((there - first).abs().max() / grad.abs().max())
            passed = error <= GRADIENT_TOLERANCE
            yield Result(f"train.gradients.{name}", error, GRADIENT_TOLERANCE, passed)

    def sample(self, segments: list[dict[str, Any]]) -> Sample:
        """Segments of a training sample as `pack` takes them."""
        out: list[Any] = []
        for s in segments:
            if s["type"] == "text":
                out.append(TextSegment(s["ids"], s["loss"]))
            elif s["type"] == "vit":
                out.append(VitSegment(self.cases[s["pixels"]]))
            elif s["type"] == "vae":
                noise = self.cases[s["noise"]] if s["loss"] else None
                t = s["t"] if s["loss"] else 0.0
                out.append(LatentSegment(self.latents(s).cpu(), noise, t))
            else:
                raise FixtureError(f"cases.json: unknown segment type {s['type']!r}")
        return out

    def latents(self, segment: dict[str, Any]) -> Tensor:
        """A picture's latents, as given or, where only pixels are, as the codec makes them."""
        if "latent" in segment:
            return self.tensor(segment["latent"])
        return self.codec.encode(self.tensor(segment["pixels"]))

    # -- inference
    def context(self, segments: list[dict[str, Any]]) -> Context:
        """Segments of a context, read in order."""
        context = Context(self.model)
        for s in segments:
            if s["type"] == "text":
                context.add_text(s["ids"])
            elif s["type"] == "vit":
                context.add_vit(self.tensor(s["pixels"]))
            elif s["type"] == "vae":
                context.add_latents(self.latents(s))
            else:
                raise FixtureError(f"cases.json: unknown segment type {s['type']!r}")
        return context

    def written(self, name: str, case: dict[str, Any]) -> Iterator[Result]:
        written = self.context(case["context"]).write(
            case["max_length"], case["end_token"], logits=True
        )
        yield same(f"{name}.ids", written.ids[0], case["ids"])
        if written.logits is not None:
            yield close(f"{name}.logits", written.logits[0], self.tensor(case["logits"]))

    def greedy(self, cases: list[dict[str, Any]]) -> Iterator[Result]:
        for case in cases:
            yield from self.written(f"greedy.{case['name']}", case)

    def drawn(self, case: dict[str, Any]) -> Tensor:
        settings = FlowSettings(
            points=case["points"],
            shift=case["shift"],
            text_scale=case["s_text"],
            image_scale=case["s_img"],
            interval=tuple(case["interval"]),
            renorm=case["renorm"],
            renorm_min=case["renorm_min"],
        )
        main, cfg_text, cfg_img = (
            self.context(case["contexts"][k]) for k in ("main", "cfg_text", "cfg_img")
        )
        noise = self.tensor(case["noise"])
        return draw(
            self.model,
            main,
            cfg_text,
            cfg_img,
            case["height"],
            case["width"],
            settings,
            noise=noise,
        )[0]

    def generate(self, cases: list[dict[str, Any]]) -> Iterator[Result]:
        for case in cases:
            got, expected = self.drawn(case), self.tensor(case["expected"])
            yield close(f"generate.{case['name']}", got, expected, DRAWN_TOLERANCE)

    def turn(self, cases: list[dict[str, Any]]) -> Iterator[Result]:
        for case in cases:
            name = f"turn.{case['name']}"
            if "think" in case:
                yield from self.written(f"{name}.think", case["think"])
            generate = case["generate"]
            got, expected = self.drawn(generate), self.tensor(generate["expected"])
            yield close(f"{name}.latents", got, expected, DRAWN_TOLERANCE)
            size = generate["height"], generate["width"]
            picture = self.codec.picture(expected, *size)
            yield same_picture(f"{name}.picture", picture, self.tensor(case["decoded_image"]))
            yield from self.reencoded(name, case)
            for kind in ("answer", "answer_latent_reuse"):
                if kind in case:
                    yield from self.written(f"{name}.{kind}", case[kind])

    def reencoded(self, name: str, case: dict[str, Any]) -> Iterator[Result]:
        """The drawn picture, back through 8 bits, as the latents it is read again with."""
        for s in case["answer"]["context"]:
            if s["type"] == "vae" and s.get("pixels") == case["decoded_image"]:
                latents = self.codec.encode(self.tensor(s["pixels"]))
                yield close(f"{name}.reencoded", latents, self.tensor(s["latent"]))


def table(results: list[Result]) -> str:
    """Aligned text, one line per case."""
    width = max(len(r.case) for r in results)
    lines = [f"{'case':<{width}}  {'error':>9}  {'allowed':>9}"]
    for r in results:
        verdict = "pass" if r.passed else "FAIL"
        note = f"  ({r.note})" if r.note else ""
        lines.append(f"{r.case:<{width}}  {r.error:>9.2e}  {r.tolerance:>9.1e}  {verdict}{note}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ipt_model.weights.verify", description=__doc__
    )
    parser.add_argument("folder", help="a parity folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args(arguments)
    try:
        results = list(Verifier(options.folder, options.device).run())
    except (FixtureError, CheckpointError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not results:
        print(f"error: {options.folder}: cases.json holds no case", file=sys.stderr)
        return 2
    print(table(results))
    failed = [r for r in results if not r.passed]
    print(f"\n{len(results) - len(failed)} of {len(results)} comparisons pass")
    if options.json:
        data = {"torch": torch.__version__, "results": [asdict(r) for r in results]}
        options.json.write_text(json.dumps(data, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
