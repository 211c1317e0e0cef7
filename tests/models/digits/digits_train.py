#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the digits network with numpy and writes digits_weights.npz beside itself.

Plain Adam on cross-entropy; convolutions by im2col. Takes half a minute; needs scikit-learn for the images only. Run
by hand when the network changes: the weights are in the tree.
"""
import pathlib

import numpy as np

from digits_network import CHANNELS, CLASSES, EPSILON, HIDDEN, load_digits

EPOCHS, BATCH, RATE, MOMENTUM = 40, 64, 1.5e-3, 0.9


def patches(x):
    """[n,c,h,w] -> [n,h,w,c*9], the zero-padded 3x3 neighbourhood of every pixel."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    n, c, h, w = x.shape
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, c * 9)


def unpatch(grad, shape):
    """Adjoint of patches."""
    n, c, h, w = shape
    out = np.zeros((n, c, h + 2, w + 2), np.float32)
    grad = grad.reshape(n, h, w, c, 3, 3)
    for i in range(3):
        for j in range(3):
            out[:, :, i:i + h, j:j + w] += grad[..., i, j].transpose(0, 3, 1, 2)
    return out[:, :, 1:-1, 1:-1]


class ConvBlock:
    """Convolution 3x3, batch normalisation, ReLU; keeps what its backward step needs."""

    def __init__(self, rng, inputs, outputs):
        scale = np.sqrt(2 / (inputs * 9))
        self.params = {"weight": (rng.standard_normal((outputs, inputs * 9)) * scale).astype(np.float32),
                       "gamma": np.ones(outputs, np.float32), "beta": np.zeros(outputs, np.float32)}
        self.mean, self.variance = np.zeros(outputs, np.float32), np.ones(outputs, np.float32)

    def forward(self, x, training):
        self.shape, self.columns = x.shape, patches(x)
        y = self.columns @ self.params["weight"].T
        if training:
            mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
            self.mean = MOMENTUM * self.mean + (1 - MOMENTUM) * mean
            self.variance = MOMENTUM * self.variance + (1 - MOMENTUM) * variance
        else:
            mean, variance = self.mean, self.variance
        self.inverse = 1 / np.sqrt(variance + np.float32(EPSILON))
        self.normal = (y - mean) * self.inverse
        out = self.normal * self.params["gamma"] + self.params["beta"]
        self.positive = out > 0
        return (out * self.positive).transpose(0, 3, 1, 2)

    def backward(self, grad):
        grad = grad.transpose(0, 2, 3, 1) * self.positive
        self.grads = {"gamma": (grad * self.normal).sum((0, 1, 2)), "beta": grad.sum((0, 1, 2))}
        grad = grad * self.params["gamma"]
        grad = self.inverse * (grad - grad.mean((0, 1, 2)) - self.normal * (grad * self.normal).mean((0, 1, 2)))
        flat = grad.reshape(-1, grad.shape[-1])
        self.grads["weight"] = flat.T @ self.columns.reshape(len(flat), -1)
        return unpatch(grad @ self.params["weight"], self.shape)


class Dense:
    """x @ weight.T + bias, with ReLU where asked."""

    def __init__(self, rng, inputs, outputs, relu):
        weight = rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        self.params = {"weight": weight.astype(np.float32), "bias": np.zeros(outputs, np.float32)}
        self.relu = relu

    def forward(self, x, training):
        self.x = x
        y = x @ self.params["weight"].T + self.params["bias"]
        self.positive = y > 0 if self.relu else np.ones_like(y, bool)
        return y * self.positive

    def backward(self, grad):
        grad = grad * self.positive
        self.grads = {"weight": grad.T @ self.x, "bias": grad.sum(0)}
        return grad @ self.params["weight"]


class MaxPool:
    """2x2 maximum, then flattened."""
    params = {}

    def forward(self, x, training):
        n, c, h, w = x.shape
        self.blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
        self.best = self.blocks.max((3, 5), keepdims=True)
        return self.best.reshape(n, -1)

    def backward(self, grad):
        hit = self.blocks == self.best
        grad = hit * grad.reshape(self.best.shape) / hit.sum((3, 5), keepdims=True)
        n, c, h, _, w, _ = self.blocks.shape
        return grad.reshape(n, c, h * 2, w * 2).astype(np.float32)


def forward(layers, x, training=False):
    for layer in layers:
        x = layer.forward(x, training)
    return x


def train():
    """Returns the trained layers and their accuracy on the held-out images."""
    rng = np.random.default_rng(1)
    images, labels, test_images, test_labels = load_digits()
    layers = [ConvBlock(rng, 1, CHANNELS[0]), ConvBlock(rng, *CHANNELS), MaxPool(),
              Dense(rng, CHANNELS[1] * 16, HIDDEN, True), Dense(rng, HIDDEN, CLASSES, False)]
    moments, step = {}, 0
    for epoch in range(EPOCHS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(labels))
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[begin:begin + BATCH]
            logits = forward(layers, images[chosen], training=True)
            odds = np.exp(logits - logits.max(1, keepdims=True))
            grad = odds / odds.sum(1, keepdims=True)
            grad[np.arange(BATCH), labels[chosen]] -= 1
            grad = (grad / BATCH).astype(np.float32)
            for layer in reversed(layers):
                grad = layer.backward(grad)
            step += 1
            for index, layer in enumerate(layers):
                for key, value in layer.params.items():
                    g = layer.grads[key]
                    m, v = moments.get((index, key), (np.zeros_like(g), np.zeros_like(g)))
                    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                    moments[index, key] = m, v
                    value -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        right = np.mean(forward(layers, test_images).argmax(1) == test_labels)
        print(f"epoch {epoch + 1:2d}: held-out accuracy {right:.4f}", flush=True)
    return layers, right


def main():
    layers, _ = train()
    weights = {}
    for name, layer in zip(("conv1", "conv2", "pool", "dense1", "dense2"), layers):
        for key, value in layer.params.items():
            weights[f"{name}.{key}"] = value.astype(np.float32)
        if isinstance(layer, ConvBlock):
            outputs, columns = layer.params["weight"].shape
            weights[f"{name}.weight"] = weights[f"{name}.weight"].reshape(outputs, columns // 9, 3, 3)
            weights[f"{name}.mean"] = layer.mean.astype(np.float32)
            weights[f"{name}.variance"] = layer.variance.astype(np.float32)
    np.savez(pathlib.Path(__file__).with_name("digits_weights.npz"), **weights)


if __name__ == "__main__":
    main()
