"""Exported models: ONNX files of standard operators, and programs of torch.export."""
