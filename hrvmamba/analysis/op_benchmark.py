"""Timing the ops and the DSS2D layer beside the reference and whichever peers are installed."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvmamba.analysis.timing import (
    Timing,
    TimingSettings,
    copy_bandwidth,
    environment,
    first_line,
    print_table,
    time_interleaved,
)
from hrvmamba.layers import DSS2D
from hrvmamba.models.hrvmamba import ARCHS
from hrvmamba.ops import backend, deform_sample, selective_scan_2d
from hrvmamba.ops.backend import NATIVE_DEVICES
from hrvmamba.ops.deform_sample import OFFSET_MASK_CHANNELS
from hrvmamba.ops.paths import DIRECTIONS, Paths

SIZE = (256, 192)  # of the images whose branches are timed
STRIDES = (4, 8, 16, 32)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PASSES = ("forward", "forward+backward")

# What a time is divided by, beside the elements of (B, H, W, D).
UNITS = {
    "deform_sample": ("element", 1),
    "selective_scan_2d": ("element and direction", DIRECTIONS),
    "DSS2D": ("element", 1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpSettings(TimingSettings):
    """What to time, and how.

    Attributes:
        presets: whose branches are timed.
        batches: numbers of images.
        dtype: a key of ``DTYPES``, of the activations.

    Raises:
        ValueError: a value is out of its range.
    """

    presets: tuple[str, ...] = tuple(ARCHS)
    batches: tuple[int, ...] = (1, 32)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        for preset in self.presets:
            if preset not in ARCHS:
                raise ValueError(f"unknown preset {preset!r}; there are {', '.join(ARCHS)}")
        if min(self.batches) < 1:
            raise ValueError(f"a batch must be at least 1, got {min(self.batches)}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")


def benchmark_ops(settings: OpSettings) -> dict:
    """Time the ops on each branch of each preset, and print a table as soon as it is full.

    Returns:
        A report that JSON takes: ``environment``, ``settings``, ``notes`` on what could not run,
        ``results`` and the ``tables`` that were printed. Ctrl-C ends it: ``interrupted`` is then
        True, and what was measured is kept.
    """
    report = {
        "benchmark": "ops",
        "environment": environment(settings.device),
        "settings": {
            "dtype": settings.dtype,
            "image_size": list(SIZE),
            "seconds": settings.seconds,
            "rounds": settings.rounds,
        },
        "copy_gb_per_s": None,
        "interrupted": False,
        "notes": [],
        "results": [],
        "tables": [],
    }
    try:
        _measure_all(settings, report)
    except KeyboardInterrupt:
        report["interrupted"] = True
    return report


@dataclasses.dataclass(frozen=True)
class Case:
    """One branch of one preset, and the number of images.

    Attributes:
        preset: the preset's name.
        stride: pixels of the image that one position of the map stands for.
        batch: images.
    """

    preset: str
    stride: int
    batch: int

    @property
    def channels(self) -> int:
        """C, the width of the branch."""
        return ARCHS[self.preset].channels[STRIDES.index(self.stride)]

    @property
    def d_inner(self) -> int:
        return 2 * self.channels

    @property
    def dt_rank(self) -> int:
        """R, which is also G, the number of sampling groups."""
        return math.ceil(self.channels / 16)

    @property
    def map(self) -> tuple[int, int, int]:
        """B, H, W."""
        height, width = (length // self.stride for length in SIZE)
        return self.batch, height, width

    @property
    def elements(self) -> int:
        return math.prod(self.map) * self.d_inner


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to compute an op.

    Attributes:
        function: computes the output from the tensors.
        tensors: what is read, laid out as this way wants it. Each gets a gradient.
        arrange: brings the output to ``(B, H, W, D)``, untimed.
    """

    function: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]
    arrange: Callable[[Tensor], Tensor] = lambda out: out


@dataclasses.dataclass(frozen=True)
class Work:
    """An op on one case: the ways to compute it, and the bytes that any way has to move."""

    contenders: dict[str, Contender]
    floor_bytes: dict[str, int]  # for each pass


def floor_bytes(read: int, written: int, gradients: int) -> dict[str, int]:
    """The bytes that must move at least, for each pass.

    Args:
        read: bytes of the inputs, each read once.
        written: bytes of the output, written once.
        gradients: bytes of the inputs' gradients. Backward reads the inputs and the output's
            gradient once, and writes these.
    """
    return {
        "forward": read + written,
        "forward+backward": 2 * read + 2 * written + gradients,
    }


