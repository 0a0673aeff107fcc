"""The model that a recipe starts from, and whether it and the recipe agree."""

from __future__ import annotations

from dataclasses import replace

from codegen25.config import ModelConfig
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.models import resolve
from codegen25.tokenizer import Tokenizer
from codegen25.train.recipe import Recipe, Shape


def of(recipe: Recipe, tokenizer: Tokenizer) -> Directory | None:
    """The directory that `init` names, its weights unread; its tokenizer must be the recipe's."""
    if not recipe.init:
        return None
    found = Directory.read(resolve(recipe.init))
    if found.tokenizer.backend.to_str() != tokenizer.backend.to_str():
        raise UserError(f"{found.folder}: its tokenizer is not {recipe.tokenizer}")
    return found


def shape_of(config: ModelConfig, shape: Shape) -> Shape:
    """The shape of a model to start from, over the recipe's context, which no weight depends on.

    A size that the recipe gives and the model contradicts is a UserError.
    """
    found = Shape(
        config.num_hidden_layers, config.hidden_size, config.num_attention_heads,
        config.num_key_value_heads, config.intermediate_size, shape.context,
        config.tie_word_embeddings,
    )  # fmt: skip
    for name in ("layers", "hidden", "heads", "kv_heads", "feed_forward"):
        if getattr(shape, name) not in (0, getattr(found, name)):
            raise UserError(
                f"shape.{name} is {getattr(shape, name)}, but the model to start from has "
                f"{getattr(found, name)}"
            )
    return found


def config_of(recipe: Recipe, start: Directory | None, vocab_size: int) -> ModelConfig:
    """The configuration of a resolved recipe's model: that of the model to start from, if any.

    It keeps all that a shape does not say (`rope_theta`, `head_dim`, ids without a token), and its
    context, unless the recipe's rows are longer.
    """
    if not start:
        return recipe.shape.config(vocab_size)
    longest = max(recipe.shape.context, start.config.max_position_embeddings)
    return replace(start.config, max_position_embeddings=longest)
