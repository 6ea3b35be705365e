"""One function per real dataset: its folder layout in, our manifest out (1 = fake, always).

``data/README.md`` says where each dataset comes from and how it must lie on disk. Nothing here
opens a picture or a sound, so importing it is cheap.
"""

from collections.abc import Callable

import pandas as pd

from dfutils.adapters.audiovisual import deepfake_timit, fake_av_celeb
from dfutils.adapters.celeb import celeb_df, uadfv
from dfutils.adapters.challenge import dfdc
from dfutils.adapters.deeper import deeper_forensics
from dfutils.adapters.ffpp import faceforensics
from dfutils.adapters.tables import shared_faces, shared_speech, shared_videos
from dfutils.adapters.voice import asvspoof2019_la

ADAPTERS: dict[str, Callable[..., pd.DataFrame]] = {
    function.__name__: function
    for function in (
        faceforensics,
        celeb_df,
        dfdc,
        deepfake_timit,
        uadfv,
        deeper_forensics,
        fake_av_celeb,
        asvspoof2019_la,
        shared_faces,
        shared_speech,
        shared_videos,
    )
}

__all__ = ["ADAPTERS", *ADAPTERS]
