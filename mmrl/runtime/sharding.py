"""Shard weights with FSDP2: each rank stores a part of every parameter, its gradient, its moments and its average.

FSDP2 (torch's ``fully_shard``) gathers a layer while it computes. All ranks must take part in every gather, so a rank that
runs a model while others do something else must do that inside ``full_parameters``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor

WHOLE = StateDictOptions(full_state_dict=True)  # tensors of a state are complete
SAVED = StateDictOptions(full_state_dict=True, cpu_offload=True)  # complete on rank 0, in the host's memory


def shard(model: nn.Module, mesh: DeviceMesh, device: torch.device, compute: torch.dtype | None) -> None:
    """Shard a Qwen-VL's parameters over the mesh, in place; shards and buffers end on the device.

    Blocks of tower and language model are gathered one by one, when their forward and backward passes need them. The modules
    around the blocks belong to the two roots. Embedding and head are used as tensors, outside any forward pass, and may share
    one parameter: they become plain sharded tensors, which ``full`` gathers. Layers are gathered in ``compute``: bfloat16 halves
    the traffic and gives the values that autocast would use; only norms, which autocast does not cast, are rounded too.
    Gradients are summed in float32 or the masters' dtype, not averaged: every token's loss weight already refers to the
    tokens of all ranks.
    """
    tower, language = model.model.visual, model.model.language_model
    outer = outer_modules(model)
    narrow = MixedPrecisionPolicy(compute, torch.float32, cast_forward_inputs=False)
    precision = MixedPrecisionPolicy() if compute is None else narrow
    for module in (*tower.blocks, *language.layers, tower, language):
        ignored = {m.weight for m in outer} if module is language else None
        fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=precision, ignored_params=ignored)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo has no other
    cut = {weight: sharded(weight, mesh) for weight in {m.weight for m in outer}}
    for module in outer:
        module.weight = cut[module.weight]
    model.to(device)
    stray = [name for name, p in model.named_parameters() if not isinstance(p, DTensor)]
    assert not stray, f"left whole: {stray}"


def sharded(weight: nn.Parameter, mesh: DeviceMesh) -> nn.Parameter:
    """Return a parameter whose rows are distributed over the ranks."""
    rows = distribute_tensor(weight.detach(), mesh, [Shard(0)], src_data_rank=None)
    return nn.Parameter(rows, requires_grad=weight.requires_grad)


def outer_modules(model: nn.Module) -> list[nn.Module]:
    """Return embedding and head, which may share their weight."""
    return [model.get_input_embeddings(), model.get_output_embeddings()]


@contextmanager
def full_parameters(*models: nn.Module) -> Iterator[None]:
    """Gather full parameters on every rank, for inference; inside, no rank waits for another. Models without shards pass through.

    Sampling needs it, because a gather per layer and token is slow, and rows end at different times.
    """
    outer = [m for model in models if is_sharded(model) for m in outer_modules(model)]
    shards = [module.weight for module in outer]
    complete = {p: nn.Parameter(full(p.detach()), requires_grad=False) for p in dict.fromkeys(shards)}
    with gathered(*models):
        try:
            for module, parameter in zip(outer, shards, strict=True):
                module.weight = complete[parameter]
            yield
        finally:
            for module, parameter in zip(outer, shards, strict=True):
                module.weight = parameter


@contextmanager
def gathered(*modules: nn.Module) -> Iterator[None]:
    """Gather the full parameters of the modules' FSDP layers, without embedding and head."""
    inner = [m for module in modules for m in module.modules() if isinstance(m, FSDPModule)]
    for module in inner:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in inner:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def is_sharded(model: nn.Module) -> bool:
    """Return True if ``shard`` was applied to a model."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def full(tensor: Tensor) -> Tensor:
    """Return the full tensor of a sharded one, and other tensors unchanged. The backward pass sums the ranks' gradients."""
    return tensor.full_tensor(grad_placements=[Partial()]) if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gather_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's full tensors by name, in the host's memory, on rank 0; nothing on the others. All ranks must call it.

    Names that share a tensor share one in the result too; torch gathers it once for each name.
    """
    state, first = get_model_state_dict(model, options=SAVED), {}
    own = model.state_dict(keep_vars=True)
    return {name: state[first.setdefault(id(own[name]), name)] for name in state}


def load_full_state_dict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy the full tensors of ``gather_state_dict``, which every rank has loaded, into the sharded model."""
    set_model_state_dict(model, dict(state), options=WHOLE)


def gather_elements(parameters: Sequence[Tensor], indices: Sequence[Tensor]) -> Tensor:
    """Return elements by their indices in each flattened full parameter, in float64 on the host; the same on every rank."""
    elements = torch.cat([local_elements(p.detach(), i) for p, i in zip(parameters, indices, strict=True)])
    return sum_over_ranks(elements, parameters).cpu()


def local_elements(parameter: Tensor, indices: Tensor) -> Tensor:
    """Return the elements that this rank stores, and 0 for those of other ranks."""
    own = local(parameter).flatten()
    indices = indices.to(own.device) - shard_start(parameter)
    here = (indices >= 0) & (indices < len(own))
    return own.new_zeros(len(indices), dtype=torch.float64).masked_scatter(here, own[indices[here]].double())


def shard_start(parameter: Tensor) -> int:
    """Return the index in the flattened full parameter at which this rank's shard starts."""
    if not isinstance(parameter, DTensor):
        return 0
    assert parameter.placements == (Shard(0),), parameter.placements
    rows = -(-len(parameter) // parameter.device_mesh.size()) * parameter.device_mesh.get_local_rank()
    return min(rows, len(parameter)) * (parameter.numel() // max(1, len(parameter)))


def sum_over_ranks(values: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """Sum values over the ranks that share the parameters, in place; return them unchanged if no parameter is sharded."""
    mesh = next((p.device_mesh for p in parameters if isinstance(p, DTensor)), None)
    if mesh is not None:
        dist.all_reduce(values, group=mesh.get_group())
    return values


def any_rank(here: bool, parameters: Iterable[Tensor]) -> bool:
    """Return True if ``here`` is True on any of the ranks that share the parameters."""
    parameters = list(parameters)
    count = torch.tensor(float(here), device=local(parameters[0]).device)
    return bool(sum_over_ranks(count, parameters) > 0)


def clip_gradients(parameters: Sequence[Tensor], most: float) -> Tensor:
    """Scale gradients to a norm of at most ``most`` over all parameters; return the norm before, the same on every rank."""
    norm = full(nn.utils.get_total_norm([p.grad for p in parameters]))
    nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm
