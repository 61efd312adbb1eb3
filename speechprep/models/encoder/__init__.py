"""Text encoders: texts of runs and files, masking, batches, and shapes of BERT."""
