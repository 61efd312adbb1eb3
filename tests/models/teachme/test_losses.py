"""Distillation losses: forms of NST, CRD in the batch and with the bank, on generated vectors."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn.functional import normalize  # noqa: E402

from speechprep.models.teachme.bank import EPSILON, MemoryBank  # noqa: E402
from speechprep.models.teachme.contrast import crd, token_mean  # noqa: E402
from speechprep.models.teachme.neurons import nst, nst_pairs, polynomial_mmd  # noqa: E402

pytestmark = pytest.mark.reference


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("form", ["r2", "r5", "r6"])
def test_each_form_is_the_mmd_of_its_reading(form):
    student, teacher = rand(5, 8), rand(4, 8, seed=1)
    for i in range(5):
        for j in range(4):
            s, t = student[i], teacher[j]
            if form == "r2":
                expected = polynomial_mmd(s[:, None], t[:, None])
            else:
                expected = polynomial_mmd(normalize(s, dim=0)[None], normalize(t, dim=0)[None], offset=form == "r6")
            assert nst(student, teacher, form)[i, j].item() == pytest.approx(expected.item(), abs=1e-9)
    pairs = nst_pairs(student[:4], teacher, form)
    assert torch.allclose(pairs, nst(student[:4], teacher, form).diagonal())


def test_the_readings_r1_r3_and_r4_are_constants():
    """R1: a broadcast teacher, rows normalised over tokens. R3: components of unit vectors. R4: unit components."""
    tokens, student = 6, rand(6, 8)
    r1 = []
    for seed in (1, 2):
        broadcast = rand(8, seed=seed).repeat(tokens, 1)
        rows = [normalize(x.T, dim=1) for x in (student, broadcast)]  # (neurons, tokens)
        r1.append(polynomial_mmd(*rows).item())
    assert r1[0] == pytest.approx(r1[1], abs=1e-12)  # another teacher, the same loss
    teacher = rand(8, seed=1)
    for token in student:
        r3 = polynomial_mmd(normalize(token, dim=0)[:, None], normalize(teacher, dim=0)[:, None])
        assert r3.item() == pytest.approx(0.0, abs=1e-15)
        r4 = polynomial_mmd(torch.sign(token)[:, None], torch.sign(teacher)[:, None])
        assert r4.item() == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(("form", "blind"), [("r2", True), ("r5", True), ("r6", False)])
def test_r6_alone_sees_the_sign(form, blind):
    student, teacher = rand(3, 8), rand(3, 8, seed=1)
    same = torch.allclose(nst_pairs(student, teacher, form), nst_pairs(student, -teacher, form))
    assert same is blind


def test_r5_and_r6_begin_at_their_expected_values():
    dim = 512
    student, teacher = rand(400, dim), rand(400, dim, seed=1)
    assert nst(student, teacher, "r5").mean().item() == pytest.approx(2 - 2 / dim, rel=0.01)
    assert nst(student, teacher, "r6").mean().item() == pytest.approx(6, rel=0.02)


def plain_crd(tokens, owner, audio, texts, temperature):
    """The formula of `contrast` in loops."""
    clips = range(len(audio))
    means = [
        sum(t for t, o in zip(tokens, owner.tolist(), strict=True) if o == b) / owner.tolist().count(b) for b in clips
    ]

    def others(b):
        return [c for c in clips if c == b or texts[c] != texts[b]]

    text = audio_sum = 0.0
    for token, b in zip(tokens, owner.tolist(), strict=True):
        scores = [math.exp(float(token @ audio[c]) / temperature) for c in others(b)]
        text -= math.log(math.exp(float(token @ audio[b]) / temperature) / sum(scores))
    for b in clips:
        scores = [math.exp(float(means[c] @ audio[b]) / temperature) for c in others(b)]
        audio_sum -= math.log(math.exp(float(means[b] @ audio[b]) / temperature) / sum(scores))
    return text, audio_sum


def test_crd_is_its_formula_and_equal_texts_are_no_negatives():
    tokens, audio = normalize(rand(9, 6), dim=1), normalize(rand(4, 6, seed=1), dim=1)
    owner = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    texts = torch.tensor([7, 8, 7, 9])
    ours = crd(tokens, owner, audio, texts, 0.3)
    assert [x.item() for x in ours] == pytest.approx(plain_crd(tokens, owner, audio, texts, 0.3))
    assert ours[0].item() != pytest.approx(crd(tokens, owner, audio, torch.arange(4), 0.3)[0].item())


def test_both_terms_of_crd_begin_near_the_logarithm_of_the_batch():
    clips = 32
    tokens, audio = normalize(rand(clips * 8, 128), dim=1), normalize(rand(clips, 128, seed=1), dim=1)
    owner = torch.arange(clips).repeat_interleave(8)
    text, sound = crd(tokens, owner, audio, torch.arange(clips), 1.0)
    assert text.item() / len(tokens) == pytest.approx(math.log(clips), rel=0.03)
    assert sound.item() / clips == pytest.approx(math.log(clips), rel=0.03)


@pytest.mark.parametrize("kind", ["r2", "r5", "r6", "crd", "crd_bank"])
def test_a_swap_of_two_teacher_vectors_changes_the_loss(kind):
    """In float64, for every pair of clips."""
    clips = 6
    tokens, audio = rand(clips * 3, 16), rand(clips, 16, seed=1)
    owner, texts = torch.arange(clips).repeat_interleave(3), torch.arange(clips)
    bank = MemoryBank(clips, 16, 0.07).double().eval()

    def loss(teacher):
        if kind == "crd":
            return sum(crd(normalize(tokens, dim=1), owner, normalize(teacher, dim=1), texts, 0.07)).item()
        if kind == "crd_bank":
            sentence = normalize(token_mean(tokens, owner, clips), dim=1)
            return sum(bank(sentence, normalize(teacher, dim=1), texts, torch.arange(clips).repeat(clips, 1))).item()
        return nst_pairs(tokens, teacher[owner], kind).sum().item()

    before = loss(audio)
    for a in range(clips):
        for b in range(a):
            swapped = audio.clone()
            swapped[[a, b]] = audio[[b, a]]
            assert abs(loss(swapped) - before) > 1e-6


def test_the_bank_is_the_formula_of_its_paper():
    torch.manual_seed(0)
    bank = MemoryBank(5, 4, 0.5).double()
    text, audio = normalize(rand(2, 4), dim=1), normalize(rand(2, 4, seed=1), dim=1)
    clip, negatives = torch.tensor([3, 1]), torch.tensor([[0, 2, 4], [4, 4, 0]])
    ours = bank(text, audio, clip, negatives)
    for query, memory, value in ((text, bank.audio, ours[0]), (audio, bank.text, ours[1])):
        rows = [[clip[i].item(), *negatives[i].tolist()] for i in range(2)]
        out = [[math.exp(float(memory[j] @ query[i]) / 0.5) for j in rows[i]] for i in range(2)]
        scale = 5 * sum(map(sum, out)) / 8
        expected, noise = 0.0, 3 / 5
        for own, *others in out:
            expected -= math.log(own / scale / (own / scale + noise + EPSILON))
            expected -= sum(math.log(noise / (other / scale + noise + EPSILON)) for other in others)
        assert value.item() == pytest.approx(expected)
    scale = bank.scale.clone()
    bank(text, audio, clip, negatives.flip(1)[:, :2])
    assert torch.equal(bank.scale, scale)  # set once


def test_the_bank_moves_its_rows_to_the_new_vectors():
    torch.manual_seed(0)
    bank = MemoryBank(5, 4, 0.5).double()
    before = bank.text.clone()
    text, audio = normalize(rand(3, 4), dim=1), normalize(rand(3, 4, seed=1), dim=1)
    bank.update(text, audio, torch.tensor([3, 1, 3]))
    assert torch.equal(bank.text[[0, 2, 4]], before[[0, 2, 4]])
    assert torch.allclose(bank.text[1], normalize(0.5 * before[1] + 0.5 * text[1], dim=0))
    assert torch.allclose(bank.text[3], normalize(0.5 * before[3] + 0.25 * (text[0] + text[2]), dim=0))
    assert set(bank.state_dict()) == {"text", "audio", "scale"}


def test_gradients_reach_the_audio_from_every_token_and_clip():
    tokens, audio = rand(6, 8), rand(3, 8, seed=1).requires_grad_()
    owner = torch.tensor([0, 0, 1, 1, 2, 2])
    text, sound = crd(normalize(tokens, dim=1), owner, normalize(audio, dim=1), torch.arange(3), 0.07)
    for term in (text, sound):
        (gradient,) = torch.autograd.grad(term, audio, retain_graph=True)
        assert gradient.abs().sum(1).min() > 1e-6
