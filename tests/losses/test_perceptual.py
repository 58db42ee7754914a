from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssan.losses.perceptual import (
    BETAS,
    feature_loss,
    gram,
    style_balance,
    style_distance,
    style_loss,
)


def constant(value: float) -> list[torch.Tensor]:
    """One tap of one channel: its Gram matrix is value squared."""
    return [torch.full((1, 1, 2, 2), value, dtype=torch.float64)]


def distance(a: float, b: float) -> float:
    return (a**2 - b**2) ** 2


def test_gram_by_hand():
    activation = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4
    torch.testing.assert_close(gram(activation), expected)


def test_gram_in_float64():
    activation = torch.rand(2, 5, 7, 6)
    found = gram(activation)
    expected = np.einsum("bchw,bdhw->bcd", *[activation.double().numpy()] * 2) / (5 * 7 * 6)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_half_precision_is_widened_before_it_is_summed():
    activation = torch.rand(1, 4, 64, 64).bfloat16()
    assert gram(activation).dtype == torch.float32
    expected = gram(activation.double())
    torch.testing.assert_close(gram(activation).double(), expected, rtol=1e-4, atol=1e-7)
    target = torch.rand(1, 4, 64, 64).bfloat16()
    wide = feature_loss([activation.double()], [target.double()]).item()
    assert feature_loss([activation], [target]).item() == pytest.approx(wide, rel=1e-5)


def test_feature_loss_in_float64():
    a, b = ([torch.rand(2, 3, 5, 5), torch.rand(2, 6, 2, 2)] for _ in range(2))
    expected = sum(((p.double() - q.double()) ** 2).mean() for p, q in zip(a, b, strict=True))
    assert feature_loss(a, b).item() == pytest.approx(expected.item(), rel=1e-6)


def test_style_distance_is_the_mean_over_entries_summed_over_taps():
    a = [torch.zeros(2, 2, 2), torch.zeros(2, 1, 1)]
    b = [torch.tensor([[[1.0, 2.0], [2.0, 3.0]], [[0.0, 0.0], [0.0, 2.0]]]), torch.ones(2, 1, 1)]
    assert style_distance(a, b).tolist() == [18 / 4 + 1, 4 / 4 + 1]


def test_style_loss_by_hand():
    image, target = constant(0.5) + constant(2.0), constant(1.0) + constant(1.0)
    expected = distance(0.5, 1) + distance(2, 1)
    assert style_loss(image, target).item() == pytest.approx(expected)
    assert style_loss(target, target).item() == 0


# Sections before, wanted and after have 0.5, 1.0 and 1.2. Of the wanted one, the distances
# to them are .5625, 0 and .1936; signs are those of own minus real for j = 0, 1, 2.
@pytest.mark.parametrize(
    ("made", "signs"),
    [
        (0.2, (-1, 1, 1)),  # nearer to the one before, farther from the one after
        (0.8, (-1, 1, 1)),
        (1.0, (0, 0, 0)),  # equal: nothing pulls
        (1.1, (1, 1, -1)),
        (1.3, (1, 1, -1)),
        (1.5, (1, 1, 1)),  # farther from all
    ],
)
def test_signs_of_equation_15(made, signs):
    before, wanted, after = 0.5, 1.0, 1.2
    terms, loss = [], 0.0
    for beta, sign, other in zip((0.1, 1.0, 0.1), signs, (before, wanted, after), strict=True):
        own, real = distance(made, other), distance(wanted, other)
        assert np.sign(round(own - real, 9)) == sign
        terms.append(beta * sign * own)
        loss += beta * abs(own - real)
    sections = (constant(value) for value in (made, wanted, before, after))
    found = style_balance(*sections)
    assert list(map(float, found.signed)) == pytest.approx(terms, abs=1e-12)
    assert found.loss.item() == pytest.approx(loss, abs=1e-12)


def test_betas_weigh_the_three_terms():
    sections = [constant(value) for value in (0.9, 1.0, 0.5, 1.2)]
    one, other = (style_balance(*sections, betas=betas) for betas in (BETAS, (0.2, 0.5, 0.0)))
    first, second, _ = map(float, one.signed)
    assert list(map(float, other.signed)) == pytest.approx([2 * first, second / 2, 0])


