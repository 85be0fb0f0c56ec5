"""The recurrence h_t = a_t * h_{t-1} + b_t along one dimension, in few vectorised steps."""

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 16


def linear_recurrence(a: Tensor, b: Tensor, reverse: bool = False) -> Tensor:
    """Solve ``h_t = a_t * h_{t-1} + b_t`` with ``h_{-1} = 0`` for all t.

    The sequence is cut into chunks of 16, and each of 16 steps advances all chunks at once. A
    first sweep finds what each chunk makes of the state that enters it; these pairs (product of a,
    h) are a sequence of their own, solved in the same way; a second sweep starts each chunk from
    the state that enters it. L steps thus become about ``32 * log_16(L)``. Only products of the
    given factors are formed, so nothing overflows for a in [0, 1].

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

    factors, inputs = a.unbind(2), b.unbind(2)
    first, *following = range(steps - 1, -1, -1) if reverse else range(steps)
    h = torch.empty_like(b)
    states = h.unbind(2)

    if chunks > 1:
        product, end = factors[first].clone(), inputs[first].clone()
        for step in following:
            product.mul_(factors[step])
            torch.addcmul(inputs[step], factors[step], end, out=end)
        ends = linear_recurrence(product, end, reverse)
        entering = (
            F.pad(ends[:, 1:], (0, 0, 0, 1)) if reverse else F.pad(ends[:, :-1], (0, 0, 1, 0))
        )
        torch.addcmul(inputs[first], factors[first], entering, out=states[first])
    else:
        states[first].copy_(inputs[first])
    previous = first
    for step in following:
        torch.addcmul(inputs[step], factors[step], states[previous], out=states[step])
        previous = step
    return h.reshape(batch, chunks * steps, width)[:, :length]
