"""Timed transcripts: subtitles, Praat, ELAN, CTM, STM, and the JSON of Whisper."""
