"""Models of texts and of images that transformers loads."""

from dataclasses import dataclass
from typing import Dict, List

import torch

from ..errors import InputError
from . import digests, pooling

# tokenizers without a limit give this or more
NO_LIMIT = 1 << 30


def quiet():
    """Messages of transformers below errors, and its bars, would interleave with the progress."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _load(name: str, kind: str):
    """A model in f32 with all of its weights."""
    import transformers

    model, found = transformers.AutoModel.from_pretrained(
        name, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
    )
    # a pooler is often missing, and used by `model` alone
    missing = [key for key in found["missing_keys"] if kind == "model" or "pooler" not in key]
    if missing:
        raise InputError(
            f"--model {name}: found no weights for {missing[0]} and {len(missing) - 1} others, which would be random, "
            "expected all; use another --pooling, or a complete model"
        )
    return model.eval()


def _config(model) -> Dict:
    dropped = {"_name_or_path", "transformers_version", "_commit_hash"}
    return {key: value for key, value in model.config.to_dict().items() if key not in dropped}


def _own(output):
    """The pooled output [B, D] of a model.

    Raises InputError if it has none."""
    pooled = output if torch.is_tensor(output) else getattr(output, "pooler_output", None)
    if pooled is None:
        raise InputError("--pooling model: found a model that pools nothing; use `mean`, `cls`, `max` or `none`")
    return pooled.flatten(1)


@dataclass
class Encoded:
    """A text as a model reads it."""

    text: str
    inputs: Dict[str, List[int]]
    # places of its tokens, without those that the tokenizer adds
    own: List[int]
    is_cut: bool

    def __len__(self):
        return len(self.inputs["input_ids"])


class Tokeniser:
    """Tokens of texts, at most `most` of each, and never any padding."""

    def __init__(self, tokenizer, most: int):
        self.tokenizer, self.most = tokenizer, most
        # features do not depend on it, but causal models number their tokens from the left
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token

    def settings(self):
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend is not None else self.tokenizer.get_vocab()
        # the state of a tokenizer includes the last padding and truncation, which are ours
        if backend is not None:
            import json

            vocabulary = {k: v for k, v in json.loads(vocabulary).items() if k not in ("padding", "truncation")}
        return [vocabulary, self.tokenizer.special_tokens_map, self.most]

    def encode(self, texts: List[str]) -> List[Encoded]:
        def call(texts, **options):
            return self.tokenizer(texts, return_special_tokens_mask=True, return_attention_mask=True, **options)

        whole = call(texts)
        keys = [key for key in whole if key != "special_tokens_mask"]
        encoded = []
        for at, text in enumerate(texts):
            of, place = whole, at
            is_cut = len(whole["input_ids"][at]) > self.most
            if is_cut:
                of, place = call([text], truncation=True, max_length=self.most), 0
            special = of["special_tokens_mask"][place]
            own = [i for i, is_special in enumerate(special) if not is_special]
            encoded.append(Encoded(text, {key: of[key][place] for key in keys}, own, is_cut))
        return encoded

    def batch(self, encoded: List[Encoded]):
        columns = {key: [one.inputs[key] for one in encoded] for key in encoded[0].inputs}
        return self.tokenizer.pad(columns, padding=True, return_tensors="pt")


class TransformersTexts:
    """A model of texts: the outputs of its last layer."""

    library = "transformers"
    default = "mean"

    def __init__(self, name: str, kind: str, most, device):
        import transformers

        model = _load(name, kind)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT
        limit = min(tokenizer.model_max_length, positions)
        self._open(model, tokenizer, kind, limit, most, device)
        self.settings = digests.of_settings(_config(model), self.tokeniser.settings())

    def _open(self, model, tokenizer, kind, limit, most, device):
        if most is not None and most > limit:
            raise InputError(f"--max-tokens {most}: found a model of at most {limit} tokens; leave it out, or lower it")
        if kind == "cls" and tokenizer.cls_token is None:
            raise InputError("--pooling cls: found a tokenizer without a class token; use `mean`, or `max`")
        self.tokeniser = Tokeniser(tokenizer, most or min(limit, NO_LIMIT))
        self.limit = None if limit >= NO_LIMIT and most is None else self.tokeniser.most
        self.kind, self.device = kind, device
        self.weights = digests.of_weights(model)
        self.both = model.to(device)
        # a model of texts and images, and one that also writes, have a part that reads texts
        if hasattr(model, "text_model"):
            self.model = model.text_model
        else:
            self.model = model.get_encoder() if model.config.is_encoder_decoder else model

    def encode(self, texts):
        return self.tokeniser.encode(texts)

    def features(self, encoded):
        """[B, D]; for `none` a list of [t, D], the text's own tokens."""
        batch = self.tokeniser.batch(encoded).to(self.device)
        if self.kind == "model" and hasattr(self.both, "get_text_features"):
            return _own(self.both.get_text_features(**batch))
        output = self.model(**batch)
        if self.kind == "model":
            return _own(output)
        hidden = output.last_hidden_state
        if self.kind == "none":
            return [hidden[at, one.own] for at, one in enumerate(encoded)]
        return pooling.of_texts(self.kind, hidden, batch["attention_mask"])


class TransformersImages:
    """A model of images: the outputs of its last layer."""

    library = "transformers"
    default = "mean"

    def __init__(self, name: str, kind: str, device):
        import transformers

        model = _load(name, kind)
        # with Pillow, which needs no torchvision, and whose values are those that most models were trained with
        self.processor = transformers.AutoImageProcessor.from_pretrained(name, backend="pil", trust_remote_code=False)
        self.kind, self.device = kind, device
        self.weights = digests.of_weights(model)
        self.settings = digests.of_settings(_config(model), self.processor.to_dict())
        self.both = model.to(device)
        self.model = getattr(model, "vision_model", model)

    def prepare(self, image):
        return self.processor(images=[image], return_tensors="pt")["pixel_values"][0]

    def features(self, images):
        """[B, D]; for `none` [B, T, D], without the tokens that are no patches."""
        images = torch.stack(images).to(self.device)
        if self.kind == "model" and hasattr(self.both, "get_image_features"):
            return _own(self.both.get_image_features(pixel_values=images))
        output = self.model(pixel_values=images)
        if self.kind == "model":
            return _own(output)
        hidden = output.last_hidden_state
        if hidden.ndim == 4:
            return pooling.of_images(self.kind, hidden.flatten(2).mT, 0, False)
        before = self._tokens_before(hidden.shape[1], images.shape[-2:])
        return pooling.of_images(self.kind, hidden, before, before > 0)

    def _tokens_before(self, tokens, size):
        """Tokens that are no patches: of the class, and registers. A hierarchical model has none."""
        patch = getattr(self.model.config, "patch_size", None)
        if patch is None:
            return 0
        sides = patch if isinstance(patch, (list, tuple)) else (patch, patch)
        patches = (size[0] // sides[0]) * (size[1] // sides[1])
        return max(tokens - patches, 0)
