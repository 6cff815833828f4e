"""Small configs in the manner of MMAction2's, 0.x and 1.x, with what they are based on."""

from __future__ import annotations

import textwrap
from pathlib import Path

KINETICS_CHECKPOINT = (
    "https://download.openmmlab.com/mmaction/v1.0/recognition/tsn/"
    "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb/"
    "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-cd10898e.pth"
)

MODEL = """
    model = dict(
        type='Recognizer2D',
        backbone=dict(
            type='ResNet', pretrained='https://download.pytorch.org/models/resnet50-11ad3fa6.pth', depth=50,
            norm_eval=False),
        cls_head=dict(
            type='TSNHead', num_classes=400, in_channels=2048, spatial_type='avg',
            consensus=dict(type='AvgConsensus', dim=1), dropout_ratio=0.4, init_std=0.01, average_clips='prob'),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
            format_shape='NCHW'),
        train_cfg=None,
        test_cfg=None)
"""

SCHEDULE = """
    train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_begin=1, val_interval=1)
    val_cfg = dict(type='ValLoop')
    test_cfg = dict(type='TestLoop')
    param_scheduler = [
        dict(type='MultiStepLR', begin=0, end=100, by_epoch=True, milestones=[40, 80], gamma=0.1)
    ]
    optim_wrapper = dict(
        optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001),
        clip_grad=dict(max_norm=40, norm_type=2))
"""

RUNTIME = """
    default_scope = 'mmaction'
    default_hooks = dict(
        logger=dict(type='LoggerHook', interval=20),
        checkpoint=dict(type='CheckpointHook', interval=1, save_best='auto'))
    env_cfg = dict(cudnn_benchmark=False)
    load_from = None
    resume = False
"""

# Kinetics-400 from ImageNet weights, with the published numbers.
TSN = """
    _base_ = ['../../_base_/models/tsn_r50.py', '../../_base_/schedules/sgd_100e.py', '../../_base_/runtime.py']
    dataset_type = 'VideoDataset'
    data_root = 'data/kinetics400/videos_train'
    data_root_val = 'data/kinetics400/videos_val'
    ann_file_train = 'data/kinetics400/kinetics400_train_list_videos.txt'
    ann_file_val = 'data/kinetics400/kinetics400_val_list_videos.txt'
    file_client_args = dict(io_backend='disk')
    train_pipeline = [
        dict(type='DecordInit', **file_client_args),
        dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=3),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 256)),
        dict(
            type='MultiScaleCrop', input_size=224, scales=(1, 0.875, 0.75, 0.66), random_crop=False,
            max_wh_scale_gap=1),
        dict(type='Resize', scale=(224, 224), keep_ratio=False),
        dict(type='Flip', flip_ratio=0.5),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs')
    ]
    def_pipeline = [dict(type='DecordInit', **file_client_args), dict(type='DecordDecode')]
    val_pipeline = def_pipeline + [
        dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=3, test_mode=True),
        dict(type='Resize', scale=(-1, 256)),
        dict(type='CenterCrop', crop_size=224)
    ]
    test_pipeline = def_pipeline + [
        dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=25, test_mode=True),
        dict(type='Resize', scale=(-1, 256)),
        dict(type='TenCrop', crop_size=224)
    ]
    train_dataloader = dict(
        batch_size=32, num_workers=8, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type=dataset_type, ann_file=ann_file_train, data_prefix=dict(video=data_root), pipeline=train_pipeline))
    val_dataloader = dict(
        batch_size=32, num_workers=8, sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type=dataset_type, ann_file=ann_file_val, data_prefix=dict(video=data_root_val), pipeline=val_pipeline,
            test_mode=True))
    test_dataloader = dict(
        batch_size=1, num_workers=8, sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type=dataset_type, ann_file=ann_file_val, data_prefix=dict(video=data_root_val), pipeline=test_pipeline,
            test_mode=True))
    val_evaluator = dict(type='AccMetric')
    test_evaluator = val_evaluator
    default_hooks = dict(checkpoint=dict(interval=3, max_keep_ckpts=3))
    auto_scale_lr = dict(enable=False, base_batch_size=256)
"""

# The fine-tuning tutorial's own example: Kinetics-400 to UCF101.
TUTORIAL = f"""
    _base_ = ['tsn_8xb32-1x1x3-100e_kinetics400-rgb.py']
    model = dict(cls_head=dict(type='TSNHead', num_classes=101))
    ann_file_train = 'data/ucf101/ucf101_train_list.txt'
    ann_file_val = 'data/ucf101/ucf101_val_list.txt'
    train_dataloader = dict(dataset=dict(ann_file=ann_file_train, data_prefix=dict(video='data/ucf101/videos')))
    val_dataloader = dict(dataset=dict(ann_file=ann_file_val, data_prefix=dict(video='data/ucf101/videos')))
    test_dataloader = dict(dataset=dict(ann_file=ann_file_val, data_prefix=dict(video='data/ucf101/videos')))
    train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_begin=1, val_interval=1)
    param_scheduler = [
        dict(type='MultiStepLR', begin=0, end=50, by_epoch=True, milestones=[20, 40], gamma=0.1)
    ]
    optim_wrapper = dict(
        optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=0.0001),
        clip_grad=dict(max_norm=40, norm_type=2))
    default_hooks = dict(checkpoint=dict(interval=5))
    load_from = '{KINETICS_CHECKPOINT}'
"""

