"""Speed and memory of the model: `python benchmarks/model_speed.py [--threads N] [--device cuda]`.

Per configuration, mode and resolution: reading the inputs, one flow step with 1, 2 and 3 guidance
branches, a whole answer, words per second, peak memory; against the plain implementation where
that is bearable. Weights are random: speed does not depend on them. Writes
benchmarks/results/model_speed_<device>.json. Every configuration runs in a process of its own, so
that peak memory is its own too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from machine import commit, processor_name
from model_subjects import CPU, CUDA, Subject
from plain_bagel import PlainBagel
from torch import Tensor

from ipt_model.inference.context import Context
from ipt_model.inference.flow import FlowSettings, OnStep, draw
from ipt_model.inference.guided import GuidedContexts
from ipt_model.network.config import BagelConfig
from ipt_model.network.model import BagelModel
from ipt_model.network.vae import LatentCodec
from ipt_model.weights.checkpoint import load_model

RESULTS = Path(__file__).parent / "results"
GOLDEN = Path(__file__).parents[1] / "tests" / "data" / "bagel_tiny"
#: Dense bfloat16 peak, FLOP per second, by a part of the device's name.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
QUESTION = 60  # words of a question
ANSWER = 24  # words of a reply


class Bench:
    """One configuration with random weights on one device."""

    def __init__(self, subject: Subject, device: str) -> None:
        self.subject, self.device = subject, torch.device(device)
        self.config = BagelConfig(**subject.config)
        dtype = getattr(torch, subject.dtype)
        with torch.device("meta"):
            model, codec = BagelModel(self.config), LatentCodec(self.config)
        self.model = model.to(dtype).to_empty(device=device).eval()
        self.codec = codec.to(dtype).to_empty(device=device).eval()
        torch.manual_seed(0)
        with torch.no_grad():
            for module in (self.model, self.codec):
                for p in module.parameters():
                    p.normal_(std=0.02) if p.ndim > 1 else p.fill_(1.0)
        if subject.quantization:
            from ipt_model.weights.quantize import quantize

            quantize(self.model, subject.quantization, self.device)  # type: ignore[arg-type]

    def seconds(self, work: Callable[[], Any], least: int = 3, budget_s: float = 4.0) -> float:
        """Median time of one call, after one to warm up."""
        times: list[float] = []
        work()
        begin = time.perf_counter()
        while len(times) < least or (time.perf_counter() - begin < budget_s and len(times) < 15):
            start = self.clock()
            work()
            times.append(self.clock() - start)
        return statistics.median(times)

    def clock(self) -> float:
        """Seconds now, once the device is done: see `clock_name`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        wall = clock_name(self.device.type) == "wall"
        return time.perf_counter() if wall else time.process_time()

    def picture(self, side: int, stride: int) -> Tensor:
        side = max(stride, side // stride * stride)
        return torch.randint(0, 256, (side, side, 3), dtype=torch.uint8, device=self.device)

    def words(self, count: int) -> list[int]:
        return [4 + i % (self.config.llm.vocab - 4) for i in range(count)]

    # -- what is measured
    def side(self, side: int) -> dict[str, Any]:
        """Everything at one resolution."""
        config, model, codec = self.config, self.model, self.codec
        vae_picture = self.picture(side, config.latent_stride)
        vit_picture = self.picture(min(side, 980), config.vit.patch)
        latents = codec.encode(vae_picture)
        question = self.words(QUESTION)

        def looked() -> Context:
            return Context(model).add_vit(vit_picture).add_text(question)

        def guided() -> GuidedContexts:
            return GuidedContexts(model).add_picture(latents, vit_picture).add_text(question)

        answering, drawing = looked(), guided()
        out: dict[str, Any] = {
            "side_px": side,
            "context_tokens": {"answer": answering.tokens, "imagine": drawing.main.tokens},
            "encode_s": self.seconds(lambda: codec.encode(vae_picture)),
            "prefill_s": {"answer": self.seconds(looked), "imagine": self.seconds(guided)},
        }
        write_s = self.seconds(lambda: answering.write(ANSWER, -1))
        out["words_per_s"] = ANSWER / write_s
        out["answer_total_s"] = out["prefill_s"]["answer"] + write_s
        out["flow"] = [self.flow(drawing, side, branches) for branches in (1, 2, 3)]
        grid = codec.grid(self.draw(drawing, side, FlowSettings(points=2)), side, side)[0]
        out["decode_s"] = self.seconds(lambda: codec.decode(grid))

        def again() -> None:
            main = drawing.main.fork().add_latents(grid).add_vit(vit_picture)
            main.write(ANSWER, -1)

        out["look_again_and_answer_s"] = self.seconds(again)
        for entry in out["flow"]:
            entry["totals"] = [
                {
                    "points": points,
                    "draw_s": entry["step_s"] * (points - 1),
                    "imagine_total_s": out["encode_s"]
                    + out["prefill_s"]["imagine"]
                    + entry["step_s"] * (points - 1)
                    + out["decode_s"]
                    + out["look_again_and_answer_s"],
                }
                for points in self.subject.points
            ]
        if self.subject.plain:
            out["plain"] = self.against_plain(answering, drawing, latents, vit_picture, side)
        return out

    def draw(
        self,
        contexts: GuidedContexts,
        side: int,
        settings: FlowSettings,
        on_step: OnStep | None = None,
    ) -> Tensor:
        three = contexts.main, contexts.cfg_text, contexts.cfg_img
        record = self.device.type == "cuda" and self.subject.quantization is None
        return draw(self.model, *three, side, side, settings, on_step=on_step, record=record)

    def settings(self, branches: int, points: int) -> FlowSettings:
        scales = {1: (1.0, 1.0), 2: (4.0, 1.0), 3: (4.0, 2.0)}[branches]
        return FlowSettings(points=points, text_scale=scales[0], image_scale=scales[1])

    def flow(self, contexts: GuidedContexts, side: int, branches: int) -> dict[str, Any]:
        """One flow step: the median time between two steps of a drawing."""
        times: list[float] = []
        for _ in range(3):
            ends: list[float] = []
            settings = self.settings(branches, 6)
            self.draw(contexts, side, settings, lambda *_, ends=ends: ends.append(self.clock()))
            times += [b - a for a, b in itertools.pairwise(ends)]
        step = statistics.median(times)
        entry: dict[str, Any] = {"branches": branches, "step_s": step, "steps_per_s": 1 / step}
        flop = self.step_flop(contexts, side, branches)
        entry["flop_per_step"] = flop
        entry["flop_per_s"] = flop / step
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name()
            peak = next((p for part, p in PEAKS.items() if part in name), None)
            entry["mfu"] = None if peak is None else flop / step / peak
        return entry

    def step_flop(self, contexts: GuidedContexts, side: int, branches: int) -> float:
        """Multiply-adds count two; linear layers of the expert each token uses, and attention."""
        llm = self.config.llm
        drawn = (side // self.config.latent_stride) ** 2
        heads, kv = llm.heads * llm.head_dim, llm.kv_heads * llm.head_dim
        layer = llm.hidden * (2 * heads + 2 * kv + 3 * llm.mlp)
        total = 0.0
        for context in (contexts.main, contexts.cfg_text, contexts.cfg_img)[:branches]:
            query = drawn + 2
            attention = 2 * heads * query * (context.tokens + query)
            total += 2 * llm.layers * (query * layer + attention)
        return total

    def against_plain(
        self,
        answering: Context,
        drawing: GuidedContexts,
        latents: Tensor,
        vit_picture: Tensor,
        side: int,
    ) -> dict[str, Any]:
        """Both ways in turns, so that whatever else the machine does hits both alike."""
        plain = PlainBagel(self.config, self.model.state_dict())
        question = ("text", self.words(QUESTION))
        look, all_ = [("vit", vit_picture), question], [("vae", latents), ("vit", vit_picture)]
        columns = side // self.config.latent_stride
        noise = torch.randn(columns**2, self.config.latent_numbers)

        def plain_draw(points: int, branches: int) -> None:
            s = self.settings(branches, points)
            if branches == 1:
                x = noise
                for t in s.times()[:-1].tolist():
                    x = x - plain.velocity([*all_, question], x, columns, t) / points
                return
            plain.draw(
                [*all_, question], all_, [question], noise, columns, points, s.shift,
                s.text_scale, s.image_scale,
            )  # fmt: skip

        pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "words": (lambda: answering.write(ANSWER, -1), lambda: plain.greedy(look, ANSWER, -1)),
        }
        for branches in (1, 3):
            pairs[f"steps_{branches}_branches"] = (
                lambda b=branches: self.draw(drawing, side, self.settings(b, 5)),
                lambda b=branches: plain_draw(5, b),
            )
        out: dict[str, Any] = {}
        for name, (ours, theirs) in pairs.items():
            count = ANSWER if name == "words" else 4
            ratios, rates = [], []
            ours(), theirs()
            for _ in range(5):
                start = self.clock()
                ours()
                between = self.clock()
                theirs()
                a, b = between - start, self.clock() - between
                ratios.append(b / a)
                rates.append((count / a, count / b))
            out[name] = {
                "ours_per_s": statistics.median(r[0] for r in rates),
                "plain_per_s": statistics.median(r[1] for r in rates),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
            }
        return out

    def run(self) -> dict[str, Any]:
        parameters = sum(p.numel() for p in self.model.parameters())
        sides = [self.side(side) for side in self.subject.sides]
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated()
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {
            **{k: v for k, v in asdict(self.subject).items() if k != "config"},
            "llm": asdict(self.config.llm),
            "parameters": parameters,
            "vae_parameters": sum(p.numel() for p in self.codec.parameters()),
            "peak_memory_bytes": peak,
            "sides": sides,
        }


def clock_name(device: str) -> str:
    """On one CPU thread the time of this process, which other work on the machine does not
    change."""
    return "processor" if device == "cpu" and torch.get_num_threads() == 1 else "wall"


def skipping(folder: Path) -> list[dict[str, Any]]:
    """What skipped or fewer steps cost with these weights: distance to the full drawing."""
    model = load_model(folder)
    config, full = model.config, FlowSettings(points=50)
    side = min(config.max_latent_size, 4)
    generator = torch.Generator().manual_seed(0)
    shape = (config.vae.latent_channels, *2 * [side * config.latent_patch_size])
    latents = torch.randn(shape, generator=generator)
    words = [i % config.llm.vocab for i in range(5, 25)]
    contexts = GuidedContexts(model).add_picture(latents, None).add_text(words)
    noise = torch.randn(side * side, config.latent_numbers, generator=generator)
    exact: Tensor | None = None
    out = []
    for change in (
        {},
        {"points": 26},
        {"points": 17},
        *({"cache_every": n, "cache_order": order} for n in (2, 3, 4) for order in (0, 1, 2)),
    ):
        settings = replace(full, **change)
        px = side * config.latent_stride
        drawn = draw(
            model,
            contexts.main,
            contexts.cfg_text,
            contexts.cfg_img,
            px,
            px,
            settings,
            noise=noise,
        )
        exact = drawn if exact is None else exact
        error = float((drawn - exact).norm() / exact.norm())
        runs = sum(settings.computed())
        out.append({**change, "model_runs": runs, "of": full.steps, "relative_l2": error})
    return out


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "clock": clock_name(device),
        "load_average": os.getloadavg()[0],
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "commit": commit(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--weights", type=Path, default=GOLDEN, help="to measure skipped steps")
    parser.add_argument("--only", help="run this configuration alone and print its JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    subjects = CUDA if options.device == "cuda" else CPU
    if options.only:
        (subject,) = (s for s in subjects if s.name == options.only)
        with torch.no_grad():
            print(json.dumps(Bench(subject, options.device).run()))
        return
    data: dict[str, Any] = {"machine": machine(options.device), "subjects": []}
    for subject in subjects:
        command = [sys.executable, __file__, "--only", subject.name]
        command += ["--device", options.device, "--threads", str(options.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            data["subjects"].append({"name": subject.name, "failed": done.returncode})
            continue
        data["subjects"].append(json.loads(done.stdout))
        report(data["subjects"][-1])
    data["skipping"] = skipping(options.weights)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"model_speed_{options.device}.json"
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"wrote {path}")


def report(result: dict[str, Any]) -> None:
    """A line per resolution for whoever watches."""
    for side in result["sides"]:
        steps = ", ".join(f"{e['branches']}: {e['steps_per_s']:.1f}" for e in side["flow"])
        line = f"{result['name']:>8} {side['side_px']:>5} px  {side['words_per_s']:.0f} words/s"
        line += f"  steps/s by branches {steps}"
        for name, value in side.get("plain", {}).items():
            line += f"  {name} x{value['ratio']:.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
