"""The embedded default corpus: stand-in people and voices made by code, for when there is no data.

It shows the mechanics and proves nothing about detection: all faces come from one photograph,
all voices from one synthesiser.
"""

from dfutils.embedded.corpus import CORPUS_VERSION, build_corpus

__all__ = ["CORPUS_VERSION", "build_corpus"]