# The same training as 0.x writes it, of TSM on a machine of two GPUs.
OLD = """
    _base_ = ['../../_base_/schedules/sgd_tsm.py', '../../_base_/runtime.py']
    model = dict(
        type='Recognizer2D',
        backbone=dict(type='ResNetTSM', pretrained='torchvision://resnet50', depth=50, norm_eval=False, shift_div=8),
        cls_head=dict(type='TSMHead', num_classes=51, in_channels=2048, consensus=dict(type='AvgConsensus', dim=1)),
        train_cfg=None,
        test_cfg=dict(average_clips='prob'))
    dataset_type = 'VideoDataset'
    img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_bgr=False)
    train_pipeline = [
        dict(type='DecordInit'),
        dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
        dict(type='DecordDecode'),
        dict(type='RandomResizedCrop'),
        dict(type='Resize', scale=(224, 224), keep_ratio=False),
        dict(type='Flip', flip_ratio=0.5),
        dict(type='Normalize', **img_norm_cfg),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='Collect', keys=['imgs', 'label'], meta_keys=[]),
        dict(type='ToTensor', keys=['imgs', 'label'])
    ]
    val_pipeline = [
        dict(type='DecordInit'),
        dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8, test_mode=True),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 256)),
        dict(type='CenterCrop', crop_size=224),
        dict(type='Normalize', **img_norm_cfg),
    ]
    data = dict(
        videos_per_gpu=12,
        workers_per_gpu=2,
        test_dataloader=dict(videos_per_gpu=1),
        train=dict(type=dataset_type, ann_file='lists/train.txt', data_prefix='videos', pipeline=train_pipeline),
        val=dict(type=dataset_type, ann_file='lists/val.txt', data_prefix='videos', pipeline=val_pipeline),
        test=dict(type=dataset_type, ann_file='lists/val.txt', data_prefix='videos', pipeline=val_pipeline))
    evaluation = dict(interval=2, metrics=['top_k_accuracy', 'mean_class_accuracy'])
    lr_config = dict(policy='CosineAnnealing', min_lr=0, warmup='linear', warmup_by_epoch=True, warmup_iters=3)
    total_epochs = 25
    work_dir = './work_dirs/tsm/'
"""

OLD_SCHEDULE = """
    optimizer = dict(
        type='SGD',
        constructor='TSMOptimizerConstructor',
        paramwise_cfg=dict(fc_lr5=True),
        lr=0.02,  # this lr is used for 2 gpus
        momentum=0.9,
        weight_decay=0.0005)
    optimizer_config = dict(grad_clip=dict(max_norm=20, norm_type=2))
    lr_config = dict(policy='step', step=[20, 40])
    total_epochs = 50
"""

OLD_RUNTIME = """
    checkpoint_config = dict(interval=1)
    log_config = dict(interval=20, hooks=[dict(type='TextLoggerHook')])
    dist_params = dict(backend='nccl')
    log_level = 'INFO'
    load_from = None
    resume_from = None
    workflow = [('train', 1)]
"""


def write_configs(folder: Path) -> Path:
    """The files of a small checkout of 1.x; returns the folder of TSN's configs."""
    tsn = folder / "configs" / "recognition" / "tsn"
    base = folder / "configs" / "_base_"
    write(base / "models" / "tsn_r50.py", MODEL)
    write(base / "schedules" / "sgd_100e.py", SCHEDULE)
    write(base / "runtime.py", RUNTIME)
    write(tsn / "tsn_8xb32-1x1x3-100e_kinetics400-rgb.py", TSN)
    write(tsn / "tsn-ucf101.py", TUTORIAL)
    return tsn


def write_old_configs(folder: Path) -> Path:
    """The files of a small checkout of 0.x; returns the folder of TSM's configs."""
    tsm = folder / "configs" / "recognition" / "tsm"
    base = folder / "configs" / "_base_"
    write(base / "schedules" / "sgd_tsm.py", OLD_SCHEDULE)
    write(base / "runtime.py", OLD_RUNTIME)
    write(tsm / "tsm_r50_1x1x8_25e_hmdb51_rgb.py", OLD)
    return tsm


def write(path: Path, text: str) -> Path:
    """A file with `text`, its indentation taken off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path
