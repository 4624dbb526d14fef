"""Models that sentence-transformers loads."""

import torch

from ..errors import InputError
from . import digests
from .of_transformers import NO_LIMIT, TransformersTexts


class SentenceTexts(TransformersTexts):
    """A model of sentence-transformers. Its own pooling is all of its modules, as in its `encode`, such as mean and unit
    length; other poolings are of its transformer's last layer."""

    library = "sentence-transformers"
    default = "model"

    def __init__(self, name: str, kind: str, most, device):
        from sentence_transformers import SentenceTransformer

        self.whole = SentenceTransformer(name, device=str(device), model_kwargs={"dtype": torch.float32}).float().eval()
        first = self.whole[0]
        inner = getattr(first, "auto_model", None)
        if inner is None or not hasattr(self.whole.tokenizer, "model_max_length"):
            raise InputError(
                f"--model {name}: found a model of sentence-transformers without a transformer of texts, expected one; "
                "such models are not read"
            )
        limit = self.whole.max_seq_length or NO_LIMIT
        self._open(inner, self.whole.tokenizer, kind, limit, most, device)
        if self.limit is not None:
            self.whole.max_seq_length = self.limit
        self.weights = digests.of_weights(self.whole)
        parts = [str(self.whole), inner.config.to_dict().get("model_type"), self.whole.prompts, self.whole.default_prompt_name]
        self.settings = digests.of_settings(parts, self.tokeniser.settings())

    def features(self, encoded):
        if self.kind != "model":
            return super().features(encoded)
        texts = [one.text for one in encoded]
        return self.whole.encode(texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False)
