"""Learners: policies trained by reinforcement; found by mecopt through its entry points.

Imported after Gymnasium, it registers ``mecopt/Partition-v0`` and ``mecopt/Online-v0`` there;
`mecopt_rl.gym` always does.
"""

import sys

if "gymnasium" in sys.modules:  # the command line imports this package too, and must not pay for Gymnasium
    from mecopt_rl import gym as gym
