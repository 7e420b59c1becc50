"""One ONNX file of a detector, resizing and threshold included, and the proof that it says what PyTorch says."""
