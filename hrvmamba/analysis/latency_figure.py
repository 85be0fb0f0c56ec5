"""A figure of what a benchmark of models measured."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from hrvmamba.analysis.model_benchmark import REFERENCE, variant


def latency_figure(report: dict) -> Figure:
    """Draw latency against multiply-accumulates, both on a logarithmic scale.

    Args:
        report: of :func:`hrvmamba.analysis.model_benchmark.benchmark_models`.
    """
    figure = Figure(figsize=(8, 5.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    families: dict[str, list[dict]] = {}
    for result in report["results"]:
        if "inference" in result:
            family = result["model"].partition("_")[0]
            family += REFERENCE if result["model"].endswith(REFERENCE) else ""
            families.setdefault(family, []).append(result)
    for family, results in families.items():
        results.sort(key=lambda result: result["macs"])
        macs = [result["macs"] / 1e9 for result in results]
        times = [result["inference"]["median_s"] * 1e3 for result in results]
        axis.plot(macs, times, marker="o", lw=1.2, label=family)
        for x, y, result in zip(macs, times, results, strict=True):
            axis.annotate(result["model"], (x, y), (5, 5), textcoords="offset points", fontsize=8)
    for scale, edges in ((axis.xaxis, axis.set_xscale), (axis.yaxis, axis.set_yscale)):
        edges("log")
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter(StrMethodFormatter("{x:g}"))
        scale.set_minor_formatter(NullFormatter())
    axis.margins(x=0.15, y=0.1)
    settings, machine = report["settings"], report["environment"]
    height, width = settings["size"]
    axis.set_xlabel("GMACs (HRVMamba: hrvmamba.analysis.cost; others: torch's FLOP counter / 2)")
    axis.set_ylabel(f"latency of a batch of {settings['batch']} at {height}x{width} [ms]")
    axis.set_title(f"{machine['device']}, torch {machine['torch']}{variant(settings)}")
    axis.grid(True, which="both", alpha=0.25)
    if families:
        axis.legend()
    return figure
