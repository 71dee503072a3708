#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Train Q35's demonstration model: a byte-level Llama on the King James Bible.

Needs Debian's python3-torch and bible-kjv; writes kjv.gguf (fp16 matrices, fp32 norms, laid out
as llama.cpp writes a llama model), heldout.txt (the chapters it never saw) and train.log.

    apt-get install --no-install-recommends python3-torch bible-kjv libopenblas0-pthread
    tools/model/train.py --minutes 60

The schedule follows the wall clock, so a slower machine trains fewer steps, not longer; the
weights are therefore not reproducible to the bit, but the log records what was done.
"""
import argparse
import ctypes
import math
import os
import re
import struct
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))

# Every matrix dimension is a multiple of 64. Token ids: <unk> <s> </s>, 256 bytes, the space.
DIM, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FF, CTX = 256, 6, 4, 2, 64, 640, 256
UNK, BOS, EOS, BYTE0, SPACE, VOCAB = 0, 1, 2, 3, 259, 320
EPS, ROPE_BASE = 1e-5, 10000.0
HELD_OUT_EVERY = 16  # every 16th chapter is held out


def read_bible():
    """[[verse, ...] per chapter], references stripped."""
    out = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], stdin=subprocess.DEVNULL, check=True,
                         capture_output=True, text=True, encoding="latin-1").stdout
    chapters, current = [], None
    for line in out.splitlines():
        m = re.match(r"(\S+?\d+):\d+ (.*)", line)
        if not m:
            continue
        if m.group(1) != current:
            current = m.group(1)
            chapters.append([])
        chapters[-1].append(m.group(2).strip())
    return chapters


def encode(text):
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.int64)
    return torch.from_numpy(np.where(data == 32, SPACE, data + BYTE0))


def chapter_text(chapters):
    return "\n".join("\n".join(verses) + "\n" for verses in chapters)


def rmsnorm(x, w):
    x = x.float()
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()

        def matrix(rows, cols, gain=1.0):
            return torch.nn.Parameter(torch.randn(rows, cols) * gain / math.sqrt(cols))

        p = {"token_embd": torch.nn.Parameter(torch.randn(VOCAB, DIM)),
             "output_norm": torch.nn.Parameter(torch.ones(DIM)),
             "output": matrix(VOCAB, DIM, 0.1)}
        for i in range(LAYERS):
            b = f"blk.{i}."
            p[b + "attn_norm"] = torch.nn.Parameter(torch.ones(DIM))
            p[b + "attn_q"] = matrix(HEADS * HEAD_DIM, DIM)
            p[b + "attn_k"] = matrix(KV_HEADS * HEAD_DIM, DIM)
            p[b + "attn_v"] = matrix(KV_HEADS * HEAD_DIM, DIM)
            p[b + "attn_output"] = matrix(DIM, HEADS * HEAD_DIM, 0.3)
            p[b + "ffn_norm"] = torch.nn.Parameter(torch.ones(DIM))
            p[b + "ffn_gate"] = matrix(FF, DIM)
            p[b + "ffn_up"] = matrix(FF, DIM)
            p[b + "ffn_down"] = matrix(DIM, FF, 0.3)
        self.p = torch.nn.ParameterDict({k.replace(".", "/"): v for k, v in p.items()})
        inv = ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        ang = torch.arange(CTX)[:, None] * inv
        self.cos, self.sin = ang.cos(), ang.sin()
        self.mask = torch.full((CTX, CTX), float("-inf")).triu(1).bfloat16()

    def __getitem__(self, name):
        return self.p[name.replace(".", "/")]

    def rope(self, x):  # [B, H, T, D]: llama.cpp's "normal" order rotates neighbours (2i, 2i+1)
        t = x.shape[2]
        a, b = x[..., 0::2].float(), x[..., 1::2].float()
        c, s = self.cos[:t], self.sin[:t]
        return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2).bfloat16()

    def forward(self, tokens):
        def mm(x, name):
            return F.linear(x.bfloat16(), self[name].bfloat16())

        batch, t = tokens.shape
        x = F.embedding(tokens, self["token_embd"])
        for i in range(LAYERS):
            b = f"blk.{i}."
            h = rmsnorm(x, self[b + "attn_norm"])
            q, k, v = (mm(h, b + n).view(batch, t, -1, HEAD_DIM).transpose(1, 2)
                       for n in ("attn_q", "attn_k", "attn_v"))
            q, k = self.rope(q), self.rope(k)
            k = k.repeat_interleave(HEADS // KV_HEADS, 1)
            v = v.repeat_interleave(HEADS // KV_HEADS, 1)
            s = (q / math.sqrt(HEAD_DIM)) @ k.transpose(-1, -2) + self.mask[:t, :t]
            y = (s.softmax(-1) @ v).transpose(1, 2).reshape(batch, t, -1)
            x = x + mm(y, b + "attn_output").float()
            h = rmsnorm(x, self[b + "ffn_norm"])
            g = F.silu(mm(h, b + "ffn_gate")) * mm(h, b + "ffn_up")
            x = x + mm(g, b + "ffn_down").float()
        return mm(rmsnorm(x, self["output_norm"]), "output").float()


def orthogonalize(g):
    """Newton-Schulz iteration of the Muon optimizer (Jordan et al., 2024)."""
    x = g.bfloat16() / (g.norm() + 1e-7)
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if flip else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.95, decay=0.1):
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalize(p.grad.lerp(m, group["momentum"]))
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


@torch.no_grad()
def perplexity(model, tokens):
    """Per byte, windows of CTX that each start with <s>; every byte is predicted once."""
    total, count = 0.0, 0
    step = CTX - 1
    for i in range(0, len(tokens), step * 8):
        rows = [tokens[j:j + step] for j in range(i, min(i + step * 8, len(tokens)), step)]
        for row in (torch.stack([r for r in rows if len(r) == step]) if len(rows[0]) == step else None,
                    *[r[None] for r in rows if len(r) < step]):
            if row is None:
                continue
            inp = torch.cat((torch.full((len(row), 1), BOS), row), 1)[:, :-1]
            total += F.cross_entropy(model(inp).flatten(0, 1), row.flatten(), reduction="sum").item()
            count += row.numel()
    return math.exp(total / count)


def write_gguf(path, model):
    """GGUF v3: magic, counts, key-values, tensor infos, data aligned to 32 bytes."""
    def string(s):
        s = s.encode() if isinstance(s, str) else s
        return struct.pack("<Q", len(s)) + s

    u32, f32, boolean, text, array = 4, 6, 7, 8, 9
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + ["\u2581"]
    tokens += [f"<unused{i}>" for i in range(VOCAB - len(tokens))]
    types = [2, 3, 3] + [6] * 256 + [1] + [5] * (VOCAB - 260)  # unknown, control, byte, normal, unused
    kv = []

    def put(key, kind, value):
        if kind == text:
            packed = string(value)
        elif kind == array:
            inner, values = value
            packed = struct.pack("<IQ", inner, len(values))
            packed += b"".join(string(v) if inner == text else struct.pack("<f" if inner == f32 else "<i", v)
                               for v in values)
        else:
            packed = struct.pack({u32: "<I", f32: "<f", boolean: "<?"}[kind], value)
        kv.append(string(key) + struct.pack("<I", kind) + packed)

    put("general.architecture", text, "llama")
    put("general.name", text, "Q35 KJV 4M")
    put("general.license", text, "mit")
    put("general.file_type", u32, 1)
    put("llama.vocab_size", u32, VOCAB)
    put("llama.context_length", u32, CTX)
    put("llama.embedding_length", u32, DIM)
    put("llama.block_count", u32, LAYERS)
    put("llama.feed_forward_length", u32, FF)
    put("llama.rope.dimension_count", u32, HEAD_DIM)
    put("llama.rope.freq_base", f32, ROPE_BASE)
    put("llama.attention.head_count", u32, HEADS)
    put("llama.attention.head_count_kv", u32, KV_HEADS)
    put("llama.attention.layer_norm_rms_epsilon", f32, EPS)
    put("tokenizer.ggml.model", text, "llama")
    put("tokenizer.ggml.tokens", array, (text, tokens))
    put("tokenizer.ggml.scores", array, (f32, [0.0] * VOCAB))
    put("tokenizer.ggml.token_type", array, (5, types))
    put("tokenizer.ggml.bos_token_id", u32, BOS)
    put("tokenizer.ggml.eos_token_id", u32, EOS)
    put("tokenizer.ggml.unknown_token_id", u32, UNK)
    put("tokenizer.ggml.add_bos_token", boolean, True)
    put("tokenizer.ggml.add_eos_token", boolean, False)
    put("tokenizer.ggml.add_space_prefix", boolean, False)

    infos, blobs, offset = [], [], 0
    for name, p in model.p.items():
        a = p.detach().numpy()
        a = a.astype(np.float32 if a.ndim == 1 else np.float16)
        infos.append(string(name.replace("/", ".") + ".weight") + struct.pack("<I", a.ndim) +
                     struct.pack(f"<{a.ndim}Q", *a.shape[::-1]) +
                     struct.pack("<IQ", 0 if a.ndim == 1 else 1, offset))
        blobs.append(a.tobytes() + bytes(-a.nbytes % 32))
        offset += len(blobs[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(kv)) + b"".join(kv) + b"".join(infos)
    with open(path + ".tmp", "wb") as f:
        f.write(head + bytes(-len(head) % 32) + b"".join(blobs))
    os.rename(path + ".tmp", path)


def read_weights(path, model):
    """Back from a file that write_gguf() wrote: the data stand at its end, in the model's order."""
    with open(path, "rb") as f:
        data = f.read()
    sizes = [p.numel() * (4 if p.ndim == 1 else 2) for p in model.p.values()]
    at = len(data) - sum(n + -n % 32 for n in sizes)
    for p, size in zip(model.p.values(), sizes):
        a = np.frombuffer(data, np.float32 if p.ndim == 1 else np.float16, p.numel(), at)
        p.data.copy_(torch.from_numpy(a.astype(np.float32)).view(p.shape))
        at += size + -size % 32


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--minutes", type=float, default=60)
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--batch", type=int, default=16, help=f"windows of {CTX} bytes a step")
    ap.add_argument("--out", default=HERE, help="folder to write to")
    ap.add_argument("--resume", action="store_true", help="go on from OUT/kjv.gguf, append to OUT/train.log")
    args = ap.parse_args()
    torch.manual_seed(36 if args.resume else 35)
    torch.set_num_threads(args.threads)
    ctypes.CDLL(None).mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD: keep freed tensors
    ctypes.CDLL(None).mallopt(-1, (1 << 31) - 1)  # mapped, else page faults take half of every step

    chapters = read_bible()
    held = chapters[HELD_OUT_EVERY - 1::HELD_OUT_EVERY]
    kept = [c for i, c in enumerate(chapters) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    train, test_text = encode(chapter_text(kept)), chapter_text(held)
    test = encode(test_text)
    with open(f"{args.out}/heldout.txt", "w") as f:
        f.write(test_text)
    starts = torch.cat((torch.zeros(1, dtype=torch.long), (train == 10 + BYTE0).nonzero()[:, 0] + 1))
    starts = starts[starts < len(train) - CTX]

    model = Model()
    if args.resume:
        read_weights(f"{args.out}/kjv.gguf", model)
    hidden = [p for k, p in model.p.items() if k.startswith("blk") and p.ndim == 2]
    rest = [p for k, p in model.p.items() if not (k.startswith("blk") and p.ndim == 2)]
    opts = [(Muon(hidden, 0.02), 0.02), (torch.optim.AdamW(rest, 3e-3, (0.9, 0.95), weight_decay=0.01), 3e-3)]

    with open(f"{args.out}/train.log", "a" if args.resume else "w", buffering=1) as log:
        def say(line):
            print(line, flush=True)
            log.write(line + "\n")

        say(f"{'resumed: ' if args.resume else ''}parameters {sum(p.numel() for p in model.p.values())}, train bytes {len(train)}, "
            f"held-out bytes {len(test)}, tokens a step {args.batch * CTX}, torch {torch.__version__}")
        began, step, mean, done = time.time(), 0, None, 0.0
        while done < 1:
            done = min(1, (time.time() - began) / (args.minutes * 60))
            scale = min(1, (step + 1) / 50) * min(1, (1 - done) / 0.5)  # warm up, hold, decay to 0
            for opt, lr in opts:
                opt.param_groups[0]["lr"] = lr * scale
            at = starts[torch.randint(len(starts), (args.batch,))]
            target = train[at[:, None] + torch.arange(CTX)]
            inp = torch.cat((torch.full((args.batch, 1), BOS), target[:, :-1]), 1)
            loss = F.cross_entropy(model(inp).flatten(0, 1), target.flatten())
            model.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(rest, 1.0)
            for opt, _ in opts:
                opt.step()
            mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
            step += 1
            if step % 50 == 0:
                say(f"step {step} minutes {(time.time() - began) / 60:.1f} loss {mean:.4f} nats/byte lr x{scale:.3f}")
            if step % 500 == 0:
                say(f"step {step} held-out perplexity {perplexity(model, test[:CTX * 64]):.4f} (first {CTX * 64} bytes)")
                write_gguf(f"{args.out}/kjv.gguf", model)
        say(f"step {step} held-out perplexity {perplexity(model, test):.4f} a byte, all {len(test)} bytes")
        write_gguf(f"{args.out}/kjv.gguf", model)


if __name__ == "__main__":
    main()
