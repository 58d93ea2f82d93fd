"""python -m mmrl, as torchrun calls it."""

from mmrl.cli import main

main()
