"""The LLaMA forward pass, for training and sampling alike.

Parameter names are Hugging Face's, so a state dict is a checkpoint. Shapes: B batch, T tokens,
D hidden, H heads, K key/value heads, C channels per head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from codegen25.config import ModelConfig


class Cache:
    """Keys and values of the tokens so far: per layer two tensors (B, K, capacity, C)."""

    def __init__(self, config: ModelConfig, batch: int, capacity: int, like: Tensor) -> None:
        shape = (
            config.num_hidden_layers, 2, batch, config.num_key_value_heads, capacity,
            config.head_dim,
        )  # fmt: skip
        self.store = like.new_empty(shape)
        self.length = 0

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store this step's keys and values; all of the layer's come back."""
        end = self.length + key.shape[2]
        keys, values = self.store[layer]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]


class RMSNorm(nn.Module):
    """x / rms(x) · weight, computed in fp32 (arXiv 1910.07467)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, True) + self.eps)).to(x.dtype)


Angles = tuple[Tensor, Tensor]
"""Cosine and sine (T, C)."""
Device = torch.device | str | None


def rotary_angles(positions: Tensor, head_dim: int, theta: float) -> Angles:
    """Cosine and sine (T, C) of the rotary embedding at `positions` (T,) (arXiv 2104.09864)."""
    channels = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    angles = torch.outer(positions.float(), theta ** -(channels / head_dim))
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary angles (T, C) to x (B, H, T, C); channel i pairs with i + C/2."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class Attention(nn.Module):
    """Causal attention with grouped key/value heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, c = config.hidden_size, config.head_dim
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads, config.num_key_value_heads, c,
        )  # fmt: skip
        self.q_proj = nn.Linear(d, self.heads * c, bias=False)
        self.k_proj = nn.Linear(d, self.kv_heads * c, bias=False)
        self.v_proj = nn.Linear(d, self.kv_heads * c, bias=False)
        self.o_proj = nn.Linear(self.heads * c, d, bias=False)
        self.joined: nn.Module | None = None
        """Computes query, key and value at once in place of the three, see `sample.joined`."""

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.joined is not None:
            query, key, value = self.joined(x)
            return query, key, value
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)

    def forward(
        self,
        x: Tensor,
        angles: Angles,
        layer: int,
        cache: Cache | None,
        mask: Tensor | None = None,
    ) -> Tensor:
        b, t, _ = x.shape
        query, key, value = self._projected(x)
        query = query.view(b, t, self.heads, self.head_dim).transpose(1, 2)
        key = key.view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        value = value.view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        query, key = rotate(query, *angles), rotate(key, *angles)
        if cache is not None:
            key, value = cache.append(layer, key, value)
        out = attend(query, key, value, mask)
        return self.o_proj(out.transpose(1, 2).reshape(b, t, -1))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Causal attention of the last T positions over all S: query (B,H,T,C), key (B,K,S,C).

    A `mask` (B,1,T,S) says instead what each position sees.
    """
    t, s = query.shape[2], key.shape[2]
    if key.shape[1] != query.shape[1]:
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    if mask is not None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    if t == s:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    if t > 1 and query.is_cuda:  # a form that Flash attention knows
        from torch.nn.attention.bias import causal_lower_right

        return F.scaled_dot_product_attention(query, key, value, causal_lower_right(t, s))
    if t > 1:
        mask = torch.ones(t, s, dtype=torch.bool, device=query.device).tril(s - t)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def within(documents: Tensor) -> Tensor:
    """What a position sees when documents (B, T) share a row: those before it of its own."""
    same = documents[:, None, :, None] == documents[:, None, None, :]
    return same.tril()


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x)) (arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, f = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(d, f, bias=False)
        self.up_proj = nn.Linear(d, f, bias=False)
        self.down_proj = nn.Linear(f, d, bias=False)
        self.joined: nn.Module | None = None
        """Computes gate and up at once in place of the two."""

    def forward(self, x: Tensor) -> Tensor:
        if self.joined is not None:
            gate, up = self.joined(x)
            return self.down_proj(F.silu(gate) * up)
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and MLP, each on a normalised input, each added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        angles: Angles,
        layer: int,
        cache: Cache | None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), angles, layer, cache, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Embedding, layers and the final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # Given its weight, the layer draws none: a normal draw on the meta device would import
        # torch's compiler, 1.8 s before the first token.
        empty = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, _weight=empty)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.recompute = False
        """Compute the layers' activations again for the gradient instead of keeping them."""


class Llama(nn.Module):
    """`LlamaForCausalLM`: ids (B, T) to logits (B, T, vocabulary)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def angles(self, length: int, start: int = 0, device: Device = None) -> Angles:
        """The rotary angles of positions from `start` on."""
        positions = torch.arange(start, start + length, device=device)
        return rotary_angles(positions, self.config.head_dim, self.config.rope_theta)

    def hidden(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        documents: Tensor | None = None,
        angles: Angles | None = None,
    ) -> Tensor:
        """The normalised final states (B, T, D); with a cache, `ids` continue what it holds.

        With `documents` (B, T), numbers, a position sees only those of its own. `angles` are those
        of the positions, if the caller has them: a compiler would compute cosines again wherever
        they are used.
        """
        start = cache.length if cache is not None else 0
        x = self.model.embed_tokens(ids)
        cos, sin = angles or self.angles(ids.shape[1], start, ids.device)
        angles = (cos.to(x.dtype), sin.to(x.dtype))
        mask = within(documents) if documents is not None else None
        again = self.model.recompute and torch.is_grad_enabled()
        for i, layer in enumerate(self.model.layers):
            run = partial(checkpoint, layer, use_reentrant=False) if again else layer
            x = run(x, angles, i, cache, mask)
        if cache is not None:
            cache.length += ids.shape[1]
        return self.model.norm(x)

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        head: Callable[[Tensor, Tensor], Tensor] = F.linear,
        documents: Tensor | None = None,
        angles: Angles | None = None,
    ) -> Tensor:
        """What `head` makes of the final states and the head's weight: by default the logits."""
        return head(self.hidden(ids, cache, documents, angles), self.lm_head.weight)


def initialize(model: Llama, generator: torch.Generator) -> None:
    """Give every parameter its first values, drawn in the order of their names."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(initial(name, parameter.shape, generator))


def initial(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A parameter's first values: normal(0, 0.02), but zero where a block writes to the stream.

    The zeros make every block start as the identity (modded-nanogpt); norms start at one.
    """
    if name.endswith(("o_proj.weight", "down_proj.weight")):
        return torch.zeros(shape)
    if len(shape) > 1:
        return torch.empty(shape).normal_(0.0, 0.02, generator=generator)
    return torch.ones(shape)
