"""Task sequences of DMLM: the tokens and labels of a pair, or of an unlabelled item.

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
    """Name of the token of a task: asr -> <ASR>."""
    return f"<{task.upper()}>"


def check_task(task: str, translations: dict[str, Any]) -> None:
    """Check the name of a task.

    Args:
        task: the name.
        translations: the option `translations`: each language adds the task s2tt_xx.

    Raises:
        ConfigError: an unknown task; the message lists the tasks.
    """
    tasks = [*PLAIN, *(f"s2tt_{language}" for language in translations)]
    if task not in tasks:
        hint = "; s2tt_xx also needs the option translations.xx" if task.startswith("s2tt") else ""
        raise ConfigError(f"task {task!r} is unknown; set one of {', '.join(tasks)}{hint}")


@dataclass(frozen=True)
class Side:
    """One modality of a task.

    Attributes:
        items: code sequences.
        add: offset from a code to its token id.
        open, close: token ids of the delimiters.
    """

    items: Items
    add: int
    open: int
    close: int


class TaskSequences:
    """Token sequences of a task, by item number.

    Args:
        name: name of the task.
        corpus: the corpus.
        config: configuration of the model.
        hash_range: selects the ids with low <= hash < high, for a hash of the id in 0 .. 1 (option `labelled`).
        seed: seed of the hash.
        prompt_targets: True if the first half of a pair is a target too.
        needs_target: False also selects items without the second half of a pair, for `prompt`.
        selects: ids -> True for usable ones; None for all.

    Raises:
        ConfigError: no item is selected.
    """

    def __init__(
        self,
        name: str,
        corpus: Corpus,
        config: DmlmConfig,
        *,
        hash_range: tuple[float, float] = (0.0, 1.0),
        seed: int = 0,
        prompt_targets: bool = True,
        needs_target: bool = True,
        selects: Callable[[list[str]], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.name, self.config, self.prompt_targets = name, config, prompt_targets
        self.eos = config.eos_token_id
        sides = self._sides(corpus)
        target_side = None if needs_target or len(sides) < 2 else sides[1]
        sides = sides[:1] if target_side else sides
        indices = [{id: i for i, id in enumerate(side.items.ids)} for side in sides]
        # An item is one entry of the last side, because an image has several captions.
        entries = [(id, i) for i, id in enumerate(sides[-1].items.ids) if all(id in index for index in indices)]
        names = [id for id, _ in entries]
        hashes = record_keys(seed, "dmlm.labelled", names).astype(np.float64) / 2.0**64
        keep = (hashes >= hash_range[0]) & (hashes < hash_range[1])
        if selects is not None:
            keep &= selects(names)
        entries = [entries[i] for i in np.flatnonzero(keep)]
        self.sides, self.target_side = sides, target_side or sides[-1]
        self.ids = [id for id, _ in entries]
        self.places = [[index[id] for index in indices[:-1]] + [i] for id, i in entries]
        if not entries:
            raise ConfigError(f"task {name!r} has no items in these runs and this split; remove it from shares")
        lengths = [np.diff(side.items.offsets)[[p[n] for p in self.places]] for n, side in enumerate(sides)]
        extra = 2 if name == "text" else 2 + 2 * len(sides) + (len(sides) > 1)  # </s>, delimiters and task token
        self.lengths: NDArray[np.int64] = np.sum(lengths, axis=0) + extra

    def limit(self, context: int, *, drop: bool) -> None:
        """Refuse items longer than the context, or drop them.

        Raises:
            ConfigError: an item is longer and `drop` is False, or every item is longer.
        """
        long = np.flatnonzero(self.lengths > context)
        if len(long) and not drop:
            raise ConfigError(
                f"task {self.name!r}: {self.ids[long[0]]!r} has {self.lengths[long[0]]} tokens, "
                f"the context is {context} ({len(long) - 1} more items are too long); "
                "set long=drop, dedup=true or a larger context"
            )
        keep = np.flatnonzero(self.lengths <= context)
        if not len(keep):
            raise ConfigError(
                f"task {self.name!r}: every item is longer than the context of {context} tokens; set a larger context"
            )
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
            none = Items([], np.zeros(0, np.int32), np.zeros(1, np.int64))
            return [speech, side(corpus.translations.get(self.name[5:], none), "text")]
        return {
            "asr": [speech, text],
            "t2s": [text, speech],
            "i2t": [side(corpus.images, "image"), side(corpus.captions, "text")],
            "speech": [speech],
            "text": [text],
        }[self.name]

    def __len__(self) -> int:
        """Number of items of an epoch."""
        return len(self.ids)

    def sequence(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens (l,) of an item, and labels (l,): the same tokens, -100 for tokens without a loss."""
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
        """Tokens up to the opening delimiter of the second half; for one modality, all tokens but the last </s>."""
        first = self.sides[0]
        body = [first.open, *codes.tolist(), first.close]
        if second is None:
            return [self.eos, *body]
        return [self.eos, self.config.token(task_token(self.name)), *body, second.open]

    def prompt(self, number: int) -> list[int]:
        """Tokens of a pair up to the start of its second half.

        Raises:
            ConfigError: the task has one modality.
        """
        if self.target_side is self.sides[0]:
            raise ConfigError(f"task {self.name!r} has one modality; use a task with two modalities")
        codes = self.sides[0].items[self.places[number][0]] + self.sides[0].add
        return self.head(codes, self.target_side)
