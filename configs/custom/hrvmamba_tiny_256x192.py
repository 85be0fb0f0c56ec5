# A template for a data set with keypoints of its own: docs/custom_dataset.md goes through it.
_base_ = ["../coco/hrvmamba_tiny_256x192.py"]

data_root = "data/my_dataset/"

# In the order of the annotation file: the name, the keypoint that it becomes in a mirror image (""
# for itself), and sigma, how far annotators differ, as a share of the object's size.
keypoints = [
    ("nose", "", 0.03),
    ("left_ear", "right_ear", 0.04),
    ("right_ear", "left_ear", 0.04),
    ("withers", "", 0.08),
    ("tail", "", 0.06),
    ("left_paw", "right_paw", 0.06),
    ("right_paw", "left_paw", 0.06),
]
links = [
    ("nose", "left_ear"),
    ("nose", "right_ear"),
    ("nose", "withers"),
    ("withers", "tail"),
    ("withers", "left_paw"),
    ("withers", "right_paw"),
]

# Nothing below has to change.
colours = dict(left=[0, 255, 0], right=[255, 128, 0])  # by the name's beginning; else:
middle_colour = [51, 153, 255]
num_keypoints = len(keypoints)
metainfo = dict(
    dataset_name="my_dataset",
    keypoint_info={
        number: dict(
            name=name,
            id=number,
            swap=swap,
            color=colours.get(name.partition("_")[0], middle_colour),
        )
        for number, (name, swap, _) in enumerate(keypoints)
    },
    skeleton_info={
        number: dict(link=link, id=number, color=middle_colour) for number, link in enumerate(links)
    },
    joint_weights=[1.0] * num_keypoints,
    sigmas=[sigma for _, _, sigma in keypoints],
)

model = dict(head=dict(out_channels=num_keypoints))

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        metainfo=metainfo,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/val.json",
        bbox_file=None,  # people are where the annotations say
        data_prefix=dict(img="val/"),
        metainfo=metainfo,
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = val_evaluator
