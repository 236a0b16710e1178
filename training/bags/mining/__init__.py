"""Questions without human labels, from what a robot saw and where it was.

One module a kind of question. In: a `Window` of frames. Out: `Example`s, equal for equal frames
and seeds. What is asked was seen by the robot itself at another time: that is the true view, and
no memory of an example holds a view that looks as it does.
"""
