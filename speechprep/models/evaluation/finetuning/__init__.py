"""Fine-tuning of a text encoder on labels, over several seeds: labels of a run, and CMU-MOSEI."""