@pytest.mark.parametrize("j", [0, 2])
def test_as_far_beyond_a_neighbour_as_the_wanted_section_nothing_pulls(j):
    # Gram matrices of 3 and 1, and of the neighbour 2 between them.
    made, wanted, neighbour = (
        [torch.tensor(values, dtype=torch.float64).view(1, 1, 2, 2)]
        for values in ([1, 1, 1, 3], [1, 1, 1, 1], [0, 0, 2, 2])
    )
    neighbours = [wanted, wanted]
    neighbours[j // 2] = neighbour
    found = style_balance(made, wanted, *neighbours)
    assert found.signed[j] == 0
    assert found.loss.item() == pytest.approx((1.0 + 0.1) * 4)


@pytest.mark.parametrize(("j", "beta"), [(0, 0.1), (1, 1.0), (2, 0.1)])
@pytest.mark.parametrize("made", [0.3, 0.8, 1.0, 1.4])
def test_each_neighbour_pulls_towards_its_own_distance(made, j, beta):
    # The two others look like the wanted section and pull as j = 1 does; they are subtracted.
    other = 0.6
    sections = [constant(1.0) for _ in range(3)]
    if j != 1:
        sections[j] = constant(other)
    before, wanted, after = sections
    image = [constant(made)[0].requires_grad_()]
    found = style_balance(image, wanted, before, after)
    rest = sum(b for k, b in enumerate(BETAS) if k != j) * distance(made, 1)
    reference = 1.0 if j == 1 else other
    own, real = distance(made, reference), distance(1, reference)
    assert found.loss.item() - rest == pytest.approx(beta * abs(own - real), abs=1e-12)
    assert found.signed[j] == pytest.approx(beta * np.sign(own - real) * own, abs=1e-12)
    slope = 4 * made * (made**2 - reference**2) * beta * np.sign(own - real)
    slope += 4 * made * (made**2 - 1) * sum(b for k, b in enumerate(BETAS) if k != j)
    (gradient,) = torch.autograd.grad(found.loss, image)
    assert gradient.sum().item() == pytest.approx(slope, abs=1e-9)


def test_samples_have_signs_of_their_own():
    def batch(*values: float) -> list[torch.Tensor]:
        return [torch.cat([constant(value)[0] for value in values])]

    found = style_balance(batch(0.8, 1.1), batch(1, 1), batch(0.5, 0.5), batch(1.2, 1.2))
    expected = 0.1 * (-distance(0.8, 0.5) + distance(1.1, 0.5)) / 2
    assert found.signed[0] == pytest.approx(expected)


def test_the_style_balance_has_the_gradient_of_equation_15():
    torch.manual_seed(0)
    wanted, before, after = ([torch.rand(1, 3, 4, 4, dtype=torch.float64)] for _ in range(3))
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def printed() -> torch.Tensor:
        grams = [[gram(a) for a in each] for each in ([image], before, wanted, after)]
        total = torch.zeros((), dtype=torch.float64)
        for beta, other in zip((0.1, 1.0, 0.1), grams[1:], strict=True):
            own, real = style_distance(grams[0], other), style_distance(grams[2], other)
            total = total + (beta * torch.sign(own - real) * own).mean()
        return total

    (expected,) = torch.autograd.grad(printed(), image)
    loss = style_balance([image], wanted, before, after).loss
    (found,) = torch.autograd.grad(loss, image)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", [feature_loss, style_loss])
def test_gradients_against_finite_differences(loss):
    torch.manual_seed(0)
    image, target = (torch.rand(2, 3, 4, 4, dtype=torch.float64) for _ in range(2))
    image.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss([x], [target]), image)


def test_gradient_of_the_style_balance_against_finite_differences():
    torch.manual_seed(0)
    image, *others = (torch.rand(2, 3, 4, 4, dtype=torch.float64) for _ in range(4))
    image.requires_grad_()
    rest = [[other] for other in others]
    assert torch.autograd.gradcheck(lambda x: style_balance([x], *rest).loss, image)
