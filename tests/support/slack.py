"""How long a call may go on above its deadline. Only that lives here.

What a deadline is tried on goes on for much longer, or for ever: the slack is for a machine that is held up.
"""

SLACK_S = 1.0
