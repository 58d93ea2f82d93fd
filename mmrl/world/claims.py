"""The claims of a reasoning: events, contents, the lamp, needs, and the conclusion. A tolerant reader, linear in the text.

It reads two dialects, the terse one of ``mmrl.world.grammar`` and the long one ("I saw put the
red cube in the left box; ... . so the left box holds red. the lamp is at left. left still needs a blue cube. so I should put
the blue cube in the left box, option C"), in any case and any order of sentences. Rules:

- A sentence is cut at commas, semicolons, "and", "so" and "saw" into clauses, wherever what follows has a marker of its own
  (saw, lamp, holds, needs, should, option, so); what has none goes on with the clause before it.
- A clause says one thing or is ignored: two stations that hold, two colours that are needed, two markers say nothing, and no
  clause is read that denies or doubts ("not", "or", "if"; it may mean the opposite of its words).
- Words outside the closed lexicon are ignored but counted: ``understood`` / ``words`` is the coverage.
- Events are told by a clause with "saw", or with a time and a verb. Times are "third", "step 3" (the same) or "t2" (counted
  from 0, as slots are); they stand before the verb, or behind the place where a comma or an end follows. None need be told.
- Of several clauses about the same thing the last one counts; an event that is told twice with its time is one event.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from mmrl.world.lexicon import PUNCTUATION, Word, lex, values
from mmrl.world.octet import Action
from mmrl.world.script import BOTH, COLOURS, STATIONS, THINGS, VERBS, Event

CUTS = {"comma", "and", "so", "saw"}
BARE = {"filler", "comma", "and", "so"}  # a cut behind nothing but these cuts nothing
OPENERS = {"saw", "lamp", "holds", "needs", "should", "option", "so"}
STATES = ("lamp", "holds", "needs")


@dataclass(slots=True)
class Claims:
    """The claims that a reasoning makes."""

    events: list[Event] = field(default_factory=list)  # in the order in which they are told
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by station
    lamp: str | None = None
    needs: dict[str, str] = field(default_factory=dict)  # colours by station
    action: Action | None = None
    letter: str | None = None
    words: int = 0
    understood: int = 0

    @property
    def ordered(self) -> list[Event]:
        """The events in their claimed order: by time, and right behind the one told before where none is told.

        So without any time the order of telling counts.
        """
        times, latest = [], -1
        for told in self.events:
            latest = latest if told.slot is None else told.slot
            times.append(latest)
        return [told for _, told in sorted(zip(times, self.events, strict=True), key=lambda timed: timed[0])]

    @property
    def happened(self) -> list[Event]:
        """Return the events for the state machine; the slot is the rank."""
        return [Event(rank, *told.deed) for rank, told in enumerate(self.ordered)]


def read_claims(reasoning: str) -> Claims:
    """Return the claims of a reasoning."""
    words = lex(reasoning)
    claims = Claims(words=sum(word.value not in PUNCTUATION for word in words))
    for clause in parted(words):
        reader = READERS.get(kind_of(clause))
        if reader is not None:
            claims.understood += reader(clause, claims)
    claims.events = list(_once(claims.events))
    return claims


@lru_cache(4096)  # every judgement reads its question's options again
def action_in(text: str) -> Action | None:
    """Return the action that an option's text proposes, whatever the words around; None if it is not exactly one."""
    return _action(lex(text))