def _bytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def ours(
    function: Callable[..., Tensor], tensors: tuple[Tensor, ...], *others: str
) -> dict[str, Contender]:
    """The compiled ops, where they are built for the device, the reference, and other backends."""

    def run(name: str, *arguments: Tensor) -> Tensor:
        with backend(name):
            return function(*arguments)

    native = tensors[0].device.type in NATIVE_DEVICES
    names = ("native", "reference") if native else ("reference",)
    names = (*names, *others)
    return {name: Contender(functools.partial(run, name), tensors) for name in names}


# Peers


@dataclasses.dataclass
class Peers:
    """Other implementations that can be imported here, and why the others cannot.

    Attributes:
        scans: functions ``(u, dt, A, B, C, D, dt_bias) -> y`` of sequences ``(B, D, L)``, by name.
        dcnv4: DCNv4's autograd function, or None.
        deform_conv2d: torchvision's function, or None.
        missing: a line for each that is not here.
    """

    scans: dict[str, Callable[..., Tensor]] = dataclasses.field(default_factory=dict)
    dcnv4: Any = None
    deform_conv2d: Callable[..., Tensor] | None = None
    missing: list[str] = dataclasses.field(default_factory=list)


def find_peers() -> Peers:
    """Import what there is of the peers."""
    peers = Peers()

    def mamba_ssm() -> None:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        def scan(u, dt, A, B, C, D, dt_bias):
            return selective_scan_fn(u, dt, A, B, C, D, delta_bias=dt_bias, delta_softplus=True)

        peers.scans["mamba_ssm"] = scan

    def vmamba_oflex() -> None:
        import selective_scan_cuda_oflex

        peers.scans["VMamba oflex"] = _vmamba(selective_scan_cuda_oflex, True)

    def vmamba_core() -> None:
        import selective_scan_cuda_core

        peers.scans["VMamba core"] = _vmamba(selective_scan_cuda_core)

    def dcnv4() -> None:
        from DCNv4.functions import DCNv4Function

        peers.dcnv4 = DCNv4Function

    def torchvision() -> None:
        from torchvision.ops import deform_conv2d

        peers.deform_conv2d = deform_conv2d

    for find in (mamba_ssm, vmamba_oflex, vmamba_core, dcnv4, torchvision):
        try:
            find()
        except Exception as error:  # an extension built for another torch can fail in any way
            peers.missing.append(f"{find.__name__} is not timed: {first_line(error)}")
    return peers


def _vmamba(kernels: Any, *out_float: bool) -> Callable[..., Tensor]:
    """VMamba's kernels as an autograd function. ``out_float``: oflex's output in float32."""

    class Scan(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u, dt, A, B, C, D, dt_bias):
            y, states, *_ = kernels.fwd(u, dt, A, B, C, D, dt_bias, True, 1, *out_float)
            ctx.save_for_backward(u, dt, A, B, C, D, dt_bias, states)
            return y

        @staticmethod
        def backward(ctx, grad_y):
            *arguments, states = ctx.saved_tensors
            return tuple(kernels.bwd(*arguments, grad_y.contiguous(), states, True, 1)[:7])

    return Scan.apply


# Sampling


def sampling(case: Case, dtype: torch.dtype, device: torch.device, peers: Peers) -> Work:
    """Sampling with SiLU, at offsets of about a pixel."""
    groups = case.dt_rank
    columns = math.ceil(groups * OFFSET_MASK_CHANNELS / 8) * 8
    value = torch.randn(*case.map, case.d_inner, device=device, dtype=dtype)
    offset_mask = torch.randn(*case.map, columns, device=device, dtype=dtype)

    def sample(value: Tensor, offset_mask: Tensor) -> Tensor:
        return deform_sample(value, offset_mask, groups, activation="silu")

    tensors = (value, offset_mask)
    contenders = ours(sample, tensors)
    if peers.dcnv4:
        contenders["DCNv4"] = Contender(functools.partial(_dcnv4, peers.dcnv4, groups), tensors)
    if peers.deform_conv2d:
        contenders["torchvision"] = _torchvision(peers.deform_conv2d, value, offset_mask, groups)
    used = _bytes(value) + _bytes(offset_mask) * groups * OFFSET_MASK_CHANNELS // columns
    return Work(contenders, floor_bytes(used, _bytes(value), _bytes(*tensors)))


