# SPDX-License-Identifier: Apache-2.0
"""A word-piece tokenizer, enough for English text with a BERT vocabulary (lower case, accents dropped).

Makes the inputs of the sentence encoder from real text. A word is cut greedily into the longest pieces of the
vocabulary; pieces that continue a word are written with two leading hashes there.
"""
import pathlib
import unicodedata

import numpy as np


class WordPiece:
    def __init__(self, vocabulary):
        """vocabulary: path of a vocab.txt, one piece a line, the line number is the id."""
        lines = pathlib.Path(vocabulary).read_text(encoding="utf-8").split("\n")
        self.ids = {piece: number for number, piece in enumerate(lines) if piece}

    def words(self, text):
        plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        word = ""
        for c in plain + " ":
            if c.isspace() or not c.isalnum():
                if word:
                    yield word
                word = ""
                if not c.isspace():
                    yield c
            else:
                word += c

    def pieces(self, word):
        found, begin = [], 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                piece = ("##" if begin else "") + word[begin:end]
                if piece in self.ids:
                    found.append(self.ids[piece])
                    begin = end
                    break
            else:
                return [self.ids["[UNK]"]]
        return found

    def encode(self, texts, length):
        """int64 [len(texts), length] ids and attention mask, cut or padded with zeros."""
        ids, mask = np.zeros((2, len(texts), length), np.int64)
        for row, text in enumerate(texts):
            body = [i for w in self.words(text) for i in self.pieces(w)][:length - 2]
            tokens = [self.ids["[CLS]"], *body, self.ids["[SEP]"]]
            ids[row, :len(tokens)], mask[row, :len(tokens)] = tokens, 1
        return ids, mask
