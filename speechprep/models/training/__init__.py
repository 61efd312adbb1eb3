"""The one training loop of the zoo: transformers' `Trainer` over batches that can be resumed exactly.

A model that can be trained is a module with `OPTIONS`, a class of `options.TrainOptions`, and `task(data, options)`,
which gives a `run.Task`. Neither needs torch before `task` is called.
"""

MODELS = {
    "sutlm": "speechprep.models.sutlm.train",
    "dmlm": "speechprep.models.dmlm.train",
    "slue": "speechprep.models.sutlm.finetune",
}
