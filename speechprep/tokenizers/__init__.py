"""Pure: arrays in, ids out. No Beam, no network; files only where a model is loaded or saved.

spoken, letter_to_sound, wer         written words and what is said for them
quantizer                            frames -> units
runlength, unit_text, subword        units -> SentencePiece ids and back
vocabulary, hf_tokenizer             units and text in one range of ids
spans, policies, interleave, render  words and units -> rows; invert, roundtrip: and back
packing                              rows -> fixed length
ragged, draws                        flat arrays with offsets; random numbers that depend on a key alone
"""
