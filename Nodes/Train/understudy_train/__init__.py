"""Training of Understudy's own small networks (PyTorch). See Nodes/Train/README.md."""
