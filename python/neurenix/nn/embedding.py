"""Tables of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurenix import _phynexus
from neurenix._phynexus import Tensor
from neurenix.autograd import no_grad
from neurenix.nn import init
from neurenix.nn._checks import positive
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Embedding"]


class Embedding(Module):
    """A row of a table for each number. The table starts as N(0, 1).

    Args:
        num_embeddings: rows of the table, >= 1; inputs are in [0, num_embeddings).
        embedding_dim: size of a row, >= 1.
        padding_idx: a row that starts as zeros and gets no gradient; negative ones count from the end.
        sparse: whether the gradient of the table holds only the rows that were used, see `neurenix.RowSparse`;
            for tables so large that a gradient of their size hurts. `SparseAdam`, `Adagrad` and `SGD` without momentum
            step these; in `loss.backward(optimizer=...)` others make them dense.
        device: of the table.
        dtype: of the table, float32 by default.

    Attributes:
        weight: the table, (num_embeddings, embedding_dim).

    >>> from neurenix import Tensor, nn
    >>> nn.Embedding(10, 3)(Tensor([[1, 2], [4, 9]])).shape
    (2, 2, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = positive("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = positive("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be in [{-num_embeddings}, {num_embeddings}), got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self.sparse = sparse
        shape = (self.num_embeddings, self.embedding_dim)
        self.weight = Parameter(Tensor.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Self:
        """A layer over a copy of a table that was trained before.

        Args:
            embeddings: the table, (num_embeddings, embedding_dim).
            freeze: whether it stays as it is, without gradients.
            padding_idx: a row that gets no gradient; unlike the layer's own it keeps its values.

        >>> from neurenix import Tensor, nn
        >>> layer = nn.Embedding.from_pretrained(Tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> layer(Tensor([1])).tolist(), layer.weight.requires_grad
        ([[3.0, 4.0]], False)
        """
        if not isinstance(embeddings, Tensor) or embeddings.ndim != 2:
            got = f"shape {embeddings.shape}" if isinstance(embeddings, Tensor) else type(embeddings).__name__
            raise ValueError(f"Embedding.from_pretrained: expected a tensor of two dimensions, got {got}")
        rows, columns = embeddings.shape
        layer = cls(rows, columns, padding_idx, device=embeddings.device, dtype=embeddings.dtype)
        layer.weight.data = embeddings.detach().clone()
        layer.weight.requires_grad = not freeze
        return layer

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Takes integers of any shape and gives (..., embedding_dim)."""
        return _phynexus.embedding(input, self.weight, self.padding_idx, sparse=self.sparse)

    def extra_repr(self) -> str:
        """The sizes, the padding and the kind of gradient."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        sparse = ", sparse=True" if self.sparse else ""
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{sparse}"
