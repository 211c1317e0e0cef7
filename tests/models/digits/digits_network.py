# SPDX-License-Identifier: Apache-2.0
"""The data and the shape of the digits network, shared by its training and its export.

Two convolutions, each with batch normalisation and ReLU, a 2x2 max-pool and two dense layers, on the 8x8 digits that
scikit-learn ships. The split into training and held-out images is fixed here.
"""
import numpy as np

CHANNELS = (16, 32)
HIDDEN = 64
CLASSES = 10
EPSILON = 1e-5
HELD_OUT = 360


def load_digits():
    """Returns (train images, train labels, held-out images, held-out labels); images float32 [n,1,8,8] in 0..1."""
    from sklearn.datasets import load_digits as sklearn_digits
    digits = sklearn_digits()
    order = np.random.default_rng(7).permutation(len(digits.target))
    images = (digits.images[order, None] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.int64)
    return images[:-HELD_OUT], labels[:-HELD_OUT], images[-HELD_OUT:], labels[-HELD_OUT:]
