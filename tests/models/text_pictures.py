# SPDX-License-Identifier: Apache-2.0
"""Draws pictures with text and turns them into what the PP-OCR models read.

Used by the inputs of tests and by the demo. The font is the one that Pillow ships. Everything is reproducible: noise
comes from seeded generators.
"""
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont


def text_line(text, height=64, margin=10, ink=30, paper=225):
    """A grey picture of one line of text, height pixels high."""
    font = ImageFont.load_default(size=int(height * 0.6))
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (right - left + 2 * margin, height), paper)
    ImageDraw.Draw(image).text((margin - left, (height - (bottom - top)) // 2 - top), text, font=font, fill=ink)
    return image


def photographed(image, seed=1, angle=1.2, noise=12):
    """The picture as a camera might have taken it: lit unevenly, turned a little, soft and noisy."""
    rng = np.random.default_rng(seed)
    image = image.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
    image = image.filter(ImageFilter.GaussianBlur(0.8))
    pixels = np.asarray(image, np.float64)
    light = np.linspace(1.05, 0.8, pixels.shape[1])[None] * np.linspace(0.95, 1.05, pixels.shape[0])[:, None]
    pixels = pixels * light + rng.normal(0, noise, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def page(lines, width, height, seed=1):
    """A picture of several lines of text at varying places and sizes."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (width, height), 230)
    draw, y = ImageDraw.Draw(image), 12
    for text in lines:
        size = int(rng.integers(18, 34))
        if y + size * 1.5 > height:
            break
        draw.text((int(rng.integers(8, 40)), y), text, font=ImageFont.load_default(size=size), fill=35)
        y += int(size * 1.7)
    return photographed(image, seed, angle=0.6, noise=6)


def normalised(image):
    """[3,h,w] float32 in -1..1 of a grey or colour picture."""
    pixels = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1)
    return (pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


def recognition_input(image, width=None, height=48):
    """[3,48,width] float32: scaled to the height the model reads, padded with zeros on the right to width."""
    natural = max(1, math.ceil(image.width * height / image.height))
    width = width or natural
    scaled = image.resize((min(natural, width), height), Image.Resampling.BILINEAR)
    out = np.zeros((3, height, width), np.float32)
    out[:, :, :scaled.width] = normalised(scaled)
    return out


def ctc_text(probabilities, characters):
    """Text and mean confidence of one [steps, classes] output: best class a step, repeats and blanks (0) dropped."""
    best, odds = probabilities.argmax(1), probabilities.max(1)
    kept = [t for t in range(len(best)) if best[t] != 0 and (t == 0 or best[t] != best[t - 1])]
    confidence = float(np.mean(odds[kept])) if kept else 0.0
    return "".join(characters[best[t] - 1] for t in kept), confidence


def model_characters(model_path):
    """The characters of a PP-OCR recognition model, in the order of its classes after the blank."""
    import onnx
    model = onnx.load(model_path, load_external_data=False)
    listed = {p.key: p.value for p in model.metadata_props}["character"]
    return listed.split("\n") + [" "]
