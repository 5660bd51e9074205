from __future__ import annotations

from dataclasses import replace

from benchmarks.drawn_scene import DrawnScene, uid_of
from benchmarks.fault_cases import LEAST_SIDE, side_of
from benchmarks.invented_objects import KINDS, Case, _invented, _meets, _share, rates
from s2st_aug.procedural.sampling import sample_street
from s2st_aug.randomness import numpy_generator


def test_invented_things_show_and_hide_no_label():
    street = sample_street(4, 1, (1280, 720))
    true = DrawnScene(street)
    things = _invented(street, true.objects, numpy_generator(0, "t"))
    assert things and {t.kind for t in things} <= set(KINDS)
    false = DrawnScene(replace(street, things=(*street.things, *things)))
    new = {t.uid for t in things}
    shown = [o for o in false.objects if uid_of(o) in new]
    assert {uid_of(o) for o in shown} == new, "each of them can be seen"
    assert all(_share(o.bbox, other.bbox) <= 0.1 for o in shown if side_of(o) >= LEAST_SIDE for other in true.objects)


def test_what_is_found_and_what_is_wrongly_rejected_are_counted_apart():
    cases = [
        Case("a", "night", "car", 30.0, 0.9, False),
        Case("a", "night", "traffic light", 20.0, 0.4, False),
        Case("a", "night", "car", 90.0, 0.9, True),
        Case("a", "night", None, 0.0, 0.6, False),
        Case("a", "rain", None, 0.0, 0.0, False),
    ]
    values = {f.name: (f.value, f.n) for f in rates(cases)}
    assert values["recall_invented_objects"] == (2 / 3, 3)
    assert values["recall_invented_objects_traffic_light"] == (0.0, 1)
    assert values["recall_invented_objects_by_model"] == (1.0, 1)
    assert values["rejected_for_objects"] == (0.5, 2)
    assert values["rejected_for_objects_rain"] == (0.0, 1)
    assert {f.name: f.value for f in rates(cases, 0.95)}["recall_invented_objects"] == 0.0


def test_a_detection_meets_an_object_where_one_has_the_others_middle():
    box = (100.0, 100.0, 140.0, 140.0)
    assert _meets((110.0, 110.0, 125.0, 130.0), box)
    assert _meets((0.0, 0.0, 300.0, 300.0), box)
    assert not _meets((138.0, 100.0, 180.0, 140.0), box)
