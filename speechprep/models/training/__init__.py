"""The training loop of the zoo: transformers' `Trainer` over batches that resume exactly."""
