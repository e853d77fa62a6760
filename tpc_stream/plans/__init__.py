"""TensorRT plans: which shapes they are built for, what they are kept under, and which of them may be loaded."""
