"""From heatmaps to keypoints, as MMPose's codecs MSRAHeatmap and UDPHeatmap decode them."""

import cv2
import numpy as np


def decode_heatmaps(
    heatmaps: np.ndarray,
    input_size: tuple[int, int],
    decoder: str,
    unbiased: bool,
    blur_kernel_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the keypoints of a person.

    The maximum of each heatmap is refined: by a quarter of a pixel towards its larger neighbours
    (MSRAHeatmap), or by a Newton step on the logarithm of the blurred heatmap (DARK, arXiv
    1910.06278, with ``unbiased``; UDPHeatmap, arXiv 1911.07524, always). A heatmap without a
    positive value puts its keypoint before the first pixel.

    Args:
        heatmaps: ``(K, h, w)``, float32.
        input_size: width and height of the model's input, in pixels.
        decoder: "MSRAHeatmap" or "UDPHeatmap".
        unbiased: of MSRAHeatmap.
        blur_kernel_size: of the blur, odd.

    Returns:
        Keypoints ``(K, 2)``, x and y in pixels of the input, and scores ``(K,)``, the maxima.
    """
    count, height, width = heatmaps.shape
    flat = heatmaps.reshape(count, -1)
    scores = flat.max(1)
    y, x = np.divmod(flat.argmax(1), width)
    found = scores > 0
    points = np.where(found[:, None], np.stack([x, y], -1), -1).astype(np.float32)
    size = np.array([width, height])
    if decoder == "UDPHeatmap":
        logarithm = np.log(np.clip(_blur(heatmaps, blur_kernel_size), 1e-3, 50))
        points[found] += _udp_step(_Around(logarithm, x, y))[found]
        return points / (size - 1) * input_size, scores
    if unbiased:
        logarithm = np.log(np.maximum(_blur(heatmaps, blur_kernel_size), 1e-10))
        inside = found & (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        points[inside] += _dark_step(_Around(logarithm, x, y))[inside]
    else:
        points[found] += _quarter_step(_Around(heatmaps, x, y), x, y, size)[found]
    return points * (np.array(input_size) / size).astype(np.float32), scores


class _Around:
    """The values around one pixel of each heatmap; outside, those of the edge."""

    def __init__(self, heatmaps: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        self.padded = np.pad(heatmaps, ((0, 0), (2, 2), (2, 2)), mode="edge")
        self.x, self.y, self.index = x + 2, y + 2, np.arange(len(heatmaps))

    def __call__(self, right: int, down: int) -> np.ndarray:
        """``(K,)``: the values so many pixels to the right, and down."""
        return self.padded[self.index, self.y + down, self.x + right]


def _blur(heatmaps: np.ndarray, kernel_size: int) -> np.ndarray:
    """Blur heatmaps, zero outside, and keep their maxima."""
    border = kernel_size // 2
    blurred = np.empty_like(heatmaps)
    for heatmap, out in zip(heatmaps, blurred, strict=True):
        padded = cv2.GaussianBlur(np.pad(heatmap, border), (kernel_size, kernel_size), 0)
        out[:] = padded[border:-border, border:-border]
        out *= heatmap.max() / out.max()
    return blurred


def _quarter_step(around: _Around, x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of each axis a quarter of a pixel to the larger side, but from pixels at the edges."""
    width, height = size
    dx = np.sign(around(1, 0) - around(-1, 0)) * ((x > 1) & (x < width - 1) & (y > 0))
    dy = np.sign(around(0, 1) - around(0, -1)) * ((y > 1) & (y < height - 1) & (x > 0))
    return 0.25 * np.stack([dx, dy], -1)


def _dark_step(around: _Around) -> np.ndarray:
    """Newton's step to the maximum, with second differences of two pixels' distance."""
    dx, dy = (around(1, 0) - around(-1, 0)) / 2, (around(0, 1) - around(0, -1)) / 2
    dxx = (around(2, 0) - 2 * around(0, 0) + around(-2, 0)) / 4
    dyy = (around(0, 2) - 2 * around(0, 0) + around(0, -2)) / 4
    dxy = (around(1, 1) - around(1, -1) - around(-1, 1) + around(-1, -1)) / 4
    flat = dxx * dyy - dxy**2 == 0
    return np.where(flat[:, None], 0, _newton(dx, dy, dxx + flat, dxy, dyy + flat))


def _udp_step(around: _Around) -> np.ndarray:
    """Newton's step to the maximum, with second differences of neighbours."""
    dx, dy = (around(1, 0) - around(-1, 0)) / 2, (around(0, 1) - around(0, -1)) / 2
    dxx = around(1, 0) - 2 * around(0, 0) + around(-1, 0)
    dyy = around(0, 1) - 2 * around(0, 0) + around(0, -1)
    corners = around(1, 1) + around(-1, -1) + 2 * around(0, 0)
    dxy = (corners - around(1, 0) - around(-1, 0) - around(0, 1) - around(0, -1)) / 2
    eps = float(np.finfo(np.float32).eps)
    return _newton(dx, dy, dxx.astype(float) + eps, dxy, dyy.astype(float) + eps)


def _newton(
    dx: np.ndarray, dy: np.ndarray, dxx: np.ndarray, dxy: np.ndarray, dyy: np.ndarray
) -> np.ndarray:
    """``(K, 2)``: minus the inverse Hessian times the gradient."""
    hessian = np.stack([dxx, dxy, dxy, dyy], -1).reshape(-1, 2, 2)
    return -np.linalg.solve(hessian, np.stack([dx, dy], -1)[..., None])[..., 0]
