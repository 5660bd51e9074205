"""Push, decide, push again, lose the database, pull: nothing is doubled and nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from s2st_aug.errors import UsageError
from s2st_aug.storage.decisions import Decision, from_table, to_table
from s2st_aug.testing.reviewed_runs import make_run

pytestmark = pytest.mark.usefixtures("mongo")


def decide(variant_id, decision, reviewer="ann", second=0, object_id=None):
    return Decision(variant_id, object_id, decision, reviewer, datetime(2026, 1, 1, 0, 0, second, 123456, tzinfo=UTC))


@pytest.fixture
def run(tmp_path):
    import fiftyone

    run = make_run(tmp_path / "run")
    yield run
    for name in fiftyone.list_datasets():
        fiftyone.delete_dataset(name)


def samples(run):
    from s2st_aug.review.fiftyone_session import connect
    from s2st_aug.review.push import flat, open_dataset

    return flat(open_dataset(connect(), run))


def open_view_names(run):
    return samples(run)._dataset.list_saved_views()


def variant_names(run, view):
    return samples(run)._dataset.load_saved_view(view).values("variant_id")


def test_a_run_becomes_groups_with_native_labels_and_measures(run):
    from s2st_aug.review.push import push

    done = push(run)
    assert (done.added, done.without_image) == (7, 1)
    view = samples(run)
    assert sorted(view.values("group.name")) == ["night"] * 3 + ["rain"] * 4 + ["source"] * 4
    groups = view.values("group.id")
    assert len(set(groups)) == 4
    variant = view.match({"domain": "night"}).first()
    assert len(variant.boxes.detections) == 5 and variant.lines.polylines[0].label == "lane/single white"
    assert variant.boxes.detections[0].verdict in ("keep", "ignore", "lost")
    views = {name: variant_names(run, name) for name in open_view_names(run)}
    assert len(views["to review: least sure first"]) == 6 and len(views["rejected by gate"]) == 1
    assert {
        "strongest",
        "traffic lights",
        "decided",
        "domain: night",
        "domain: rain",
        "worst structure: car",
    } <= views.keys()
    assert len(views["worst structure: car"]) == 7
    box = next(o for o in run.read_manifest().to_pylist() if o["variant_id"] == variant.variant_id)["objects"][0][
        "bbox"
    ]
    assert variant.boxes.detections[0].bounding_box[0] * 128 == pytest.approx(box[0])


def test_a_rejected_variant_leads_to_the_picture_that_says_why_once_it_is_drawn(run):
    from s2st_aug.report.evidence import write_overlays
    from s2st_aug.review.deciding import panel_data
    from s2st_aug.review.push import push

    push(run)
    view = samples(run)
    kept, refused = (view.match({"status": status}).first() for status in ("ok", "rejected"))
    assert kept.overlay_path is None and panel_data(view._dataset, refused.id)["why"] is None
    assert write_overlays(run) == 1
    assert panel_data(view._dataset, refused.id)["why"] == refused.overlay_path
    assert panel_data(view._dataset, kept.id)["why"] is None


def test_pushing_again_adds_nothing_and_a_changed_row_is_replaced_with_its_decisions(run):
    import pyarrow.compute as pc

    from s2st_aug.review.journal import record
    from s2st_aug.review.pull import pull
    from s2st_aug.review.push import open_dataset, push
    from s2st_aug.storage.run_folder import parquet_bytes

    push(run)
    again = push(run)
    assert (again.added, again.updated, again.unchanged) == (0, 0, 7)
    view = samples(run).match({"domain": "night"})
    target = view.first()
    import fiftyone

    record(open_dataset(fiftyone, run), target.id, decide(target.variant_id, "reject"))
    table = run.read_manifest()
    table = table.set_column(
        table.schema.get_field_index("structure"), table.schema.field("structure"), pc.subtract(table["structure"], 0.1)
    )
    run.store.write_many({"manifest/part-0.parquet": parquet_bytes(table)})
    changed = push(run)
    assert (changed.added, changed.updated, changed.unchanged) == (0, 7, 0)
    assert len(samples(run)) == 11
    kept = samples(run).match({"variant_id": target.variant_id}).first()
    assert kept.decision == "reject" and kept.tags == ["rejected"]
    assert pull(run).new == 1


def test_a_dropped_database_keeps_what_was_pulled_and_pulling_twice_adds_nothing(run):
    import fiftyone

    from s2st_aug.review.journal import record
    from s2st_aug.review.pull import pull
    from s2st_aug.review.push import open_dataset, push

    push(run)
    dataset = open_dataset(fiftyone, run)
    first = samples(run).match({"domain": "night"}).first()
    record(dataset, first.id, decide(first.variant_id, "accept", second=1))
    record(
        dataset, first.id, decide(first.variant_id, "ignore", second=2, object_id=first.boxes.detections[0].object_id)
    )
    assert (pull(run).new, pull(run).new) == (2, 0)
    fiftyone.delete_dataset(dataset.name)
    push(run)
    back = samples(run).match({"variant_id": first.variant_id}).first()
    assert back.decision == "accept" and back.boxes.detections[0].decision == "ignore"
    assert pull(run).new == 0
    assert len(from_table(run.read_decisions())) == 2


def test_a_name_that_belongs_to_something_else_is_refused(run):
    import fiftyone

    from s2st_aug.review.push import push

    fiftyone.Dataset("mine")
    with pytest.raises(UsageError, match="not made by s2st-aug"):
        push(run, name="mine")


def test_decisions_of_another_machine_reach_the_samples(run):
    from s2st_aug.review.push import push

    push(run)
    variant_id = run.read_manifest()["variant_id"][0].as_py()
    run.append_decisions(to_table([decide(variant_id, "reject")]))
    push(run)
    assert samples(run).match({"variant_id": variant_id}).first().decision == "reject"


def test_documents_are_what_fiftyone_itself_would_store(run):
    """Guards the quick way of writing against another version of FiftyOne."""
    import fiftyone as fo
    import numpy as np

    from s2st_aug.records.scene import SceneObject
    from s2st_aug.review.documents import Labels, hallucinations, sample

    mask = np.zeros((72, 128), bool)
    mask[10:20, 30:50] = True
    objects = [
        SceneObject("a", "box", "car", (1.0, 2.0, 33.0, 38.0)),
        SceneObject("b", "mask", "person", (30.0, 10.0, 50.0, 20.0), mask=mask),
        SceneObject("c", "polyline", "lane", (0.0, 0.0, 64.0, 36.0), (np.array([[0, 0], [64, 36]]),)),
        SceneObject("d", "stuff", "road", (30.0, 10.0, 50.0, 20.0), mask=mask),
    ]
    numbers = {}
    fields = Labels.of(objects, (), (128, 72), numbers).fields((), {})
    fields["hallucinations"] = hallucinations([{"kind": "lamp", "bbox": (0, 0, 64, 36), "score": 0.5}], (128, 72))
    ours = sample(None, "/x.png", "0" * 24, "night", fields, size=(128, 72))
    own = {"kind": "box", "signal": None}
    boxes = [
        fo.Detection(label="car", bounding_box=[1 / 128, 2 / 72, 32 / 128, 36 / 72], object_id="a", **own),
        fo.Detection(
            label="person",
            bounding_box=[30 / 128, 10 / 72, 20 / 128, 10 / 72],
            mask=mask[10:20, 30:50],
            object_id="b",
            **own | {"kind": "mask"},
        ),
    ]
    line = fo.Polyline(label="lane", points=[[[0.0, 0.0], [0.5, 0.5]]], object_id="c", **own | {"kind": "polyline"})
    theirs = fo.Sample(
        filepath="/x.png",
        group=fo.Group(id="0" * 24).element("night"),
        boxes=fo.Detections(detections=boxes),
        lines=fo.Polylines(polylines=[line]),
        stuff=fo.Segmentation(mask=mask.astype(np.uint8)),
        hallucinations=fo.Detections(
            detections=[fo.Detection(label="lamp", bounding_box=[0, 0, 0.5, 0.5], confidence=0.5)]
        ),
    ).to_mongo_dict()
    assert numbers == {"road": 1}
    measured = {"_cls": "ImageMetadata", "width": 128, "height": 72, "mime_type": "image/png"}
    assert plain(ours) == plain(theirs | {"_id": None, "metadata": measured})


def plain(value):
    """Without what differs by its nature: ids, random numbers, times."""
    if isinstance(value, dict):
        return {
            k: plain(v)
            for k, v in value.items()
            if k not in ("_id", "_rand", "created_at", "last_modified_at", "_dataset_id")
        }
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return bytes(value) if isinstance(value, bytes) else value


def test_what_people_drew_emptied_or_deleted_in_the_app_stops_no_review(run):
    import fiftyone

    from s2st_aug.review.deciding import decide as press
    from s2st_aug.review.deciding import ignore, panel_data
    from s2st_aug.review.pull import pull
    from s2st_aug.review.push import open_dataset, push

    push(run)
    dataset = open_dataset(fiftyone, run)
    drawn, emptied, gone, tagged = [s.id for s in samples(run) if s["variant_id"]][:4]
    sample = dataset[drawn]
    sample["boxes"].detections.append(fiftyone.Detection(label="car", bounding_box=[0.1, 0.1, 0.2, 0.2]))
    sample.save()
    mine = dataset[drawn]["boxes"].detections[-1].id
    assert press(dataset, [drawn], "accept").changed == 1
    assert dataset[drawn].tags == ["accepted"]
    assert ignore(dataset, [{"sample_id": drawn, "label_id": mine}]).changed == 0
    sample = dataset[emptied]
    sample["boxes"] = None
    sample.save()
    assert panel_data(dataset, emptied)["boxes"] == []
    dataset.delete_samples([gone])
    assert press(dataset, [gone, emptied], "reject").changed == 1
    assert panel_data(dataset, gone)["variant"] is None
    sample = dataset[tagged]
    sample.tags.append("rejected")
    sample.save()
    found = pull(run)
    assert (found.new, found.tagged_only) == (2, 1)
    dataset.delete_sample_field("lines")
    assert press(dataset, [drawn], "reject").changed == 1
    assert push(run).added == 1
    assert dataset[drawn]["lines"].polylines
    assert dataset[drawn]["decision"] == "reject"


def test_a_journal_that_holds_no_decision_is_one_clear_line(run):
    import fiftyone

    from s2st_aug.review.pull import pull
    from s2st_aug.review.push import open_dataset, push

    push(run)
    sample = next(s for s in samples(run) if s["variant_id"])
    sample = open_dataset(fiftyone, run)[sample.id]
    sample["journal"] = [{"decision": "accept"}]
    sample.save()
    for command in (pull, push):
        with pytest.raises(UsageError, match=r"holds .* which is no decision"):
            command(run)
