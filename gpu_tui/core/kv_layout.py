"""One GPU's share of vLLM's KV cache: one pool of blocks, and the block tables that draw from it.

Built by `core/kv_pages.py`. Follows `vllm/v1/core/kv_cache_utils.py`: `get_kv_cache_config_from_groups`,
`get_max_concurrency_for_kv_cache_config` and `_estimate_max_model_len_from_groups`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_tui.core.model_facts import LayerKind
from gpu_tui.core.vllm_version import TokenRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Layers that share one kind of page. They are split into `groups` block tables of equal layer count."""

    kind: LayerKind
    layers: int
    page_bytes: int
    """Of one layer and block."""
    block_size: int
    groups: int = 1
    cap_tokens: int | None = None
    """Tokens a request holds at most: window and tokens in flight; None: all of them."""
    fixed_blocks: int = 0
    """STATE: blocks a request takes whatever its length."""

    def blocks(self, tokens: int) -> int:
        """Blocks of one of its block tables for a request of so many tokens."""
        if self.fixed_blocks:
            return self.fixed_blocks
        if self.cap_tokens is None:
            return -(-tokens // self.block_size)
        extra = 1 if self.kind is LayerKind.SLIDING else 0
        return -(-min(self.cap_tokens, tokens) // self.block_size) + extra


@dataclass(frozen=True, slots=True, kw_only=True)
class KvLayout:
    """One GPU's share of the cache. All its block tables draw from one pool of blocks."""

    bytes_per_block: int
    buckets: tuple[Bucket, ...]
    context_parallel: int = 1
    """Decode context parallelism: tokens are dealt out over so many GPUs."""
    token_rule: TokenRule = TokenRule.BLOCKS

    @property
    def num_groups(self) -> int:
        """Block tables of a request."""
        return sum(bucket.groups for bucket in self.buckets)

    @property
    def block_size(self) -> int:
        """Tokens of the smallest block."""
        return min(bucket.block_size for bucket in self.buckets)

    @property
    def bytes_per_token(self) -> float:
        """What one more token of a long request costs; 0 for a model without attention."""
        growing = (b.groups / b.block_size for b in self.buckets if b.cap_tokens is None and not b.fixed_blocks)
        return sum(growing) * self.bytes_per_block / self.context_parallel

    def with_state_blocks(self, count: int) -> KvLayout:
        """The same with so many blocks of recurrent state a request; itself where no layer keeps one."""
        if not any(bucket.fixed_blocks for bucket in self.buckets):
            return self
        buckets = tuple(replace(b, fixed_blocks=count) if b.fixed_blocks else b for b in self.buckets)
        return replace(self, buckets=buckets)

    def blocks_per_request(self, tokens: int) -> int:
        """Blocks that one request of so many tokens takes."""
        share = -(-tokens // self.context_parallel)
        total = 0
        for bucket in self.buckets:
            total += bucket.groups * bucket.blocks(share)
        return total

    def need_bytes(self, tokens: int) -> int:
        """Cache that one request of so many tokens needs."""
        return self.blocks_per_request(tokens) * self.bytes_per_block

    def num_blocks(self, cache_bytes: int) -> int:
        """Blocks a cache of so many bytes is cut into."""
        return max(0, cache_bytes // self.bytes_per_block)

    def tokens(self, num_blocks: int, max_model_len: int | None) -> int | None:
        """``GPU KV cache size`` as this release logs it; None where that needs a max_model_len that is not known."""
        if self.token_rule is TokenRule.CONCURRENCY and (len(self.buckets) > 1 or max_model_len is not None):
            return None if max_model_len is None else int(self.concurrency(num_blocks, max_model_len) * max_model_len)
        if self.token_rule is TokenRule.PER_GROUP:
            num_blocks //= self.num_groups
        if all(bucket.fixed_blocks == 1 for bucket in self.buckets):
            # One state is all a request has: vLLM gives its block as many tokens as a request may have.
            return None if max_model_len is None else num_blocks * max_model_len
        return num_blocks * self.block_size * self.context_parallel

    def concurrency(self, num_blocks: int, max_model_len: int) -> float:
        """How many requests of max_model_len fit at once."""
        return num_blocks / self.blocks_per_request(max_model_len)

    def largest_request(self, num_blocks: int, limit: int | None = None) -> int:
        """The longest request that fits into so many blocks, in tokens, at most `limit`; 0: not even one token fits.

        Above every window a request grows by whole blocks, so the answer is one division; below it is searched.
        """
        if self.blocks_per_request(1) > num_blocks:
            return 0
        growing = [b for b in self.buckets if b.cap_tokens is None and not b.fixed_blocks]
        saturated = max((b.cap_tokens for b in self.buckets if b.cap_tokens is not None), default=0)
        if not growing and self.blocks_per_request(saturated * self.context_parallel) <= num_blocks:
            return limit if limit is not None else UNLIMITED
        found = None
        if len(growing) == 1:
            full = growing[0]
            rest = sum(b.groups * b.blocks(saturated) for b in self.buckets if b is not full)
            share = (num_blocks - rest) // full.groups * full.block_size
            found = share * self.context_parallel if share >= saturated else None
        if found is None:
            found = self._search(num_blocks)
        return found if limit is None else min(found, limit)

    def _search(self, num_blocks: int) -> int:
        low, high = 1, num_blocks * max(b.block_size for b in self.buckets) * self.context_parallel
        while low < high:
            middle = (low + high + 1) // 2
            if self.blocks_per_request(middle) <= num_blocks:
                low = middle
            else:
                high = middle - 1
        return low


UNLIMITED = 2**31
"""Stands for the longest request of a model whose cache does not grow with it."""
