"""The three forms of Whisper weights, read without executing code, with one identity for equal weights.

The forms are the CTranslate2 folder of faster-whisper (`ct2`), the folder of Hugging Face transformers (`transformers`)
and the `.pt` file of openai-whisper (`openai`).
"""
