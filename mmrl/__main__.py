"""python -m mmrl, as torchrun calls it."""

from mmrl.cli.app import main

main()