def _dcnv4(function: Any, groups: int, value: Tensor, offset_mask: Tensor) -> Tensor:
    kernel, stride, padding, dilation, images_at_once = (3, 3), (1, 1), (1, 1), (1, 1), 256
    out = function.apply(
        value,
        offset_mask,
        *(*kernel, *stride, *padding, *dilation),
        *(groups, value.shape[-1] // groups),
        *(1.0, images_at_once, 0),  # offsets in pixels, all nine points
    )
    return F.silu(out)


def _torchvision(
    deform_conv2d: Callable[..., Tensor], value: Tensor, offset_mask: Tensor, groups: int
) -> Contender:
    """A modulated depthwise convolution with unit weights; it takes NCHW and (dy, dx)."""

    def channels_first(x: Tensor) -> Tensor:
        return x.flatten(3).permute(0, 3, 1, 2).contiguous()

    used = offset_mask[..., : groups * OFFSET_MASK_CHANNELS]
    used = used.unflatten(-1, (groups, OFFSET_MASK_CHANNELS))
    offset = used[..., :18].unflatten(-1, (3, 3, 2)).transpose(-3, -2).flip(-1)
    mask = used[..., 18:].unflatten(-1, (3, 3)).transpose(-2, -1)
    weight = value.new_ones(value.shape[-1], 1, 3, 3)

    def sample(value: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return F.silu(deform_conv2d(value, offset, weight, padding=1, mask=mask))

    tensors = (channels_first(value), channels_first(offset), channels_first(mask))
    return Contender(sample, tensors, lambda out: out.permute(0, 2, 3, 1))


# Scanning


def scanning(case: Case, dtype: torch.dtype, device: torch.device, peers: Peers) -> Work:
    """The scan, its parameters in float32, as autocast leaves them."""
    rank, channels = case.dt_rank, case.d_inner
    u = torch.randn(*case.map, channels, device=device, dtype=dtype)
    ssm_params = torch.randn(*case.map, DIRECTIONS, rank + 2, device=device, dtype=dtype)
    dss2d = DSS2D(case.channels).to(device)  # its initial values
    weights = (dss2d.dt_weight, dss2d.dt_bias, dss2d.A_log, dss2d.Dskip)
    tensors = (u, ssm_params, *(weight.detach() for weight in weights))
    contenders = ours(selective_scan_2d, tensors)
    for name, scan in peers.scans.items():
        contenders[name] = _sequence_scan(scan, *tensors)
    return Work(contenders, floor_bytes(_bytes(*tensors), _bytes(u), _bytes(*tensors)))


def _sequence_scan(
    scan: Callable[..., Tensor], u: Tensor, ssm_params: Tensor, *weights: Tensor
) -> Contender:
    """A scan of (B, D, L) sequences: one sequence a direction is made, and their sum at the end.

    The parameters are handed over along the paths already, untimed: x_proj would make them so.
    """
    rank = weights[0].shape[-1]
    paths = Paths(*u.shape[1:3], u.device)
    params = paths.walk_each(ssm_params.flatten(1, 2)).permute(1, 0, 3, 2)  # (B, K, R + 2, L)
    dt_low, B, C = params.split((rank, 1, 1), 2)

    def scanned(
        u: Tensor, dt_low: Tensor, B: Tensor, C: Tensor, *weights: Tensor
    ) -> Tensor:  # (B, D, H, W)
        dt_weight, dt_bias, A_log, D = weights
        forth = torch.stack((u.flatten(2), u.transpose(2, 3).flatten(2)), 1)
        sequences = torch.cat((forth, forth.flip(-1)), 1).flatten(1, 2)
        dt = torch.einsum("bkrl,kdr->bkdl", dt_low, dt_weight.to(dt_low.dtype))
        y = scan(
            sequences,
            dt.flatten(1, 2),
            -torch.exp(A_log).flatten(0, 1),
            B,
            C,
            D.flatten(),
            dt_bias.flatten(),
        ).unflatten(1, (DIRECTIONS, -1))
        both = y[:, :2] + y[:, 2:].flip(-1)
        return both[:, 0].view(u.shape) + both[:, 1].view(u.transpose(2, 3).shape).transpose(2, 3)

    tensors = (u.permute(0, 3, 1, 2), dt_low, B, C)
    tensors = (*(tensor.contiguous() for tensor in tensors), *weights)
    return Contender(scanned, tensors, lambda out: out.permute(0, 2, 3, 1))


# The layer


def whole_layer(case: Case, dtype: torch.dtype, device: torch.device, peers: Peers) -> Work:
    """DSS2D, under autocast if the type is a half one, with offsets of about a pixel."""
    arch = ARCHS[case.preset]
    dss2d = DSS2D(case.channels, use_se=arch.use_se, use_offset_conv=arch.use_offset_conv)
    dss2d = dss2d.to(device)
    x = torch.randn(*case.map, case.channels, device=device, dtype=dtype)
    with torch.no_grad():
        dss2d.offset_mask.weight.normal_()
        q = dss2d.offset_conv(dss2d.in_proj(x.float()))
        dss2d.offset_mask.weight.div_(dss2d.offset_mask(q).std())
    autocast = torch.autocast(device.type, dtype) if dtype != torch.float32 else nullcontext()

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        with autocast:
            return dss2d(x)

    others = ("mamba_ssm",) if "mamba_ssm" in peers.scans else ()
    return Work(ours(run, (x, *dss2d.parameters()), *others), _layer_floor(dss2d, x))


def _layer_floor(dss2d: DSS2D, x: Tensor) -> dict[str, int]:
    """The sum over its projections, convolution, sampling and scan, each reading and writing once.

    Normalisation, SE and dropout count nothing: they can be parts of their neighbours.
    """
    tokens, size = x[..., 0].numel(), x.element_size()
    d_inner, params = dss2d.d_inner, DIRECTIONS * (dss2d.dt_rank + 2 * dss2d.d_state)
    columns, used = dss2d.offset_mask.out_features, dss2d.groups * OFFSET_MASK_CHANNELS
    scan_weights = (dss2d.dt_weight, dss2d.dt_bias, dss2d.A_log, dss2d.Dskip)
    parts = [  # columns a token read and written, and the weights
        (dss2d.in_proj.in_features, d_inner, dss2d.in_proj.parameters()),
        (d_inner, columns, dss2d.offset_mask.parameters()),
        (d_inner + used, d_inner, ()),
        (d_inner, params, dss2d.x_proj.parameters()),
        (d_inner + params, d_inner, scan_weights),
        (d_inner, dss2d.out_proj.out_features, dss2d.out_proj.parameters()),
    ]
    if not isinstance(dss2d.offset_conv, nn.Identity):
        parts.append((d_inner, d_inner, dss2d.offset_conv.parameters()))
    totals = dict.fromkeys(PASSES, 0)
    for read, written, weights in parts:
        read = tokens * read * size + _bytes(*weights)
        for name, count in floor_bytes(read, tokens * written * size, read).items():
            totals[name] += count
    return totals


OPS = {"deform_sample": sampling, "selective_scan_2d": scanning, "DSS2D": whole_layer}


# Measuring


def _call(contender: Contender, name: str) -> Callable[[], object]:
    """What is timed: the op, or the op and its gradients for all tensors."""
    if name == "forward":

        def forward() -> Tensor:
            with torch.no_grad():
                return contender.function(*contender.tensors)

        return forward

    tensors = tuple(
        tensor if isinstance(tensor, nn.Parameter) else tensor.detach().requires_grad_()
        for tensor in contender.tensors
    )
    grad = torch.randn_like(contender.function(*tensors))

    def forward_backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(contender.function(*tensors), tensors, grad)

    return forward_backward


def measure(
    op: str, case: Case, settings: OpSettings, bandwidth: float, peers: Peers
) -> Iterator[tuple[str, list[dict], list[str]]]:
    """Time an op on a case: for each pass its rows, and notes on what could not run."""
    work = OPS[op](case, DTYPES[settings.dtype], settings.device, peers)
    outputs: dict[str, Tensor] = {}  # of forward, to see whether all compute the same
    for name in PASSES:
        functions, notes = {}, []
        for label, contender in work.contenders.items():
            try:
                function = _call(contender, name)
                result = function()
                if name == "forward":
                    outputs[label] = contender.arrange(result).float()
                if settings.device.type == "cuda":
                    torch.cuda.synchronize()  # errors of kernels come late
            except Exception as error:  # too little memory, a type or shape that a peer lacks
                where = f"{op}, {case.preset} at stride {case.stride}, batch {case.batch}, {name}"
                notes.append(f"{label} is not timed on {where}: {first_line(error)}")
                continue
            functions[label] = function
            del result
        if not functions:
            yield name, [], notes
            continue
        *_, timings = time_interleaved(
            functions, settings.device, settings.seconds, settings.rounds
        )
        rows = [
            _row(op, case, name, label, timing, timings, work, bandwidth, outputs)
            for label, timing in timings.items()
        ]
        yield name, rows, notes


def _row(
    op: str,
    case: Case,
    name: str,
    label: str,
    timing: Timing,
    timings: dict[str, Timing],
    work: Work,
    bandwidth: float,
    outputs: dict[str, Tensor],
) -> dict:
    _, height, width = case.map
    unit, factor = UNITS[op]
    rate = work.floor_bytes[name] / timing.median
    deviation = None
    if name == "forward" and "reference" in outputs:
        wanted = outputs["reference"]
        deviation = ((outputs[label] - wanted).norm() / wanted.norm()).item()
    reference = timings.get("reference")
    return {
        "op": op,
        "preset": case.preset,
        "stride": case.stride,
        "height": height,
        "width": width,
        "d_inner": case.d_inner,
        "dt_rank": case.dt_rank,
        "batch": case.batch,
        "pass": name,
        "implementation": label,
        **timing.as_dict(),
        "unit": unit,
        "ns_per_unit": timing.median * 1e9 / (case.elements * factor),
        "floor_bytes": work.floor_bytes[name],
        "gb_per_s": rate / 1e9,
        "floor_share": rate / bandwidth,
        "speedup": reference.median / timing.median if reference else None,
        "deviation": deviation,
    }


HEADER = ("map, D", "batch", "pass", "by", "ms", "spread", "ns", "GB/s", "floor")
HEADER = (*HEADER, "speed-up", "deviation")


def cells(row: dict) -> list[str]:
    """A row of the printed table, under HEADER."""
    return [
        f"{row['height']}x{row['width']}, {row['d_inner']}",
        str(row["batch"]),
        row["pass"],
        row["implementation"],
        f"{row['median_s'] * 1e3:.3f}",
        f"{row['spread']:.0%}",
        f"{row['ns_per_unit']:.3f}",
        f"{row['gb_per_s']:.1f}",
        f"{row['floor_share']:.1%}",
        "" if row["speedup"] is None else f"{row['speedup']:.2f}x",
        "" if row["deviation"] is None else f"{row['deviation']:.0e}",
    ]


def _measure_all(settings: OpSettings, report: dict) -> None:
    """Fill the report, and print a table for each preset and op."""
    peers = find_peers()
    report["notes"] += peers.missing
    if settings.device.type not in NATIVE_DEVICES:
        report["notes"].append(f"no compiled ops for {settings.device.type}: native is not timed")
    bandwidth = copy_bandwidth(settings.device, settings.seconds, settings.rounds)
    report["copy_gb_per_s"] = bandwidth / 1e9
    print(f"{report['environment']['device']}: a copy moves {bandwidth / 1e9:.1f} GB/s", flush=True)
    for note in report["notes"]:
        print(f"note: {note}", flush=True)
    for preset in settings.presets:
        for op in OPS:
            rows: list[dict] = []
            try:
                for batch in settings.batches:
                    for stride in STRIDES:
                        case = Case(preset, stride, batch)
                        for _, measured, notes in measure(op, case, settings, bandwidth, peers):
                            rows += measured
                            report["results"] += measured
                            report["notes"] += notes
                            for note in notes:
                                print(f"note: {note}", flush=True)
            finally:
                if rows:
                    table = {
                        "title": f"{preset}: {op} in {settings.dtype}; ns per {UNITS[op][0]}",
                        "header": HEADER,
                        "rows": [cells(row) for row in rows],
                    }
                    report["tables"].append(table)
                    print_table(**table)
