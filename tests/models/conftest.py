"""float64 to the end."""

import pytest
import torch


@pytest.fixture
def exact(monkeypatch):
    """transformers casts norms and rotary angles to float32; here float64 stays float64, for both sides."""
    to, narrow = torch.Tensor.to, torch.Tensor.float

    def kept(self, *args, **options):
        asked = options.get("dtype", args[0] if args else None)
        if self.dtype == torch.float64 and asked is torch.float32:
            args, options = args[1:] if args else args, {k: v for k, v in options.items() if k != "dtype"}
            return to(self, *args, **options) if args or options else self
        return to(self, *args, **options)

    monkeypatch.setattr(torch.Tensor, "to", kept)

    def float_kept(self):
        return self if self.dtype == torch.float64 else narrow(self) if self.is_floating_point() else self.double()

    monkeypatch.setattr(torch.Tensor, "float", float_kept)
