"""transformers' `generate` with SDPA, on a Hugging Face directory."""

from __future__ import annotations

from typing import Any

import torch
import transformers


class Driver:
    """`format` is a torch dtype's name."""

    def __init__(self, asked: dict[str, Any]) -> None:
        torch.set_num_threads(asked["threads"])
        self.model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            asked["model"], dtype=getattr(torch, asked["format"]), attn_implementation="sdpa"
        )
        self.cache: Any = None

    def version(self) -> dict[str, str]:
        number = f"{transformers.__version__}, torch {torch.__version__}"
        return {"name": "transformers", "version": number}

    @torch.inference_mode()
    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        return continued(self.model, prompts, new)

    @torch.inference_mode()
    def keystroke(self, prompt: list[int], new: int, keep: int | None) -> tuple[int, list[int]]:
        """The cache is cropped to the shared prefix, as transformers' guide to caching has it."""
        if keep and self.cache is not None:
            # Negative: how many to drop. Recent versions refuse a length to keep.
            self.cache.crop(keep - self.cache.get_seq_length())
        else:
            self.cache, keep = transformers.DynamicCache(config=self.model.config), 0
        (tokens,) = continued(self.model, [prompt], new, past_key_values=self.cache)
        return len(prompt) - keep, tokens


def continued(model: Any, prompts: list[list[int]], new: int, **more: Any) -> list[list[int]]:
    """`generate` of exactly `new` ids, shorter prompts padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False,
        pad_token_id=0, **more,
    )  # fmt: skip
    tokens: list[list[int]] = out[:, longest:].tolist()
    return tokens
