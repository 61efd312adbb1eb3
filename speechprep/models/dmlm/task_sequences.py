"""Task sequences: the token form of a pair, or of an unlabelled item.

asr      </s> <ASR> <SPEECH> s .. </SPEECH> <TEXT> t .. </TEXT> </s>
t2s      </s> <T2S> <TEXT> t .. </TEXT> <SPEECH> s .. </SPEECH> </s>
s2tt_xx  </s> <S2TT_XX> <SPEECH> s .. </SPEECH> <TEXT> t_xx .. </TEXT> </s>
i2t      </s> <I2T> <IMAGE> i .. </IMAGE> <TEXT> t .. </TEXT> </s>
speech   </s> <SPEECH> s .. </SPEECH> </s>
text     </s> t .. </s>
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.models.data.masks import IGNORED
from speechprep.models.dmlm.config import DmlmConfig
from speechprep.models.dmlm.corpus import Corpus, Items
from speechprep.tokenizers.arrays.keyed_random import record_keys

PLAIN = ("asr", "t2s", "i2t", "speech", "text")


def task_token(task: str) -> str:
    """Name of a task's token: asr -> <ASR>."""
    return f"<{task.upper()}>"


def check_task(task: str, translations: dict[str, Any]) -> None:
    """Refuse an unknown task.

    Raises:
        ConfigError: naming the task and the known tasks.
    """
    known = [*PLAIN, *(f"s2tt_{language}" for language in translations)]
    if task not in known:
        hint = "; s2tt_xx needs translations.xx" if task.startswith("s2tt") else ""
        raise ConfigError(f"task {task!r}; there are: {', '.join(known)}{hint}")


@dataclass(frozen=True)
class Side:
    """One modality of a task: its sequences, the offset from code to id, and its delimiters."""

    items: Items
    add: int
    open: int
    close: int


class Task:
    """Sequences of a task by number.

    Args:
        name: of the task.
        corpus: the corpus.
        config: of the model.
        chosen: share of the usable ids, [low, high) of a hash in 0 .. 1; see `Shares.labelled`.
        seed: of the hash.
        prompt_targets: whether the first half of a pair is a target too.
        needs_answer: False takes items with the first half of a pair only: for `prompt`.
        side: filter of the ids, True for usable ones; None for all.
    """

    def __init__(
        self,
        name: str,
        corpus: Corpus,
        config: DmlmConfig,
        *,
        chosen: tuple[float, float] = (0.0, 1.0),
        seed: int = 0,
        prompt_targets: bool = True,
        needs_answer: bool = True,
        side: Callable[[list[str]], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.name, self.config, self.prompt_targets = name, config, prompt_targets
        self.eos = config.eos_token_id
        sides = self._sides(corpus)
        asked = None if needs_answer or len(sides) < 2 else sides[1]
        sides = sides[:1] if asked else sides
        where = [{id: i for i, id in enumerate(side.items.ids)} for side in sides]
        # The last side decides, for an image has several captions.
        ids = [(id, i) for i, id in enumerate(sides[-1].items.ids) if all(id in found for found in where)]
        names = [id for id, _ in ids]
        draw = record_keys(seed, "dmlm.labelled", names).astype(np.float64) / 2.0**64
        keep = (draw >= chosen[0]) & (draw < chosen[1])
        if side is not None:
            keep &= side(names)
        kept = [ids[i] for i in np.flatnonzero(keep)]
        self.sides, self.asked = sides, asked or sides[-1]
        self.ids = [id for id, _ in kept]
        self.places = [[found[id] for found in where[:-1]] + [i] for id, i in kept]
        if not kept:
            raise ConfigError(f"task {name!r} has no items in these runs and this split; leave it out of the shares")
        lengths = [np.diff(side.items.offsets)[[p[n] for p in self.places]] for n, side in enumerate(sides)]
        bare = name == "text"  # which has neither delimiters nor a task token
        frame = 2 if bare else 2 + 2 * len(sides) + (len(sides) > 1)
        self.lengths: NDArray[np.int64] = np.sum(lengths, axis=0) + frame

    def limit(self, context: int, *, drop: bool) -> None:
        """Refuse, or leave out, items longer than the context.

        Raises:
            ConfigError: naming the first of them; or none is left.
        """
        long = np.flatnonzero(self.lengths > context)
        if len(long) and not drop:
            raise ConfigError(
                f"task {self.name!r}: {self.ids[long[0]]!r} has {self.lengths[long[0]]} tokens, "
                f"the context is {context}; so have {len(long) - 1} more; set long=drop, dedup=true or a larger context"
            )
        keep = np.flatnonzero(self.lengths <= context)
        if not len(keep):
            raise ConfigError(f"task {self.name!r}: every item is longer than the context of {context} tokens")
        self.ids, self.places = [self.ids[i] for i in keep], [self.places[i] for i in keep]
        self.lengths = self.lengths[keep]

    def _sides(self, corpus: Corpus) -> list[Side]:
        ranges = self.config.ranges
        token = self.config.token

        def side(items: Items, kind: str) -> Side:
            name = kind.upper()
            return Side(items, ranges[kind][0], token(f"<{name}>"), token(f"</{name}>"))

        speech, text = side(corpus.speech, "speech"), side(corpus.transcripts, "text")
        if self.name.startswith("s2tt_"):
            return [speech, side(corpus.translations[self.name[5:]], "text")]
        return {
            "asr": [speech, text],
            "t2s": [text, speech],
            "i2t": [side(corpus.images, "image"), side(corpus.captions, "text")],
            "speech": [speech],
            "text": [text],
        }[self.name]

    def __len__(self) -> int:
        """Items of an epoch."""
        return len(self.ids)

    def sequence(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens (l,) of an item, and labels (l,): the tokens, -100 where one is no target."""
        parts = [side.items[i] + side.add for side, i in zip(self.sides, self.places[number], strict=True)]
        if self.name == "text":
            ids = np.concatenate([[self.eos], parts[0], [self.eos]]).astype(np.int64)
            return ids, ids
        head = self.head(parts[0], second=self.sides[1] if len(parts) > 1 else None)
        tail = [] if len(parts) == 1 else [*parts[1].tolist(), self.sides[1].close]
        ids = np.array([*head, *tail, self.eos], np.int64)
        labels = ids.copy()
        if len(parts) > 1 and not self.prompt_targets:
            labels[: len(head)] = IGNORED
        return ids, labels

    def head(self, codes: NDArray[Any], second: Side | None) -> list[int]:
        """Tokens before the second half, with its opening delimiter; without a second half, all but the last </s>."""
        first = self.sides[0]
        body = [first.open, *codes.tolist(), first.close]
        if second is None:
            return [self.eos, *body]
        return [self.eos, self.config.token(task_token(self.name)), *body, second.open]

    def prompt(self, number: int) -> list[int]:
        """Tokens of an item of a pair up to where its second half begins."""
        if self.asked is self.sides[0]:
            raise ConfigError(f"task {self.name!r} has one modality; there is nothing to ask for")
        codes = self.sides[0].items[self.places[number][0]] + self.sides[0].add
        return self.head(codes, self.asked)
