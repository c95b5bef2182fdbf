"""Einstein's notation as batched matrix products."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from neurenix._phynexus import Tensor


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Products of elements summed over the letters that the result does not have (Einstein's convention).

    Operands are joined from left to right, each pair as one batched matrix product.

    Args:
        equation: a letter for each dimension of each operand, commas between operands, and behind "->" the letters
            of the result; without "->" those that occur once, in alphabetical order. A letter twice in one operand
            takes its diagonal. "..." stands for the dimensions that have no letter, which are broadcast.
        operands: a tensor for each.

    Raises:
        TypeError: an equation that is no string.
        ValueError: letters that do not fit the operands, or sizes of one letter that differ.

    >>> import neurenix
    >>> a, b = neurenix.ones(2, 3), neurenix.ones(4, 3)
    >>> neurenix.einsum("ik,jk->ij", a, b).shape
    (2, 4)
    >>> neurenix.einsum("...ij->...ji", neurenix.ones(5, 2, 3)).shape
    (5, 3, 2)
    """
    if not isinstance(equation, str):
        raise TypeError(
            f'einsum: the equation comes first, as a string such as "ij,jk->ik", got {type(equation).__name__}'
        )
    if "..." in equation:
        equation, operands = _without_dots(equation, operands)
    terms, result = _letters(equation, operands)
    pairs = [_diagonals(term, x) for term, x in zip(terms, operands, strict=True)]
    term, x = pairs[0]
    for k, (other, y) in enumerate(pairs[1:], 2):
        wanted = set(result).union(*(rest for rest, _ in pairs[k:]))
        term, x = _joined(
            _reduced(term, x, wanted | set(other)), _reduced(other, y, wanted | set(term)), wanted
        )
    term, x = _reduced(term, x, set(result))
    return x.permute(*(term.index(letter) for letter in result)) if term != result else x


def _without_dots(equation: str, operands: Sequence[Tensor]) -> tuple[str, tuple[Tensor, ...]]:
    """The equation with letters in the place of "...", and operands that agree in the sizes of these."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if any(part.count("...") > 1 for part in (*terms, result)) or len(terms) != len(operands):
        raise ValueError(
            f'einsum: "{equation}" may have one "..." in a term, and has {len(operands)} operands'
        )
    if not arrow:
        result = "..." + _single([term.replace("...", "") for term in terms])
    free = [letter for letter in string.ascii_letters if letter not in equation]
    shapes: list[tuple[int, ...]] = []
    for term, x in zip(terms, operands, strict=True):
        named, start = len(term.replace("...", "")), term.find("...")
        if named > x.ndim:
            raise ValueError(f'einsum: "{term}" has {named} letters for an operand of shape {x.shape}')
        shapes.append(x.shape[start : start + x.ndim - named] if start >= 0 else ())
    try:
        common = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f'einsum: "..." has shapes that do not broadcast in "{equation}": {shapes}'
        ) from None
    letters = "".join(free[: len(common)])
    found: list[Tensor] = []
    for k, (x, shape) in enumerate(zip(operands, shapes, strict=True)):
        if (start := terms[k].find("...")) >= 0:
            terms[k] = terms[k].replace("...", letters[len(common) - len(shape) :])
            x = x.expand(
                *x.shape[:start], *common[len(common) - len(shape) :], *x.shape[start + len(shape) :]
            )
        found.append(x)
    return f"{','.join(terms)}->{result.replace('...', letters)}", tuple(found)


def _single(terms: Sequence[str]) -> str:
    """The letters that occur once, in alphabetical order."""
    every = "".join(terms)
    return "".join(sorted(letter for letter in set(every) if every.count(letter) == 1))


def _letters(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    every = "".join(terms)
    if not arrow:
        result = _single(terms)
    if not (every + result).isalpha() and every + result:
        raise ValueError(f'einsum: "{equation}" may hold letters, commas, "..." and one "->"')
    if len(terms) != len(operands):
        raise ValueError(f'einsum: "{equation}" has {len(terms)} terms for {len(operands)} operands')
    if len(set(result)) != len(result) or not set(result) <= set(every):
        raise ValueError(f'einsum: each letter of the result "{result}" must be in a term, and be there once')
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        if len(term) != x.ndim:
            raise ValueError(f'einsum: "{term}" has {len(term)} letters for an operand of shape {x.shape}')
        for letter, size in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(
                    f'einsum: "{letter}" has the sizes {sizes[letter]} and {size} in "{equation}"'
                )
    return terms, result


def _diagonals(term: str, x: Tensor) -> tuple[str, Tensor]:
    """Letters that are there twice once, as the last dimension."""
    for letter in sorted({letter for letter in term if term.count(letter) > 1}):
        while term.count(letter) > 1:
            i, j = term.index(letter), term.rindex(letter)
            rest = [k for k in range(x.ndim) if k not in (i, j)]
            along = Tensor.arange(x.shape[i], device=x.device)
            x, term = x.permute(i, j, *rest)[along, along], letter + "".join(term[k] for k in rest)
    return term, x


def _reduced(term: str, x: Tensor, wanted: set[str]) -> tuple[str, Tensor]:
    """Summed over the letters that nobody wants."""
    gone = [k for k, letter in enumerate(term) if letter not in wanted]
    return "".join(letter for letter in term if letter in wanted), x.sum(gone) if gone else x


def _joined(first: tuple[str, Tensor], second: tuple[str, Tensor], wanted: set[str]) -> tuple[str, Tensor]:
    """The product of both, summed over what they share and nobody else wants: one batched matrix product."""
    (left, x), (right, y) = first, second
    batch = [letter for letter in left if letter in right and letter in wanted]
    summed = [letter for letter in left if letter in right and letter not in wanted]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    size = dict(zip(left + right, (*x.shape, *y.shape), strict=False)) | dict(
        zip(right, y.shape, strict=True)
    )

    def count(letters: list[str]) -> int:
        return int(np.prod([size[letter] for letter in letters], dtype=np.int64))

    def ordered(term: str, x: Tensor, *parts: list[str]) -> Tensor:
        letters = [letter for part in parts for letter in part]
        moved = x.permute(*(term.index(letter) for letter in letters)) if letters else x
        return moved.reshape(*(count(part) for part in parts))

    product = ordered(left, x, batch, rows, summed) @ ordered(right, y, batch, summed, columns)
    letters = batch + rows + columns
    return "".join(letters), product.reshape([size[letter] for letter in letters])
