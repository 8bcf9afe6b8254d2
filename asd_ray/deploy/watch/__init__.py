"""Watch a machine: sliding windows over new sound, one alarm per fault, delivered even if the receiver is away.

from asd_ray.deploy.watch import AudioFolder, Watch

for event in Watch(scorer, AudioFolder("recordings/")):
    print(event.to_json())
"""

from asd_ray.deploy.watch.alarm_rule import AlarmRule
from asd_ray.deploy.watch.audio_folder import AudioFolder
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
from asd_ray.deploy.watch.pcm_stream import PcmStream
from asd_ray.deploy.watch.source import Broken, Source, Window
from asd_ray.deploy.watch.watch import Watch

__all__ = [
    "Alarm",
    "AlarmEnded",
    "AlarmRule",
    "AudioFolder",
    "Broken",
    "Drift",
    "Event",
    "FalseAlarms",
    "PcmStream",
    "Slow",
    "Source",
    "Started",
    "Stopped",
    "UnlikeTraining",
    "Unreadable",
    "Watch",
    "Window",
    "WindowScored",
]
