"""The training step beside PyTorch's eager one: same model, parameters and batch, each side in a process of its own, turn by turn.

A turn is two steps of one side and then two of the other, so that what else the machine does meets both. Prints, for each workload and number of threads,
the median milliseconds of a step of both, the median of the turns' ratios with its quartiles (ours / PyTorch's; below 1 is faster), peak memory of both
and the greatest difference of any loss. PyTorch's model is the plain one, with its own fused operations where it has them (layer_norm, rms_norm, gelu,
silu); attention is written out as in textbooks unless --attention sdpa asks for its fused one.

On a GPU: `--engine webgpu --device cuda --threads 1` has PyTorch compute there too, in f32 as we do.

Use, from the repository's root after `npm run build`:
    /tmp/peers/bin/python test/peers/with-torch.py [--workloads small,big,llama-25m] [--threads 2,1] [--turns 15] [--engine traced] [--device cpu]
Exit status 1 when a loss differs by more than 1e-4 in the first 15 steps.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOSSES_WITHIN = 1e-4
LOSSES_COMPARED = 15


def train(folder, name, threads, attention, device):
    """PyTorch's side; speaks as steps.mjs does."""
    import numpy
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.set_default_device(device)
    workload = json.loads((folder / f"{name}.json").read_text())
    model, batch, adamw = workload["config"]["model"], workload["config"]["batch"], workload["adamw"]
    flat = numpy.fromfile(folder / f"{name}.params.bin", dtype=numpy.float32)
    w, at = {}, 0
    for key, shape in workload["specs"]:
        size = int(numpy.prod(shape))
        w[key] = torch.nn.Parameter(torch.from_numpy(flat[at : at + size].reshape(shape).copy()).to(device))
        at += size
    length, width, heads = model["context"], model["width"], model["heads"]
    inputs, targets = torch.from_numpy(
        numpy.fromfile(folder / f"{name}.batch.bin", dtype=numpy.int32).reshape(2, batch, length).astype(numpy.int64)
    ).to(device)
    ahead = torch.ones(length, length, dtype=torch.bool).triu(1)

    def attend(q, k, v):
        if attention == "sdpa":
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=k.shape[1] != heads)
        else:
            k, v = (x.repeat_interleave(heads // k.shape[1], 1) for x in (k, v))
            scores = (q @ k.transpose(-1, -2)) / (width // heads) ** 0.5
            out = scores.masked_fill(ahead, float("-inf")).softmax(-1) @ v
        return out.transpose(1, 2).reshape(batch, length, width)

    def split(x):
        return x.view(batch, length, -1, width // heads).transpose(1, 2)

    def gpt2():
        h = w["transformer.wte.weight"][inputs] + w["transformer.wpe.weight"]
        for i in range(model["layers"]):
            p = lambda name: w[f"transformer.h.{i}.{name}"]
            z = F.layer_norm(h, (width,), p("ln_1.weight"), p("ln_1.bias"))
            h = h + attend(*(split(x) for x in (z @ p("attn.c_attn.weight")).split(width, 2))) @ p("attn.c_proj.weight")
            z = F.layer_norm(h, (width,), p("ln_2.weight"), p("ln_2.bias"))
            h = h + F.gelu(z @ p("mlp.c_fc.weight"), approximate="tanh") @ p("mlp.c_proj.weight")
        return F.layer_norm(h, (width,), w["transformer.ln_f.weight"], w["transformer.ln_f.bias"])

    half = width // heads // 2
    turns = torch.outer(torch.arange(length, dtype=torch.float64), 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half))
    cosines, sines = torch.cat([turns, turns], 1).cos().float(), torch.cat([turns, turns], 1).sin().float()

    def turned(x):
        return x * cosines + torch.cat([-x[..., half:], x[..., :half]], -1) * sines

    def llama():
        h = w["model.embed_tokens.weight"][inputs]
        for i in range(model["layers"]):
            p = lambda name: w[f"model.layers.{i}.{name}.weight"]
            z = F.rms_norm(h, (width,), p("input_layernorm"), 1e-6)
            q, k, v = (split(F.linear(z, p(f"self_attn.{x}_proj"))) for x in "qkv")
            h = h + F.linear(attend(turned(q), turned(k), v), p("self_attn.o_proj"))
            z = F.rms_norm(h, (width,), p("post_attention_layernorm"), 1e-6)
            h = h + F.linear(F.silu(F.linear(z, p("mlp.gate_proj"))) * F.linear(z, p("mlp.up_proj")), p("mlp.down_proj"))
        return F.rms_norm(h, (width,), w["model.norm.weight"], 1e-6)

    hidden = {"gpt2": gpt2, "llama": llama}[model["family"]]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in w.values() if p.dim() > 1], "weight_decay": adamw["weightDecay"]},
            {"params": [p for p in w.values() if p.dim() == 1], "weight_decay": 0.0},
        ],
        lr=adamw["learningRate"],
        betas=(adamw["beta1"], adamw["beta2"]),
        eps=adamw["epsilon"],
    )
    print(json.dumps({"engine": f"torch-{torch.__version__}"}), flush=True)
    for line in sys.stdin:
        ms, losses = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            logits = F.linear(hidden(), w["lm_head.weight"])
            loss = F.cross_entropy(logits.view(-1, model["vocabulary"]), targets.reshape(-1))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            ms.append((time.perf_counter() - start) * 1e3)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"ms": ms, "losses": losses, "rssMB": peak}), flush=True)


