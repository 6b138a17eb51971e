import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from models import tiny_inputs, tiny_transformer
from outofsight.training.cpu_attention import MatmulAttention, uses_matmul_attention


def test_it_is_the_same_attention_with_the_same_gradient():
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8))
    tensors = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    plain = scaled_dot_product_attention(*tensors)
    with MatmulAttention():
        products = scaled_dot_product_attention(*tensors)
        by_name = scaled_dot_product_attention(
            query=tensors[0], key=tensors[1], value=tensors[2], dropout_p=0.0
        )
    torch.testing.assert_close(products, plain)
    assert torch.equal(by_name, products)
    assert products.grad_fn.name() != plain.grad_fn.name()  # it was used
    for one, other in zip(
        torch.autograd.grad(products.sum(), tensors), torch.autograd.grad(plain.sum(), tensors), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "options", [{"is_causal": True}, {"attn_mask": torch.tensor([[True, False]])}, {"scale": 2.0}]
)
def test_attention_of_another_kind_is_left_alone(options):
    query, key = torch.randn(1, 1, 2, 4), torch.randn(1, 1, 2, 4)
    with MatmulAttention():
        inside = scaled_dot_product_attention(query, key, key, **options)
    assert torch.equal(inside, scaled_dot_product_attention(query, key, key, **options))


def test_the_whole_model_computes_the_same():
    model, inputs = tiny_transformer(), tiny_inputs()
    with torch.no_grad():
        plain = model(**inputs).sample
        with MatmulAttention():
            products = model(**inputs).sample
    torch.testing.assert_close(products, plain, atol=1e-5, rtol=1e-5)
    assert not torch.equal(products, plain)  # it was used


def test_it_is_used_where_it_is_faster():
    assert uses_matmul_attention(torch.device("cpu"), "bf16")
    assert not uses_matmul_attention(torch.device("cpu"), "no")
    assert not uses_matmul_attention(torch.device("cuda"), "bf16")
