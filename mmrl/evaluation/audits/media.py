"""Media of a run that no longer decode to the frames that the model was shown."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmrl.config.load import parse
from mmrl.config.open_data import media_reader
from mmrl.config.schema import EvalConfig
from mmrl.data.conditions import change_media, frame_choice_under
from mmrl.data.media.reader import MediaError
from mmrl.evaluation.media_sampler import shown_of
from mmrl.evaluation.plan import read_plan
from mmrl.evaluation.records import Item, Sample
from mmrl.evaluation.run_folder import read_run


def remade(samples: Sequence[Sample], items: Sequence[Item], run: Path, out: Path) -> Iterator[str]:
    """Decode the media again, by the run's own config, and yield a line for each that differs, at most ten."""
    section = parse(EvalConfig, read_run(run).config, f"{run}/run.json").evaluation
    shown = {sample.item: sample.request.media for sample in samples if sample.request is not None}
    condition = read_plan(out)["settings"]["condition"]
    seen = section.model_copy(update={"frames": frame_choice_under(condition, section.frames)})
    wrong = []
    with media_reader(seen, cache_bytes=0) as reader:
        for item in (item for item in items if item.id in shown):
            try:
                media = change_media(condition, item.example, reader.load(item.example), section.seed)
                now = tuple(map(shown_of, item.example.every_media, media))
            except MediaError as error:
                wrong.append(str(error))
                continue
            if [one.sha256 for one in now] != [one.sha256 for one in shown[item.id]]:
                wrong.append(f"item {item.id!r}: its media decode to other pixels than the model was shown")
    yield from wrong[:10]
    if len(wrong) > 10:
        yield f"and {len(wrong) - 10} more items whose media differ"