class Side:
    """One of the two processes."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = self.answer()["engine"]
        self.losses = []
        self.rss = 0

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended")
        return json.loads(line)

    def steps(self, count):
        """Median milliseconds of so many steps."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.losses += answer["losses"]
        self.rss = answer["rssMB"]
        # PyTorch's threads spin for a while when they have nothing to do.
        time.sleep(0.3)
        return statistics.median(answer["ms"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(folder, name, threads, given):
    """Whether losses agree; prints the figures."""
    theirs = Side(sys.executable, __file__, "--torch", folder, name, "--attention", given.attention, "--threads", threads, "--device", given.device)
    ours = Side("node", "test/peers/steps.mjs", f"{folder}/{name}", threads, given.engine)
    for side in ours, theirs:
        side.steps(3)
    turns = []
    for turn in range(given.turns):
        first, second = (ours, theirs) if turn % 2 == 0 else (theirs, ours)
        ms = {first: first.steps(2), second: second.steps(2)}
        turns.append((ms[ours], ms[theirs]))
    for side in ours, theirs:
        side.close()
    lower, middle, upper = statistics.quantiles([mine / its for mine, its in turns], n=4)
    mine, its = (statistics.median(column) for column in zip(*turns))
    worst = max(abs(a - b) for a, b in list(zip(ours.losses, theirs.losses))[:LOSSES_COMPARED])
    print(
        f"{name}, {threads} threads: ratio {middle:.3f} (quartiles {lower:.3f} {upper:.3f}, {given.turns} turns); "
        f"{ours.name} {mine:.0f} ms, {theirs.name} {its:.0f} ms; memory {ours.rss} and {theirs.rss} MB; losses within {worst:.1e}",
        flush=True,
    )
    return worst <= LOSSES_WITHIN


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default="small,big,llama-25m")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--engine", default="traced")
    parser.add_argument("--attention", choices=["written", "sdpa"], default="written")
    parser.add_argument("--device", default="cpu", help="where PyTorch computes: cpu or cuda")
    parser.add_argument("--torch", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.torch:
        folder, name = given.torch
        return train(pathlib.Path(folder), name, int(given.threads), given.attention, given.device)
    agree = True
    with tempfile.TemporaryDirectory() as folder:
        for name in given.workloads.split(","):
            subprocess.run(["node", ROOT / "test/peers/workload.mjs", folder, name], check=True, cwd=ROOT)
            for threads in given.threads.split(","):
                agree = compare(folder, name, threads, given) and agree
    sys.exit(0 if agree else 1)


main()
