"""Watch a machine: sliding windows over new sound, one alarm per fault, delivered even if the receiver is away.

from asd_ray.deploy.watch import AudioFolder, Watch

for event in Watch(scorer, AudioFolder("recordings/")):
    print(event.to_json())
"""

from asd_ray.deploy.watch.alarm_rule import AlarmRule
from asd_ray.deploy.watch.audio_folder import AudioFolder
from asd_ray.deploy.watch.cutting import Cutting
from asd_ray.deploy.watch.delivery import Delivery, Receiver
from asd_ray.deploy.watch.events import (
    Alarm,
    AlarmEnded,
    Drift,
    Event,
    FalseAlarms,
    Slow,
    Started,
    Stopped,
    UnlikeTraining,
    Unreadable,
    WindowScored,
)
from asd_ray.deploy.watch.mqtt import Mqtt
from asd_ray.deploy.watch.pcm_stream import PcmStream
from asd_ray.deploy.watch.recalibrating import NormalSound, read_normal_sound
from asd_ray.deploy.watch.session import deliver, run_watch, show_line, stopped_by_signals
from asd_ray.deploy.watch.source import Broken, Source, Window
from asd_ray.deploy.watch.spool import Spool
from asd_ray.deploy.watch.watch import Watch
from asd_ray.deploy.watch.webhook import Webhook

__all__ = [
    "Alarm",
    "AlarmEnded",
    "AlarmRule",
    "AudioFolder",
    "Broken",
    "Cutting",
    "Delivery",
    "Drift",
    "Event",
    "FalseAlarms",
    "Mqtt",
    "NormalSound",
    "PcmStream",
    "Receiver",
    "Slow",
    "Source",
    "Spool",
    "Started",
    "Stopped",
    "UnlikeTraining",
    "Unreadable",
    "Watch",
    "Webhook",
    "Window",
    "WindowScored",
    "deliver",
    "read_normal_sound",
    "run_watch",
    "show_line",
    "stopped_by_signals",
]