def parted(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield the clauses, by the first rule above."""
    clause: list[Word] = []
    chunk: list[Word] = []  # what has been read since the last cut
    bare = True  # whether that says nothing yet
    for word in (*words, Word("stop", ".")):
        if word.kind == "stop" or (word.kind in CUTS and not bare):
            if clause and any(each.kind in OPENERS for each in chunk):
                yield clause
                clause = []
            clause += chunk
            chunk, bare = [], True
        if word.kind != "stop":
            chunk.append(word)
            bare = bare and word.kind in BARE
        elif clause:
            yield clause
            clause = []


def kind_of(clause: Sequence[Word]) -> str | None:
    """Return what a clause is about; None if that is nothing, in doubt, or two things."""
    kinds = {word.kind for word in clause}
    states, concludes = [kind for kind in STATES if kind in kinds], bool(kinds & {"should", "option"})
    if "doubt" in kinds or len(states) + concludes > 1:
        return None
    if states:
        return states[0]
    if "saw" in kinds and not concludes:
        return "saw"
    if concludes or "so" in kinds:
        return "so"
    return "saw" if kinds >= {"time", "verb"} else None


def _events(clause: list[Word], claims: Claims) -> int:
    """Adds the events of a clause; returns how many of its words were understood, as the other readers do."""
    verbs = [at for at, word in enumerate(clause) if word.kind == "verb"]
    if not verbs:
        return _known(clause) if values(clause, "nothing") else 0
    head = clause[: verbs[0]]
    understood, time = _known(head), next((word.value for word in reversed(head) if word.kind == "time"), None)
    for start, end in zip(verbs, [*verbs[1:], len(clause)], strict=True):
        told, time = _event(clause[start:end], time, last=end == len(clause))
        if told is not None:
            claims.events.append(told)
            understood += _known(clause[start:end])
    return understood


def _event(words: Sequence[Word], time: int | None, last: bool) -> tuple[Event | None, int | None]:
    """Return the event that starts with a verb, and the time that is told for the next one."""
    verb, times = str(words[0].value), [word.value for word in words if word.kind == "time"]
    end = next((at for at, word in enumerate(words) if word.kind == "time"), len(words))
    if time is None and times and words[end - 1].kind not in CUTS and _ends(words[end + 1 :], last):
        time = times.pop(0)
    done = _done(verb, words[:end]) if verb in VERBS else None
    return None if done is None else Event(time, verb, *done), times[-1] if times else None


def _ends(words: Sequence[Word], last: bool) -> bool:
    """Return whether a comma, an "and" or, if these are the clause's last words, its end is next."""
    return next((word.kind in CUTS for word in words if word.kind != "filler"), last)


def _once(events: Sequence[Event]) -> Iterator[Event]:
    """Yield what is told with its time but once."""
    timed: set[Event] = set()
    for told in events:
        if told not in timed:
            yield told
        if told.slot is not None:
            timed.add(told)


def _holds(clause: list[Word], claims: Claims) -> int:
    """Adds what a station is said to hold."""
    place, held = _claimed(clause, "holds")
    if place is None or bool(held) == bool(values(clause, "nothing")):
        return 0
    claims.held[place] = held
    return _known(clause)


def _needs(clause: list[Word], claims: Claims) -> int:
    """Adds what a station is said to need."""
    place, colours = _claimed(clause, "needs")
    if place is None or len(set(colours)) != 1:
        return 0
    claims.needs[place] = colours[0]
    return _known(clause)


def _claimed(clause: Sequence[Word], marker: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the station beside the marker and the colours behind it; no station where the clause is not built that way.

    The station stands before the marker, or behind it and before the colours.
    """
    at = next(at for at, word in enumerate(clause) if word.kind == marker)
    first = next((at for at, word in enumerate(clause) if word.kind in ("thing", "nothing")), len(clause))
    places = values(clause, "place")
    strange = values(clause[:at], "thing") | values(clause[first:], "place") | values(clause, "verb")
    if strange or len(places) != 1 or not places <= set(STATIONS) or not values(clause, "thing") <= set(COLOURS):
        return None, ()
    return places.pop(), tuple(str(word.value) for word in clause if word.kind == "thing")


def _lamp(clause: list[Word], claims: Claims) -> int:
    """Sets where the lamp is said to be."""
    places = values(clause, "place")
    if len(places) != 1 or not places <= set(STATIONS) or values(clause, "verb") or values(clause, "thing"):
        return 0
    claims.lamp = places.pop()
    return _known(clause)


def _conclude(clause: list[Word], claims: Claims) -> int:
    """Sets the conclusion. An action replaces what was concluded before; a letter alone names the action that stands."""
    action, letters = _action(clause), values(clause, "letter")
    letter = letters.pop() if len(letters) == 1 else None
    if action is None and letter is None:
        return 0
    claims.action, claims.letter = action or claims.action, letter
    named = sum(word.kind == "letter" for word in clause) if letter else 0
    failed = action is None and any(word.kind in ("verb", "thing", "place") for word in clause)
    return named if failed else named + _known(clause)


READERS = {"saw": _events, "holds": _holds, "needs": _needs, "lamp": _lamp, "so": _conclude}


def _action(words: Sequence[Word]) -> Action | None:
    """Return the one action that words propose."""
    verbs = values(words, "verb")
    done = _done(*verbs, words) if len(verbs) == 1 else None
    return None if done is None else Action(done[1], *verbs, done[0])


def _done(verb: str, words: Sequence[Word]) -> tuple[str, str] | None:
    """To what and where a verb is done; None if not to one thing of its kind at one place. A swap need not say of what."""
    things, places = values(words, "thing"), values(words, "place")
    if verb == "swap" and not things:
        things = {BOTH}
    if len(things) != 1 or len(places) != 1 or not things <= set(THINGS.get(verb, COLOURS)):
        return None
    return things.pop(), places.pop()


def _known(words: Sequence[Word]) -> int:
    """Return how many words have a meaning wherever they stand; a letter has one in a conclusion only."""
    return sum(word.kind not in ("unknown", "letter") and word.value not in PUNCTUATION for word in words)
