"""The page of `hrvmamba web`: a picture in, skeletons, heatmaps and activation maps out."""
