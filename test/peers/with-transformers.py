"""Holds Shoal's checkpoint folders against Python's transformers, both ways.

1. Folders that Shoal writes (every tokenizer it makes; GPT-2 with and without matrix biases, Llama with and without
   shared keys; tied and untied) load in transformers' own classes and AutoTokenizer: no tensor is
   missing or left over, token ids are equal for every text, every Unicode character among them, logits differ by at most 1e-4.
2. Folders that transformers saves (one file, shards, bfloat16; a tokenizer trained by `tokenizers`) are read by Shoal as a genesis is read: ids and logits as
   above, and what Shoal exports of them is the same to the bit.

Use, from the repository's root after `npm run build`:
    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch transformers
    /tmp/peers/bin/python test/peers/with-transformers.py                       # everything; about two minutes
    /tmp/peers/bin/python test/peers/with-transformers.py --checkpoint DIR      # only a folder that `shoal checkpoint export` left
Exit status 0 when all of it holds.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGITS_WITHIN = 1e-4
SPOKEN = [
    "",
    " ",
    "Fellow-Citizens of the Senate and House of Representatives:",
    "The State  of the\n\nUnion isn't we'll  they've\t\ttabs  ",
    "Grüße aus Köln, naïve café, ελληνικά, русский, 日本語テキスト, العربية, हिन्दी",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 e\u0301 \ufeffx \ufeff\ufeff y\u0085\u0085z \u180e\u200b \u001c\u001f end",
    "one<|endoftext|>two <|endoftext|> three<|endoftext",
    "I'M it'S don't 12345 1,234.56 ² ½ Ⅳ \r\n \r\r\n   ",
    "a" * 2000,
    "xyzzy" * 400,
]


def every_character():
    """All of Unicode but the surrogates, each in places where the cutting into words depends on it."""
    text = ""
    for point in range(1, 0x110000):
        if 0xD800 <= point < 0xE000:
            continue
        character = chr(point)
        text += f"{character}a {character}{character} 1{character}"
        if len(text) > 20000:
            yield text
            text = ""
    yield text


def ours(*words):
    """Runs our side."""
    subprocess.run(["node", str(ROOT / "test/peers/checkpoint.mjs"), *map(str, words)], check=True, cwd=ROOT)


def check_tokens(folder, scratch, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    (scratch / "texts.json").write_text(json.dumps(texts))
    ours("tokens", folder, scratch / "texts.json", scratch / "tokens.json")
    rows = json.loads((scratch / "tokens.json").read_text())
    wrong = [text for text, row in zip(texts, rows) if tokenizer(text, add_special_tokens=False)["input_ids"] != row["ids"]]
    inexact = [text for text, row in zip(texts, rows) if not row["exact"] or tokenizer.decode(row["ids"]) != text]
    report(f"{len(texts)} texts, {sum(len(row['ids']) for row in rows)} token ids equal", not wrong, repr(wrong[:1])[:200])
    report("all decode to themselves", not inexact, repr(inexact[:1])[:200])
    return tokenizer


def check_logits(folder, scratch, tokenizer, engine):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    left = {name: list(keys) for name, keys in info.items() if keys}
    report("no tensor missing, left over or of another shape", not left, left)
    model.eval()
    columns = min(model.config.max_position_embeddings, 48)
    ids = [i for text in SPOKEN for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
    rows = [ids[at : at + columns] for at in range(0, min(len(ids), 6 * columns) - columns, columns)]
    (scratch / "ids.json").write_text(json.dumps(rows))
    ours("logits", folder, scratch / "ids.json", scratch / "logits.f32", engine)
    with torch.no_grad():
        theirs = model(torch.tensor(rows)).logits.numpy()
        exact = model.double()(torch.tensor(rows)).logits.numpy()
    mine = numpy.fromfile(scratch / "logits.f32", "<f4").reshape(theirs.shape)
    difference = float(numpy.abs(theirs - mine).max())
    report(f"logits of {theirs.shape}, up to {numpy.abs(theirs).max():.1f}, differ by at most {difference:.1e}", difference <= LOGITS_WITHIN)
    print(f"       (from 64-bit logits: ours by {numpy.abs(mine - exact).max():.1e}, theirs by {numpy.abs(theirs - exact).max():.1e})")


def check_folder(folder, scratch, engine, texts):
    tokenizer = check_tokens(folder, scratch, texts)
    check_logits(folder, scratch, tokenizer, engine)


def check_written_by_us(scratch, engine, characters):
    for number, settings in enumerate(
        [
            {"tokenizer": "bytes", "biases": False, "tiedEmbeddings": True},
            {"tokenizer": "bpe", "biases": True, "tiedEmbeddings": True},
            {"tokenizer": "gpt2", "biases": False, "tiedEmbeddings": False, "layers": 1},
            {"tokenizer": "bpe", "family": "llama", "keyValueHeads": 2, "hidden": 176, "tiedEmbeddings": False},
            {"tokenizer": "bytes", "family": "llama", "keyValueHeads": 4, "hidden": 100, "tiedEmbeddings": True, "ropeTheta": 500000},
        ]
    ):
        print(f"Shoal writes, transformers reads: {settings}")
        folder = scratch / f"ours{number}"
        ours("make", folder, json.dumps(settings))
        # All cut text by one pattern, so every character is tried with the tokenizer that has the most merges only.
        check_folder(folder, scratch, engine, SPOKEN + (characters if settings["tokenizer"] == "gpt2" else []))


def check_saved_by_transformers(scratch, engine):
    import tokenizers

    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator([line for line in SPOKEN * 20], vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")
    for name, settings, saving in [
        ("one file", {}, {}),
        ("shards", {}, {"max_shard_size": "200KB"}),
        ("untied, bfloat16", {"tie_word_embeddings": False}, {"dtype": torch.bfloat16}),
        ("Llama", {"model_type": "llama"}, {}),
        ("Llama with shared keys, tied", {"model_type": "llama", "num_key_value_heads": 1, "tie_word_embeddings": True, "rms_norm_eps": 1e-5}, {}),
    ]:
        print(f"transformers saves, Shoal reads: {name}")
        folder, copy = scratch / f"theirs {name}", scratch / f"copy {name}"
        torch.manual_seed(1)
        end = tokenizer.eos_token_id
        ends = {"vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end}
        if settings.pop("model_type", "gpt2") == "llama":
            sizes = {"max_position_embeddings": 64, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4}
            config = transformers.LlamaConfig(**ends, **sizes, **settings)
        else:
            config = transformers.GPT2Config(**ends, n_positions=64, n_embd=64, n_layer=3, n_head=4, **settings)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) / 10
        model.to(saving.pop("dtype", torch.float32)).save_pretrained(folder, **saving)
        tokenizer.save_pretrained(folder)
        check_folder(folder, scratch, engine, SPOKEN)
        ours("copy", folder, copy)
        check_folder(copy, scratch, engine, SPOKEN)
        before = model.float().state_dict()
        after = transformers.AutoModelForCausalLM.from_pretrained(copy, dtype=torch.float32).state_dict()
        unequal = [key for key in before if key not in after or not torch.equal(before[key], after[key])]
        report(f"{len(before)} tensors equal to the bit after Shoal's export", not unequal, unequal)


failures = 0


def report(what, holds, got=""):
    global failures
    failures += not holds
    print(f"  {'ok  ' if holds else 'FAIL'} {what}{'' if holds else f': {got}'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=pathlib.Path, help="check only this folder")
    parser.add_argument("--engine", default="js", help="what computes our logits (default: js)")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        if options.checkpoint is not None:
            print(f"transformers reads {options.checkpoint}")
            check_folder(options.checkpoint.resolve(), scratch, options.engine, SPOKEN + list(every_character()))
        else:
            check_written_by_us(scratch, options.engine, list(every_character()))
            check_saved_by_transformers(scratch, options.engine)
    print("all of it holds" if failures == 0 else f"{failures} checks failed")
    sys.exit(0 if failures == 0 else 1)


if __name__ == "__main__":
    main()
