"""Models of images that timm loads."""

import torch

from ..errors import InputError
from . import digests, pooling


class TimmImages:
    """A model of timm from a folder or by name. Its own pooling is what its classifier sees."""

    library = "timm"
    default = "model"

    def __init__(self, model: str, is_folder: bool, kind: str, device: torch.device):
        import timm

        name = f"local-dir:{model}" if is_folder else f"hf-hub:{model}" if "/" in model else model
        self.model = timm.create_model(name, pretrained=True).float().eval().to(device)
        self.kind, self.device = kind, device
        given = timm.data.resolve_model_data_config(self.model)
        self.transform = timm.data.create_transform(**given, is_training=False)
        self.weights = digests.of_weights(self.model)
        self.settings = digests.of_settings(str(self.model), str(self.transform))

    def prepare(self, image):
        return self.transform(image)

    def features(self, images):
        hidden = self.model.forward_features(torch.stack(images).to(self.device))
        if self.kind == "model":
            return self.model.forward_head(hidden, pre_logits=True).flatten(1)
        if hidden.ndim == 4:
            # [B, C, H, W], or with the channels last
            is_last = hidden.shape[-1] == self.model.num_features != hidden.shape[1]
            hidden = hidden.flatten(1, 2) if is_last else hidden.flatten(2).mT
        elif hidden.ndim != 3:
            raise InputError(f"--pooling {self.kind}: found a model without tokens; use `model`")
        before = getattr(self.model, "num_prefix_tokens", 0)
        return pooling.of_images(self.kind, hidden, before, getattr(self.model, "cls_token", None) is not None)
