"""Models from elsewhere as chains of blocks: ONNX, torch, configurations, tables, what others measured."""
