"""Triton reference kernels: what a student's own kernels are compared with, in correctness and in speed.

One module per operation, each read from top to bottom: the formula, the bytes and FLOPs that it must move,
the kernel, its public function. They import torch and triton and nothing else. Start with `softmax.py`.

Tensors live on the current CUDA device. With TRITON_INTERPRET=1 in the environment before the first import,
Triton's interpreter runs the same kernels on CPU tensors (slowly, and without bf16 matrix products).
"""
