"""A first hour with a GPU: `make gpu-check`, or `python benchmarks/gpu_check.py [--device cpu]`.

Parity with the reference's numbers, one question of each kind at the released shape with random
weights, recorded steps against plain ones, a flow step without waiting for the device, quantised
weights, memory beside what was derived and times beside the roofline. Every check stands alone:
one that fails or cannot run says why, and the others go on. Writes
benchmarks/results/gpu_check_<device>.json and prints a table for the docs. Without a CUDA device
it says so and ends with 0.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from machine import commit, processor_name
from model_speed import GOLDEN, PEAKS, RESULTS, Bench
from model_subjects import CPU, RELEASED, Subject

from ipt_model.inference.flow import FlowSettings, draw
from ipt_model.inference.guided import GuidedContexts
from ipt_model.weights.checkpoint import load_model
from ipt_model.weights.verify import Verifier

#: Weights of the released model by docs/model.md, GB, which measured memory stands beside.
DERIVED_GB = {"bfloat16": 29.4, "int8": 16.4, "int4": 10.7}
#: Largest relative error that bfloat16 may add to logits of the golden model.
BFLOAT16_ERROR = 0.05


class SkipCheck(Exception):
    """A check that this machine cannot run; the message says what is missing."""


@dataclass(frozen=True)
class Check:
    """One row of the report. status: ok, failed or skipped."""

    name: str
    status: str
    said: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)


#: What a check finds: whether it holds, in words, and figures.
Found = tuple[bool, str, dict[str, Any]]


def run_check(name: str, check: Callable[[], Found]) -> Check:
    """Run one, whatever it raises."""
    began = time.perf_counter()
    try:
        holds, said, figures = check()
        status = "ok" if holds else "failed"
    except SkipCheck as error:
        status, said, figures = "skipped", str(error), {}
    except Exception as error:
        status, said, figures = "failed", f"{type(error).__name__}: {error}", {}
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Check(name, status, said, round(time.perf_counter() - began, 2), figures)


class GpuCheck:
    """All checks of one shape on one device."""

    def __init__(self, device: str, subject: Subject) -> None:
        self.device, self.subject = torch.device(device), subject

    def all(self) -> list[Check]:
        checks: dict[str, Callable[[], Found]] = {
            "parity in float32": self.parity,
            "bfloat16 beside float32": self.bfloat16,
            "recorded steps equal plain ones": self.recorded,
            "no waiting inside a flow step": self.waiting,
            "a question of each kind": self.questions,
            "int8": lambda: self.quantised("int8"),
            "int4": lambda: self.quantised("int4"),
        }
        return [run_check(name, check) for name, check in checks.items()]

    def parity(self) -> Found:
        """Text, drawings and turns of the golden folder; products stay float32."""
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        results = list(Verifier(GOLDEN, str(self.device)).run())
        failed = [r.case for r in results if not r.passed]
        worst = max(r.error for r in results)
        said = f"{len(results) - len(failed)} of {len(results)} comparisons pass"
        return not failed, said, {"worst_error": worst, "failed": failed[:5]}

    def bfloat16(self) -> Found:
        """The same words read in both number formats."""
        rows = []
        for dtype in (torch.float32, torch.bfloat16):
            model = load_model(GOLDEN, self.device, dtype)
            contexts = GuidedContexts(model).add_text([5, 6, 7, 8])
            rows.append(contexts.main.logits_after([[5, 9, 10]])[0].float().cpu())
        error = float((rows[0] - rows[1]).norm() / rows[0].norm())
        return error < BFLOAT16_ERROR, f"logits differ by {100 * error:.2f} %", {"error": error}

    def recorded(self) -> Found:
        """The drawing with one recorded step (a CUDA graph on a GPU) and with every step run."""
        bench, contexts, side = self._drawing()
        drawn = [self._draw(bench, contexts, side, record) for record in (True, False)]
        error = float((drawn[0] - drawn[1]).abs().max() / drawn[1].abs().max().clamp_min(1e-9))
        how = "a CUDA graph" if self.device.type == "cuda" else "fixed tensors, without a graph"
        return error <= 1e-3, f"{how}: largest difference {error:.1e}", {"error": error}

    def waiting(self) -> Found:
        """A drawing in which torch refuses every wait of the host for the device."""
        if self.device.type != "cuda":
            raise SkipCheck("only a CUDA device can tell")
        bench, contexts, side = self._drawing()
        self._draw(bench, contexts, side, True)  # warms up, and may wait
        torch.cuda.set_sync_debug_mode("error")
        try:
            self._draw(bench, contexts, side, True)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return True, "the host never waits", {}

    def questions(self) -> Found:
        """Answered at once, and with a drawing, at the largest side; memory and roofline."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        bench = Bench(self.subject, str(self.device))
        weights = sum(p.numel() * p.element_size() for p in bench.model.parameters())
        out = bench.side(self.subject.sides[-1])
        guided = out["flow"][-1]
        figures: dict[str, Any] = {
            "side_px": out["side_px"],
            "answer_s": out["answer_total_s"],
            "imagine_s": guided["totals"][-1]["imagine_total_s"],
            "points": guided["totals"][-1]["points"],
            "step_s": guided["step_s"],
            "flop_per_s": guided["flop_per_s"],
            "weights_gb": weights / 1e9,
        }
        said = f"answer {figures['answer_s']:.2f} s, imagine {figures['imagine_s']:.2f} s"
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated() / 1e9
            name = torch.cuda.get_device_name()
            roof = next((p for part, p in PEAKS.items() if part in name), None)
            figures.update(peak_gb=peak, derived_gb=DERIVED_GB["bfloat16"], roof_flop_per_s=roof)
            said += f", peak {peak:.1f} GB beside {DERIVED_GB['bfloat16']} GB of weights derived"
            if roof:
                said += f", {100 * guided['flop_per_s'] / roof:.0f} % of the roofline in a step"
        return True, said, figures

    def quantised(self, scheme: str) -> Found:
        """Weights of the decoder in few bits: it loads, and a step runs."""
        package = {"int8": "torchao", "int4": "bitsandbytes"}[scheme]
        try:
            __import__(package)
        except ImportError as error:
            raise SkipCheck(f"{package} is not installed") from error
        subject = replace(self.subject, name=f"{self.subject.name}-{scheme}", quantization=scheme)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        bench, contexts, side = self._drawing(subject)
        drawn = self._draw(bench, contexts, side, False)
        figures: dict[str, Any] = {}
        said = "loads and draws"
        if self.device.type == "cuda":
            figures = {"gb": torch.cuda.memory_allocated() / 1e9, "derived_gb": DERIVED_GB[scheme]}
            said += f", {figures['gb']:.1f} GB beside {DERIVED_GB[scheme]} derived"
        return bool(drawn.isfinite().all()), said, figures

    def _drawing(self, subject: Subject | None = None) -> tuple[Bench, GuidedContexts, int]:
        """A model of random weights that has read a picture and a question."""
        bench = Bench(subject or self.subject, str(self.device))
        side = self.subject.sides[0]
        latents = bench.codec.encode(bench.picture(side, bench.config.latent_stride))
        contexts = GuidedContexts(bench.model).add_picture(
            latents, bench.picture(side, bench.config.vit.patch)
        )
        return bench, contexts.add_text(bench.words(20)), side

    def _draw(
        self, bench: Bench, contexts: GuidedContexts, side: int, record: bool
    ) -> torch.Tensor:
        settings = FlowSettings(points=6, text_scale=4.0, image_scale=2.0)
        three = contexts.main, contexts.cfg_text, contexts.cfg_img
        tokens = (side // bench.config.latent_stride) ** 2
        noise = torch.randn(
            tokens, bench.config.latent_numbers, generator=torch.Generator().manual_seed(0)
        )
        return draw(bench.model, *three, side, side, settings, noise=noise, record=record).float()


def table(checks: list[Check]) -> str:
    """Markdown, for the docs."""
    rows = [f"| {c.name} | {c.status} | {c.said} |" for c in checks]
    return "\n".join(["| check | | what was found |", "|---|---|---|", *rows])


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 when nothing failed, 1 when something did."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cpu: what needs no GPU, tiny")
    parser.add_argument("--shape", choices=("released", "tiny"), help="default: by the device")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("gpu-check: skipped, torch sees no CUDA device (--device cpu runs what needs none)")
        return 0
    kind = given.device.partition(":")[0]
    shape = given.shape or ("released" if kind == "cuda" else "tiny")
    checks = GpuCheck(given.device, RELEASED if shape == "released" else CPU[0]).all()
    result = {
        "device": torch.cuda.get_device_name() if kind == "cuda" else processor_name(),
        "torch": torch.__version__,
        "commit": commit(),
        "shape": shape,
        "checks": [asdict(check) for check in checks],
    }
    out = given.out or RESULTS / f"gpu_check_{kind}.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(checks))
    print(f"\n{out}")
    return int(any(check.status == "failed" for check in checks))


if __name__ == "__main__":
    raise SystemExit(main())
