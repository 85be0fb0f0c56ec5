"""The recurrence h_t = a_t * h_{t-1} + b_t along one dimension, in few vectorised steps."""

import itertools

import torch.nn.functional as F
from torch import Tensor

_CHUNK = 16


def linear_recurrence(a: Tensor, b: Tensor, reverse: bool = False) -> Tensor:
    """Solve ``h_t = a_t * h_{t-1} + b_t`` with ``h_{-1} = 0`` for all t.

    The sequence is cut into chunks of 16. Each of 16 steps advances all chunks at once; the
    chunks' ends form a sequence of their own, solved in the same way; their results are carried
    into the chunks. L steps thus become about ``16 * log_16(L)``. Only products of the given
    factors are formed, so nothing overflows for a in [0, 1].

    Args:
        a: factors, ``(B, L, M)``, in [0, 1].
        b: inputs, ``(B, L, M)``.
        reverse: walk from the last element to the first: ``h_t = a_t * h_{t+1} + b_t``.

    Returns:
        h, ``(B, L, M)``.
    """
    batch, length, width = a.shape
    chunks = -(-length // _CHUNK)
    steps = _CHUNK if chunks > 1 else length
    padding = chunks * steps - length
    if padding:
        a = F.pad(a, (0, 0, 0, padding), value=1.0)
        b = F.pad(b, (0, 0, 0, padding))
    a = a.reshape(batch, chunks, steps, width)
    b = b.reshape(batch, chunks, steps, width)

    h, product = b.clone(), a.clone()
    factors, states, products = a.unbind(2), h.unbind(2), product.unbind(2)
    order = range(steps - 1, -1, -1) if reverse else range(steps)
    for previous, step in itertools.pairwise(order):
        states[step].addcmul_(factors[step], states[previous])
        if chunks > 1:
            products[step].mul_(products[previous])

    if chunks > 1:
        carry = linear_recurrence(products[order[-1]], states[order[-1]], reverse)
        carry = carry.unsqueeze(2)
        if reverse:
            h[:, :-1].addcmul_(product[:, :-1], carry[:, 1:])
        else:
            h[:, 1:].addcmul_(product[:, 1:], carry[:, :-1])
    return h.reshape(batch, chunks * steps, width)[:, :length]
