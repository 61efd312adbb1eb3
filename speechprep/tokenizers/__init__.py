"""Pure computation on arrays: units, alignment, vocabularies, token rows. No Beam and no network.

Files are read and written only to load and save models. The rooms, and the rooms each may import:

    arrays       ragged arrays, run-length encoding, keyed random numbers, compiled loops     none
    english      spoken forms and pronunciations of written English                           none
    kmeans       k-means clustering of frames; nearest centroid of each frame                 arrays
    alignment    CTC and WhisperX alignment, plausibility of times, scores of transcripts     arrays
    subword      SentencePiece models, joint vocabulary of text and units                     arrays
    packing      packing of documents into rows of a fixed length                             arrays
    interleave   words and units -> token rows, and back                                      arrays, subword

`tests/test_architecture.py` checks these imports.
"""
