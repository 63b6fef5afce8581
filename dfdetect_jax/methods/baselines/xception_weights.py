"""Key table of the ImageNet Xception in PyTorch: Cadene's `xception-*.pth`, timm's `legacy_xception`."""

from dfdetect_jax.layers.weight_table import Entry, WeightTable


def _separable(ours: str, theirs: str) -> tuple[Entry, ...]:
  return (
    Entry(rf"{ours}/depthwise", rf"{theirs}.conv1", spatial=2),
    Entry(rf"{ours}/pointwise", rf"{theirs}.pointwise", spatial=2),
  )


def _block(number: int, convolutions: int, first_relu: bool) -> tuple[Entry, ...]:
  """A block, whose layers the file counts in one list: (ReLU,) convolution, BatchNorm, ReLU, convolution, …"""
  entries: list[Entry] = []
  for i in range(convolutions):
    place = 3 * i + first_relu
    entries += _separable(f"block{number}/sep{i + 1}", rf"block{number}.rep.{place}")
    entries.append(Entry(f"block{number}/bn{i + 1}", rf"block{number}.rep.{place + 1}"))
  return tuple(entries)


def table() -> WeightTable:
  """The whole network; the classifier of other classes is left (Cadene's `last_linear`, timm's `fc`)."""
  return WeightTable(
    "Xception (Cadene, timm)",
    (
      *(entry for n in range(1, 13) for entry in _block(n, 3 if 4 <= n <= 11 else 2, first_relu=n > 1)),
      Entry(r"(block\d+)/skip", r"\1.skip", spatial=2),
      Entry(r"(block\d+)/skipbn", r"\1.skipbn"),
      Entry(r"(conv[12])", r"\1", spatial=2),
      *_separable(r"(conv[34])", r"\1"),
      Entry(r"(bn\d)", r"\1"),
      Entry("fc", "fc", optional=True),
    ),
    ((r".*num_batches_tracked", "a counter"), (r"(last_linear|fc)\..*", "the classifier of other classes")),
    export=True,
    normalisation="half",
  )
