"""CTC models: log-probabilities of letters for each frame of audio, from Hugging Face or torchaudio."""
