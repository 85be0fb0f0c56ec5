"""The part of an image that a network sees, and where the tokens of its maps lie in the image."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part of an image, brought to a network's input size.

    Points are (x, y) in pixels, (0, 0) being the centre of the first one.

    Attributes:
        image: the whole image, ``(H, W, 3)``, RGB, uint8.
        box: x, y, width and height of what was cropped, in pixels of the image.
        image_to_input: ``(2, 3)``, the affine map of points of the image to points of the input.
        input_size: height and width of the input.
    """

    image: np.ndarray
    box: tuple[float, float, float, float]
    image_to_input: np.ndarray
    input_size: tuple[int, int]

    def tokens_to_image(self, map_size: tuple[int, int]) -> np.ndarray:
        """The affine map of the tokens of a feature map to points of the image.

        A map divides the input evenly, as upsampling with align_corners False has it.

        Args:
            map_size: height and width of the map.

        Returns:
            ``(3, 3)``, to be applied to (x, y, 1): (0, 0) is the centre of the first token.
        """
        stride_y, stride_x = np.divide(self.input_size, map_size)
        to_input = np.array(
            [[stride_x, 0, (stride_x - 1) / 2], [0, stride_y, (stride_y - 1) / 2], [0, 0, 1]]
        )
        return np.linalg.inv(np.vstack([self.image_to_input, [0, 0, 1]])) @ to_input

    def token_at(self, point: tuple[float, float], map_size: tuple[int, int]) -> tuple[int, int]:
        """Row and column of the token that a point of the image lies in.

        Args:
            point: (x, y) in pixels of the image.
            map_size: height and width of the map.

        Raises:
            ValueError: the point lies outside the crop.
        """
        token = np.linalg.solve(self.tokens_to_image(map_size), [*point, 1])[:2]
        column, row = np.floor(token + 0.5).astype(int).tolist()
        if not (0 <= row < map_size[0] and 0 <= column < map_size[1]):
            raise ValueError(f"the point {point} lies outside the crop of the box {self.box}")
        return row, column

    def corners(self) -> np.ndarray:
        """The crop's corners in the image, ``(4, 2)``, from the upper left one clockwise."""
        corners = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]])
        return (self.tokens_to_image((1, 1)) @ corners.T).T[:, :2]
