"""What is drawn over pictures: skeletons and heatmaps. NumPy and OpenCV alone."""
