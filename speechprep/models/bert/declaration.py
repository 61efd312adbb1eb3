"""Zoo declaration of the text encoder BERT."""

from __future__ import annotations

from speechprep.models.evaluation.finetuning.declaration import FINETUNE, MOSEI
from speechprep.models.evaluation.minimal_pairs.declaration import BLIMP, MLM
from speechprep.models.zoo import Model

BERT = Model(
    name="bert",
    summary="BERT: a text encoder trained by masked language modelling on transcripts or text files",
    paper="1810.04805",
    options_class="speechprep.models.bert.train:BertOptions",
    job="speechprep.models.bert.train:training_job",
    evaluations=(BLIMP, MLM, FINETUNE, MOSEI),
    examples=(
        "speechprep train bert --data run --out models/bert --set size=mini --set steps=5000",
        "speechprep train bert --data corpus.txt --out models/bert --set tokenizer=wordpiece --set whole_words=true",
        "speechprep train bert --data run --out models/adapted --set init=models/bert-base-uncased --set lr=5e-5",
    ),
)
